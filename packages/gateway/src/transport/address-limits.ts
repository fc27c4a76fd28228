/** Connections of one address. */
interface Counter {
  open: number;
  allowance: number;
  atMs: number;
}

export interface AddressLimitOptions {
  /** Open connections and exchanges of one address; 0 = no limit. */
  maxPerAddress: number;
  /** New connections per second of one address; 0 = no limit. */
  ratePerAddress: number;
}

/** Addresses without an open connection that are remembered for their rate. */
const MAX_IDLE = 50_000;

/** Counts connections by address. Off unless a limit is set: behind a proxy all agents may share one address. */
export class AddressLimits {
  readonly #options: AddressLimitOptions;
  readonly #counters = new Map<string, Counter>();

  constructor(options: AddressLimitOptions) {
    this.#options = options;
  }

  /** Whether one more connection (`takesRate`: a new one, which counts for the rate) fits; a refusal names the limit. */
  admit(address: string, nowMs: number, takesRate: boolean): 'address_connections' | 'address_rate' | undefined {
    const { maxPerAddress, ratePerAddress } = this.#options;
    if (maxPerAddress === 0 && ratePerAddress === 0) return undefined;
    const counter = this.#counterOf(address, nowMs);
    if (maxPerAddress > 0 && counter.open >= maxPerAddress) return 'address_connections';
    if (ratePerAddress === 0 || !takesRate) return undefined;
    counter.allowance = Math.min(ratePerAddress, counter.allowance + ((nowMs - counter.atMs) / 1000) * ratePerAddress);
    counter.atMs = nowMs;
    if (counter.allowance < 1) return 'address_rate';
    counter.allowance -= 1;
    return undefined;
  }

  opened(address: string, nowMs: number): void {
    if (this.#options.maxPerAddress > 0) this.#counterOf(address, nowMs).open += 1;
  }

  closed(address: string): void {
    const counter = this.#counters.get(address);
    if (counter === undefined) return;
    counter.open = Math.max(0, counter.open - 1);
    if (counter.open === 0 && this.#options.ratePerAddress === 0) this.#counters.delete(address);
  }

  /** Addresses held, for tests. */
  get size(): number {
    return this.#counters.size;
  }

  #counterOf(address: string, nowMs: number): Counter {
    let counter = this.#counters.get(address);
    if (counter === undefined) {
      if (this.#counters.size >= MAX_IDLE) this.#sweep(nowMs);
      counter = { open: 0, allowance: this.#options.ratePerAddress, atMs: nowMs };
      this.#counters.set(address, counter);
    }
    return counter;
  }

  /** Forgets whoever has no connection: first those whose allowance is full again, then all. */
  #sweep(nowMs: number): void {
    for (const [address, { open, atMs }] of this.#counters) if (open === 0 && nowMs - atMs > 1000) this.#counters.delete(address);
    if (this.#counters.size < MAX_IDLE) return;
    for (const [address, { open }] of this.#counters) if (open === 0) this.#counters.delete(address);
  }
}
