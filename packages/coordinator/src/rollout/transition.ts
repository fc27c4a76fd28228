import type { RolloutPhase, WavePhase } from '@opamp-gateway/shared/rollout-types';

/** What can happen to a rollout: actions of people, and what a step finds out. */
export type RolloutTrigger =
  | 'pause'
  | 'resume'
  | 'promote'
  | 'abort'
  | 'rollback'
  | 'retry'
  | 'cancel'
  | 'tripped'
  | 'lastWavePassed'
  | 'restored'
  | 'untouched'
  | 'restoreFailed';

/** What can happen to a wave. */
export type WaveTrigger = 'start' | 'assigned' | 'converged' | 'soaked' | 'passed' | 'broken' | 'retried';

type Refusal = { refused: string };
type PhaseCell = RolloutPhase | Refusal;

const no = (refused: string): Refusal => ({ refused });

const ENDED: Readonly<Record<RolloutPhase, string>> = {
  running: 'it is running',
  rolling_back: 'it is rolling back',
  succeeded: 'it has succeeded',
  cancelled: 'it was cancelled',
  rolled_back: 'it was rolled back',
  rollback_failed: 'its rollback failed',
};

function never(phase: RolloutPhase): Record<RolloutTrigger, PhaseCell> {
  const refusal = no(ENDED[phase]);
  return {
    pause: refusal,
    resume: refusal,
    promote: refusal,
    abort: refusal,
    rollback: refusal,
    retry: refusal,
    cancel: refusal,
    tripped: refusal,
    lastWavePassed: refusal,
    restored: refusal,
    untouched: refusal,
    restoreFailed: refusal,
  };
}

/**
 * Where each trigger leads from each phase, or why it is refused. The same phase means that the trigger changes something
 * inside it (a hold, a wave). Guards that need counters stand in the step; `rollback` of a succeeded rollout starts a new one.
 */
export const ROLLOUT_TRANSITIONS: Readonly<Record<RolloutPhase, Readonly<Record<RolloutTrigger, PhaseCell>>>> = {
  running: {
    pause: 'running',
    resume: 'running',
    promote: 'running',
    abort: 'rolling_back',
    rollback: no('it is running; abort takes back a running rollout'),
    retry: 'running',
    cancel: 'cancelled',
    tripped: 'rolling_back',
    lastWavePassed: 'succeeded',
    restored: no('it is not rolling back'),
    untouched: no('it is not rolling back'),
    restoreFailed: no('it is not rolling back'),
  },
  rolling_back: {
    ...never('rolling_back'),
    restored: 'rolled_back',
    untouched: 'cancelled',
    restoreFailed: 'rollback_failed',
  },
  succeeded: { ...never('succeeded'), rollback: 'succeeded' },
  cancelled: never('cancelled'),
  rolled_back: never('rolled_back'),
  rollback_failed: never('rollback_failed'),
};

/** Where each trigger leads a wave; null = it cannot happen there. */
export const WAVE_TRANSITIONS: Readonly<Record<WavePhase, Readonly<Record<WaveTrigger, WavePhase | null>>>> = {
  pending: { start: 'assigning', assigned: null, converged: null, soaked: null, passed: null, broken: 'failed', retried: null },
  assigning: { start: null, assigned: 'converging', converged: null, soaked: null, passed: null, broken: 'failed', retried: 'assigning' },
  converging: { start: null, assigned: null, converged: 'soaking', soaked: null, passed: null, broken: 'failed', retried: 'assigning' },
  soaking: { start: null, assigned: null, converged: null, soaked: 'gating', passed: null, broken: 'failed', retried: 'assigning' },
  gating: { start: null, assigned: null, converged: null, soaked: null, passed: 'passed', broken: 'failed', retried: 'assigning' },
  passed: { start: null, assigned: null, converged: null, soaked: null, passed: null, broken: null, retried: null },
  failed: { start: null, assigned: null, converged: null, soaked: null, passed: null, broken: null, retried: null },
};

/** The phase after a trigger, or why there is none. */
export function transition(phase: RolloutPhase, trigger: RolloutTrigger): { phase: RolloutPhase } | Refusal {
  const cell = ROLLOUT_TRANSITIONS[phase][trigger];
  return typeof cell === 'string' ? { phase: cell } : cell;
}

/** The wave's phase after a trigger. Throws when the table has none: the step must not have asked. */
export function waveTransition(phase: WavePhase, trigger: WaveTrigger): WavePhase {
  const next = WAVE_TRANSITIONS[phase][trigger];
  if (next === null) throw new RangeError(`a wave that is ${phase} cannot be ${trigger}`);
  return next;
}
