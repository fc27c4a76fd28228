import { tallyOf, verdictsOf } from './counters.ts';
import { currentStrategy } from './document.ts';
import type { Draft } from './draft.ts';
import { allObserved } from './observed.ts';
import {
  allowanceOf,
  buildsOf,
  chooseCanary,
  DomainGate,
  domainsOf,
  flightOf,
  isAtEnd,
  maxInFlightOf,
  memberCount,
  moveBoundary,
  rateOf,
} from './plan.ts';
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
    if (document.strategy.maxInFlightPer !== null && view.domains === undefined) return 'domains';
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
  if (document.strategy.offline === 'wait') {
    if (view.awaited === undefined) return 'awaited';
    if (awaitOffline(draft, view.awaited)) return false;
  }
  draft.moveWave('assigned');
  draft.emit('wave.assigned', '', { wave: document.waveIndex, reached: flight.reached, unreached: flight.unreached });
  return true;
}

/** Whether the wave waits for agents that are away; the document says for how many. */
function awaitOffline(draft: Draft, awaited: number): boolean {
  const awaiting = awaited === 0 ? null : awaited;
  if (draft.wave.awaiting !== awaiting) {
    draft.wave.awaiting = awaiting;
    draft.touch();
  }
  return awaiting !== null;
}

function advanceBoundary(draft: Draft, view: FleetView, inFlight: number): void {
  const { document } = draft;
  const rate = rateOf(document.strategy, view.counters);
  const maxInFlight = maxInFlightOf(document.strategy, memberCount(view.members));
  const { allowed, credit } = allowanceOf(document, { nowMs: draft.nowMs, rate, maxInFlight, inFlight });
  const limit = document.strategy.maxInFlightPer;
  // In a group that has grown too large the limit cannot be kept: a hold says so.
  if (limit !== null && view.members.kind === 'counted') return;
  const domains = limit === null ? null : { inFlight: view.domains ?? new Map<string, number>(), max: limit.max };
  const move = allowed > 0 ? moveBoundary(document, view.members, allowed, domains) : null;
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
  const limit = document.strategy.maxInFlightPer;
  if (limit !== null && view.domains === undefined) return 'domains';
  const gate = new DomainGate(limit === null ? null : { inFlight: view.domains ?? new Map<string, number>(), max: limit.max });
  const domains = domainsOf(view.members);
  const fitting = chooseCanary(fresh, {
    count: without.length,
    nowMs: draft.nowMs,
    minHealthyMs: document.strategy.canaryMinHealthyMs,
    builds: buildsOf(document),
  });
  const chosen = fitting.chosen.filter(({ origin }) => gate.admit(domains.get(origin)));
  // Whoever fits and finds no room now is asked again: its domain empties.
  if (chosen.length === 0 && fitting.chosen.length > 0) return false;
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
