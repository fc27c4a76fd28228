import { isInCohort } from '@opamp-gateway/shared/fleet-spec';
import { toRolloutSpec } from './document.ts';
import type { RolloutDocument } from './document.ts';
import type { ConnectedMember, FleetReader } from './ports.ts';
import type { Ranking } from './ranking.ts';

/** Agents that are away are counted again after so long. */
const AWAY_MAX_AGE_MS = 2_000;

/** Counts agents one by one where shard counters cannot tell: by failure domain, and those that are away. */
export class Headcount {
  readonly #fleet: FleetReader;
  readonly #ranking: Ranking;
  /** Agents that are known to have a row; a row never goes away while its rollout runs. */
  readonly #withRow = new Map<string, Set<string>>();
  readonly #away = new Map<string, { atMs: number; key: string; count: number }>();

  constructor(fleet: FleetReader, ranking: Ranking) {
    this.#fleet = fleet;
    this.#ranking = ranking;
  }

  /**
   * Agents under way by failure domain: those with a row that waits for something, also while they are away, and those inside the
   * boundary without a row. `observed`: every gateway has met this boundary, so that only pollers can still be without one.
   */
  async domains(document: RolloutDocument, listed: readonly ConnectedMember[], observed: boolean): Promise<Map<string, number>> {
    const underWay = new Set(await this.#fleet.openRows(document.id));
    const withRow = this.#withRow.get(document.id) ?? new Set<string>();
    this.#withRow.set(document.id, withRow);
    for (const uid of underWay) withRow.add(uid);
    const unknown = listed.filter(
      (member) => !withRow.has(member.uid) && (!observed || member.http) && this.#ranking.isInside(document, member),
    );
    const rows = await this.#fleet.rowsOf(
      document.id,
      unknown.map((member) => member.uid),
    );
    for (const { uid } of unknown) {
      if (rows.has(uid)) withRow.add(uid);
      else underWay.add(uid);
    }
    return await this.#byDomain(document, [...underWay]);
  }

  async #byDomain(document: RolloutDocument, uids: readonly string[]): Promise<Map<string, number>> {
    const { maxInFlightPer } = document.strategy;
    const counts = new Map<string, number>();
    const unplaced: string[] = [];
    const add = (domain: string | null | undefined): void => {
      if (domain !== null && domain !== undefined) counts.set(domain, (counts.get(domain) ?? 0) + 1);
    };
    for (const uid of uids) {
      const domain = this.#ranking.domainOf(document, uid);
      if (domain === undefined) unplaced.push(uid);
      else add(domain);
    }
    if (unplaced.length > 0 && maxInFlightPer !== null) {
      for (const { attributes } of (await this.#fleet.facts(unplaced)).values()) add(attributes[maxInFlightPer.by]);
    }
    return counts;
  }

  /** Known agents inside the boundary that are away and not settled; may be some seconds old while there are any. */
  async awaited(document: RolloutDocument, nowMs: number): Promise<number> {
    const spec = toRolloutSpec(document);
    if (spec === null) return 0;
    const key = JSON.stringify([spec.canary, spec.slices, document.waveIndex]);
    const known = this.#away.get(document.id);
    if (known !== undefined && known.key === key && known.count > 0 && nowMs - known.atMs < AWAY_MAX_AGE_MS) return known.count;
    const away = await this.#fleet.awayUnsettled(document.group, document.id);
    const inside = away.filter(({ origin, attributes }) =>
      isInCohort({ ...spec, held: false }, { origin, attributes, pin: null, failed: new Map(), wasOffered: () => false }),
    );
    this.#away.set(document.id, { atMs: nowMs, key, count: inside.length });
    return inside.length;
  }

  /** Drops what is remembered of a rollout. */
  forget(id: string): void {
    this.#withRow.delete(id);
    this.#away.delete(id);
  }
}
