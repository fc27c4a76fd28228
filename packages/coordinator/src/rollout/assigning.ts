import { tallyOf, verdictsOf } from './counters.ts';
import { currentStrategy } from './document.ts';
import type { Draft } from './draft.ts';
import { allObserved } from './observed.ts';
import { allowanceOf, buildsOf, chooseCanary, flightOf, isAtEnd, maxInFlightOf, memberCount, moveBoundary, rateOf } from './plan.ts';
import type { FleetView, Need } from './view.ts';

/**
 * Moves the boundary of the present wave as far as the limits allow, and ends `assigning` once everybody inside it has been
 * reached. Canaries that went away before their offer are replaced.
 */
export function assign(draft: Draft, view: FleetView): boolean | Need {
  const { document } = draft;
  const observed = allObserved(draft, view);
  const flight = flightOf(document, view.members, view.counters, observed);
  if (!isAtEnd(document)) {
    advanceBoundary(draft, view, flight.inFlight);
    return false;
  }
  if (!observed) return false;
  const reachable = flight.reached + flight.unreached;
  if (reachable > 0 && flight.reached / reachable < currentStrategy(document).success.minReached) return false;

  const { rows } = verdictsOf(tallyOf(view.counters, document.waveIndex));
  if (document.waveIndex === 0 && rows < document.canaryAssigned) {
    const missing = settleCanaries(draft, view, rows);
    if (missing !== 'complete') return missing;
  }
  draft.moveWave('assigned');
  draft.emit('wave.assigned', '', { wave: document.waveIndex, reached: flight.reached, unreached: flight.unreached });
  return true;
}

function advanceBoundary(draft: Draft, view: FleetView, inFlight: number): void {
  const { document } = draft;
  const rate = rateOf(document.strategy, view.counters);
  const maxInFlight = maxInFlightOf(document.strategy, memberCount(view.members));
  const { allowed, credit } = allowanceOf(document, { nowMs: draft.nowMs, rate, maxInFlight, inFlight });
  const move = allowed > 0 ? moveBoundary(document, view.members, allowed) : null;
  if (move === null) return;
  document.canaryAssigned = move.canaryAssigned;
  const slice = document.slices[move.sliceIndex];
  if (slice !== undefined) slice.boundary = move.boundary;
  document.pacing = { atMs: draft.nowMs, credit: rate === null ? 0 : Math.max(0, credit - move.admitted), rate };
  draft.touch();
}

/**
 * Looks after canaries without a row once every gateway has met them: pollers are waited for, others are replaced while
 * somebody fits. `complete` when the wave can go on with those it has.
 */
function settleCanaries(draft: Draft, view: FleetView, rows: number): boolean | Need | 'complete' {
  const { document } = draft;
  if (currentStrategy(document).size.kind === 'agents') return rows > 0 ? 'complete' : false;
  if (view.canaryStates === undefined) return 'canaryStates';
  const states = new Map(view.canaryStates.map((state) => [state.uid, state]));
  const without = document.canary.slice(0, document.canaryAssigned).filter((canary) => states.get(canary.uid)?.hasRow !== true);
  if (without.some((canary) => isPolling(states.get(canary.uid)))) return false;
  if (without.length === 0) return 'complete';
  if (view.candidates === undefined) return 'candidates';
  const known = new Set(document.canary.map((canary) => canary.uid));
  const fresh = view.candidates.filter((candidate) => !known.has(candidate.uid));
  const { chosen } = chooseCanary(fresh, {
    count: without.length,
    nowMs: draft.nowMs,
    minHealthyMs: document.strategy.canaryMinHealthyMs,
    builds: buildsOf(document),
  });
  if (chosen.length === 0) return rows > 0 ? 'complete' : false;
  const replaced = without.slice(0, chosen.length);
  document.canary = document.canary.map((canary) => {
    const substitute = chosen[replaced.indexOf(canary)];
    return substitute === undefined ? canary : { uid: substitute.uid, origin: substitute.origin };
  });
  draft.emit('canary.replaced', '', { gone: replaced.map((canary) => canary.uid), instead: chosen.map((candidate) => candidate.uid) });
  return false;
}

function isPolling(state: { connected: boolean; http: boolean } | undefined): boolean {
  return state !== undefined && state.connected && state.http;
}
