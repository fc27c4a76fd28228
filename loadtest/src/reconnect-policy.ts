/** When a client tries again: as opamp-go does, or as a client would that minds how many others there are. */
import type { ReconnectManners } from './swarm-api.ts';

const JITTER = 0.5;

/** The delays of one kind of client. */
interface Delays {
  /** The first try after a lost connection waits a random time up to this; 0 = it waits for nothing. */
  readonly longestAfterLossMs: number;
  readonly firstMs: number;
  readonly growth: number;
  readonly longestMs: number;
  /** A Retry-After is lengthened by a random share of up to this. */
  readonly retryAfterJitter: number;
}

const DELAYS: Readonly<Record<ReconnectManners, Delays>> = {
  'opamp-go': { longestAfterLossMs: 0, firstMs: 500, growth: 1.5, longestMs: 60_000, retryAfterJitter: 0 },
  polite: { longestAfterLossMs: 10_000, firstMs: 1_000, growth: 2, longestMs: 300_000, retryAfterJitter: 0.5 },
};

/** Settings shared by the connections of a swarm. */
export interface ReconnectPolicyOptions {
  /** Factor on the client's own delays. */
  readonly scale: number;
  readonly random: () => number;
  /** Default `opamp-go`. */
  readonly manners?: ReconnectManners;
}

/** Delay in milliseconds of the first try after a connection that had been open is lost. */
export function delayAfterLossMs({ scale, random, manners = 'opamp-go' }: ReconnectPolicyOptions): number {
  const { longestAfterLossMs } = DELAYS[manners];
  return longestAfterLossMs === 0 ? 0 : longestAfterLossMs * random() * scale;
}

/** Delays of one connection. */
export class ReconnectPolicy {
  readonly #options: ReconnectPolicyOptions;
  readonly #delays: Delays;
  #delayMs: number;

  constructor(options: ReconnectPolicyOptions) {
    this.#options = options;
    this.#delays = DELAYS[options.manners ?? 'opamp-go'];
    this.#delayMs = this.#delays.firstMs;
  }

  /** Forgets the failures; the next delay is the shortest again. */
  reset(): void {
    this.#delayMs = this.#delays.firstMs;
  }

  /** Delay after a failed attempt. `retryAfterMs` counts only when it is the longer one, and is never shortened. */
  nextDelayMs(retryAfterMs = 0): number {
    const { scale, random } = this.#options;
    const { growth, longestMs, retryAfterJitter } = this.#delays;
    const chance = random();
    const delayMs = this.#delayMs * (1 - JITTER + 2 * JITTER * chance) * scale;
    this.#delayMs = Math.min(this.#delayMs * growth, longestMs);
    return Math.max(delayMs, retryAfterMs * (1 + retryAfterJitter * chance));
  }
}

/** Milliseconds that a Retry-After header asks for (seconds or HTTP date); 0 for none and for nonsense. */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1_000;
  const dateMs = Date.parse(value);
  return Number.isNaN(dateMs) ? 0 : Math.max(0, dateMs - nowMs);
}
