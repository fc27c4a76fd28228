/** Waiting on a condition, never on time. */

/** What a wait needs of a run. */
export interface WaitContext {
  readonly settings: { readonly deadlineMs: number };
  check(): void;
}

const POLL_MS = 100;

/** Thrown when a wait has reached its deadline. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/**
 * Looks until the answer is true. A look that rejects has not found it yet: what it asks may be starting. The pause grows
 * with the cost of looking, so that watching does not become the load. Rejects with DeadlineError at the deadline.
 */
export async function waitFor(what: string, look: () => Promise<boolean>, { settings, check }: WaitContext): Promise<void> {
  const deadlineMs = Date.now() + settings.deadlineMs;
  let lastError = '';
  for (;;) {
    check();
    const startedMs = Date.now();
    try {
      if (await look()) return;
      lastError = '';
    } catch (error) {
      lastError = `; last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (Date.now() > deadlineMs) throw new DeadlineError(`waited ${settings.deadlineMs / 1_000} s for ${what}${lastError}`);
    await pause(Math.max(POLL_MS, 5 * (Date.now() - startedMs)), check);
  }
}

/** Waits, and notices an interruption meanwhile. */
export async function pause(durationMs: number, check: () => void): Promise<void> {
  const endMs = Date.now() + durationMs;
  for (;;) {
    check();
    const leftMs = endMs - Date.now();
    if (leftMs <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.min(leftMs, 200)));
  }
}
