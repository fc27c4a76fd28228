/** When something happens in the middle of a rollout. */
import { wavesOf } from '../harness/rollout.ts';
import type { Run } from '../harness/run.ts';
import { shareBeforeLast } from '../harness/waves.ts';

/** How far into its last wave a rollout is when a process ends. */
const EARLY = 0.2;
/** Size of the config in scenarios that are not about sizes. */
export const MIDDLE_CONFIG_BYTES = 4_096;
/** How long the last wave of such a rollout is stretched. */
export const MIDDLE_PACE_MS = 10_000;

/** Share of the fleet that has applied when a fifth of the last wave has. */
export function inLastWave(run: Run): number {
  const before = shareBeforeLast(wavesOf(run), run.fleet.size);
  return before + EARLY * (1 - before);
}
