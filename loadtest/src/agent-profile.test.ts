import { describe, expect, it } from 'vitest';
import {
  assignProfiles,
  DEFAULT_SUPERVISOR_CAPABILITIES,
  EXTENSION_CAPABILITIES,
  findFailure,
  type FailureRule,
  FULL_SUPERVISOR_CAPABILITIES,
  resolveProfile,
} from './agent-profile.ts';
import type { SimConfig } from './sim-config.ts';

const CONFIG: SimConfig = {
  hash: Buffer.from('aa', 'hex'),
  hashHex: 'aa',
  mergedText: 'exporters:\n  otlp/secondary:\n',
  mergedKey: 'k',
  isEmptyMap: false,
  isNop: false,
  mergeError: undefined,
  effectiveConfig: new Uint8Array(0),
  effectiveWithRaw: new Uint8Array(0),
  raw: Buffer.alloc(0),
};

const fails = (rule: FailureRule, index: number, arrival = 0): boolean =>
  findFailure([rule], CONFIG, { seed: 7, index, arrival }) !== undefined;

describe('profiles', () => {
  it('have the masks of real agents', () => {
    expect(DEFAULT_SUPERVISOR_CAPABILITIES).toBe(0x2845);
    expect(FULL_SUPERVISOR_CAPABILITIES).toBe(0x7c47);
    expect(EXTENSION_CAPABILITIES).toBe(0x4805);
    expect(resolveProfile({ profile: 'no-report' }).capabilities).toBe(0x2847);
    expect(resolveProfile({ profile: 'supervisor-0.160' }).capabilities).toBe(0x2847);
    // The same options of the next version.
    expect(resolveProfile({ profile: 'supervisor-0.161' }).capabilities).toBe(0x3847);
    expect(resolveProfile({ profile: 'supervisor-0.161', overrides: { capabilities: 0x2845 } }).capabilities).toBe(0x2845);
  });

  it('are given to exact shares, the same for the same seed', () => {
    const shares = [
      { profile: 'failing', fraction: 0.05 },
      { profile: 'slow', fraction: 0.1 },
      { profile: 'stuck', indexes: [3] },
    ] as const;
    const names = (seed: number): string[] => assignProfiles(200, seed, shares).map(({ profile }) => profile);
    expect(names(1).filter((name) => name === 'failing')).toHaveLength(10);
    expect(names(1).filter((name) => name === 'slow')).toHaveLength(20);
    expect(names(1)[3]).toBe('stuck');
    expect(names(1)).toEqual(names(1));
    expect(names(1)).not.toEqual(names(2));
  });
});

describe('findFailure', () => {
  it('looks at the text and the hash', () => {
    expect(fails({ kind: 'crash', match: { contains: 'otlp/secondary' } }, 0)).toBe(true);
    expect(fails({ kind: 'crash', match: { contains: 'kafka' } }, 0)).toBe(false);
    expect(fails({ kind: 'crash', match: { contains: 'otlp', notContains: 'secondary' } }, 0)).toBe(false);
    expect(fails({ kind: 'crash', match: { hash: 'aa' } }, 0)).toBe(true);
    expect(fails({ kind: 'crash', match: { hash: 'bb' } }, 0)).toBe(false);
  });

  it('hits about the share it names, another one with another salt', () => {
    const hit = (salt: string): number[] =>
      Array.from({ length: 2_000 }, (_, index) => index).filter((index) =>
        fails({ kind: 'crash', match: {}, probability: 0.05, salt }, index),
      );
    expect(hit('a').length).toBeGreaterThan(50);
    expect(hit('a').length).toBeLessThan(160);
    expect(hit('a')).toEqual(hit('a'));
    expect(hit('a')).not.toEqual(hit('b'));
  });

  it('spares the first agents when asked to', () => {
    const rule: FailureRule = { kind: 'crash', match: {}, afterAgents: 20 };
    expect(fails(rule, 0, 19)).toBe(false);
    expect(fails(rule, 0, 20)).toBe(true);
  });
});
