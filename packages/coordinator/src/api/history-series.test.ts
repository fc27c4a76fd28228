import { describe, expect, it } from 'vitest';
import { toSeries } from './history-series.ts';

const NOON = Date.UTC(2026, 0, 5, 12);
const NOON_MINUTE = NOON / 60_000;
const at = (minutesAgo: number, connected: number, unhealthy: number, gateways = {}) => ({
  minute: NOON_MINUTE - minutesAgo,
  connected,
  unhealthy,
  gateways,
});

describe('toSeries', () => {
  it('has a place for every step of the time asked for, null where nothing was recorded', () => {
    const series = toSeries(
      { nowMs: NOON + 59_999, minutes: [at(0, 5, 1), at(3, 4, 0)] },
      { hours: 1, stepMinutes: 1, withGateways: false },
    );
    expect(series.from).toBe('2026-01-05T11:01:00.000Z');
    expect(series.connected).toHaveLength(60);
    expect(series.connected.slice(-4)).toEqual([4, null, null, 5]);
    expect(series.unhealthy.slice(-4)).toEqual([0, null, null, 1]);
    expect(series.gateways).toEqual({});
  });

  it('shows the worst minute of a step', () => {
    const minutes = [at(5, 90, 3), at(4, 20, 0), at(3, 90, 7), at(1, 90, 0)];
    const series = toSeries({ nowMs: NOON, minutes }, { hours: 1, stepMinutes: 5, withGateways: false });
    expect(series.connected.slice(-2)).toEqual([20, null]);
    expect(series.unhealthy.slice(-2)).toEqual([7, null]);
    expect(series.connected).toHaveLength(12);
  });

  it('lists gateways when they are asked for, each over the whole time', () => {
    const minutes = [at(2, 9, 0, { a: 4, b: 5 }), at(1, 4, 0, { a: 4 })];
    const { gateways } = toSeries({ nowMs: NOON, minutes }, { hours: 1, stepMinutes: 1, withGateways: true });
    expect(gateways['a']?.slice(-3)).toEqual([4, 4, null]);
    expect(gateways['b']?.slice(-3)).toEqual([5, null, null]);
    expect(gateways['b']).toHaveLength(60);
  });

  it('leaves out what is older than it was asked for', () => {
    const series = toSeries({ nowMs: NOON, minutes: [at(61, 1, 0), at(1_500, 1, 0)] }, { hours: 1, stepMinutes: 1, withGateways: true });
    expect(series.connected.every((value) => value === null)).toBe(true);
  });
});
