import { describe, expect, it } from 'vitest';
import type { AgentTruth } from '../agent-record.ts';
import type { AgentView } from './api.ts';
import { CompactComparison } from './compact-oracle.ts';

function truth(uid: string, changes: Partial<AgentTruth> = {}): AgentTruth {
  return { uid, connected: true, running: 'aa', status: 'APPLIED', hash: 'aa', violations: 0, ...changes };
}

function view(uid: string, changes: Partial<AgentView> = {}): AgentView {
  return { uid, connected: true, gateway: 'gateway-1', group: 'g', config: { status: 'applied', hash: 'aa' }, ...changes };
}

function verdict(truths: readonly AgentTruth[], views: readonly AgentView[], group: { agents: number; connected: number }) {
  const comparison = new CompactComparison('aa');
  for (const entry of views) comparison.addListed([entry]);
  for (const entry of truths) comparison.compare([entry]);
  return { compared: comparison.compared, differences: comparison.finish(group) };
}

describe('the compact oracle', () => {
  it('finds nothing where both sides agree, and leaves out who never connected', () => {
    expect(
      verdict([truth('a'), truth('b'), truth('c', { connected: false })], [view('a'), view('b')], { agents: 2, connected: 2 }),
    ).toEqual({
      compared: 2,
      differences: [],
    });
  });

  it.each([
    ['an agent that is not listed', [truth('a')], []],
    ['an entry too many', [truth('a')], [view('a'), view('x')]],
    ['an entry twice', [truth('a')], [view('a'), view('a')]],
    ['another status', [truth('a', { status: 'APPLYING' })], [view('a')]],
    ['another hash', [truth('a', { hash: 'bb' })], [view('a')]],
    ['another config', [truth('a', { running: 'bb' })], [view('a')]],
    ['a connection that only the agent knows', [truth('a')], [view('a', { connected: false })]],
    ['a connection that only the server knows', [truth('a', { connected: false })], [view('a')]],
    ['a broken rule', [truth('a', { violations: 1 })], [view('a')]],
  ])('finds %s', (_what, truths, views) => {
    const counts = { agents: new Set(views.map(({ uid }) => uid)).size, connected: truths.filter(({ connected }) => connected).length };
    expect(verdict(truths, views, counts).differences).toHaveLength(1);
  });

  it('finds sums that are wrong', () => {
    expect(verdict([truth('a')], [view('a')], { agents: 2, connected: 0 }).differences).toHaveLength(2);
  });

  it('lists the first differences, and says how many more there are', () => {
    const truths = Array.from({ length: 30 }, (_, index) => truth(`a${index}`));
    const { differences } = verdict(truths, [], { agents: 0, connected: 30 });
    expect(differences).toHaveLength(21);
    expect(differences.at(-1)).toBe('and 10 more');
  });
});
