import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { RolloutDocument } from './document.ts';

/**
 * Knows for each rollout the generation of the fleet spec from which on its present document is in it. A gateway that has
 * observed that generation has met the document; it need not have met what other rollouts and edits changed since.
 */
export class ObservedSpecs {
  readonly #known = new Map<string, { rev: number; generation: number }>();

  /** Generation that a gateway must have observed; the present one when this process did not see the commit. */
  generationOf(document: Pick<RolloutDocument, 'id' | 'rev'>, present: number): number {
    const known = this.#known.get(document.id);
    // A store that went back in time has lower generations again, and other revisions.
    if (known !== undefined && known.rev === document.rev && known.generation <= present) return known.generation;
    this.#known.set(document.id, { rev: document.rev, generation: present });
    return present;
  }

  /** Notes a commit and the generation that it led to. */
  committed(document: Pick<RolloutDocument, 'id' | 'rev'>, generation: number, changedSpec: boolean): void {
    const known = this.#known.get(document.id);
    const stays = !changedSpec && known !== undefined && known.rev === document.rev - 1;
    this.#known.set(document.id, { rev: document.rev, generation: stays ? known.generation : generation });
  }

  /** Whether `observed` (`<generation>:<contentHash>` of a lease) says that the gateway has met `generation`. */
  hasObserved(observed: string, generation: number, spec: FleetSpec): boolean {
    const at = observed.indexOf(':');
    const seen = Number(observed.slice(0, at));
    if (at <= 0 || !Number.isSafeInteger(seen) || seen < generation || seen > spec.generation) return false;
    return seen < spec.generation || observed.slice(at + 1) === spec.contentHash;
  }

  forget(id: string): void {
    this.#known.delete(id);
  }
}
