import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import type { RolloutDocument } from './document.ts';
import type { Command } from './view.ts';

/** What the caller of an action may do. An action without rights comes from the coordinator itself. */
export interface CommandRights {
  /** May approve a wave that waits for it. */
  readonly approve: boolean;
  /** May cut a soak short. */
  readonly advance: boolean;
  /** Whether it is known who calls; without credentials it is not, and nobody can be told from the author. */
  readonly identified: boolean;
}

/** Why a caller may not do what it asks for, although the state of the rollout would allow it. */
export interface Forbidden {
  readonly type: 'approver-required' | 'own-rollout';
  readonly detail: string;
}

/** Holds that only an approval lifts. */
const APPROVALS: readonly HoldReason[] = ['approval'];

/** Holds that whoever may approve or advance may lift. */
const JUDGEMENTS: readonly HoldReason[] = ['gate_inconclusive', 'gate_error'];

/** Whether the caller may promote the rollout as it stands; null when it may, or when nothing waits for it. Pure. */
export function forbidsCommand(document: RolloutDocument, command: Command): Forbidden | null {
  const { rights, actor } = command;
  if (command.action !== 'promote' || rights === undefined || document.phase !== 'running') return null;
  const isHeldBy = (reasons: readonly HoldReason[]): boolean => document.holds.some((hold) => reasons.includes(hold.reason));
  if (isHeldBy(APPROVALS)) {
    if (!rights.approve)
      return { type: 'approver-required', detail: 'the wave waits for an approval, which needs the role approver or admin' };
    if (rights.identified && actor === document.createdBy)
      return { type: 'own-rollout', detail: `${actor} has started this rollout; somebody else has to approve it` };
    return null;
  }
  if (rights.advance || (rights.approve && isHeldBy(JUDGEMENTS))) return null;
  return { type: 'approver-required', detail: 'nothing waits for an approval; cutting a soak short needs the role operator or admin' };
}
