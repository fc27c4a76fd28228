import { LATE_WAVE } from '@opamp-gateway/shared/rollout-types';
import { NO_COUNTERS, sumCounters, tallyOf, toCountsView } from './counters.ts';
import type { Counters } from './counters.ts';
import { isTerminal } from './document.ts';
import type { RolloutDocument, WaveDocument } from './document.ts';
import type { GateView, RolloutView } from './service.ts';
import { toSizeView, toStrategyView } from './strategy-view.ts';

function rfc3339(atMs: number): string {
  return new Date(atMs).toISOString();
}

function rfc3339OrNull(atMs: number | null): string | null {
  return atMs === null ? null : rfc3339(atMs);
}

/** Counters of an ended rollout as kept in its document; undefined while they are still in the shards. */
export function finalCountersOf(document: RolloutDocument): Counters | undefined {
  return document.finalCounters === null ? undefined : sumCounters([document.finalCounters]);
}

function toGateViews(wave: WaveDocument): GateView[] {
  if (wave.phase !== 'gating' && wave.phase !== 'passed' && wave.phase !== 'failed') return [];
  const builtIn = wave.gates ?? wave.judged ?? [];
  return [
    ...builtIn.map(({ gate, outcome, detail, comparison = null }) => ({
      gate,
      outcome,
      detail,
      at: null,
      evidence: '',
      asked: 0,
      comparison,
    })),
    ...wave.asked.map(({ gate, outcome, detail, answeredAtMs, evidence, ask }) => ({
      gate,
      outcome,
      detail,
      at: rfc3339OrNull(answeredAtMs),
      evidence,
      asked: ask,
      comparison: null,
    })),
  ];
}

/** A rollout as the API shows it. */
export function toRolloutView(document: RolloutDocument, counters: Counters = NO_COUNTERS, isFrozen = false): RolloutView {
  return {
    id: document.id,
    rev: document.rev,
    phase: document.phase,
    holds: document.holds.map((hold) => hold.reason),
    holdDetails: document.holds.map(({ reason, sinceMs, detail }) => ({ reason, since: rfc3339(sinceMs), detail })),
    waveIndex: document.waveIndex,
    waves: document.waves.map((wave, index) => ({
      phase: wave.phase,
      size: toSizeView(document.strategy.waves[index]?.size ?? { kind: 'share', count: null, percent: 100 }),
      counts: toCountsView(tallyOf(counters, index)),
      members: wave.members,
      startedAt: rfc3339OrNull(wave.startedAtMs),
      passedAt: rfc3339OrNull(wave.passedAtMs),
      gates: toGateViews(wave),
      approvals: wave.approvals.map(({ what, by, atMs, reason }) => ({ what, by, at: rfc3339(atMs), reason })),
      awaiting: wave.awaiting,
    })),
    late: { counts: toCountsView(tallyOf(counters, LATE_WAVE)) },
    counts: toCountsView(counters.total),
    group: document.group,
    from: document.from,
    to: document.to,
    strategy: toStrategyView(document.strategy),
    attempt: document.attempt,
    revertOf: document.revertOf,
    createdAt: rfc3339(document.createdAtMs),
    createdBy: document.createdBy,
    reason: document.reason,
    endedAt: rfc3339OrNull(document.endedAtMs),
    outcome: document.outcome,
    warnings: [...document.warnings],
    preflight: document.preflight ?? null,
    eventSeq: document.eventSeq,
    fleetFrozen: isFrozen && !isTerminal(document) && document.revertOf === null,
  };
}
