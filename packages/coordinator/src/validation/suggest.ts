import type { FindingSink } from './finding.ts';

/** Steps that all suggestions of one report may cost together. */
const WORK_BUDGET = 2_000_000;

/** Longer words get no suggestion. */
const MAX_WORD_LENGTH = 80;

/** Makes an id of the wanted type win against an equally distant one. */
const SAME_TYPE_BONUS = 0.5;

/**
 * Finds the likeliest correction of a word. Bounded in all: when the budget of a report is used up there are no more
 * suggestions, so that a hostile config cannot make them expensive.
 */
export class Suggester {
  readonly #sink: FindingSink;
  #work = 0;

  constructor(sink: FindingSink) {
    this.#sink = sink;
  }

  /** A sentence "did you mean `x`?", undefined when no candidate is close. */
  didYouMean(word: string, candidates: Iterable<string>): string | undefined {
    const best = this.closest(word, candidates);
    return best === undefined ? undefined : `did you mean \`${best}\`?`;
  }

  /** The closest candidate: equal but for case, then by edit distance, then an id of the same type. */
  closest(word: string, candidates: Iterable<string>): string | undefined {
    if (word.length > MAX_WORD_LENGTH) return undefined;
    const wanted = word.trim().toLowerCase();
    let best: string | undefined;
    let bestDistance = Math.max(2, Math.floor(wanted.length / 3)) + 1;
    let sameType: string | undefined;
    for (const candidate of candidates) {
      if (!this.#spend(1)) return undefined;
      if (candidate === word || candidate.length > MAX_WORD_LENGTH) continue;
      const isSameType = typeOf(candidate) === typeOf(wanted);
      if (isSameType) sameType ??= candidate;
      if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue;
      if (!this.#spend(candidate.length * wanted.length)) return undefined;
      const distance = editDistance(wanted, candidate.toLowerCase()) - (isSameType ? SAME_TYPE_BONUS : 0);
      if (distance < bestDistance && distance < Math.max(wanted.length, candidate.length)) {
        best = candidate;
        bestDistance = distance;
      }
    }
    return best ?? sameType;
  }

  #spend(work: number): boolean {
    if (this.#work > WORK_BUDGET) return false;
    this.#work += work;
    this.#sink.step();
    return true;
  }
}

function typeOf(id: string): string {
  const slash = id.indexOf('/');
  return slash === -1 ? id : id.slice(0, slash);
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a.charCodeAt(i - 1) === b.charCodeAt(j - 1);
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a.charCodeAt(i - 1) === b.charCodeAt(j - 2) && a.charCodeAt(i - 2) === b.charCodeAt(j - 1);
      if (swapped) cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
