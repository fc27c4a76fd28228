import { describe, expect, it } from 'vitest';
import { defaultWaves, durationMs, shareBeforeLast } from './waves.ts';

describe('waves', () => {
  it.each([
    [5, 1],
    [100, 10],
    [5_000, 20],
  ])('a fleet of %i has %i canaries unless told otherwise', (agents, canaries) => {
    expect(defaultWaves(agents)).toEqual([{ count: canaries }, { percent: 100 }]);
  });

  it('knows how much of the fleet the last wave finds done', () => {
    expect(shareBeforeLast([{ count: 20 }, { percent: 10 }, { percent: 100 }], 1_000)).toBe(0.1);
    expect(shareBeforeLast([{ count: 200 }, { percent: 100 }], 1_000)).toBe(0.2);
    expect(shareBeforeLast([{ percent: 100 }], 1_000)).toBe(0);
  });

  it.each([
    ['0s', 0],
    ['1s', 1_000],
    ['250ms', 250],
    ['1m30s', 90_000],
    ['soon', Number.NaN],
  ])('%s is %d ms', (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });
});
