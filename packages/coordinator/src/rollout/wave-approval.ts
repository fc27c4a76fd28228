import type { Draft } from './draft.ts';
import { currentStrategy } from './document.ts';
import { manualGate } from './gate-strategy.ts';

/** What the present wave waits for a person with; null when it does not. `answered`: every gate that asks has passed. */
export function awaitedApproval(draft: Draft, answered: boolean): string | null {
  const { wave, document } = draft;
  const { approval: wanted } = currentStrategy(document);
  const gate = manualGate(document.strategy.gates);
  if (wanted === 'before' && wave.phase === 'pending' && !wave.approvedBefore)
    return `wave ${document.waveIndex + 1} waits for promote before it starts`;
  if ((wanted !== 'after' && gate === undefined) || wave.phase !== 'gating' || wave.gates === null || !answered || wave.approvedAfter)
    return null;
  return `wave ${document.waveIndex + 1} waits for promote${gate === undefined ? '' : ` (${gate.name})`}`;
}

/** Books an approval of the present wave, before it starts or at its gates. */
export function approve(draft: Draft, by: string, reason: string): void {
  const { wave } = draft;
  const what = wave.phase === 'pending' ? 'before' : 'after';
  if (what === 'before') wave.approvedBefore = true;
  else wave.approvedAfter = true;
  wave.approvals.push({ what, by, atMs: draft.nowMs, reason });
}

/** An approval that is too old counts no more: what it was given for may have changed. */
export function expireApproval(draft: Draft): void {
  const { wave, document } = draft;
  const gate = manualGate(document.strategy.gates);
  const last = wave.approvals.findLast((approval) => approval.what === 'after');
  if (gate === undefined || last === undefined || !wave.approvedAfter || wave.phase !== 'gating') return;
  if (draft.nowMs - last.atMs <= gate.expiresMs) return;
  wave.approvedAfter = false;
  draft.emit('approval.expired', `the approval by ${last.by} was given too long ago`, { wave: document.waveIndex });
}
