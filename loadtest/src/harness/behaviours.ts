/** Agents of a run that are not like the others, by fraction. */
import type { ProfileName, ProfileShare } from '../agent-profile.ts';
import type { AgentRecord } from '../agent-record.ts';

/** A flapping agent loses its connection this often, in milliseconds. */
const FLAP_MS = 20_000;

/** Shares of the fleet, each from 0 to 1. */
export interface BehaviourFractions {
  /** Take much longer to apply, each another time. */
  readonly slow: number;
  /** Report FAILED for every config. */
  readonly failed: number;
  /** Lose their connection again and again. */
  readonly flapping: number;
}

/** Nobody is different. */
export const ALL_ALIKE: BehaviourFractions = { slow: 0, failed: 0, flapping: 0 };

const FAILED: ProfileName = 'merge-error';
const FLAPPING: ProfileName = 'flapping';

/** What a swarm is given; its times are multiplied by `timeScale` there, which the flapping is not meant to be. */
export function sharesOf({ slow, failed, flapping }: BehaviourFractions, timeScale: number): readonly ProfileShare[] {
  const shares: readonly (ProfileShare & { readonly fraction: number })[] = [
    { profile: 'slow', fraction: slow },
    { profile: FAILED, fraction: failed },
    { profile: FLAPPING, fraction: flapping, overrides: { flapMs: FLAP_MS / timeScale } },
  ];
  return shares.filter(({ fraction }) => fraction > 0);
}

/** Profiles that never apply anything. */
export function failingProfiles({ failed }: BehaviourFractions): readonly string[] {
  return failed > 0 ? [FAILED] : [];
}

/** Whether an agent's connection may be gone at any moment. */
export function isFlapping({ profile }: Pick<AgentRecord, 'profile'>): boolean {
  return profile === FLAPPING;
}

/** How many agents are surely connected when all is well; fractions are rounded in each worker. */
export function steadyAgents(agents: number, workers: number, { flapping }: BehaviourFractions): number {
  return flapping > 0 ? Math.max(0, Math.floor(agents * (1 - flapping)) - workers) : agents;
}
