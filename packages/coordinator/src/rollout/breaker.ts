import { tallyOf, verdictsOf } from './counters.ts';
import type { Counters } from './counters.ts';
import { currentStrategy } from './document.ts';
import type { RolloutDocument } from './document.ts';

/** Share of the touched agents that may fail to restore before the rollback counts as failed. */
export const RESTORE_FAILED_LIMIT = 0.01;

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`;
}

/** Why the rollout must stop, over the agents of all waves; null while it is within the limits of its wave. */
export function tripOf(document: RolloutDocument, counters: Counters): string | null {
  if (document.retrying) return null;
  const { failure } = currentStrategy(document);
  const { failing, decided } = verdictsOf(counters.total);
  if (failure.maxCount !== null && failing > failure.maxCount) {
    return `${failing} of ${decided} decided agents failed, ${failure.maxCount} may (failure.maxCount)`;
  }
  if (failure.maxPercent !== null && decided >= failure.minDecided && failing / decided > failure.maxPercent / 100) {
    return `${failing} of ${decided} decided agents failed, that is ${percent(failing, decided)} of at most ${failure.maxPercent} % (failure.maxPercent)`;
  }
  return null;
}

/**
 * Whether too few of the wave's agents acknowledged; asked once all of them are settled. A wave that touched nobody new is
 * judged over all waves.
 */
export function ackShortfallOf(document: RolloutDocument, counters: Counters): string | null {
  const { minRatio } = currentStrategy(document).success;
  if (minRatio === null || document.retrying || !document.strategy.gates.includes('ackRatio')) return null;
  const own = verdictsOf(tallyOf(counters, document.waveIndex));
  const { good, decided } = own.decided > 0 ? own : verdictsOf(counters.total);
  if (decided === 0 || good / decided >= minRatio) return null;
  return `${good} of ${decided} decided agents of wave ${document.waveIndex + 1} applied it, ${percent(good, decided)} of at least ${100 * minRatio} % (success.minRatio)`;
}

/** Whether too many of the wave's agents cannot tell; null when the share is within the limit. */
export function unverifiedExcessOf(document: RolloutDocument, counters: Counters): string | null {
  const limit = currentStrategy(document).unverifiedMaxRatio;
  const own = verdictsOf(tallyOf(counters, document.waveIndex));
  const known = own.decided + own.unverified;
  if (known === 0 || own.unverified / known <= limit) return null;
  return `${own.unverified} of ${known} agents of wave ${document.waveIndex + 1} cannot or did not acknowledge, ${percent(own.unverified, known)} of at most ${100 * limit} % (unverified.maxRatio)`;
}

/** True when somebody proved, was observed with, or silently took the config: a rollout never succeeds without. */
export function hasProof(counters: Counters): boolean {
  const { good, unverified } = verdictsOf(counters.total);
  return good + unverified > 0;
}
