import { formatDuration } from './duration.ts';
import { toGateView } from './gate-strategy.ts';
import { formatTimeOfDay } from './schedule.ts';
import type { WaveSizeView } from './service.ts';
import type { Strategy, WaveSize } from './strategy.ts';

/** A wave's size in the words of the request. */
export function toSizeView(size: WaveSize): WaveSizeView {
  switch (size.kind) {
    case 'agents':
      return { agents: [...size.agents] };
    case 'labels':
      return { labels: size.selector, percent: size.percent };
    case 'share':
      return { ...(size.count === null ? {} : { count: size.count }), ...(size.percent === null ? {} : { percent: size.percent }) };
  }
}

/** The strategy in the words of the request, every default spelled out; reading it again gives the same strategy. */
export function toStrategyView(strategy: Strategy): Record<string, unknown> {
  return {
    waves: strategy.waves.map((wave) => ({
      size: toSizeView(wave.size),
      soak: formatDuration(wave.soakMs),
      approval: wave.approval,
      failure: { ...wave.failure },
      success: { ...wave.success },
      onFailure: wave.onFailure,
    })),
    unverified: { maxRatio: unverifiedOf(strategy) },
    bucketBy: strategy.bucketBy,
    spreadBy: [...strategy.spreadBy],
    maxInFlight: strategy.maxInFlight,
    maxInFlightPer: strategy.maxInFlightPer === null ? null : { ...strategy.maxInFlightPer },
    rate: strategy.rate === 'unlimited' ? 'unlimited' : { ...strategy.rate },
    ackTimeout: formatDuration(strategy.ackTimeoutMs),
    healthHold: formatDuration(strategy.healthHoldMs),
    offline: strategy.offline,
    gates: strategy.gates.map(toGateView),
    deadlines: { wave: formatDuration(strategy.deadlines.waveMs), total: formatDuration(strategy.deadlines.totalMs) },
    schedule: toScheduleView(strategy),
    revertWithin: formatDuration(strategy.revertWithinMs),
    canaryMinHealthy: formatDuration(strategy.canaryMinHealthyMs),
    missingComponents: strategy.missingComponents,
  };
}

function toScheduleView({ startAtMs, windows }: Strategy): unknown {
  if (startAtMs === null && windows.length === 0) return 'now';
  return {
    ...(startAtMs === null ? {} : { startAt: new Date(startAtMs).toISOString() }),
    windows: windows.map(({ days, fromMinutes, toMinutes, timeZone }) => ({
      days: [...days],
      from: formatTimeOfDay(fromMinutes),
      to: formatTimeOfDay(toMinutes),
      timeZone,
    })),
  };
}

/** Null when the waves differ: that is the default, a canary being stricter than the rest. */
function unverifiedOf(strategy: Strategy): number | null {
  const ratios = new Set(strategy.waves.map((wave) => wave.unverifiedMaxRatio));
  return ratios.size === 1 ? ([...ratios][0] ?? null) : null;
}
