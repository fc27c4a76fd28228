import type { HistoryMinute } from '@opamp-gateway/shared/redis/fleet-scripts';

const MINUTE_MS = 60_000;

/** Counts over time as columns of equal length, one entry per step; null where nobody recorded. */
export interface HistorySeries {
  from: string;
  stepMinutes: number;
  connected: (number | null)[];
  unhealthy: (number | null)[];
  gateways: Record<string, (number | null)[]>;
}

/**
 * Puts recorded minutes into steps that end at `nowMs`. Of each step the worst minute counts, fewest connected and most
 * unhealthy, so that a short dip is seen however long the step is.
 */
export function toSeries(
  { nowMs, minutes }: { readonly nowMs: number; readonly minutes: readonly HistoryMinute[] },
  { hours, stepMinutes, withGateways }: { readonly hours: number; readonly stepMinutes: number; readonly withGateways: boolean },
): HistorySeries {
  const steps = Math.ceil((hours * 60) / stepMinutes);
  const first = (Math.floor(nowMs / MINUTE_MS / stepMinutes) - steps + 1) * stepMinutes;
  const empty = (): (number | null)[] => new Array<number | null>(steps).fill(null);
  const series: HistorySeries = {
    from: new Date(first * MINUTE_MS).toISOString(),
    stepMinutes,
    connected: empty(),
    unhealthy: empty(),
    gateways: {},
  };
  for (const { minute, connected, unhealthy, gateways } of minutes) {
    const step = Math.floor((minute - first) / stepMinutes);
    if (step < 0 || step >= steps) continue;
    worse(series.connected, step, connected, Math.min);
    worse(series.unhealthy, step, unhealthy, Math.max);
    if (!withGateways) continue;
    for (const [id, sessions] of Object.entries(gateways)) worse((series.gateways[id] ??= empty()), step, sessions, Math.min);
  }
  return series;
}

function worse(column: (number | null)[], step: number, value: number, choose: (left: number, right: number) => number): void {
  const known = column[step] ?? null;
  column[step] = known === null ? value : choose(known, value);
}
