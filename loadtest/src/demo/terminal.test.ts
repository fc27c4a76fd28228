import { describe, expect, it } from 'vitest';
import { clip, formatTable } from './terminal.ts';

describe('formatTable', () => {
  it('aligns text left and numbers right', () => {
    expect(
      formatTable(
        ['name', 'n'],
        [
          ['a', 5],
          ['long name', 12],
        ],
      ),
    ).toEqual(['name        n', '─────────  ──', 'a           5', 'long name  12']);
  });
});

describe('clip', () => {
  it('counts what is seen, and keeps every colour code', () => {
    expect(clip('plain text', 5)).toBe('plain');
    expect(clip('\u001B[32mgreen\u001B[0m and more', 8)).toBe('\u001B[32mgreen\u001B[0m an');
    expect(clip('\u001B[32mgreen\u001B[0m', 2)).toBe('\u001B[32mgr\u001B[0m');
    expect(clip('short', 80)).toBe('short');
  });
});
