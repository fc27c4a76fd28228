/** When a client tries again: at once after a lost connection, then with a growing, jittered delay, as opamp-go does. */

const FIRST_DELAY_MS = 500;
const GROWTH = 1.5;
const JITTER = 0.5;
const LONGEST_DELAY_MS = 60_000;

/** Settings shared by the connections of a swarm. */
export interface ReconnectPolicyOptions {
  /** Factor on the client's own delays. */
  readonly scale: number;
  readonly random: () => number;
}

/** Delays of one connection. */
export class ReconnectPolicy {
  readonly #options: ReconnectPolicyOptions;
  #delayMs = FIRST_DELAY_MS;

  constructor(options: ReconnectPolicyOptions) {
    this.#options = options;
  }

  /** Forgets the failures; the next delay is the shortest again. */
  reset(): void {
    this.#delayMs = FIRST_DELAY_MS;
  }

  /** Delay after a failed attempt. `retryAfterMs` counts only when it is the longer one, and gets no jitter. */
  nextDelayMs(retryAfterMs = 0): number {
    const { scale, random } = this.#options;
    const delayMs = this.#delayMs * (1 - JITTER + 2 * JITTER * random()) * scale;
    this.#delayMs = Math.min(this.#delayMs * GROWTH, LONGEST_DELAY_MS);
    return Math.max(delayMs, retryAfterMs);
  }
}

/** Milliseconds that a Retry-After header asks for (seconds or HTTP date); 0 for none and for nonsense. */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1_000;
  const dateMs = Date.parse(value);
  return Number.isNaN(dateMs) ? 0 : Math.max(0, dateMs - nowMs);
}
