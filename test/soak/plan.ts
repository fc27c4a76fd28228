import type { FailureRule } from '@opamp-gateway/loadtest/agent-profile';
import { FAST_STRATEGY } from '../support/rollouts.ts';

/** What becomes of a rollout: the marker in its config makes some agents fail in this way. */
export type Kind = 'good' | 'refused' | 'cut-off' | 'unhealthy' | 'crashing' | 'silent';

/** Faults beside the coordinator kills, which no round is without. */
export type Special = 'gateway kills' | 'redis restart' | 'frozen coordinator' | 'frozen gateway' | 'emptied queues' | 'cut connections';

/** One round: a rollout for each fleet, and what happens meanwhile. */
export interface RoundPlan {
  readonly number: number;
  readonly kinds: readonly Kind[];
  readonly specials: ReadonlySet<Special>;
}

const BAD_KINDS: readonly Kind[] = ['refused', 'cut-off', 'unhealthy', 'crashing', 'silent'];
const CHANCES: Readonly<Record<Special, number>> = {
  'gateway kills': 0.75,
  'redis restart': 0.2,
  'frozen coordinator': 0.15,
  'frozen gateway': 0.15,
  'emptied queues': 0.25,
  'cut connections': 0.2,
};

/** Agents of each fleet; three fleets. */
export const FLEET_SIZE = 100;
export const FLEET_NAMES = ['east', 'west', 'north'] as const;

/** How all agents take a config with one of the markers. Not everybody: a canary may be spared and the wave behind it hit. */
export const FAILURES: readonly FailureRule[] = [
  { kind: 'validation', match: { contains: '(refused)' }, probability: 0.3, salt: 'refused' },
  { kind: 'self-cut', match: { contains: '(cut-off)' }, probability: 0.3, salt: 'cut-off' },
  { kind: 'unhealthy', match: { contains: '(unhealthy)' }, probability: 0.4, salt: 'unhealthy', afterMs: 5_000 },
  { kind: 'crash', match: { contains: '(crashing)' }, probability: 0.3, salt: 'crashing' },
  { kind: 'never-answers', match: { contains: '(silent)' }, probability: 0.3, salt: 'silent' },
];

/** In flight at most, so that a rollout takes many steps and a kill finds it in the middle of one. */
export const MAX_IN_FLIGHT = 8;

/** The strategy for a kind: only what cannot answer is given little time to. */
export function strategyOf(kind: Kind): object {
  return {
    ...FAST_STRATEGY,
    maxInFlight: MAX_IN_FLIGHT,
    ackTimeout: kind === 'cut-off' || kind === 'silent' ? '4s' : '60s',
    healthHold: kind === 'unhealthy' ? '3s' : '0s',
    failure: { maxCount: 2 },
    // Connections die here for reasons of ours; in groups of this size that alone makes cohort and control differ.
    gates: ['ackRatio'],
  };
}

/** The phase in which it has to end. */
export function phaseOf(kind: Kind): 'succeeded' | 'rolled_back' {
  return kind === 'good' ? 'succeeded' : 'rolled_back';
}

/** Draws a round. Half of the rollouts are good, and the first round is, so that there is a version to go back to. */
export function planRound(number: number, random: () => number): RoundPlan {
  const pick = (): Kind => {
    const bad = BAD_KINDS[Math.floor(random() * BAD_KINDS.length)] as Kind;
    return random() < 0.5 || number === 1 ? 'good' : bad;
  };
  const kinds = FLEET_NAMES.map(pick);
  const specials = (Object.keys(CHANCES) as Special[]).filter((special) => random() < CHANCES[special]);
  return { number, kinds, specials: new Set(number === 1 ? [] : specials) };
}
