import { ProblemError } from './problem.ts';

/** Items of a page when the caller names no limit. */
export const DEFAULT_PAGE_SIZE = 100;

/** Most items of a page. */
export const MAX_PAGE_SIZE = 1000;

/** One page of a list; `nextCursor` is null on the last one. */
export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

/** A position as opaque text that is safe in a URL. */
export function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Reads the text of {@link encodeCursor}. Throws a ProblemError when it is none of ours or has another number of parts. */
export function decodeCursor(cursor: string, length: number): (string | number)[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(parts) && parts.length === length && parts.every((part) => typeof part === 'string' || typeof part === 'number')) {
      return parts as (string | number)[];
    }
  } catch {
    // Falls through to the one answer for everything that is not a cursor.
  }
  throw badCursor();
}

/** The answer to a cursor that no page of this list gave out. */
export function badCursor(): ProblemError {
  const message = 'not a cursor of this list: use nextCursor of the page before';
  return new ProblemError('invalid-parameter', `cursor: ${message}`, { errors: [{ path: 'query.cursor', message }] });
}

/** A page of a list that is in memory in its stable order: what follows `after`, by the items' keys. */
export function pageOf<Item>(
  items: readonly Item[],
  query: { limit: number; cursor?: string | undefined },
  keyOf: (item: Item) => string | number,
  compare: (left: string | number, right: string | number) => number,
): Page<Item> {
  let rest = items;
  if (query.cursor !== undefined) {
    const [after] = decodeCursor(query.cursor, 1);
    rest = items.filter((item) => compare(keyOf(item), after as string | number) > 0);
  }
  const page = rest.slice(0, query.limit);
  const last = page.at(-1);
  return { items: page, nextCursor: rest.length > page.length && last !== undefined ? encodeCursor([keyOf(last)]) : null };
}

/** Byte order of text, ascending; numbers by value. */
export function compareKeys(left: string | number, right: string | number): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
