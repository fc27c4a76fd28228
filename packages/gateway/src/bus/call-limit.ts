import type { Clock } from '@opamp-gateway/shared/clock';

/** A call that took longer says that Redis has more to do than it can: fewer are handed to it at a time. */
const SLOW_MS = 1_000;
/** A call that took less lets one more go out. */
const FAST_MS = 250;

/**
 * How many calls of one kind may be under way. Of a Redis that is quick `most`; each slow answer halves that, down to one call, and each
 * quick one adds one: what all gateways together have asked is answered before calls time out and are repeated, which would be more to do.
 */
export class CallLimit {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #most: number;
  #limit: number;
  #calls = 0;

  constructor(options: { clock: Pick<Clock, 'monotonicMs'>; most: number }) {
    this.#clock = options.clock;
    this.#most = options.most;
    this.#limit = options.most;
  }

  /** True while another call may go out. */
  get free(): boolean {
    return this.#calls < this.#limit;
  }

  /** Makes a call, also where none is free: who asks decides when. Whoever waits has to look again once it has ended. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    const startedMs = this.#clock.monotonicMs();
    try {
      return await call();
    } finally {
      this.#calls -= 1;
      const tookMs = this.#clock.monotonicMs() - startedMs;
      if (tookMs > SLOW_MS) this.#limit = Math.max(1, Math.floor(this.#limit / 2));
      else if (tookMs < FAST_MS) this.#limit = Math.min(this.#most, this.#limit + 1);
    }
  }
}
