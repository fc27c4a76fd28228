import { describe, expect, it } from 'vitest';
import { isByteSize, parseGoDuration } from './go-values.ts';

describe('parseGoDuration', () => {
  it.each([
    ['0', 0],
    ['5s', 5e9],
    ['1.5s', 1.5e9],
    ['.5s', 0.5e9],
    ['1h30m', 5400e9],
    ['-10ms', -10e6],
    ['+1us', 1e3],
    ['1µs', 1e3],
    ['100ns', 100],
    ['1m0.5s', 60.5e9],
  ])('%s', (text, nanoseconds) => {
    expect(parseGoDuration(text)).toEqual({ ok: true, nanoseconds });
  });

  it.each(['', '-', '5', '1.5', 's', '5 s', '5S', '1d', '1s2', 'soon', '..5s', '1e3s', '999999999999h', '1'.repeat(300)])(
    'refuses "%s"',
    (text) => {
      expect(parseGoDuration(text).ok).toBe(false);
    },
  );
});

describe('isByteSize', () => {
  it.each(['1024', '16kib', '1MiB', '1 MB', '2g', '10b', '1.5mib'])('%s', (text) => {
    expect(isByteSize(text)).toBe(true);
  });

  it.each(['', 'big', '16x', '-1', 'kib'])('not "%s"', (text) => {
    expect(isByteSize(text)).toBe(false);
  });
});
