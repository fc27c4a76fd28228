/** Most callers remembered at a time; the one that was quiet for longest gives way. */
const MAX_KEYS = 10_000;

/** How often each caller may do something: `perSecond` in the long run, `burst` at once. */
export class RateLimiter {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  /** In the order of last use. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  /** `now` gives milliseconds of a clock that does not go back. */
  constructor(options: { perSecond: number; burst: number; now?: () => number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Takes one turn of this caller. 0 when there was one, else the whole seconds until the next. */
  take(key: string): number {
    const nowMs = this.#now();
    const known = this.#buckets.get(key) ?? { tokens: this.#burst, atMs: nowMs };
    const tokens = Math.min(this.#burst, known.tokens + ((nowMs - known.atMs) / 1000) * this.#perSecond);
    this.#buckets.delete(key);
    if (this.#buckets.size >= MAX_KEYS) this.#buckets.delete(this.#buckets.keys().next().value ?? '');
    const isFree = tokens >= 1;
    this.#buckets.set(key, { tokens: isFree ? tokens - 1 : tokens, atMs: nowMs });
    return isFree ? 0 : Math.max(1, Math.ceil((1 - tokens) / this.#perSecond));
  }
}
