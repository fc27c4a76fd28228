import { describe, expect, it } from 'vitest';
import { parseNetworks } from './networks.ts';

describe('parseNetworks', () => {
  it('reads networks and single addresses', () => {
    const list = parseNetworks(['10.0.0.0/8', '::1']);
    expect([list.check('10.9.9.9'), list.check('11.0.0.1'), list.check('::1', 'ipv6'), list.check('::2', 'ipv6')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  it.each(['10.0.0.0/33', 'proxy.local', '10.0.0.0/', '::1/129', '10.0.0.0/-1'])('refuses %s as a network', (text) => {
    expect(() => parseNetworks([text])).toThrow(text);
  });
});
