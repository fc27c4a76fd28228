import { specField } from '@opamp-gateway/shared/fleet-spec';
import { forbidsCommand } from './approval.ts';
import type { Forbidden } from './approval.ts';
import { applyCommand } from './commands.ts';
import { toCountsView } from './counters.ts';
import { isTerminal } from './document.ts';
import type { RolloutDocument } from './document.ts';
import { Draft } from './draft.ts';
import { runForward } from './forward.ts';
import type { GateQuestion } from './ports.ts';
import { watchRollback } from './rollback.ts';
import type { RolloutEvent } from './service.ts';
import { toSpecField } from './document.ts';
import type { Command, FleetView, Need } from './view.ts';

/** Outcome of a step. */
export type Decision =
  /** The view lacks something: load it and ask again. */
  | { kind: 'need'; need: Need }
  /** The caller may not do that. */
  | ({ kind: 'forbidden' } & Forbidden)
  /** The command does not fit the state; `detail` names what forbids it. */
  | { kind: 'refused'; detail: string }
  | { kind: 'idle'; nextEvalAtMs: number | null }
  | {
      kind: 'step';
      document: RolloutDocument;
      events: RolloutEvent[];
      succeeded: boolean;
      ended: boolean;
      nextEvalAtMs: number | null;
      /** To be asked once the step is stored. */
      questions: readonly GateQuestion[];
    };

/** How often a rollout is looked at, in ms. */
const EVAL_MS = { assigning: 250, converging: 250, soaking: 1_000, rollingBack: 500, held: 1_000, waiting: 1_000 } as const;

/**
 * Decides one step of a rollout from its document and what is known of the fleet. Pure: no clock, no I/O, no randomness.
 * Several transitions that need nothing new from the fleet are one step.
 */
export function decide(document: RolloutDocument, view: FleetView, command?: Command): Decision {
  const draft = new Draft(document, view.nowMs);
  draft.counts = toCountsView(view.counters.total);
  if (command !== undefined) {
    const forbidden = forbidsCommand(document, command);
    if (forbidden !== null) return { kind: 'forbidden', ...forbidden };
    const refused = applyCommand(draft, view, command);
    if (refused !== null) return { kind: 'refused', detail: refused };
  }
  draft.actor = 'system';
  const need = draft.document.phase === 'running' ? runForward(draft, view) : null;
  if (need !== null) {
    // A command is done at once; whatever else the step would have found out is found out by the next one.
    if (command === undefined) return { kind: 'need', need };
  }
  if (draft.document.phase === 'rolling_back') watchRollback(draft, view);
  return finish(document, draft, view);
}

function finish(before: RolloutDocument, draft: Draft, view: FleetView): Decision {
  const { document } = draft;
  const nextEvalAtMs = nextEvaluation(document, view.nowMs);
  if (!draft.changed) return { kind: 'idle', nextEvalAtMs };
  if (draft.specChanged) document.specChangedAtMs = view.nowMs;
  document.rev = before.rev + 1;
  return {
    kind: 'step',
    document,
    events: draft.events,
    succeeded: before.phase !== 'succeeded' && document.phase === 'succeeded',
    ended: !isTerminal(before) && isTerminal(document),
    nextEvalAtMs,
    questions: draft.questions,
  };
}

/** When to look again; null = never. */
export function nextEvaluation(document: RolloutDocument, nowMs: number): number | null {
  if (isTerminal(document)) return document.cleanup === 'pending' ? nowMs : null;
  if (document.phase === 'rolling_back') return nowMs + EVAL_MS.rollingBack;
  if (document.holds.length > 0) return nowMs + EVAL_MS.held;
  const phase = document.waves[document.waveIndex]?.phase ?? 'pending';
  if (phase === 'assigning' || phase === 'converging') return nowMs + EVAL_MS[phase];
  if (phase === 'soaking') return nowMs + Math.min(EVAL_MS.soaking, Math.max(1, soakLeftMs(document, nowMs)));
  return nowMs + EVAL_MS.waiting;
}

function soakLeftMs(document: RolloutDocument, nowMs: number): number {
  const wave = document.waves[document.waveIndex];
  const soakMs = document.strategy.waves[document.waveIndex]?.soakMs ?? 0;
  return (wave?.soakActiveMs ?? 0) + soakMs - (nowMs - document.clock.heldMs);
}

/** Spec fields that make the fleet spec say what the document says; empty when it says so already. */
export function specPatch(document: RolloutDocument, stored: string | undefined): { set: Record<string, string>; del: string[] } {
  const field = specField.rollout(document.id);
  const wanted = toSpecField(document);
  if (wanted === null) return { set: {}, del: stored === undefined ? [] : [field] };
  return { set: wanted === stored ? {} : { [field]: wanted }, del: [] };
}
