import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import { tallyOf, toCountsView } from './counters.ts';
import type { Counters } from './counters.ts';
import type { AskedGateState, RolloutDocument } from './document.ts';
import type { Draft } from './draft.ts';
import { askedGates } from './gate-strategy.ts';
import type { AskedGate } from './gate-strategy.ts';
import type { GateAnswer, GateQuestion } from './ports.ts';

/** Failed attempts in a row after which a Prometheus gate holds. */
const PROMETHEUS_ERRORS = 4;
/** After its timeout a question is given so long for its answer to be stored; then somebody asks again. */
const LOST_MS = 5_000;
/** First pause between two attempts at a webhook; doubled with each, up to the gate's interval. */
const BACKOFF_MS = 1_000;
/** Text that is kept of an answer. */
const EVIDENCE_LENGTH = 1_024;

/** The gates of the strategy that ask, each with its state in the present wave; those not asked yet are left out. */
function statesOf(draft: Draft): { gate: AskedGate; state: AskedGateState }[] {
  const { asked } = draft.wave;
  return askedGates(draft.document.strategy.gates).flatMap((gate) => {
    const state = asked.find((candidate) => candidate.gate === gate.name);
    return state === undefined ? [] : [{ gate, state }];
  });
}

/**
 * Begins to ask, from the start: what was answered before is forgotten. The numbers of questions go on, so that answers under way are
 * not taken for new ones.
 */
export function startAsking(draft: Draft): void {
  const { wave, nowMs } = draft;
  const gates = askedGates(draft.document.strategy.gates);
  if (gates.length === 0) return;
  wave.asked = gates.map(({ name }) => {
    const before = wave.asked.find((state) => state.gate === name);
    return {
      gate: name,
      ask: before?.ask ?? 0,
      matter: (before?.matter ?? 0) + 1,
      sinceMs: nowMs,
      open: false,
      nextMs: nowMs,
      errors: 0,
      outcome: 'pending',
      detail: 'was not asked yet',
      evidence: '',
      answeredAtMs: null,
    };
  });
  draft.touch();
}

/**
 * Asks all gates again when one of them keeps the wave from passing. What that one said stands until the new answer is there, so
 * that nothing moves in between. False when none does.
 */
export function askAgain(draft: Draft): boolean {
  const states = statesOf(draft);
  if (draft.wave.gates === null || !states.some(({ state }) => state.outcome !== 'pass' && state.outcome !== 'pending')) return false;
  for (const { state } of states) {
    Object.assign(state, { nextMs: draft.nowMs, open: false, sinceMs: draft.nowMs, errors: 0, matter: state.matter + 1 });
    if (state.outcome === 'pass') state.outcome = 'pending';
    // What failed is in doubt until it is answered anew, which holds the rollout as well.
    if (state.outcome === 'fail') state.outcome = 'inconclusive';
    if (state.outcome !== 'pending' && !state.detail.startsWith('asked again, ')) state.detail = `asked again, before: ${state.detail}`;
  }
  draft.touch();
  return true;
}

/** Holds that a gate lifts by its answer; with any other the gates wait too. */
const ANSWERED_HOLDS: ReadonlySet<HoldReason> = new Set<HoldReason>(['gate_inconclusive', 'gate_error']);

/** Puts the questions that are due: they leave with the commit of this step. */
export function putQuestions(draft: Draft, counters: Counters): void {
  if (!isAsking(draft) || draft.document.holds.some((hold) => !ANSWERED_HOLDS.has(hold.reason))) return;
  for (const { gate, state } of statesOf(draft)) {
    if (state.nextMs === null || state.nextMs > draft.nowMs) continue;
    state.ask += 1;
    state.open = true;
    state.nextMs = draft.nowMs + gate.timeoutMs + LOST_MS;
    draft.questions.push(questionOf(draft, gate, state, counters));
    draft.touch();
  }
}

function questionOf(draft: Draft, gate: AskedGate, state: AskedGateState, counters: Counters): GateQuestion {
  const { document, wave } = draft;
  const { id, group, from, to, attempt, createdBy, reason, waveIndex } = document;
  return {
    gate,
    ask: state.ask,
    key: `${id}-${waveIndex}-${gate.name}-${state.matter}`,
    askedAtMs: draft.nowMs,
    rollout: { id, group, from, to, attempt, createdBy, reason },
    wave: {
      index: waveIndex,
      of: document.waves.length,
      startedAtMs: wave.startedAtMs ?? draft.nowMs,
      members: wave.members,
      target: wave.target,
      counts: toCountsView(tallyOf(counters, waveIndex)),
    },
    counts: toCountsView(counters.total),
  };
}

