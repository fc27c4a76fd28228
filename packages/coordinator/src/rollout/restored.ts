import { isTerminal } from './document.ts';
import type { RolloutDocument } from './document.ts';
import { Draft } from './draft.ts';
import type { RolloutEvent } from './service.ts';

/**
 * A document as it goes into an emptied store, with the events that this adds. One that was running is held (`manual`), because whoever
 * restores has to see first who is back; `resume` lets it go on. One that was being taken back goes on with that. The time between the
 * backup and now counts for neither. Ended ones come back as they were. Pure.
 */
export function restoredDocument(
  document: RolloutDocument,
  { nowMs, takenAtMs }: { nowMs: number; takenAtMs: number },
): { document: RolloutDocument; events: RolloutEvent[] } {
  if (isTerminal(document)) return { document: { ...document, rev: 1 }, events: [] };
  const draft = new Draft(document, nowMs);
  const restored = draft.document;
  restored.rev = 1;
  restored.specChangedAtMs = nowMs;
  if (restored.clock.heldSinceMs === null) restored.clock.heldMs += Math.max(0, nowMs - takenAtMs);
  if (restored.phase === 'rolling_back') {
    restored.rollbackStartedAtMs = nowMs;
    draft.emit('rollout.restored', `from the backup of ${new Date(takenAtMs).toISOString()}`);
  } else {
    draft.hold('manual', `restored from the backup of ${new Date(takenAtMs).toISOString()}; resume lets it go on`);
  }
  return { document: restored, events: draft.events };
}
