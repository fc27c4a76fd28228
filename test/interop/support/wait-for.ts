import { setTimeout as sleep } from 'node:timers/promises';

/** Time between two looks at a condition, in milliseconds. */
const POLL_MS = 25;

/**
 * Waits until `look` answers something else than undefined or false, and returns it.
 * @param what completes "timed out waiting for …"
 * @param detail is added to the error, to show what was there instead
 * @throws Error after `deadlineMs` milliseconds.
 */
export async function waitFor<T>(
  what: string,
  deadlineMs: number,
  look: () => Promise<T | false | undefined> | T | false | undefined,
  detail: () => string = () => '',
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (performance.now() >= endMs) {
      throw new Error(`timed out after ${deadlineMs} ms waiting for ${what}\n${detail()}`);
    }
    await sleep(POLL_MS);
  }
}
