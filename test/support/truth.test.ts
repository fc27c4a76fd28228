import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import { expect, test } from 'vitest';
import type { AgentView, RolloutEvent, RolloutState, RolloutView } from './api-client.ts';
import {
  countersAreNotRows,
  countersDiffer,
  eventsBroken,
  notDesired,
  notOn,
  offeredTooEarly,
  tooManyAtOnce,
  violations,
  wrongWith,
} from './truth.ts';

const OLD = 'aaaaaaaaaaaa';
const NEW = 'bbbbbbbbbbbb';
const START_MS = Date.parse('2030-01-01T00:00:00Z');

function agent(uid: string, over: Partial<AgentRecord> = {}): AgentRecord {
  return {
    index: 0,
    uid,
    originUid: uid,
    profile: 'normal',
    transport: 'ws',
    attributes: {},
    connected: true,
    server: null,
    host: 'up',
    running: NEW,
    onDisk: NEW,
    lastReported: { status: 'APPLIED', hash: NEW, error: '' },
    health: { healthy: true, lastError: '' },
    offers: [{ hash: NEW, atMs: START_MS + 10 }],
    offerCount: 1,
    everApplied: [NEW],
    everFailed: [],
    everRan: [NEW],
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

function view(uid: string, over: Partial<AgentView> = {}): AgentView {
  return {
    uid,
    connected: true,
    gateway: 'g',
    transport: 'ws',
    group: 'x',
    attributes: {},
    labels: {},
    health: { status: 'healthy' },
    config: {
      status: 'applied',
      hash: NEW,
      error: '',
      offered: NEW,
      desired: { name: 'x', version: 2, hash: NEW, source: 'stable' },
      inSync: true,
    },
    connectedAt: null,
    rollouts: { r: { wave: '0', status: 'applied' } },
    ...over,
  };
}

const wave = (counts: Readonly<Record<string, number>>): RolloutView['waves'][number] => ({
  phase: 'passed',
  counts,
  members: 1,
  startedAt: null,
  passedAt: null,
  gates: [],
  approvals: [],
  awaiting: null,
});

function rollout(over: Partial<RolloutView> = {}): RolloutView {
  return {
    id: 'r',
    rev: 1,
    phase: 'succeeded',
    holds: [],
    holdDetails: [],
    waveIndex: 1,
    waves: [wave({ applied: 1 }), wave({ applied: 1 })],
    late: { counts: {} },
    counts: { applied: 2 },
    group: 'x',
    from: { name: 'x', version: 1, hash: OLD },
    to: { name: 'x', version: 2, hash: NEW },
    createdAt: new Date(START_MS).toISOString(),
    endedAt: null,
    outcome: '',
    warnings: [],
    preflight: null,
    eventSeq: 2,
    ...over,
  };
}

function event(seq: number, atMs: number, from: RolloutState | null, to: Partial<RolloutState>): RolloutEvent {
  const state = { phase: 'running', waveIndex: 0, wavePhase: 'assigning', holds: [], ...to };
  return { seq, at: new Date(START_MS + atMs).toISOString(), type: 'x', from, to: state, actor: 'system', detail: '' };
}

test('an agent is right when it reports, runs and keeps the config', () => {
  expect(wrongWith(agent('a'), NEW)).toBeUndefined();
  expect(wrongWith(agent('a', { running: OLD }), NEW)).toMatch(/runs aaaaaaaa/);
  expect(wrongWith(agent('a', { onDisk: OLD }), NEW)).toMatch(/on disk/);
  expect(wrongWith(agent('a', { lastReported: { status: 'FAILED', hash: NEW, error: '' } }), NEW)).toMatch(/FAILED/);
  expect(wrongWith(agent('a'), null)).toMatch(/nothing of ours/);
  expect(
    notOn(
      Array.from({ length: 30 }, () => agent('a', { running: OLD })),
      NEW,
    ),
  ).toHaveLength(13);
});

test('what the API says of an agent has to be what the agent did', () => {
  expect(notDesired([agent('a')], [view('a')])).toEqual([]);
  expect(notDesired([agent('a')], [])[0]).toMatch(/does not know/);
  expect(notDesired([agent('a', { connected: false })], [view('a')])[0]).toMatch(/is connected/);
  expect(notDesired([agent('a', { running: OLD })], [view('a')])[0]).toMatch(/runs/);
  expect(notDesired([agent('a', { running: OLD })], [view('a')], () => true)).toEqual([]);
  const wrongReport = view('a', { config: { ...view('a').config, status: 'applying' } });
  expect(notDesired([agent('a')], [wrongReport])[0]).toMatch(/reported applying/);
});

test('counters have to be those of the agents', () => {
  expect(countersDiffer(rollout(), [agent('a'), agent('b')])).toEqual([]);
  expect(countersDiffer(rollout(), [agent('a')])).toEqual(['counter applied: 2 shown, 1 true']);
  const failed = agent('b', { everFailed: [NEW], lastReported: { status: 'APPLIED', hash: OLD, error: '' } });
  expect(countersDiffer(rollout({ counts: { applied: 1, failed: 1 } }), [agent('a'), failed])).toEqual([]);
  const back = agent('a', { lastReported: { status: 'APPLIED', hash: OLD, error: '' } });
  expect(countersDiffer(rollout({ phase: 'rolled_back', counts: { restored: 1 } }), [back])).toEqual([]);
  expect(countersDiffer(rollout({ phase: 'rolled_back', counts: { restored: 1 } }), [agent('a')])).toHaveLength(2);
});

test('counters have to be those of the rows, wave by wave', () => {
  const rows = [view('a'), view('b', { rollouts: { r: { wave: '1', status: 'applied' } } })];
  expect(countersAreNotRows(rollout(), rows)).toEqual([]);
  expect(countersAreNotRows(rollout(), [view('a'), view('b')])).toEqual([
    'rows of wave 0 applied: 1 shown, 2 true',
    'rows of wave 1 applied: 1 shown, 0 true',
  ]);
});

test('events have no gap and no jump', () => {
  const first = event(1, 0, null, {});
  const second = event(2, 5, first.to, { wavePhase: 'converging' });
  expect(eventsBroken([first, second])).toEqual([]);
  expect(eventsBroken([first, { ...second, seq: 3 }])).toHaveLength(1);
  expect(eventsBroken([first, { ...second, from: second.to }])).toHaveLength(1);
});

test('nobody of a wave may be offered anything before the wave began', () => {
  const events = [
    event(1, 0, null, {}),
    event(2, 100, null, { waveIndex: 1, wavePhase: 'pending' }),
    event(3, 101, null, { waveIndex: 1 }),
  ];
  const offeredAt = (ms: number): AgentRecord => agent(`at ${ms}`, { offers: [{ hash: NEW, atMs: START_MS + ms }] });
  expect(offeredTooEarly(rollout(), events, [offeredAt(10), offeredAt(101)])).toEqual([]);
  expect(offeredTooEarly(rollout(), events, [offeredAt(10), offeredAt(100)])).toHaveLength(1);
  // Offers of an earlier rollout of the same version do not count.
  expect(offeredTooEarly(rollout(), events, [offeredAt(-50), offeredAt(10)])).toEqual([]);
});

test('never more at once than allowed', () => {
  const at = (ms: number): AgentRecord => agent(`at ${ms}`, { offers: [{ hash: NEW, atMs: START_MS + ms }] });
  expect(tooManyAtOnce([at(0), at(1), at(100), at(101)], NEW, { maxInFlight: 2, applyMs: 100 })).toEqual([]);
  expect(tooManyAtOnce([at(0), at(1), at(50)], NEW, { maxInFlight: 2, applyMs: 100 })).toHaveLength(1);
});

test('broken rules of the protocol are named', () => {
  expect(violations([agent('a')])).toEqual([]);
  expect(violations([agent('a', { violations: { ...agent('a').violations, emptyMaps: 2 } })])[0]).toMatch(/emptyMaps: 2/);
});
