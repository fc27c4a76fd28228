import { describe, expect, it } from 'vitest';
import { ConnectGate } from './connect-gate.ts';
import { parseTarget, TargetPicker, targetName } from './server-target.ts';

const URLS = ['ws://127.0.0.1:4320/v1/opamp', 'http://127.0.0.1:4321/v1/opamp'];

describe('parseTarget', () => {
  it('reads all four schemes', () => {
    expect(parseTarget('ws://localhost/v1/opamp')).toEqual({ host: 'localhost', port: 80, path: '/v1/opamp', tls: false });
    expect(parseTarget('https://[::1]:4320/x?y=1')).toEqual({ host: '::1', port: 4320, path: '/x?y=1', tls: true });
    expect(() => parseTarget('ftp://localhost/')).toThrow(TypeError);
  });
});

describe('TargetPicker', () => {
  it('spreads agents over servers, always the same way, and moves to another one', () => {
    const picker = new TargetPicker({ urls: URLS, random: () => 0, agentsPerAddress: 0 });
    const names = Array.from({ length: 50 }, (_, index) => targetName(picker.first(index)));
    expect(new Set(names).size).toBe(2);
    expect(targetName(picker.first(7))).toBe(names[7]);
    expect(targetName(picker.other(7, picker.first(7)))).not.toBe(names[7]);
  });

  it('stays where it is with one server', () => {
    const picker = new TargetPicker({ urls: URLS.slice(0, 1), random: () => 0.9, agentsPerAddress: 0 });
    expect(picker.other(0, picker.first(0))).toEqual(picker.first(0));
  });

  it('uses another loopback address for each block of agents', () => {
    const picker = new TargetPicker({ urls: URLS, random: () => 0, agentsPerAddress: 100 });
    expect(picker.first(5).host).toBe('127.1.0.0');
    expect(picker.first(199).host).toBe('127.1.0.1');
    expect(picker.other(30_000, picker.first(30_000))).toMatchObject({ host: '127.1.1.44' });
    expect(picker.other(30_000, picker.first(30_000)).port).not.toBe(picker.first(30_000).port);
  });
});

describe('ConnectGate', () => {
  it('lets in no more than its limit, in order', async () => {
    const gate = new ConnectGate(2);
    const begun: number[] = [];
    for (let number = 0; number < 5; number += 1) gate.enter(() => begun.push(number));
    expect(begun).toEqual([0, 1]);
    gate.leave();
    await new Promise(setImmediate);
    expect(begun).toEqual([0, 1, 2]);
    for (let count = 0; count < 4; count += 1) {
      gate.leave();
      await new Promise(setImmediate);
    }
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    gate.enter(() => begun.push(9));
    expect(begun.at(-1)).toBe(9);
  });
});
