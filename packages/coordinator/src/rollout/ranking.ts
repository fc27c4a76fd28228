import { hash48 } from '@opamp-gateway/shared/bucket';
import { bucketOf, isAwayAt } from '@opamp-gateway/shared/fleet-spec';
import { matches, parseSelector } from '@opamp-gateway/shared/selector';
import { labelSelectors } from './document.ts';
import type { RolloutDocument } from './document.ts';
import type { Members, RankedMember } from './plan.ts';
import type { AgentFacts, ConnectedMember, FleetReader } from './ports.ts';

/** Groups up to this size are ranked agent by agent; above it the boundary is a share of the hash space. */
export const RANKED_LIMIT = 50_000;

const NO_LABELS: readonly boolean[] = [];

interface Place {
  hash: number;
  labels: readonly boolean[];
  domain: string | null;
  /** `offline: exclude`: it was away when the rollout started. */
  passedOver: boolean;
}

/** Places agents in the order of each rollout, and remembers them: a place is a SHA-256, and some need the agent's record. */
export class Ranking {
  readonly #fleet: FleetReader;
  readonly #places = new Map<string, { key: string; byUid: Map<string, Place> }>();
  /** The last ranking of each rollout; good as long as list, places and canaries are the same. */
  readonly #ranked = new Map<string, { listed: readonly ConnectedMember[]; places: unknown; canaries: string; members: Members }>();

  constructor(fleet: FleetReader) {
    this.#fleet = fleet;
  }

  /** The connected members of the document's group, as a step needs them. */
  async members(document: RolloutDocument): Promise<{ members: Members; listed: readonly ConnectedMember[] }> {
    const read = await this.#fleet.members(document.group, RANKED_LIMIT);
    if (read.kind === 'counted') return { members: read, listed: [] };
    const places = await this.#placesOf(document, read.members);
    const key = document.canary.map((canary) => canary.origin).join(' ');
    const known = this.#ranked.get(document.id);
    if (known !== undefined && known.listed === read.members && known.places === places && known.canaries === key) {
      return { members: known.members, listed: read.members };
    }
    const canaries = new Map(document.canary.map((canary, index) => [canary.origin, index]));
    const ranked = read.members.flatMap((member): RankedMember[] => {
      const { hash, labels, domain, passedOver } = places.get(member.uid) ?? defaultPlace(document, member.origin);
      return passedOver
        ? []
        : [{ origin: member.origin, hash, labels, domain, canary: canaries.get(member.origin) ?? -1, http: member.http }];
    });
    ranked.sort((a, b) => a.hash - b.hash);
    const members: Members = { kind: 'ranked', members: ranked };
    this.#ranked.set(document.id, { listed: read.members, places, canaries: key, members });
    return { members, listed: read.members };
  }

  /** True when the agent is inside the boundary now. */
  isInside(document: RolloutDocument, member: ConnectedMember): boolean {
    if (document.canary.slice(0, document.canaryAssigned).some((canary) => canary.origin === member.origin)) return true;
    const place = this.placeOf(document, member);
    if (place.passedOver) return false;
    return document.slices.some((slice, index) => place.hash < slice.boundary && (index === 0 || place.labels[index - 1] === true));
  }

  /** Place of an agent as it is remembered; without its record's attributes when it is not. */
  placeOf(document: RolloutDocument, member: Pick<ConnectedMember, 'uid' | 'origin'>): Place {
    return this.#places.get(document.id)?.byUid.get(member.uid) ?? defaultPlace(document, member.origin);
  }

  /** Failure domain of an agent, undefined when it has not been placed. */
  domainOf(document: RolloutDocument, uid: string): string | null | undefined {
    return this.#places.get(document.id)?.byUid.get(uid)?.domain;
  }

  /** Drops what is remembered of a rollout. */
  forget(id: string): void {
    this.#places.delete(id);
    this.#ranked.delete(id);
  }

  /** Drops what is remembered of rollouts that others have ended. */
  keepOnly(ids: readonly string[]): void {
    const kept = new Set(ids);
    for (const id of this.#places.keys()) if (!kept.has(id)) this.forget(id);
  }

  async #placesOf(document: RolloutDocument, members: readonly ConnectedMember[]): Promise<ReadonlyMap<string, Place>> {
    const selectors = labelSelectors(document.strategy).map((text) => parseSelector(text));
    const { bucketBy, maxInFlightPer, offline } = document.strategy;
    const passOverAwayAtMs = offline === 'exclude' ? document.startedAtMs : null;
    const needsRecords = selectors.length > 0 || bucketBy !== null || maxInFlightPer !== null || passOverAwayAtMs !== null;
    const key = needsRecords ? JSON.stringify([document.waveIndex, maxInFlightPer?.by, passOverAwayAtMs]) : '';
    let known = this.#places.get(document.id);
    // Attributes change; each wave looks at them anew, as its gateways do.
    if (known === undefined || (needsRecords && known.key !== key)) {
      known = { key, byUid: new Map() };
      this.#places.set(document.id, known);
    }
    const { byUid } = known;
    const fresh = members.filter((member) => !byUid.has(member.uid));
    const facts = needsRecords ? await this.#fleet.facts(fresh.map((member) => member.uid)) : new Map<string, AgentFacts>();
    for (const { uid, origin } of fresh) {
      const own = facts.get(uid);
      const attributes = own?.attributes ?? {};
      byUid.set(uid, {
        hash: hash48(document.salt, bucketOf({ bucketBy }, { origin, attributes })),
        labels: selectors.length === 0 ? NO_LABELS : selectors.map((selector) => matches(selector, attributes)),
        domain: maxInFlightPer === null ? null : (attributes[maxInFlightPer.by] ?? null),
        passedOver: passOverAwayAtMs !== null && isAwayAt(own?.absence, passOverAwayAtMs),
      });
    }
    return byUid;
  }
}

function defaultPlace(document: RolloutDocument, origin: string): Place {
  return { hash: hash48(document.salt, origin), labels: NO_LABELS, domain: null, passedOver: false };
}
