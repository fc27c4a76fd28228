import { describe, expect, it } from 'vitest';
import { startWatch, watchFleet } from './fleet-breaker.ts';
import type { FleetWatch, WatchedGateway } from './fleet-breaker.ts';

const START_MS = 1_000_000;

function gateways(...of: [connected: number, unhealthy: number, draining?: boolean][]): WatchedGateway[] {
  return of.map(([connected, unhealthy, draining = false], index) => ({ id: `gw-${index}`, connected, unhealthy, draining }));
}

/** Watches a fleet over time; every entry is the fleet at that second. Returns the seconds at which it holds. */
function holdsAt(
  seconds: number,
  at: (second: number) => WatchedGateway[],
  options: { open?: number; before?: FleetWatch['before']; patienceMs?: number } = {},
): number[] {
  let watch = startWatch(options.before ?? { connected: 1_000, unhealthy: 0 }, at(0), START_MS);
  let holding = false;
  const held: number[] = [];
  for (let second = 1; second <= seconds; second += 1) {
    const outcome = watchFleet(watch, {
      nowMs: START_MS + 1_000 * second,
      gateways: at(second),
      open: options.open ?? 0,
      holding,
      patienceMs: options.patienceMs ?? 30_000,
    });
    watch = outcome.watch;
    holding = outcome.detail !== null;
    if (holding) held.push(second);
  }
  return held;
}

describe('the breaker of the fleet', () => {
  it('holds when 5 % have been newly unhealthy for 30 s, and lifts itself after a calm minute', () => {
    const held = holdsAt(200, (second) => gateways([500, second > 10 && second <= 100 ? 50 : 0], [500, 0]));
    expect(held[0]).toBe(41);
    expect(held.at(-1)).toBe(160);
  });

  it('does not hold for fewer than 20 agents, less than 5 %, or less than 30 s', () => {
    expect(holdsAt(120, () => gateways([100, 19]), { before: { connected: 100, unhealthy: 0 } })).toEqual([]);
    expect(holdsAt(120, () => gateways([1_000, 49]))).toEqual([]);
    expect(holdsAt(120, (second) => gateways([1_000, second % 30 === 0 ? 0 : 200]))).toEqual([]);
  });

  it('measures against the share before the rollout, and leaves out who was asked to restart', () => {
    expect(holdsAt(120, () => gateways([1_000, 240]), { before: { connected: 1_000, unhealthy: 200 } })).toEqual([]);
    expect(holdsAt(120, () => gateways([1_000, 260]), { before: { connected: 1_000, unhealthy: 200 } }).length).toBeGreaterThan(0);
    expect(holdsAt(120, () => gateways([1_000, 90]), { open: 60 })).toEqual([]);
  });

  it('holds when agents are gone for a minute', () => {
    expect(holdsAt(120, (second) => gateways([second > 10 ? 900 : 1_000, 0]))[0]).toBe(71);
    expect(holdsAt(120, (second) => gateways([second > 10 && second < 60 ? 900 : 1_000, 0]))).toEqual([]);
  });

  it('does not hold when one of two gateways is lost and its agents come back elsewhere within a minute', () => {
    const fleet = (second: number): WatchedGateway[] => {
      if (second <= 10) return gateways([500, 0], [500, 0]);
      return gateways([Math.min(1_000, 500 + 10 * (second - 10)), 0]);
    };
    expect(holdsAt(300, fleet)).toEqual([]);
  });

  it('does not count agents twice whose dead gateway still has its lease', () => {
    const fleet = (second: number): WatchedGateway[] => {
      if (second <= 100) return gateways([500, 0], [500, 0]);
      const back = Math.min(1_000, 500 + 100 * (second - 100));
      return second <= 118 ? gateways([back, 0], [500, 0]) : gateways([back, 0]);
    };
    expect(holdsAt(600, fleet)).toEqual([]);
  });

  it('does not call a fleet gone that is scaled down slowly', () => {
    expect(holdsAt(7_200, (second) => gateways([Math.round(10_000 * (1 - second / 20_000)), 0]))).toEqual([]);
  });

  it('does not count the unhealthy of a draining gateway', () => {
    expect(holdsAt(120, () => gateways([500, 100, true], [500, 0]))).toEqual([]);
  });

  it('remembers nothing new while nothing changes', () => {
    const fleet = gateways([1_000, 3]);
    const watch = startWatch({ connected: 1_000, unhealthy: 3 }, fleet, START_MS);
    const outcome = watchFleet(watch, { nowMs: START_MS + 60_000, gateways: fleet, open: 0, holding: false, patienceMs: 30_000 });
    expect(outcome).toEqual({ watch, detail: null, isUneasy: false });
    expect(outcome.watch).toBe(watch);
  });

  it('is as patient as it is told: so long unhealthy, twice as long gone or calm again', () => {
    const sick = holdsAt(60, (second) => gateways([500, second > 10 && second <= 30 ? 50 : 0], [500, 0]), { patienceMs: 5_000 });
    expect([sick[0], sick.at(-1)]).toEqual([16, 40]);
    expect(holdsAt(60, (second) => gateways([second > 10 ? 900 : 1_000, 0]), { patienceMs: 5_000 })[0]).toBe(21);
  });

  it('is uneasy as soon as it counts too many, and until a hold may go: then it matters who else is under way', () => {
    const watch = startWatch({ connected: 1_000, unhealthy: 0 }, gateways([1_000, 0]), START_MS);
    const at = (unhealthy: number, open: number, holding: boolean): boolean =>
      watchFleet(watch, { nowMs: START_MS + 1_000, gateways: gateways([1_000, unhealthy]), open, holding, patienceMs: 30_000 }).isUneasy;
    expect([at(0, 0, false), at(49, 0, false), at(50, 0, false), at(50, 20, false)]).toEqual([false, false, true, false]);
    expect([at(0, 0, true), at(30, 0, true), at(30, 20, true)]).toEqual([false, true, false]);
  });
});
