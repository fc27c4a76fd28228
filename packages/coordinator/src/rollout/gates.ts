/** What a gate says. `notApplicable` never holds; `inconclusive` does, because data that should exist does not. */
export type GateOutcome = 'pass' | 'fail' | 'notApplicable' | 'inconclusive';

/** One gate's verdict with its reason. */
export interface GateResult {
  gate: string;
  outcome: GateOutcome;
  detail: string;
  /** What `healthRegression` has compared; absent while there is too little of it. */
  comparison?: HealthComparison;
}

/** Shares of one side of a comparison, from 0 to 1. */
export interface HealthShares {
  agents: number;
  unhealthyRatio: number;
  reconnectedRatio: number;
}

/** Agents that have the new config, and agents of the same strata that do not, at the same time. */
export interface HealthComparison {
  cohort: HealthShares;
  control: HealthShares;
}

/** One agent as the health comparison sees it. */
export interface HealthSample {
  /** Values of the `spreadBy` attributes. */
  stratum: string;
  unhealthy: boolean;
  /** Its connection is newer than the moment from which disconnects count. */
  reconnected: boolean;
}

/** Agents that settled under `to`, and agents that were not touched, read at the same time. */
export interface HealthSamples {
  cohort: readonly HealthSample[];
  control: readonly HealthSample[];
}

/** Smallest sample that is compared at all. */
export const MIN_HEALTH_SAMPLE = 20;
const UNHEALTHY_MARGIN = 0.02;
const RECONNECTED_MARGIN = 0.05;
/**
 * Connections die for reasons of their own, many at once: beside the margin the difference must have this many standard
 * errors, for the gate looks again and again.
 */
const RECONNECTED_Z = 2.6;

/** Whether a share exceeds another by more than `margin` and by more than chance explains (pooled two-proportion test). */
function isBeyondChance(share: { cohort: number; control: number }, size: { cohort: number; control: number }, margin: number): boolean {
  const difference = share.cohort - share.control;
  if (difference <= margin) return false;
  const pooled = (share.cohort * size.cohort + share.control * size.control) / (size.cohort + size.control);
  const standardError = Math.sqrt(pooled * (1 - pooled) * (1 / size.cohort + 1 / size.control));
  return difference > RECONNECTED_Z * standardError;
}

function sharesOf(samples: readonly HealthSample[]): HealthShares {
  const share = (is: (sample: HealthSample) => boolean): number => samples.filter(is).length / samples.length;
  return { agents: samples.length, unhealthyRatio: share((s) => s.unhealthy), reconnectedRatio: share((s) => s.reconnected) };
}

/** Compares the cohort with agents of the same strata that were not touched: at most 2 points more unhealthy, 5 more (and beyond chance) reconnected. */
export function healthRegression(samples: HealthSamples): GateResult {
  const strata = new Set(samples.cohort.map((sample) => sample.stratum));
  const control = samples.control.filter((sample) => strata.has(sample.stratum));
  if (samples.cohort.length < MIN_HEALTH_SAMPLE || control.length < MIN_HEALTH_SAMPLE) {
    const detail = `${samples.cohort.length} agents with the new config and ${control.length} without; ${MIN_HEALTH_SAMPLE} of each are needed`;
    return { gate: 'healthRegression', outcome: 'notApplicable', detail };
  }
  const comparison = { cohort: sharesOf(samples.cohort), control: sharesOf(control) };
  const result = (outcome: GateOutcome, detail: string): GateResult => ({ gate: 'healthRegression', outcome, detail, comparison });
  const unhealthy = { cohort: comparison.cohort.unhealthyRatio, control: comparison.control.unhealthyRatio };
  const reconnected = { cohort: comparison.cohort.reconnectedRatio, control: comparison.control.reconnectedRatio };
  const text = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const size = { cohort: samples.cohort.length, control: control.length };
  if (unhealthy.cohort > unhealthy.control + UNHEALTHY_MARGIN) {
    return result('fail', `${text(unhealthy.cohort)} are unhealthy with the new config, ${text(unhealthy.control)} without`);
  }
  if (isBeyondChance(reconnected, size, RECONNECTED_MARGIN)) {
    return result(
      'fail',
      `${text(reconnected.cohort)} lost their connection since they applied it, ${text(reconnected.control)} of the others`,
    );
  }
  return result('pass', `${text(unhealthy.cohort)} unhealthy with the new config, ${text(unhealthy.control)} without`);
}
