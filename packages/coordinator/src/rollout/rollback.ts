import { ROW_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { RESTORE_FAILED_LIMIT } from './breaker.ts';
import { countOf, offeredCount } from './counters.ts';
import type { Draft } from './draft.ts';
import type { FleetView } from './view.ts';

/** Longest time a rollback may take. */
const ROLLBACK_LIMIT_MS = 3_600_000;

const DONE: ReadonlySet<RowStatus> = new Set<RowStatus>(['restored', 'restoreFailed', 'skipped', 'left']);
const LEFT_TO_RESTORE = ROW_STATUSES.filter((status) => !DONE.has(status));

/** Turns the rollout back: everybody's desired config is the proven version from this step on. */
export function startRollback(draft: Draft, trigger: 'abort' | 'tripped', why: string): void {
  const { document } = draft;
  draft.dropHolds();
  draft.moveRollout(trigger);
  if (draft.wave.phase !== 'passed') draft.moveWave('broken');
  document.direction = 'back';
  document.rollbackStartedAtMs = draft.nowMs;
  document.retrying = false;
  document.outcome = why;
  draft.emit('rollback.started', why, draft.evidence);
}

/** Ends a rollback once no connected agent is left to restore; who is away is restored when it returns. */
export function watchRollback(draft: Draft, view: FleetView): void {
  const { document } = draft;
  const { total } = view.counters;
  const restored = countOf(total, ['restored']);
  const failed = countOf(total, ['restoreFailed']);
  const left = countOf(total, LEFT_TO_RESTORE, 'connected');
  const tooMany = failed > RESTORE_FAILED_LIMIT * (restored + failed);
  const summary = `${restored} agents restored, ${failed} not, ${countOf(total, LEFT_TO_RESTORE, 'away')} away`;
  // A gateway that has not met the new direction may still be booking offers of the old one.
  const observed = !draft.specChanged && view.gateways.every((gateway) => gateway.observed && gateway.backlog === 0);
  if (observed && offeredCount(total) === 0) {
    draft.moveRollout('untouched');
    endCancelled(draft, document.outcome);
  } else if (observed && left === 0) {
    endRollback(draft, !tooMany, summary);
  } else if (draft.nowMs - (document.rollbackStartedAtMs ?? draft.nowMs) > ROLLBACK_LIMIT_MS) {
    endRollback(draft, false, `${summary}, ${left} still open after one hour`);
  }
}

/** Ends a rollout that has offered nothing to anybody; its phase has been moved. */
export function endCancelled(draft: Draft, why: string): void {
  const { document } = draft;
  document.endedAtMs = draft.nowMs;
  document.cleanup = 'pending';
  document.outcome = `${why}; nobody had been offered it`;
  draft.emit('rollout.cancelled', document.outcome, draft.evidence);
}

function endRollback(draft: Draft, restored: boolean, summary: string): void {
  const { document } = draft;
  draft.moveRollout(restored ? 'restored' : 'restoreFailed');
  document.endedAtMs = draft.nowMs;
  document.cleanup = 'pending';
  draft.emit(restored ? 'rollout.rolled_back' : 'rollout.rollback_failed', summary, draft.evidence);
}
