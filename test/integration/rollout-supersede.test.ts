/**
 * A rollout that supersedes another one, tried in every phase and under every hold of the first: the second waits, the first is
 * undone and offered to nobody any more, and every agent ends on a version that one of the two may leave behind.
 */
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { HOLD_REASONS } from '@opamp-gateway/shared/rollout-types';
import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import { GateRunner } from '@opamp-gateway/coordinator/rollout/gate-runner';
import type { GateAnswer } from '@opamp-gateway/coordinator/rollout/ports';
import type { RolloutView } from '@opamp-gateway/coordinator/rollout/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineBench, FAST } from './support/engine-bench.ts';
import type { EngineBenchOptions } from './support/engine-bench.ts';
import type { Answer } from '../support/fake-gateway.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const AGENTS = 40;
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;
const ROUNDS = 60;

/** No gate, and nobody is late by the real clock. */
const PLAIN = { ...FAST, ackTimeout: '1h', gates: [] };
const CANARY = { size: { count: 2 }, soak: '0s' };
const HALF = { size: { percent: 50 }, soak: '0s' };
const ALL = { size: { percent: 100 }, soak: '0s' };
const WEBHOOK = { type: 'webhook', url: 'https://gates.example.com/', interval: '1s', timeout: '1s', deadline: '1s' };

/** Where the first rollout stands when it is superseded. */
interface Case {
  /** How the first rollout stands, completes "a rollout that is …". */
  readonly name: string;
  readonly strategy: unknown;
  /** Holds of the first at that moment, all of them. */
  readonly holds: readonly HoldReason[];
  /** What it looks like besides its holds. */
  readonly is: (view: RolloutView) => boolean;
  /** Agents with a connection at first. Default 40. */
  readonly agents?: number;
  /** What every agent answers to an offer of the first rollout's version; `offered` counts agents that were offered it. */
  readonly answer?: (offered: number) => Answer;
  /** What gates that ask are told; nothing unless given. */
  readonly gate?: GateAnswer['outcome'];
  /** Brings it there, after it has been created. Default: lets coordinator and gateway take turns. */
  readonly reach?: (bench: EngineBench, id: string) => Promise<void>;
  /** Puts right what holds both, once the first is on its way back. */
  readonly after?: (bench: EngineBench) => Promise<void> | void;
}

const waveIs = (index: number, phase: string) => (view: RolloutView) => view.waveIndex === index && view.waves[index]?.phase === phase;
const minuteOf = (atMs: number): string => new Date(atMs).toISOString().slice(11, 16);

