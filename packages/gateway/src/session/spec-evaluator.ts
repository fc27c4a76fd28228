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

/** Evaluates every session against each new spec, in chunks; a newer spec starts the round again. */
export class SpecEvaluator {
  readonly #options: SpecEvaluatorOptions;
  #observed = '';
  #round = 0;

  constructor(options: SpecEvaluatorOptions) {
    this.#options = options;
  }

  /** Identity of the newest spec that is observed in full. */
  get observed(): string {
    return this.#observed;
  }

  /** Starts a round. Never rejects. */
  async evaluateAll(spec: FleetSpec): Promise<void> {
    const round = ++this.#round;
    let count = 0;
    for (const session of [...this.#options.registry.sessions()]) {
      this.#options.desk.evaluate(session, 'spec');
      count += 1;
      if (count % CHUNK === 0) {
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
        if (round !== this.#round) return;
      }
    }
    await this.#options.barrier();
    if (round !== this.#round) return;
    this.#observed = this.#options.identity(spec);
    this.#options.onObserved();
  }
}
