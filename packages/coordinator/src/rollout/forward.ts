import { ackShortfallOf, hasProof, tripOf } from './breaker.ts';
import { tallyOf, verdictsOf } from './counters.ts';
import { expireApproval } from './wave-approval.ts';
import { allAnswered, askedFailure, putQuestions, startAsking } from './asked-gates.ts';
import { assign } from './assigning.ts';
import { currentStrategy } from './document.ts';
import type { Draft } from './draft.ts';
import { healthRegression } from './gates.ts';
import type { GateResult } from './gates.ts';
import { refreshHolds } from './holds.ts';
import { allObserved } from './observed.ts';
import { insideCount } from './plan.ts';
import { startRollback } from './rollback.ts';
import { startWave } from './wave-start.ts';
import type { FleetView, Need } from './view.ts';

/** Most transitions in one step; more are left to the next. */
const MAX_TRANSITIONS = 12;

/** How long pollers are given to meet a new attempt before their old failures are judged again. */
const RETRY_POLL_MS = 90_000;

/**
 * Moves a running rollout as far as the view allows. In every round failure comes first, then holds, then one transition
 * of the wave. Returns what the view lacks, null when nothing more can be done now.
 */
export function runForward(draft: Draft, view: FleetView): Need | null {
  endRetry(draft, view);
  for (let round = 0; round < MAX_TRANSITIONS; round += 1) {
    expireApproval(draft);
    const broken = tripOf(draft.document, view.counters) ?? shortfall(draft, view) ?? askedFailure(draft);
    if (broken !== null) failWave(draft, broken);
    if (draft.document.phase !== 'running') return null;
    const need = refreshHolds(draft, view);
    if (need !== null) return need;
    putQuestions(draft, view.counters);
    if (draft.document.holds.length > 0) return null;
    const outcome = advance(draft, view);
    if (typeof outcome === 'string') return outcome;
    if (!outcome || draft.document.phase !== 'running') return null;
  }
  return null;
}

/** From now on old failures count again: whoever is to be tried again has been offered the new attempt. */
function endRetry(draft: Draft, view: FleetView): void {
  const { document } = draft;
  if (!document.retrying || !allObserved(draft, view)) return;
  const polls = verdictsOf(view.counters.total).failing > 0 && insideCount(document, view.members).http > 0;
  if (polls && draft.nowMs - document.specChangedAtMs < RETRY_POLL_MS) return;
  document.retrying = false;
  draft.touch();
}

/** Too few acknowledgements, once every agent of the wave is settled. */
function shortfall(draft: Draft, view: FleetView): string | null {
  const { phase } = draft.wave;
  if (phase !== 'converging' && phase !== 'soaking' && phase !== 'gating') return null;
  if (!isConverged(draft, view)) return null;
  return ackShortfallOf(draft.document, view.counters);
}

function isConverged(draft: Draft, view: FleetView): boolean {
  return view.overdue === 0 && verdictsOf(tallyOf(view.counters, draft.document.waveIndex)).unsettled === 0;
}

/** The wave is broken: turn back, or hold until somebody decides. */
function failWave(draft: Draft, why: string): void {
  if (currentStrategy(draft.document).onFailure === 'rollback') startRollback(draft, 'tripped', why);
  else draft.hold('threshold', why);
}

/** One transition of the current wave. True when there was one, a need when the view must be filled up for it. */
function advance(draft: Draft, view: FleetView): boolean | Need {
  const { document, wave } = draft;
  // Nothing goes on before it is known what the new attempt has changed.
  if (document.retrying) return false;
  switch (wave.phase) {
    case 'pending':
      return startWave(draft, view);
    case 'assigning':
      return assign(draft, view);
    case 'converging':
      if (!isConverged(draft, view)) return false;
      draft.moveWave('converged');
      wave.soakActiveMs = draft.activeMs;
      draft.emit('wave.converged');
      return true;
    case 'soaking':
      if (!wave.soakSkipped && draft.activeMs - (wave.soakActiveMs ?? 0) < currentStrategy(document).soakMs) return false;
      draft.moveWave('soaked');
      draft.emit('wave.soaked');
      return true;
    case 'gating':
      return gate(draft, view);
    case 'passed':
    case 'failed':
      throw new RangeError(`rollout ${document.id} is running in wave ${document.waveIndex}, which is ${wave.phase}`);
  }
}

/** Runs the gates once; a wave whose gates have passed and that nothing holds passes. */
function gate(draft: Draft, view: FleetView): boolean | Need {
  const { document, wave } = draft;
  if (wave.gates === null) {
    const results = runGates(draft, view);
    if (typeof results === 'string') return results;
    wave.judged = results;
    const failed = results.find((result) => result.outcome === 'fail');
    if (failed !== undefined) {
      failWave(draft, `${failed.gate}: ${failed.detail}`);
      return true;
    }
    wave.gates = results;
    startAsking(draft);
    draft.touch();
    return true;
  }
  if (!allAnswered(draft)) return false;
  const passed = document.waveIndex;
  const isLast = passed === document.waves.length - 1;
  if (isLast && !hasProof(view.counters)) {
    throw new RangeError(`rollout ${document.id} would succeed without proof`);
  }
  draft.moveWave('passed');
  wave.passedAtMs = draft.nowMs;
  const asked = wave.asked.map(({ gate: name, outcome, detail }) => ({ gate: name, outcome, detail }));
  const data = { wave: passed, gates: [...wave.gates, ...asked] };
  if (!isLast) document.waveIndex += 1;
  draft.emit('wave.passed', '', data);
  if (isLast) succeed(draft, view);
  return true;
}

function runGates(draft: Draft, view: FleetView): GateResult[] | Need {
  const { document, wave } = draft;
  const results: GateResult[] = [];
  const verdicts = verdictsOf(tallyOf(view.counters, document.waveIndex));
  if (document.strategy.gates.includes('ackRatio')) {
    results.push({
      gate: 'ackRatio',
      outcome: verdicts.decided === 0 ? 'notApplicable' : 'pass',
      detail: `${verdicts.good} of ${verdicts.decided} applied it`,
    });
  }
  if (document.strategy.gates.includes('healthRegression') && !wave.gatesSkipped) {
    if (view.healthSamples === undefined) return 'healthSamples';
    results.push(healthRegression(view.healthSamples));
  }
  return results;
}

function succeed(draft: Draft, view: FleetView): void {
  const { document } = draft;
  const { applied, failing, unverified, observed } = verdictsOf(view.counters.total);
  draft.moveRollout('lastWavePassed');
  document.endedAtMs = draft.nowMs;
  document.cleanup = 'pending';
  document.outcome = `${applied} ${applied === 1 ? 'agent' : 'agents'} applied it, ${observed === 0 ? '' : `${observed} observed with it, `}${unverified} unverified, ${failing} failed`;
  draft.emit('rollout.succeeded', document.outcome, draft.evidence);
}