const CASES: readonly Case[] = [
  {
    name: 'created and nothing more',
    strategy: PLAIN,
    holds: [],
    is: waveIs(0, 'pending'),
    reach: async () => undefined,
  },
  {
    name: 'scheduled for later',
    strategy: (nowMs: number) => ({ ...PLAIN, schedule: { startAt: new Date(nowMs + DAY_MS).toISOString() } }),
    holds: ['not_started'],
    is: waveIs(0, 'pending'),
  },
  { name: 'waiting for its canaries to answer', strategy: PLAIN, holds: [], is: waveIs(0, 'converging'), answer: () => 'silent' },
  {
    name: 'assigning its second wave',
    strategy: { ...PLAIN, maxInFlight: 5 },
    holds: [],
    is: (view) => waveIs(1, 'assigning')(view) && view.counts.offered === 5,
    answer: (offered) => (offered <= 2 ? 'applied' : 'silent'),
  },
  {
    name: 'waiting for its second wave to answer',
    strategy: PLAIN,
    holds: [],
    is: waveIs(1, 'converging'),
    answer: (offered) => (offered <= 10 ? 'applied' : 'silent'),
  },
  { name: 'soaking', strategy: { ...PLAIN, waves: [{ ...CANARY, soak: '1h' }, ALL] }, holds: [], is: waveIs(0, 'soaking') },
  { name: 'waiting for a gate to answer', strategy: { ...PLAIN, gates: [WEBHOOK] }, holds: [], is: waveIs(0, 'gating') },
  {
    name: 'in its last wave',
    strategy: { ...PLAIN, waves: [CANARY, { ...ALL, soak: '1h' }] },
    holds: [],
    is: waveIs(1, 'soaking'),
  },
  {
    name: 'rolling back',
    strategy: PLAIN,
    holds: [],
    is: ({ phase, counts }) => phase === 'rolling_back' && counts.restoring === 20,
    reach: async (bench, id) => {
      await bench.until(id, (view) => view.counts.applied === 20);
      for (const agent of bench.gateway.agents.values()) agent.answer = () => 'silent';
      await bench.service.act(id, 'abort', { actor: 'tester' });
      await bench.until(id, ({ counts }) => counts.restoring === 20);
    },
    after: everybodyApplies,
  },
  {
    name: 'paused by a person',
    strategy: PLAIN,
    holds: ['manual'],
    is: (view) => view.waveIndex === 1,
    reach: async (bench, id) => {
      await bench.until(id, (view) => view.waveIndex === 1);
      await bench.service.act(id, 'pause', { actor: 'tester' });
    },
  },
  {
    name: 'waiting for the end of one that it supersedes itself',
    strategy: { ...PLAIN, supersede: true },
    holds: ['predecessor'],
    is: waveIs(0, 'pending'),
    after: everybodyApplies,
  },
  {
    name: 'held because too many failed',
    strategy: { ...PLAIN, onFailure: 'pause' },
    holds: ['threshold'],
    is: ({ counts }) => counts.failed === 2,
    answer: () => 'failed',
  },
  {
    name: 'held because a gate cannot tell',
    strategy: { ...PLAIN, gates: [WEBHOOK] },
    holds: ['gate_inconclusive'],
    is: waveIs(0, 'gating'),
    gate: 'inconclusive',
  },
  {
    name: 'held because a gate cannot be asked',
    strategy: { ...PLAIN, gates: [WEBHOOK] },
    holds: ['gate_error'],
    is: waveIs(0, 'gating'),
    gate: 'error',
    reach: async (bench, id) => {
      await bench.until(id, ({ holds }) => holds.includes('gate_error'), ROUNDS, SECOND_MS);
    },
  },
  {
    name: 'waiting for an approval before its first wave',
    strategy: { ...PLAIN, waves: [{ ...CANARY, approval: 'before' }, ALL] },
    holds: ['approval'],
    is: waveIs(0, 'pending'),
  },
  {
    name: 'waiting for an approval after its first wave',
    strategy: { ...PLAIN, waves: [{ ...CANARY, approval: 'after' }, ALL] },
    holds: ['approval'],
    is: waveIs(0, 'gating'),
  },
  {
    name: 'held for want of agents',
    strategy: PLAIN,
    holds: ['no_agents'],
    agents: 0,
    is: waveIs(0, 'pending'),
    after: async (bench) => {
      await bench.gateway.connect(uidsOf(AGENTS), { region: 'eu' });
    },
  },
  {
    name: 'held because its window has closed',
    strategy: (nowMs: number) => ({
      ...PLAIN,
      waves: [{ ...CANARY, soak: '1h' }, ALL],
      schedule: { windows: [{ from: minuteOf(nowMs - MINUTE_MS), to: minuteOf(nowMs + 10 * MINUTE_MS) }] },
    }),
    holds: ['window_closed'],
    is: waveIs(0, 'soaking'),
    reach: async (bench, id) => {
      await bench.until(id, waveIs(0, 'soaking'));
      bench.advance(11 * MINUTE_MS);
    },
  },
  {
    name: 'held by its deadline',
    strategy: { ...PLAIN, deadlines: { wave: '5m' } },
    holds: ['deadline'],
    is: waveIs(0, 'converging'),
    answer: () => 'silent',
    reach: async (bench, id) => {
      await bench.until(id, waveIs(0, 'converging'));
      bench.advance(6 * MINUTE_MS);
    },
  },
  {
    name: 'held because a part of the whole fleet has become unhealthy',
    strategy: { ...PLAIN, waves: [{ ...CANARY, soak: '1h' }, ALL] },
    holds: ['fleet_breaker'],
    is: waveIs(0, 'soaking'),
    reach: async (bench, id) => {
      bench.gateway.census = { connected: AGENTS, unhealthy: 0 };
      await bench.gateway.round();
      await bench.until(id, waveIs(0, 'soaking'));
      bench.gateway.census = { connected: AGENTS, unhealthy: AGENTS - 2 };
      await bench.gateway.round();
      await bench.engine.reconcile(id);
      bench.advance(MINUTE_MS);
    },
    after: (bench) => {
      bench.gateway.census = { connected: AGENTS, unhealthy: 0 };
    },
  },
  {
    name: 'held because a gateway lags behind',
    strategy: PLAIN,
    holds: ['lagging_gateway'],
    is: (view) => view.waveIndex === 1,
    reach: async (bench, id) => {
      await bench.until(id, (view) => view.waveIndex === 1);
      bench.advance(MINUTE_MS);
      await bench.engine.reconcile(id);
    },
  },
];

