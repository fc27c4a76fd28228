/** Heartbeats of many connections on one timer: a timer for each would be a large part of what an idle agent takes. */

const TICK_MS = 25;

/** Who is woken. */
export interface Beater {
  /** The wheel's own: the tick of its valid entry, 0 = none. */
  beatTick: number;
  /** Does what is due; answers when it wants to be asked again, in milliseconds of the wheel's clock, or 0 for never. */
  beat(nowMs: number): number;
}

/** Milliseconds on the clock of all wheels: whole numbers from the start of the process, which take no memory of their own. */
export function wheelNowMs(): number {
  return Math.trunc(performance.now());
}

/** Wakes connections at their times, to the nearest 25 ms. Its timer keeps no process alive. */
export class HeartbeatWheel {
  readonly #entries = new Map<number, Beater[]>();
  #tick = Math.floor(wheelNowMs() / TICK_MS);
  #timer: NodeJS.Timeout | undefined;

  /** Wakes it at this time, and not at one that was asked for before. */
  schedule(beater: Beater, dueMs: number): void {
    if (this.#timer === undefined) this.#tick = Math.floor(wheelNowMs() / TICK_MS);
    const tick = Math.max(this.#tick + 1, Math.ceil(dueMs / TICK_MS));
    beater.beatTick = tick;
    const entries = this.#entries.get(tick);
    if (entries === undefined) this.#entries.set(tick, [beater]);
    else entries.push(beater);
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#turn(), TICK_MS).unref();
  }

  #turn(): void {
    const nowMs = wheelNowMs();
    const last = Math.floor(nowMs / TICK_MS);
    while (this.#tick < last) {
      this.#tick += 1;
      const entries = this.#entries.get(this.#tick);
      this.#entries.delete(this.#tick);
      for (const beater of entries ?? []) this.#wake(beater, this.#tick, nowMs);
    }
    if (this.#entries.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #wake(beater: Beater, tick: number, nowMs: number): void {
    // An entry that was replaced by an earlier one stays where it is.
    if (beater.beatTick !== tick) return;
    beater.beatTick = 0;
    const nextMs = beater.beat(nowMs);
    if (nextMs > 0) this.schedule(beater, nextMs);
  }
}
