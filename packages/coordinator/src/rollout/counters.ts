import { FAILING_STATUSES, isRowStatus, ROW_STATUSES, UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { LATE_WAVE, RowStatus } from '@opamp-gateway/shared/rollout-types';
import type { CountsView } from './service.ts';

/** Rows of a rollout: how many stand in a status, by wave and by whether the agent is connected. */
export interface Tally {
  connected: Record<RowStatus, number>;
  away: Record<RowStatus, number>;
}

/** Sums of the shard counters. */
export interface Counters {
  /** By wave label: the index as text, or `late`. */
  byWave: ReadonlyMap<string, Tally>;
  total: Tally;
}

function emptyTally(): Tally {
  const zeros = (): Record<RowStatus, number> => Object.fromEntries(ROW_STATUSES.map((status) => [status, 0])) as Record<RowStatus, number>;
  return { connected: zeros(), away: zeros() };
}

/** A rollout that has touched nobody. */
export const NO_COUNTERS: Counters = { byWave: new Map(), total: emptyTally() };

/** Adds the fields `<wave>:<status>:<0|1>` of all shards; a field of another form is ignored, a newer release may write it. */
export function sumCounters(shards: Iterable<Readonly<Record<string, number>>>): Counters {
  const byWave = new Map<string, Tally>();
  const total = emptyTally();
  for (const shard of shards) {
    for (const [field, count] of Object.entries(shard)) {
      const [wave = '', status = '', column] = field.split(':');
      if (!isRowStatus(status) || (column !== '0' && column !== '1')) continue;
      let tally = byWave.get(wave);
      if (tally === undefined) byWave.set(wave, (tally = emptyTally()));
      const side = column === '1' ? 'connected' : 'away';
      tally[side][status] += count;
      total[side][status] += count;
    }
  }
  return { byWave, total };
}

/** Counters of one wave by its index, or of `late`. */
export function tallyOf(counters: Counters, wave: number | typeof LATE_WAVE): Tally {
  return counters.byWave.get(String(wave)) ?? NO_COUNTERS.total;
}

/** Rows in any of `statuses`, in both columns unless one is named. */
export function countOf(tally: Tally, statuses: Iterable<RowStatus>, side?: keyof Tally): number {
  let sum = 0;
  for (const status of statuses) {
    if (side !== 'away') sum += tally.connected[status];
    if (side !== 'connected') sum += tally.away[status];
  }
  return sum;
}

/** What the limits are measured in. `decided` = failing + good; skipped, unverified and left count nowhere. */
export interface Verdicts {
  applied: number;
  /** Applied, or observed with it where the agent cannot report. */
  good: number;
  failing: number;
  decided: number;
  unverified: number;
  observed: number;
  unsettled: number;
  rows: number;
}

/** Adds up a tally for the limits. */
export function verdictsOf(tally: Tally): Verdicts {
  const applied = countOf(tally, ['applied']);
  const observed = countOf(tally, ['observed']);
  const failing = countOf(tally, FAILING_STATUSES);
  return {
    applied,
    good: applied + observed,
    failing,
    decided: applied + observed + failing,
    unverified: countOf(tally, ['unverified']),
    observed,
    unsettled: countOf(tally, UNSETTLED_STATUSES),
    rows: countOf(tally, ROW_STATUSES),
  };
}

/** Agents that may have been offered `to`, or had it already: whoever was passed by never was. */
export function offeredCount(total: Tally): number {
  return countOf(
    total,
    ROW_STATUSES.filter((status) => status !== 'skipped'),
  );
}

/** Connected agents that were reached: those with a row that says they were offered `to` or needed no offer. */
export function reachedConnected(tally: Tally): number {
  return countOf(
    tally,
    ROW_STATUSES.filter((status) => status !== 'left' && status !== 'skipped'),
    'connected',
  );
}

/** Counts by status, both columns, zeros left out. */
export function toCountsView(tally: Tally): CountsView {
  const view: CountsView = {};
  for (const status of ROW_STATUSES) {
    const count = tally.connected[status] + tally.away[status];
    if (count !== 0) view[status] = count;
  }
  return view;
}