let redis: RedisLab;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(async () => {
  await redis.stop();
});

function everybodyApplies(bench: EngineBench): void {
  for (const agent of bench.gateway.agents.values()) agent.answer = () => 'applied';
}

/** Puts questions of gates to somebody who always answers the same. */
function answering(outcome: GateAnswer['outcome'] | undefined): EngineBenchOptions {
  if (outcome === undefined) return {};
  return {
    ask: (bench, questions) => {
      const asker = { ask: async () => ({ outcome, detail: 'as always', evidence: '' }) };
      new GateRunner({ asker, engine: bench.engine, waker: { wake: () => undefined }, logger: createSilentLogger() }).ask(questions);
    },
  };
}

/** Starts the first rollout of a case and brings it where the case says. */
async function startFirst(
  bench: EngineBench,
  { strategy, holds, is, answer = () => 'applied', reach }: Case,
): Promise<{ first: string; others: readonly string[] }> {
  for (const agent of bench.gateway.agents.values())
    agent.answer = (hash) => (hash === bench.to.hash ? answer(bench.offered(bench.to)) : 'applied');
  const { supersede, ...fields } = (typeof strategy === 'function' ? strategy(await bench.nowMs()) : strategy) as Record<string, unknown>;
  const others: string[] = [];
  if (supersede === true) {
    const before = await bench.start(PLAIN, {}, await bench.store('zero'));
    others.push(before);
    await bench.until(before, (view) => view.waveIndex === 1);
    for (const agent of bench.gateway.agents.values()) agent.answer = () => 'silent';
  }
  const id = await bench.start(fields, supersede === true ? { supersede } : {});
  await reach?.(bench, id);
  const isThere = (view: RolloutView): boolean => is(view) && view.holds.join() === holds.join();
  // One that nobody has looked at yet is to stay so.
  const view = await bench.view(id);
  if (!isThere(view)) await bench.until(id, isThere);
  return { first: id, others };
}

/** Lets everybody take turns until both rollouts have ended; answers what was wrong on the way. */
async function finishBoth(
  bench: EngineBench,
  { first, second, others = [] }: { first: string; second: string; others?: readonly string[] },
): Promise<readonly string[]> {
  const problems = new Set<string>();
  const before = bench.offered(bench.to);
  // The versions of the three rollouts at most, and the proven one.
  const known = new Set([
    '',
    bench.stable.hash,
    ...(await Promise.all([...others, first, second].map((id) => bench.view(id)))).map(({ to }) => to.hash),
  ]);
  const endedPhases = new Set(['succeeded', 'cancelled', 'rolled_back', 'rollback_failed']);
  for (let round = 0; round < ROUNDS; round += 1) {
    const undone = endedPhases.has((await bench.view(first)).phase);
    await bench.engine.reconcile(second);
    const waiting = await bench.view(second);
    // Its step may have turned back, and so ended, a first one that nobody was offered.
    const { phase } = await bench.view(first);
    if (!undone && !endedPhases.has(phase)) {
      if (waiting.phase === 'running' && !waiting.holds.includes('predecessor'))
        problems.add(`the second does not wait while the first is ${phase}`);
      if (bench.offered(waiting.to) > 0) problems.add(`the second is offered while the first is ${phase}`);
    }
    if (undone && endedPhases.has(waiting.phase)) return [...problems];
    await bench.gateway.round();
    for (const id of [...others, first]) await bench.engine.reconcile(id);
    if (bench.offered(bench.to) > before) problems.add('the first was offered to more agents after it was superseded');
    for (const { running, uid } of bench.gateway.agents.values()) if (!known.has(running)) problems.add(`${uid} runs ${running}`);
    bench.advance(MINUTE_MS);
  }
  return [
    ...problems,
    `not ended in ${ROUNDS} rounds: ${JSON.stringify([await bench.view(first), await bench.view(second)], undefined, 1)}`,
  ];
}

