import { ROLLOUT_PHASES, TERMINAL_PHASES, WAVE_PHASES } from '@opamp-gateway/shared/rollout-types';
import { describe, expect, it } from 'vitest';
import { ROLLOUT_TRANSITIONS, transition, WAVE_TRANSITIONS, waveTransition } from './transition.ts';
import type { RolloutTrigger, WaveTrigger } from './transition.ts';

describe('the table of phases', () => {
  it('has a cell for every phase and trigger', () => {
    const triggers = Object.keys(ROLLOUT_TRANSITIONS.running).toSorted();
    expect(Object.keys(ROLLOUT_TRANSITIONS).toSorted()).toEqual([...ROLLOUT_PHASES].toSorted());
    for (const phase of ROLLOUT_PHASES) expect(Object.keys(ROLLOUT_TRANSITIONS[phase]).toSorted()).toEqual(triggers);
    const waveTriggers = Object.keys(WAVE_TRANSITIONS.pending).toSorted();
    for (const phase of WAVE_PHASES) expect(Object.keys(WAVE_TRANSITIONS[phase]).toSorted()).toEqual(waveTriggers);
  });

  it('never leaves a terminal phase', () => {
    for (const phase of TERMINAL_PHASES) {
      for (const trigger of Object.keys(ROLLOUT_TRANSITIONS[phase]) as RolloutTrigger[]) {
        const outcome = transition(phase, trigger);
        if ('phase' in outcome) expect(outcome.phase, `${phase} ${trigger}`).toBe(phase);
      }
    }
  });

  it('names the state that forbids an action', () => {
    expect(transition('rolled_back', 'pause')).toEqual({ refused: 'it was rolled back' });
    expect(transition('rolling_back', 'resume')).toEqual({ refused: 'it is rolling back' });
  });

  it('ends a rollback that had nothing to take back as cancelled, and only a rollback', () => {
    for (const phase of ROLLOUT_PHASES) {
      const outcome = transition(phase, 'untouched');
      expect('phase' in outcome ? outcome.phase : null).toBe(phase === 'rolling_back' ? 'cancelled' : null);
    }
  });

  it('turns back only once, and only from running', () => {
    for (const phase of ROLLOUT_PHASES) {
      const outcome = transition(phase, 'tripped');
      expect('phase' in outcome && outcome.phase === 'rolling_back').toBe(phase === 'running');
    }
  });
});

describe('the table of waves', () => {
  it('goes through all phases in order', () => {
    let phase = waveTransition('pending', 'start');
    for (const trigger of ['assigned', 'converged', 'soaked', 'passed'] as WaveTrigger[]) phase = waveTransition(phase, trigger);
    expect(phase).toBe('passed');
  });

  it('refuses what cannot happen', () => {
    expect(() => waveTransition('pending', 'passed')).toThrow(/pending/);
    expect(() => waveTransition('passed', 'broken')).toThrow(/passed/);
  });
});
