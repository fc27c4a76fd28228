import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import { awaitedApproval } from './wave-approval.ts';
import { allAnswered, askedHolds } from './asked-gates.ts';
import { hasProof, unverifiedExcessOf } from './breaker.ts';
import { verdictsOf } from './counters.ts';
import { currentStrategy } from './document.ts';
import type { Draft } from './draft.ts';
import { startWatch, watchFleet } from './fleet-breaker.ts';
import { insideCount, memberCount } from './plan.ts';
import { isOpen } from './schedule.ts';
import type { FleetView, Need } from './view.ts';
import { canaryChoice } from './wave-start.ts';

/** Brings the holds that come and go by themselves up to date, and adds those that only a person lifts. */
export function refreshHolds(draft: Draft, view: FleetView): Need | null {
  set(draft, 'predecessor', view.predecessorEnded ? null : `waits for the end of rollout ${draft.document.predecessor}`);
  set(draft, 'not_started', notStarted(draft));
  set(draft, 'window_closed', windowClosed(draft));
  const fleet = fleetBreaker(draft, view);
  if (fleet === 'openElsewhere') return fleet;
  set(draft, 'fleet_breaker', fleet?.text ?? null);
  set(draft, 'lagging_gateway', lagging(draft, view));
  set(draft, 'approval', awaitedApproval(draft, allAnswered(draft)));
  const asked = askedHolds(draft);
  set(draft, 'gate_inconclusive', asked.gate_inconclusive ?? inconclusive(draft, view));
  set(draft, 'gate_error', asked.gate_error ?? uncountable(draft, view));
  const overdue = deadline(draft);
  if (overdue !== null) draft.hold('deadline', overdue);
  const agents = noAgents(draft, view);
  if (agents === 'candidates') return agents;
  set(draft, 'no_agents', agents?.text ?? null);
  return null;
}

function set(draft: Draft, reason: HoldReason, detail: string | null): void {
  if (detail === null) draft.release(reason);
  else draft.hold(reason, detail);
}

function notStarted(draft: Draft): string | null {
  const { startedAtMs, strategy } = draft.document;
  if (startedAtMs !== null || strategy.startAtMs === null || strategy.startAtMs <= draft.nowMs) return null;
  return `starts at ${new Date(strategy.startAtMs).toISOString()}`;
}

function windowClosed(draft: Draft): string | null {
  const { windows } = draft.document.strategy;
  return windows.length === 0 || windows.some((window) => isOpen(window, draft.nowMs)) ? null : 'no maintenance window is open';
}

/** Judges the whole fleet, whatever this rollout's own agents do. Who is under way in any rollout restarts because we asked. */
function fleetBreaker(draft: Draft, view: FleetView): { text: string } | 'openElsewhere' | null {
  const { document } = draft;
  // What takes a bad version back may be what an unhealthy fleet waits for.
  if (document.startedAtMs === null || document.revertOf !== null) return null;
  document.fleet ??= startWatch(view.fleetBefore, view.gateways, draft.nowMs);
  const holding = draft.isHeldBy('fleet_breaker');
  const outcome = watchFleet(document.fleet, {
    nowMs: draft.nowMs,
    gateways: view.gateways,
    open: verdictsOf(view.counters.total).unsettled + (view.openElsewhere ?? 0),
    holding,
    patienceMs: view.fleetBreakerMs,
  });
  // The others are counted only where that could make a difference.
  if (outcome.isUneasy && view.openElsewhere === undefined) return 'openElsewhere';
  if (outcome.watch !== document.fleet) draft.touch();
  document.fleet = outcome.watch;
  return outcome.detail === null ? null : { text: outcome.detail };
}

/** A gateway that has met the spec and is still writing what follows from it is busy, not lagging: to hold would give it more to write. */
function lagging(draft: Draft, view: FleetView): string | null {
  const { document } = draft;
  const ids = view.gateways.filter((gateway) => !gateway.evaluated).map((gateway) => gateway.id);
  if (document.startedAtMs === null || ids.length === 0) return null;
  const isLate = !draft.specChanged && draft.nowMs - document.specChangedAtMs > view.lagHoldMs;
  if (isLate) return `${ids.join(', ')} did not follow the fleet spec for ${Math.round(view.lagHoldMs / 1_000)} s`;
  // To hold changes the spec too, which must not lift the hold: only gateways that have followed do.
  return document.holds.find((hold) => hold.reason === 'lagging_gateway')?.detail ?? null;
}

function inconclusive(draft: Draft, view: FleetView): string | null {
  const { wave, document } = draft;
  if (wave.phase !== 'gating' || wave.gatesSkipped) return null;
  return unverifiedExcessOf(document, view.counters);
}

/** Failure domains are counted agent by agent, which a group that has grown too large is not. */
function uncountable(draft: Draft, view: FleetView): string | null {
  if (draft.document.strategy.maxInFlightPer === null || view.members.kind === 'ranked') return null;
  return 'the group has become too large for maxInFlightPer; set it to null to go on without';
}

/** Time spent held does not count; the soak has its own length and counts against the whole only. */
function deadline(draft: Draft): string | null {
  const { document, wave } = draft;
  const { waveMs, totalMs } = document.strategy.deadlines;
  const nowActiveMs = draft.activeMs;
  if (document.startedActiveMs !== null && nowActiveMs - document.startedActiveMs > totalMs)
    return 'the rollout takes longer than deadlines.total';
  const assigning = wave.phase === 'assigning' || wave.phase === 'converging';
  if (assigning && wave.startedActiveMs !== null && nowActiveMs - wave.startedActiveMs > waveMs) {
    return `wave ${document.waveIndex + 1} takes longer than deadlines.wave`;
  }
  return null;
}

/** Nothing advances, and nothing succeeds, without an agent that proves it. */
function noAgents(draft: Draft, view: FleetView): { text: string } | 'candidates' | null {
  const { document, wave } = draft;
  const { size } = currentStrategy(document);
  const isLast = document.waveIndex === document.waves.length - 1;
  if (wave.phase === 'gating' && isLast && !hasProof(view.counters)) return { text: 'no agent has applied it' };
  const untouched = verdictsOf(view.counters.total).rows === 0;
  if (memberCount(view.members) === 0 && (untouched || wave.phase === 'pending')) return { text: 'no agent of the group is connected' };
  if (!untouched) return null;
  if (size.kind === 'agents' && document.canaryAssigned > 0 && !draft.specChanged && insideCount(document, view.members).inside === 0) {
    return { text: 'none of the named agents is connected' };
  }
  const heldOtherwise = document.holds.some((hold) => hold.reason !== 'no_agents');
  if (wave.phase !== 'pending' || heldOtherwise) return null;
  const choice = canaryChoice(draft, view);
  if (choice === 'candidates') return choice;
  return choice !== undefined && choice.chosen.length === 0
    ? { text: 'no connected agent is healthy and able to acknowledge, so none can be a canary' }
    : null;
}
