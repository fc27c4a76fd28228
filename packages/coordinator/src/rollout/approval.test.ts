import { describe, expect, it } from 'vitest';
import { forbidsCommand } from './approval.ts';
import type { CommandRights } from './approval.ts';
import type { RolloutDocument } from './document.ts';
import type { Command } from './view.ts';

const OPERATOR: CommandRights = { approve: false, advance: true, identified: true };
const APPROVER: CommandRights = { approve: true, advance: false, identified: true };
const ADMIN: CommandRights = { approve: true, advance: true, identified: true };
const ANONYMOUS: CommandRights = { approve: true, advance: true, identified: false };

function rollout(...holds: string[]): RolloutDocument {
  return { createdBy: 'ann', phase: 'running', holds: holds.map((reason) => ({ reason })) } as unknown as RolloutDocument;
}

function promote(actor: string, rights: CommandRights | undefined, action: Command['action'] = 'promote'): Command {
  return { action, actor, reason: '', rights };
}

describe('who may promote', () => {
  it.each([
    ['an approver', 'bob', APPROVER, undefined],
    ['an admin', 'bob', ADMIN, undefined],
    ['an operator', 'bob', OPERATOR, 'approver-required'],
    ['the author as an approver', 'ann', APPROVER, 'own-rollout'],
    ['the author as an admin', 'ann', ADMIN, 'own-rollout'],
    ['somebody of whom nothing is known', 'ann', ANONYMOUS, undefined],
    ['the coordinator itself', 'ann', undefined, undefined],
  ] as const)('a wave that waits for an approval: %s', (_who, actor, rights, type) => {
    expect(forbidsCommand(rollout('approval'), promote(actor, rights))?.type).toBe(type);
    expect(forbidsCommand(rollout('manual', 'approval'), promote(actor, rights))?.type).toBe(type);
  });

  it.each([
    ['an approver', 'bob', APPROVER, 'approver-required'],
    ['an operator', 'bob', OPERATOR, undefined],
    ['the author as an operator', 'ann', OPERATOR, undefined],
  ] as const)('a soak: %s', (_who, actor, rights, type) => {
    expect(forbidsCommand(rollout(), promote(actor, rights))?.type).toBe(type);
  });

  it('lets both kinds judge a gate that could not tell', () => {
    expect(forbidsCommand(rollout('gate_inconclusive'), promote('bob', APPROVER))).toBeNull();
    expect(forbidsCommand(rollout('gate_inconclusive'), promote('bob', OPERATOR))).toBeNull();
  });

  it('leaves other actions to the roles of their routes, and ended rollouts to their state', () => {
    expect(forbidsCommand(rollout('approval'), promote('ann', OPERATOR, 'abort'))).toBeNull();
    expect(forbidsCommand({ ...rollout(), phase: 'succeeded' }, promote('bob', APPROVER))).toBeNull();
  });
});
