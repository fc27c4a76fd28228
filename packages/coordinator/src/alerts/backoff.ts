/** How the attempts of one target are spaced. */
export interface Backoff {
  /** Wait after the first attempt that failed. */
  firstMs: number;
  maxMs: number;
}

/**
 * Wait before the next attempt: doubled each time up to the maximum, then a random half of it taken off, so that a target that
 * comes back is not met by everything at once. `attempts` that were made, at least 1; `chance` from 0 to 1.
 */
export function delayAfter(attempts: number, { firstMs, maxMs }: Backoff, chance: number): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(40, attempts - 1));
  return Math.round(fullMs * (1 - chance / 2));
}
