/** Lets `ratePerSecond` events through on average, with bursts of at most one second's worth (at least 1). */
export class TokenBucket {
  #ratePerSecond: number;
  #tokens: number;
  #atMs: number;

  constructor(ratePerSecond: number, nowMs: number) {
    this.#ratePerSecond = ratePerSecond;
    this.#tokens = Math.max(1, ratePerSecond);
    this.#atMs = nowMs;
  }

  /** Changes the rate; tokens beyond the new burst are dropped. */
  setRate(ratePerSecond: number): void {
    this.#ratePerSecond = ratePerSecond;
    this.#tokens = Math.min(this.#tokens, Math.max(1, ratePerSecond));
  }

  /** Takes one token if there is one. */
  take(nowMs: number): boolean {
    this.#tokens = Math.min(Math.max(1, this.#ratePerSecond), this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#ratePerSecond);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
