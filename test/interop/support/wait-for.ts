import { waitUntil } from '../../support/wait-for.ts';

/** Time between two looks, in milliseconds; some of what is waited for here lasts only tens of milliseconds. */
const POLL_MS = 25;

/**
 * Waits until `look` answers something else than undefined or false, and returns it. A `look` that throws has found
 * nothing yet.
 * @param what completes "waited N s for …"
 * @param detail is added to the error, to show what was there instead
 * @throws Error after `deadlineMs` milliseconds.
 */
export async function waitFor<T>(
  what: string,
  deadlineMs: number,
  look: () => Promise<T | false | undefined> | T | false | undefined,
  detail: () => string = () => '',
): Promise<T> {
  try {
    const found = await waitUntil(what, look, (value) => value !== undefined && value !== false, { deadlineMs, pollMs: POLL_MS });
    return found as T;
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${detail()}`, { cause: error });
  }
}
