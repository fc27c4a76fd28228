/** Failed attempts that an address has at once, and gets back over a minute. */
const PER_ADDRESS = 10;
/** The same for all addresses together: behind a proxy they may all be one, and a botnet has many. */
const ALTOGETHER = 100;
const WINDOW_MS = 60_000;
const MAX_ADDRESSES = 10_000;

interface Bucket {
  left: number;
  atMs: number;
}

/** Bounds how often somebody may guess. Only failures count, so a thousand hosts may enrol at once. */
export class AttemptLimiter {
  readonly #nowMs: () => number;
  readonly #addresses = new Map<string, Bucket>();
  readonly #all: Bucket;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#all = { left: ALTOGETHER, atMs: nowMs() };
  }

  /** Seconds to wait before the next attempt; 0 = now. */
  waitSeconds(address: string): number {
    const own = this.#addresses.get(address);
    return Math.max(this.#wait(this.#all, ALTOGETHER), own === undefined ? 0 : this.#wait(own, PER_ADDRESS));
  }

  failed(address: string): void {
    let own = this.#addresses.get(address);
    if (own === undefined) {
      if (this.#addresses.size >= MAX_ADDRESSES) this.#addresses.clear();
      own = { left: PER_ADDRESS, atMs: this.#nowMs() };
      this.#addresses.set(address, own);
    }
    this.#refill(own, PER_ADDRESS);
    this.#refill(this.#all, ALTOGETHER);
    own.left -= 1;
    this.#all.left -= 1;
  }

  #wait(bucket: Bucket, size: number): number {
    this.#refill(bucket, size);
    return bucket.left >= 1 ? 0 : Math.ceil(((1 - bucket.left) * WINDOW_MS) / size / 1000);
  }

  #refill(bucket: Bucket, size: number): void {
    const now = this.#nowMs();
    bucket.left = Math.min(size, bucket.left + ((now - bucket.atMs) * size) / WINDOW_MS);
    bucket.atMs = now;
  }
}