describe('superseding a rollout that is', () => {
  it.each(CASES)('$name: it is undone, and the new one starts from the proven version', async (given) => {
    const bench = await EngineBench.create(redis, given.agents ?? AGENTS, answering(given.gate));
    const { first, others } = await startFirst(bench, given);
    const started = (await bench.view(first)).waves[0]?.phase !== 'pending';
    const third = await bench.store('three');
    const body = { group: 'prod', config: { name: third.name, version: third.version }, strategy: PLAIN };
    expect(await bench.service.create(body, { actor: 'tester' })).toMatchObject({ kind: 'problem', type: 'rollout-active' });

    const second = await bench.start(PLAIN, { supersede: true }, third);
    const turned = await bench.view(first);
    expect(['rolling_back', 'rolled_back', 'cancelled']).toContain(turned.phase);
    expect(turned.holds).toEqual([]);
    await bench.engine.reconcile(second);
    if (started) {
      expect((await bench.view(second)).holds).toContain('predecessor');
      expect(bench.offered(third)).toBe(0);
    }
    await given.after?.(bench);

    expect(await finishBoth(bench, { first, second, others })).toEqual([]);
    const undone = await bench.view(first);
    expect(undone.phase).toBe(bench.offered(bench.to) === 0 ? 'cancelled' : 'rolled_back');
    expect(undone.outcome).toContain(given.name === 'rolling back' ? 'aborted by tester' : `superseded by rollout ${second}`);
    expect(undone.counts).toEqual(bench.offered(bench.to) === 0 ? {} : { restored: bench.offered(bench.to) });
    const done = await bench.view(second);
    expect(done.phase, done.outcome).toBe('succeeded');
    expect(done.from).toEqual(bench.stable);
    expect(done.counts).toEqual({ applied: AGENTS });
    const wrong = [...bench.gateway.agents.values()].filter(({ running, offered }) => running !== third.hash || offered !== third.hash);
    expect(wrong.map(({ uid }) => uid)).toEqual([]);
  });

  it('superseded and whose successor is aborted while it waits: everybody is back on the proven version', async () => {
    const bench = await EngineBench.create(redis, AGENTS);
    const first = await bench.start({ ...PLAIN, waves: [HALF, ALL].map((wave) => ({ ...wave, soak: '1h' })) });
    await bench.until(first, waveIs(0, 'soaking'));
    for (const agent of bench.gateway.agents.values()) agent.answer = () => 'silent';
    const third = await bench.store('three');
    const second = await bench.start(PLAIN, { supersede: true }, third);
    await bench.engine.reconcile(second);
    expect(await bench.service.act(second, 'abort', { actor: 'tester' })).toMatchObject({ kind: 'ok' });
    everybodyApplies(bench);
    expect(await finishBoth(bench, { first, second })).toEqual([]);
    expect((await bench.view(second)).counts).toEqual({});
    expect((await bench.view(first)).counts).toEqual({ restored: 20 });
    expect([...bench.gateway.agents.values()].filter(({ running }) => running !== bench.stable.hash)).toEqual([]);
    expect(bench.offered(third)).toBe(0);
  });

  it('held is tried for every hold that there is', () => {
    expect(new Set(CASES.flatMap(({ holds }) => holds))).toEqual(new Set(HOLD_REASONS));
  });
});