/** Why an answer is not taken: it belongs to an earlier wave, attempt or question. Null when it is. */
export function refuseAnswer(document: RolloutDocument, question: GateQuestion): string | null {
  const wave = document.waves[document.waveIndex];
  if (document.phase !== 'running') return `the rollout is ${document.phase}`;
  if (document.waveIndex !== question.wave.index || wave?.phase !== 'gating') return 'the wave is not at its gates any more';
  if (document.attempt !== question.rollout.attempt) return 'it belongs to an earlier attempt';
  const state = wave.asked.find((candidate) => candidate.gate === question.gate.name);
  return state?.open === true && state.ask === question.ask ? null : 'it was asked again meanwhile';
}

/** Books an answer that {@link refuseAnswer} lets pass. An event tells of it when it is another than before. */
export function bookAnswer(draft: Draft, { gate }: GateQuestion, answer: GateAnswer): void {
  const state = draft.wave.asked.find((candidate) => candidate.gate === gate.name);
  if (state === undefined) return;
  const news = state.outcome !== answer.outcome || state.detail !== answer.detail.slice(0, EVIDENCE_LENGTH);
  state.open = false;
  state.outcome = answer.outcome;
  state.detail = answer.detail.slice(0, EVIDENCE_LENGTH);
  state.evidence = answer.evidence.slice(0, EVIDENCE_LENGTH);
  state.answeredAtMs = draft.nowMs;
  state.errors = answer.outcome === 'error' ? state.errors + 1 : 0;
  if (answer.outcome !== 'error') state.matter += 1;
  state.nextMs = nextAskMs(draft.nowMs, gate, state);
  draft.touch();
  if (!news) return;
  const data = { wave: draft.document.waveIndex, gate: gate.name, outcome: answer.outcome, ask: state.ask, evidence: state.evidence };
  draft.emit('gate.answered', `${gate.name}: ${answer.outcome}, ${state.detail}`, data);
}

function nextAskMs(nowMs: number, gate: AskedGate, state: AskedGateState): number | null {
  switch (state.outcome) {
    case 'pass':
    case 'fail':
    case 'pending':
      return null;
    case 'wait':
      return nowMs + gate.intervalMs;
    case 'inconclusive':
      // A receiver that says so has decided; a server without data may have some later.
      return gate.type === 'webhook' ? null : nowMs + gate.intervalMs;
    case 'error':
      return (
        nowMs + (gate.type === 'webhook' ? Math.min(gate.intervalMs, BACKOFF_MS * 2 ** Math.min(20, state.errors - 1)) : gate.intervalMs)
      );
  }
}

/** Whether what the gates said counts now: before the wave is at its gates the states are those of an earlier time. */
function isAsking({ wave }: Draft): boolean {
  return wave.phase === 'gating' && wave.gates !== null && !wave.gatesSkipped;
}

/** Why the wave is broken by what was answered; null when nothing says `fail`. */
export function askedFailure(draft: Draft): string | null {
  if (!isAsking(draft)) return null;
  const failed = statesOf(draft).find(({ state }) => state.outcome === 'fail');
  return failed === undefined ? null : `${failed.gate.name}: ${failed.state.detail}`;
}

/** Why gates hold the wave, by hold; null = they do not. */
export function askedHolds(draft: Draft): { gate_inconclusive: string | null; gate_error: string | null } {
  const holds: { gate_inconclusive: string | null; gate_error: string | null } = { gate_inconclusive: null, gate_error: null };
  if (!isAsking(draft)) return holds;
  for (const { gate, state } of statesOf(draft)) {
    const reason = holdOf(draft, gate, state);
    if (reason !== null) holds[reason] ??= `${gate.name}: ${state.detail}`;
  }
  return holds;
}

function holdOf(draft: Draft, gate: AskedGate, state: AskedGateState): 'gate_inconclusive' | 'gate_error' | null {
  // A hold stays until there is an answer: another attempt that is under way, or failed too, does not lift it.
  const held = draft.isHeldBy('gate_inconclusive') || draft.isHeldBy('gate_error');
  const overdue = held || (gate.type === 'webhook' && draft.nowMs - state.sinceMs >= gate.deadlineMs);
  switch (state.outcome) {
    case 'inconclusive':
      return 'gate_inconclusive';
    case 'wait':
      return overdue ? 'gate_inconclusive' : null;
    case 'error':
      return overdue || (gate.type === 'prometheus' && state.errors >= PROMETHEUS_ERRORS) ? 'gate_error' : null;
    case 'pending':
    case 'pass':
    case 'fail':
      return null;
  }
}

/** True when every gate that asks has said `pass`, or was passed over. */
export function allAnswered(draft: Draft): boolean {
  if (draft.wave.gatesSkipped) return true;
  const states = statesOf(draft);
  return states.length === askedGates(draft.document.strategy.gates).length && states.every(({ state }) => state.outcome === 'pass');
}
