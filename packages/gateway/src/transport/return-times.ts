/** Agents let in per second before that was measured. */
const FIRST_RATE = 500;
const LEAST_RATE = 20;
const SECOND_MS = 1_000;

/**
 * When agents that a busy gateway refuses are to come back. Each gets the place behind those refused before it, at the rate at which
 * the gateway let agents in while it refused others: a small crowd is back at once, a large one does not come all together. Where
 * that would take longer than `mostSeconds` the times are spread evenly. Clients add no jitter of their own.
 */
export class ReturnTimes {
  readonly #mostSeconds: number;
  #ratePerSecond = FIRST_RATE;
  /** The last place that was given away. */
  #takenUntilMs = 0;
  #second = { fromMs: 0, admitted: 0, refused: 0 };

  constructor(mostSeconds: number) {
    this.#mostSeconds = mostSeconds;
  }

  /** An agent was let in. */
  admitted(nowMs: number): void {
    this.#measure(nowMs);
    this.#second.admitted += 1;
  }

  /** An agent was refused; answers the whole seconds, from 1, that it should stay away. */
  refused(nowMs: number): number {
    this.#measure(nowMs);
    this.#second.refused += 1;
    this.#takenUntilMs = Math.max(this.#takenUntilMs, nowMs) + SECOND_MS / this.#ratePerSecond;
    const seconds = (this.#takenUntilMs - nowMs) / SECOND_MS;
    if (seconds <= this.#mostSeconds) return Math.min(this.#mostSeconds, Math.ceil(seconds) + Math.floor(Math.random() * 2));
    this.#takenUntilMs = nowMs + this.#mostSeconds * SECOND_MS;
    return randomSeconds(this.#mostSeconds);
  }

  /** Only a second in which agents were refused shows how many the gateway can take; pauses between crowds show nothing. */
  #measure(nowMs: number): void {
    const { fromMs, admitted, refused } = this.#second;
    const elapsedMs = nowMs - fromMs;
    if (elapsedMs < SECOND_MS) return;
    if (refused > 0 && elapsedMs < 2 * SECOND_MS)
      this.#ratePerSecond = Math.max(LEAST_RATE, (this.#ratePerSecond + (admitted * SECOND_MS) / elapsedMs) / 2);
    this.#second = { fromMs: nowMs, admitted: 0, refused: 0 };
  }
}

/** A whole number of seconds from 1 to `most`, each as likely. */
export function randomSeconds(most: number): number {
  return 1 + Math.floor(Math.random() * most);
}
