import { describe, expect, it } from 'vitest';
import { childEnvironment, parseOptions, UsageError } from './config.ts';

describe('parseOptions', () => {
  it('has defaults', () => {
    expect(parseOptions([])).toEqual({ agents: 300, keep: false, real: undefined });
    expect(parseOptions(['--help'])).toBe('help');
  });

  it('reads everything', () => {
    expect(parseOptions(['--agents', '1000', '--keep', '--supervisor', 'a', '--collector', 'b'])).toEqual({
      agents: 1_000,
      keep: true,
      real: { supervisor: 'a', collector: 'b' },
    });
  });

  it.each([[['--agents', 'many']], [['--agents', '5']], [['--nonsense']], [['--supervisor', 'a']]])('refuses %j', (argv) => {
    expect(() => parseOptions(argv)).toThrow(UsageError);
  });
});

describe('childEnvironment', () => {
  it('passes no OPAMP_ setting of the caller on', () => {
    const environment = childEnvironment({ OPAMP_LOG_LEVEL: 'warn' }, { PATH: '/bin', OPAMP_GATEWAY_PORT: 'tcp://10.0.0.1:4320' });
    expect(environment).toEqual({ PATH: '/bin', OPAMP_LOG_LEVEL: 'warn' });
  });
});
