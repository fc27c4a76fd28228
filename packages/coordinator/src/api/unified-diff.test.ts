import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unifiedDiff } from './unified-diff.ts';

const TITLES = { from: 'a', to: 'b' };

/** Applies a unified diff, as the program `patch` would. Throws when a line is not where the diff says. */
function patch(from: string, diff: string): string {
  const old = from.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const result: string[] = [];
  let at = 0;
  const lines = diff.split('\n').slice(2, -1);
  for (const [index, line] of lines.entries()) {
    const header = /^@@ -(\d+),(\d+) \+\d+,\d+ @@$/.exec(line);
    if (header !== null) {
      const start = header[2] === '0' ? Number(header[1]) : Number(header[1]) - 1;
      result.push(...old.slice(at, start));
      at = start;
      continue;
    }
    if (line.startsWith('\\')) continue;
    const text = `${line.slice(1)}${lines[index + 1]?.startsWith('\\') === true ? '' : '\n'}`;
    if (line[0] !== '+') {
      if (old[at] !== text) throw new Error(`line ${at + 1} is ${JSON.stringify(old[at])}, the diff says ${JSON.stringify(text)}`);
      at += 1;
    }
    if (line[0] !== '-') result.push(text);
  }
  return [...result, ...old.slice(at)].join('');
}

describe('unifiedDiff', () => {
  it('is empty for equal texts', () => {
    expect(unifiedDiff('a\n', 'a\n', TITLES)).toBe('');
  });

  it('shows three lines around a change, and one hunk for each group of changes', () => {
    const lines = Array.from({ length: 30 }, (_, index) => `line ${index + 1}\n`);
    const changed = lines.with(4, 'five\n').with(24, 'twenty-five\n');
    const diff = unifiedDiff(lines.join(''), changed.join(''), TITLES);
    expect(diff.match(/^@@.*@@$/gm)).toEqual(['@@ -2,7 +2,7 @@', '@@ -22,7 +22,7 @@']);
    expect(diff).toContain('-line 5\n+five\n');
  });

  it('marks a missing newline at the end', () => {
    expect(unifiedDiff('a\nb', 'a\nb\n', TITLES)).toBe('--- a\n+++ b\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n');
  });

  it('copes with texts that have nothing in common and are too long to compare', () => {
    const from = Array.from({ length: 3000 }, (_, index) => `old ${index}\n`).join('');
    const to = Array.from({ length: 3000 }, (_, index) => `new ${index}\n`).join('');
    expect(patch(from, unifiedDiff(from, to, TITLES))).toBe(to);
  });

  it('turns the one text into the other, whatever they are', () => {
    const line = fc.constantFrom('a\n', 'b\n', 'c\n', '\n', 'a: 1\n');
    const text = fc.tuple(fc.array(line, { maxLength: 40 }), fc.constantFrom('', 'end')).map(([lines, end]) => lines.join('') + end);
    fc.assert(
      fc.property(text, text, (from, to) => {
        expect(patch(from, unifiedDiff(from, to, TITLES))).toBe(to);
      }),
      { numRuns: 500 },
    );
  });

  it('needs no more edits than there are', () => {
    const edits = (diff: string): number =>
      diff
        .split('\n')
        .slice(2)
        .filter((line) => /^[-+]/.test(line)).length;
    expect(edits(unifiedDiff('a\nb\nc\na\nb\nb\na\n', 'c\nb\na\nb\na\nc\n', TITLES))).toBe(5);
  });
});
