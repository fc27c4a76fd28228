import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import { askAgain, askedHolds } from './asked-gates.ts';
import { ackShortfallOf, tripOf } from './breaker.ts';
import { offeredCount, tallyOf, verdictsOf } from './counters.ts';
import type { Draft } from './draft.ts';
import { fleetSum, startWatch } from './fleet-breaker.ts';
import { endCancelled, startRollback } from './rollback.ts';
import { transition } from './transition.ts';
import type { Command, FleetView } from './view.ts';
import { approve } from './wave-approval.ts';

/** Holds that a person lifts by resume. The fleet's breaker lifts itself too; resuming takes the fleet as it is for usual. */
const RESUMABLE: readonly HoldReason[] = ['manual', 'threshold', 'deadline', 'fleet_breaker'];

/** Applies a person's action to the draft. Returns why it is refused, null when it is done. */
export function applyCommand(draft: Draft, view: FleetView, command: Command): string | null {
  const { document } = draft;
  const allowed = transition(document.phase, command.action);
  if ('refused' in allowed) return allowed.refused;
  draft.actor = command.actor;
  switch (command.action) {
    case 'pause':
      draft.hold('manual', command.reason);
      return null;
    case 'resume':
      return resume(draft, view, command);
    case 'promote':
      return promote(draft, command);
    case 'abort':
      abort(draft, said('aborted', command));
      return null;
    case 'retry':
      return retry(draft, view, command);
    case 'cancel':
      return cancel(draft, view, command);
  }
}

/** Lifts what a person or a limit has held, but only when nothing is tripped any more. */
function resume(draft: Draft, view: FleetView, command: Command): string | null {
  const { document } = draft;
  const lifted = RESUMABLE.filter((reason) => draft.isHeldBy(reason));
  const doubtful = draft.wave.phase === 'gating' && askAgain(draft);
  if (lifted.length === 0 && !doubtful) {
    const others = document.holds.map((hold) => hold.reason);
    return others.length === 0 ? 'it is not held' : `it is held by ${others.join(', ')}, which resume does not lift`;
  }
  const tripped = tripOf(document, view.counters) ?? settledShortfall(draft, view);
  if (tripped !== null) return `it stays held: ${tripped}`;
  if (doubtful) {
    // What a gate said before stands until it is answered anew: there is no moment without a hold.
    const { gate_inconclusive: detail } = askedHolds(draft);
    if (detail !== null) draft.hold('gate_inconclusive', detail);
    draft.emit('gates.asked_again', command.reason);
  } else if (draft.wave.phase === 'gating') draft.wave.gates = null;
  for (const reason of lifted) draft.release(reason, command.reason);
  if (lifted.includes('fleet_breaker')) document.fleet = startWatch(fleetSum(view.gateways), view.gateways, draft.nowMs);
  if (lifted.includes('deadline')) {
    draft.wave.startedActiveMs = draft.activeMs;
    document.startedActiveMs = draft.activeMs;
  }
  return null;
}

function settledShortfall(draft: Draft, view: FleetView): string | null {
  const { document } = draft;
  if (verdictsOf(tallyOf(view.counters, document.waveIndex)).unsettled > 0) return null;
  const phase = draft.wave.phase;
  return phase === 'converging' || phase === 'soaking' || phase === 'gating' ? ackShortfallOf(document, view.counters) : null;
}

/** Gives an approval, cuts a soak short, or passes gates that could not tell. */
function promote(draft: Draft, command: Command): string | null {
  const { wave } = draft;
  if (draft.isHeldBy('approval')) {
    approve(draft, command.actor, command.reason);
    wave.gates = null;
    draft.emit('promoted', command.reason, { what: 'approval', wave: draft.document.waveIndex });
    draft.release('approval', command.reason);
    return null;
  }
  if (wave.phase === 'gating' && (draft.isHeldBy('gate_inconclusive') || draft.isHeldBy('gate_error'))) {
    wave.gatesSkipped = true;
    draft.emit('promoted', command.reason, { what: 'gates', wave: draft.document.waveIndex });
    draft.release('gate_inconclusive', command.reason);
    draft.release('gate_error', command.reason);
    return null;
  }
  if (wave.phase === 'soaking' && !wave.soakSkipped) {
    wave.soakSkipped = true;
    draft.emit('promoted', command.reason, { what: 'soak' });
    return null;
  }
  return `nothing waits for promote: wave ${draft.document.waveIndex + 1} is ${wave.phase}`;
}

/** Offers once more to agents that are back on the proven version after a FAILED. */
function retry(draft: Draft, view: FleetView, command: Command): string | null {
  const { document } = draft;
  const { failing } = verdictsOf(view.counters.total);
  if (failing === 0) return 'no agent has failed';
  document.attempt += 1;
  document.retrying = true;
  if (draft.wave.phase !== 'pending') draft.moveWave('retried');
  draft.wave.soakActiveMs = null;
  draft.wave.soakSkipped = false;
  draft.wave.gates = null;
  draft.emit('retried', command.reason, { attempt: document.attempt, failing });
  draft.release('threshold', 'retried');
  return null;
}

/** Turns back; a rollout that no gateway has heard of has nothing to take back and just ends. */
function abort(draft: Draft, why: string): void {
  if (draft.document.startedAtMs === null) endNow(draft, why);
  else startRollback(draft, 'abort', why);
}

function cancel(draft: Draft, view: FleetView, command: Command): string | null {
  const offered = offeredCount(view.counters.total);
  if (offered > 0) return `${offered} ${offered === 1 ? 'agent has' : 'agents have'} been offered it; abort takes it back`;
  endNow(draft, said('cancelled', command));
  return null;
}

function endNow(draft: Draft, why: string): void {
  draft.dropHolds();
  draft.moveRollout('cancel');
  endCancelled(draft, why);
}

function said(what: string, { actor, reason }: Command): string {
  return reason === '' ? `${what} by ${actor}` : `${what} by ${actor}: ${reason}`;
}
