/** Bounds the number of connects in flight, so that a ramp does not drown the server's accept queue. */
export class ConnectGate {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #next = 0;
  #inFlight = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `begin` now or when a place is free. Each run has to be followed by exactly one `leave`. */
  enter(begin: () => void): void {
    if (this.#inFlight < this.#limit) {
      this.#inFlight += 1;
      begin();
      return;
    }
    this.#waiting.push(begin);
  }

  /** Gives a place back. */
  leave(): void {
    const begin = this.#waiting[this.#next];
    if (begin === undefined) {
      this.#inFlight -= 1;
      this.#waiting.length = 0;
      this.#next = 0;
      return;
    }
    this.#next += 1;
    if (this.#next === 1_024) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    // Not from inside the caller: a long queue of connects that fail at once would exhaust the stack.
    setImmediate(begin);
  }
}
