import { expect, it } from 'vitest';
import type { AgentRecord } from '../agent-record.ts';
import type { AgentView } from './api.ts';
import { atMost, compareAgents, compareCounts, repeatedOffers } from './oracle.ts';

const HASH = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);

function recordOf(index: number, over: Partial<AgentRecord> = {}): AgentRecord {
  return {
    index,
    uid: `uid-${index}`,
    originUid: `uid-${index}`,
    profile: 'normal',
    transport: 'ws',
    attributes: {},
    connected: true,
    server: null,
    host: 'up',
    running: HASH,
    onDisk: HASH,
    lastReported: { status: 'APPLIED', hash: HASH, error: '' },
    health: { healthy: true, lastError: '' },
    offers: [{ hash: HASH, atMs: 1 }],
    offerCount: 1,
    everApplied: [HASH],
    everFailed: [],
    everRan: [HASH],
    crashes: 0,
    restartCommands: 0,
    fullStateRequests: 0,
    errorResponses: 0,
    connects: 1,
    messagesSent: 1,
    messagesReceived: 1,
    violations: { emptyMaps: 0, repeatedWhileApplying: 0, reofferedFailed: 0, unacceptedOffers: 0, badMessages: 0 },
    ...over,
  };
}

function viewOf(index: number, over: Partial<AgentView> = {}): AgentView {
  return { uid: `uid-${index}`, connected: true, gateway: 'g', group: 'x', config: { status: 'applied', hash: HASH }, ...over };
}

const RECORDS = [recordOf(0), recordOf(1)];
const VIEWS = [viewOf(0), viewOf(1)];
const TRUE_COUNTS = { group: { agents: 2, connected: 2 }, rollout: { counts: { applied: 2 }, endedAt: new Date(100_000).toISOString() } };

it('has nothing to say when both sides agree', () => {
  expect(compareAgents(RECORDS, VIEWS, { hash: HASH })).toEqual([]);
  expect(compareCounts(RECORDS, TRUE_COUNTS, { hash: HASH })).toEqual([]);
});

it.each([
  ['an agent the server does not know', RECORDS, [viewOf(0)], 'does not know'],
  ['an agent that is none of ours', RECORDS, [...VIEWS, viewOf(2)], 'no simulated agent'],
  ['an agent listed twice', RECORDS, [...VIEWS, viewOf(1)], 'twice'],
  ['another hash', RECORDS, [viewOf(0), viewOf(1, { config: { status: 'applied', hash: OTHER } })], 'reported APPLIED'],
  ['another status', RECORDS, [viewOf(0), viewOf(1, { config: { status: 'applying', hash: HASH } })], 'reported APPLIED'],
  ['an agent shown as away', RECORDS, [viewOf(0), viewOf(1, { connected: false })], 'the server says it is not'],
  ['an agent on the wrong config', [recordOf(0), recordOf(1, { running: OTHER })], VIEWS, 'runs cdcdcdcd'],
  [
    'a broken rule',
    [recordOf(0), recordOf(1, { violations: { ...recordOf(1).violations, reofferedFailed: 1 } })],
    VIEWS,
    'reofferedFailed: 1',
  ],
])('finds %s', (_what, records, views, text) => {
  const problems = compareAgents(records, views, { hash: HASH });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(text);
});

it('holds a mute agent to its last report only', () => {
  const stuck = recordOf(1, { profile: 'stuck', running: OTHER, lastReported: { status: 'APPLIED', hash: OTHER, error: '' } });
  const view = viewOf(1, { connected: false, config: { status: 'applied', hash: OTHER } });
  expect(compareAgents([recordOf(0), stuck], [viewOf(0), view], { hash: HASH, mute: ['stuck'] })).toEqual([]);
  expect(compareAgents([recordOf(0), stuck], VIEWS, { hash: HASH, mute: ['stuck'] })).toHaveLength(1);
});

it.each([
  ['agents in the group', { ...TRUE_COUNTS, group: { agents: 3, connected: 2 } }],
  ['connected', { ...TRUE_COUNTS, group: { agents: 2, connected: 1 } }],
  ['applied', { ...TRUE_COUNTS, rollout: { ...TRUE_COUNTS.rollout, counts: { applied: 1, lost: 1 } } }],
  ['rows of the rollout', { ...TRUE_COUNTS, rollout: { ...TRUE_COUNTS.rollout, counts: { applied: 2, lost: 1 } } }],
])('finds a wrong sum: %s', (text, counts) => {
  const problems = compareCounts(RECORDS, counts, { hash: HASH });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(text);
});

it('lets a rollout count without those who were served after its end', () => {
  const late = recordOf(1, { offers: [{ hash: HASH, atMs: 100_500 }], appliedAtMs: [100_900] });
  const rollout = { ...TRUE_COUNTS.rollout, counts: { applied: 1 } };
  expect(compareCounts([recordOf(0), late], { ...TRUE_COUNTS, rollout }, { hash: HASH })).toEqual([]);
  expect(compareCounts(RECORDS, { ...TRUE_COUNTS, rollout }, { hash: HASH })).toHaveLength(2);
});

it('lets a rollout end before those who joined late are counted, and only those', () => {
  const shown = (late: Record<string, number>) => ({
    ...TRUE_COUNTS,
    rollout: { ...TRUE_COUNTS.rollout, counts: { applied: 1, offered: 1 }, late: { counts: late } },
  });
  expect(compareCounts(RECORDS, shown({ offered: 1 }), { hash: HASH })).toEqual([]);
  expect(compareCounts(RECORDS, shown({ applied: 1 }), { hash: HASH })).toHaveLength(1);
});

it('takes a failure by timeout of an agent that came round as applied or as failed, but as one of them', () => {
  const soft = recordOf(1, { everApplied: [], everFailed: [HASH] });
  const shown = (counts: Record<string, number>) => ({ ...TRUE_COUNTS, rollout: { ...TRUE_COUNTS.rollout, counts } });
  expect(compareCounts([recordOf(0), soft], shown({ applied: 2 }), { hash: HASH })).toEqual([]);
  expect(compareCounts([recordOf(0), soft], shown({ applied: 1, failed: 1 }), { hash: HASH })).toEqual([]);
  const crashed = recordOf(1, { everApplied: [], everFailed: [HASH], running: null });
  expect(compareCounts([recordOf(0), crashed], shown({ applied: 2 }), { hash: HASH })).toHaveLength(2);
});

it('counts offers beyond the first', () => {
  const offers = [HASH, OTHER, HASH, HASH].map((hash) => ({ hash, atMs: 1 }));
  expect(repeatedOffers([recordOf(0), recordOf(1, { offers })], HASH)).toBe(2);
});

it('shortens long lists and says so', () => {
  expect(atMost(Array.from({ length: 25 }, String)).at(-1)).toBe('and 5 more');
});
