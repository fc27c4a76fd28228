import type { CheckContext } from './context.ts';
import type { Need } from './target.ts';

/** The two ways OpAMP travels. */
export type Transport = 'ws' | 'http';

/**
 * How binding a check is. Upper case: an RFC 2119 word of the specification (MUST covers MUST NOT, and so on). Lower
 * case: the specification's plain word. `spec`: a flow or a format the specification describes without such a word.
 * `derived`: not in the specification, but needed for it to hold on several nodes or with real clients.
 */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'must' | 'should' | 'may' | 'spec' | 'derived';

/** One statement about a server and the way to try it. */
export interface Check {
  /** 1 to 173, stable. */
  readonly id: number;
  readonly level: Level;
  /** The statement, as a promise of the server. */
  readonly title: string;
  /** Where the specification says so. */
  readonly clause: string;
  /** Run once for each of these. */
  readonly transports: readonly Transport[];
  readonly needs: readonly Need[];
  /** May take minutes or hundreds of megabytes; runs only when slow checks are asked for. */
  readonly isSlow?: true;
  /** Returns when the server passed; throws {@link CheckFailedError} or {@link NotApplicableError} otherwise. */
  run(context: CheckContext): Promise<void>;
}

/** A group of checks with a heading. */
export interface Section {
  /** 'A1' to 'A16'. */
  readonly key: string;
  readonly title: string;
  /** The file that holds the checks. */
  readonly file: string;
  readonly checks: readonly Check[];
}

/** The server did not do what the check demands. */
export class CheckFailedError extends Error {
  override name = 'CheckFailedError';
}

/** The check says nothing about this server. */
export class NotApplicableError extends Error {
  override name = 'NotApplicableError';
}

/** A check that cannot be run yet or here, with the reason. Keeps its number and place. */
export const notApplicable = (id: number, level: Level, title: string, clause: string, reason: string): Check => ({
  id,
  level,
  title,
  clause,
  transports: ['ws'],
  needs: [],
  run: () => Promise.reject(new NotApplicableError(reason)),
});

export const BOTH: readonly Transport[] = ['ws', 'http'];
export const WS: readonly Transport[] = ['ws'];
export const HTTP: readonly Transport[] = ['http'];
