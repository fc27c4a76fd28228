import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/** Time between two looks unless told otherwise. */
const POLL_MS = 100;
/** Ten times what anything that is waited for takes on a busy machine with two cores. */
const DEADLINE_MS = 60_000;
const MAX_SHOWN_CHARS = 4_000;

export interface WaitOptions {
  /** Milliseconds after which it gives up. Default 60,000. */
  readonly deadlineMs?: number;
  /** Milliseconds between two looks. Default 100. */
  readonly pollMs?: number;
}

/** Text of a value for an error message. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? value : inspect(value, { depth: 6, breakLength: 140, maxArrayLength: 20, maxStringLength: 500 });
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)} …` : text;
}

/**
 * Looks again and again until `isDone` takes what `look` answers, and returns that. A `look` that throws has not found it
 * yet: the process it asks may be starting. Rejects at the deadline with an Error that shows the last answer or error.
 * @param what completes "waited N s for …"
 */
export async function waitUntil<Value>(
  what: string,
  look: () => Promise<Value> | Value,
  isDone: (value: Value) => boolean,
  { deadlineMs = DEADLINE_MS, pollMs = POLL_MS }: WaitOptions = {},
): Promise<Value> {
  const endMs = performance.now() + deadlineMs;
  let last = 'nothing was seen';
  for (;;) {
    try {
      const value = await look();
      if (isDone(value)) return value;
      last = `last seen: ${show(value)}`;
    } catch (error) {
      last = `last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= endMs) throw new Error(`waited ${deadlineMs / 1_000} s for ${what}; ${last}`);
    await sleep(pollMs);
  }
}

/** As {@link waitUntil}, for a `look` that lists what is still wrong: done when the list is empty. */
export async function waitUntilRight(
  what: string,
  look: () => Promise<readonly string[]> | readonly string[],
  options?: WaitOptions,
): Promise<void> {
  await waitUntil(what, look, (problems) => problems.length === 0, options);
}
