import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { OfferDesk } from './offer-desk.ts';
import type { SessionRegistry } from './session-registry.ts';

/** Sessions evaluated per turn of the event loop: a few milliseconds, so that heartbeats and accepts go on. */
const CHUNK = 256;

export interface SpecEvaluatorOptions {
  registry: SessionRegistry;
  desk: OfferDesk;
  /** Resolves when Redis has acknowledged everything that is dirty now. */
  barrier(): Promise<void>;
  identity(spec: FleetSpec): string;
  /** Every session was evaluated against this spec and every row that followed is in Redis. */
  onObserved(): void;
}

/**
 * Evaluates every session against each new spec, in chunks. A round is always finished, else fast changes would never let
 * the last sessions have their turn: what a newer spec asks for is done on the way, and then once more for all.
 */
export class SpecEvaluator {
  readonly #options: SpecEvaluatorOptions;
  #observed = '';
  #evaluated = '';
  #next: FleetSpec | undefined;
  #running = false;

  constructor(options: SpecEvaluatorOptions) {
    this.#options = options;
  }

  /** Identity of the newest spec that is observed in full. */
  get observed(): string {
    return this.#observed;
  }

  /** Identity of the newest spec that every session was evaluated against. */
  get evaluated(): string {
    return this.#evaluated;
  }

  /** Starts a round, or has one follow the round that runs. Never rejects. */
  async evaluateAll(spec: FleetSpec): Promise<void> {
    this.#next = spec;
    if (this.#running) return;
    this.#running = true;
    while (this.#next !== undefined) {
      const present: FleetSpec = this.#next;
      this.#next = undefined;
      await this.#round();
      this.#evaluated = this.#options.identity(present);
      // A newer spec does not wait until what follows from this one is written: barriers end in the order of their specs.
      void this.#observe(this.#evaluated);
    }
    this.#running = false;
  }

  async #observe(evaluated: string): Promise<void> {
    await this.#options.barrier();
    this.#observed = evaluated;
    this.#options.onObserved();
  }

  async #round(): Promise<void> {
    let count = 0;
    for (const session of [...this.#options.registry.sessions()]) {
      this.#options.desk.evaluate(session, 'spec');
      count += 1;
      if (count % CHUNK === 0) {
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
      }
    }
  }
}
