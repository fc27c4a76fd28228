/** Lines shown around a change. */
const CONTEXT_LINES = 3;

/** Edits beyond which the rest of a text counts as replaced as a whole: keeps time and memory bounded. */
const MAX_EDITS = 1000;

type Line = { kind: ' ' | '-' | '+'; text: string };

/** A unified diff of two texts with three lines of context; empty when they are equal. */
export function unifiedDiff(from: string, to: string, titles: { from: string; to: string }): string {
  if (from === to) return '';
  const lines = diffLines(splitLines(from), splitLines(to));
  return `--- ${titles.from}\n+++ ${titles.to}\n${hunks(lines)}`;
}

/** Each line keeps its end, so that a missing newline at the end is a difference. */
function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function diffLines(left: readonly string[], right: readonly string[]): Line[] {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left[left.length - 1 - end] === right[right.length - 1 - end]) end += 1;
  const toLines = (kind: Line['kind'], texts: readonly string[]): Line[] => texts.map((text) => ({ kind, text }));
  const oldPart = left.slice(start, left.length - end);
  const newPart = right.slice(start, right.length - end);
  return [
    ...toLines(' ', left.slice(0, start)),
    ...(shortestEdits(oldPart, newPart) ?? [...toLines('-', oldPart), ...toLines('+', newPart)]),
    ...toLines(' ', left.slice(left.length - end)),
  ];
}

/**
 * The fewest deletions and insertions that turn one list into the other, by walking ever more edits along the diagonals
 * of the grid of both (the greedy method of Myers); undefined when more than MAX_EDITS are needed.
 */
function shortestEdits(left: readonly string[], right: readonly string[]): Line[] | undefined {
  const reach = new Map<number, number>([[1, 0]]);
  const trail: Map<number, number>[] = [];
  for (let edits = 0; edits <= Math.min(left.length + right.length, MAX_EDITS); edits += 1) {
    trail.push(new Map(reach));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isInsertion(reach, diagonal, edits) ? (reach.get(diagonal + 1) ?? 0) : (reach.get(diagonal - 1) ?? 0) + 1;
      while (x < left.length && x - diagonal < right.length && left[x] === right[x - diagonal]) x += 1;
      reach.set(diagonal, x);
      if (x >= left.length && x - diagonal >= right.length) return walkBack(trail, left, right);
    }
  }
  return undefined;
}

function isInsertion(reach: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  return diagonal === -edits || (diagonal !== edits && (reach.get(diagonal - 1) ?? -1) < (reach.get(diagonal + 1) ?? -1));
}

function walkBack(trail: readonly ReadonlyMap<number, number>[], left: readonly string[], right: readonly string[]): Line[] {
  const lines: Line[] = [];
  let x = left.length;
  let y = right.length;
  for (let edits = trail.length - 1; edits >= 0; edits -= 1) {
    const reach = trail[edits] as ReadonlyMap<number, number>;
    const diagonal = x - y;
    const insertion = isInsertion(reach, diagonal, edits);
    const previous = insertion ? diagonal + 1 : diagonal - 1;
    const previousX = edits === 0 ? 0 : (reach.get(previous) ?? 0);
    const previousY = edits === 0 ? 0 : previousX - previous;
    while (x > previousX && y > previousY) {
      x -= 1;
      y -= 1;
      lines.push({ kind: ' ', text: left[x] as string });
    }
    if (edits === 0) break;
    if (insertion) {
      y -= 1;
      lines.push({ kind: '+', text: right[y] as string });
    } else {
      x -= 1;
      lines.push({ kind: '-', text: left[x] as string });
    }
  }
  return lines.toReversed();
}

function hunks(lines: readonly Line[]): string {
  let text = '';
  let oldLine = 1;
  let newLine = 1;
  let at = 0;
  while (at < lines.length) {
    const first = lines.findIndex(({ kind }, index) => index >= at && kind !== ' ');
    if (first < 0) break;
    const start = Math.max(at, first - CONTEXT_LINES);
    oldLine += start - at;
    newLine += start - at;
    let end = first;
    let quiet = 0;
    while (end < lines.length && quiet <= 2 * CONTEXT_LINES) {
      quiet = lines[end]?.kind === ' ' ? quiet + 1 : 0;
      end += 1;
    }
    end -= Math.max(0, quiet - CONTEXT_LINES);
    const hunk = lines.slice(start, end);
    const olds = hunk.filter(({ kind }) => kind !== '+').length;
    const news = hunk.filter(({ kind }) => kind !== '-').length;
    text += `@@ -${olds === 0 ? oldLine - 1 : oldLine},${olds} +${news === 0 ? newLine - 1 : newLine},${news} @@\n`;
    for (const { kind, text: line } of hunk)
      text += line.endsWith('\n') ? `${kind}${line}` : `${kind}${line}\n\\ No newline at end of file\n`;
    oldLine += olds;
    newLine += news;
    at = end;
  }
  return text;
}
