import { parseSpec } from '@opamp-gateway/shared/fleet-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineBench, FAST } from './support/engine-bench.ts';
import type { EngineBenchOptions } from './support/engine-bench.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

let redis: RedisLab;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(async () => {
  await redis.stop();
});

async function bench(agents: number, options: EngineBenchOptions = {}): Promise<EngineBench> {
  return await EngineBench.create(redis, agents, options);
}

describe('a rollout against Redis', () => {
  it('goes from canary to everybody, and makes the version the proven one', async () => {
    const b = await bench(20);
    const id = await b.start(FAST);
    const canary = await b.until(id, (view) => view.waves[0]?.counts.applied !== undefined);
    expect(canary.counts).toEqual({ applied: 2 });
    const done = await b.until(id, (view) => view.phase === 'succeeded');
    expect(done.counts).toEqual({ applied: 20 });
    expect(done.waves.map((wave) => [wave.phase, wave.counts])).toEqual([
      ['passed', { applied: 2 }],
      ['passed', { applied: 8 }],
      ['passed', { applied: 10 }],
    ]);
    await b.engine.reconcile(id);
    await b.gateway.round();
    const spec = parseSpec(await redis.client.hgetall(b.keys.spec));
    expect(spec.rollouts.size).toBe(0);
    expect(spec.groups[0]?.stable).toEqual(b.to);
    expect(spec.groups[0]?.previous).toEqual(b.stable);
    expect([...b.gateway.agents.values()].every((agent) => agent.running === b.to.hash)).toBe(true);
    expect((await b.service.get(id))?.counts).toEqual({ applied: 20 });
    expect(await redis.client.zscore(b.keys.rolloutsDue, id)).toBeNull();
    expect(await redis.client.hget(b.keys.rolloutsActive, 'prod')).toBeNull();
  });

  it('takes itself back when a canary fails, and touches nobody else', async () => {
    const b = await bench(20);
    for (const agent of b.gateway.agents.values()) agent.answer = (hash) => (hash === b.to.hash ? 'failed' : 'applied');
    const id = await b.start({ ...FAST, spreadBy: ['region'] });
    const done = await b.until(id, (view) => view.phase === 'rolled_back');
    expect(done.counts).toEqual({ restored: 2 });
    expect(done.outcome).toContain('failed');
    const touched = [...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash));
    expect(touched).toHaveLength(2);
    expect([...b.gateway.agents.values()].every((agent) => agent.offered === b.stable.hash)).toBe(true);
    const spec = parseSpec(await redis.client.hgetall(b.keys.spec));
    expect(spec.groups[0]?.stable).toEqual(b.stable);
    // Why it was taken back stays to be read.
    const { items: failures = [], groups } = (await b.service.failures(id, 1_000)) ?? {};
    expect(groups).toMatchObject({
      total: 2,
      byMessage: [{ status: 'failed', message: 'refused by the agent', count: 2 }],
      byStratum: [{ stratum: { region: 'eu' }, count: 2 }],
    });
    expect(failures.map((failure) => failure.uid).toSorted()).toEqual(touched.map((agent) => agent.uid).toSorted());
    expect(new Set(failures.map(({ status, error }) => `${status}: ${error}`))).toEqual(new Set(['failed: refused by the agent']));
  });

  it('pauses in the request itself and goes on after resume', async () => {
    const b = await bench(20);
    const id = await b.start(FAST);
    await b.until(id, (view) => view.waveIndex === 1);
    const paused = await b.service.act(id, 'pause', { actor: 'tester', reason: 'lunch' });
    expect(paused.kind === 'ok' && paused.view.holds).toEqual(['manual']);
    const before = [...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash)).length;
    for (let round = 0; round < 5; round += 1) {
      await b.gateway.round();
      await b.engine.reconcile(id);
    }
    expect([...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash))).toHaveLength(before);
    expect(await b.service.act(id, 'resume', { actor: 'tester', expectedRev: 1 })).toMatchObject({ kind: 'problem', status: 412 });
    await b.service.act(id, 'resume', { actor: 'tester' });
    await b.until(id, (view) => view.phase === 'succeeded');
  });

  it('holds instead of rolling back when the wave says so, refuses resume while tripped, and retries', async () => {
    const b = await bench(20);
    let broken = true;
    for (const agent of b.gateway.agents.values()) agent.answer = (hash) => (hash === b.to.hash && broken ? 'failed' : 'applied');
    const id = await b.start({ ...FAST, onFailure: 'pause' });
    await b.until(id, (view) => view.holds.includes('threshold'));
    expect(await b.service.act(id, 'resume', { actor: 'tester' })).toMatchObject({
      kind: 'problem',
      status: 409,
      detail: expect.stringContaining('failure.maxCount'),
    });
    expect((await b.service.failures(id, 1_000))?.items.map((failure) => failure.error)).toEqual([
      'refused by the agent',
      'refused by the agent',
    ]);
    broken = false;
    expect(await b.service.act(id, 'retry', { actor: 'tester' })).toMatchObject({ kind: 'ok' });
    const done = await b.until(id, (view) => view.phase === 'succeeded');
    expect(done.attempt).toBe(2);
    expect(done.counts).toEqual({ applied: 20 });
    expect(await b.service.failures(id, 1_000)).toMatchObject({ items: [], groups: { total: 0 } });
  });

  it('aborts a running rollout, and takes a succeeded one back by a new one', async () => {
    const b = await bench(10);
    const first = await b.start(FAST);
    await b.until(first, (view) => view.waveIndex === 1);
    await b.service.act(first, 'abort', { actor: 'tester' });
    await b.until(first, (view) => view.phase === 'rolled_back');
    const second = await b.start(FAST);
    await b.until(second, (view) => view.phase === 'succeeded');
    await b.engine.reconcile(second);
    const outcome = await b.service.act(second, 'rollback', { actor: 'tester' });
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    const done = await b.until(outcome.id, (view) => view.phase === 'succeeded');
    expect(done.revertOf).toBe(second);
    await b.gateway.round();
    expect([...b.gateway.agents.values()].every((agent) => agent.running === b.stable.hash)).toBe(true);
  });

  it('lists agents it cannot take back when there was no version before', async () => {
    const b = await bench(5, { stable: false });
    for (const agent of b.gateway.agents.values()) agent.answer = () => 'failed';
    const id = await b.start(FAST);
    const done = await b.until(id, (view) => view.phase === 'rollback_failed');
    expect(done.from).toBeNull();
    expect(done.warnings).toEqual(['no_way_back']);
    expect(done.counts).toEqual({ restoreFailed: 2 });
  });

  it('goes back to the baseline with those it touched, and leaves the others alone', async () => {
    const b = await bench(5, { stable: false });
    for (const agent of b.gateway.agents.values()) agent.answer = (hash) => (hash === b.to.hash ? 'failed' : 'applied');
    const id = await b.start(FAST, { baseline: { name: b.stable.name, version: b.stable.version } });
    const done = await b.until(id, (view) => view.phase === 'rolled_back');
    expect(done.counts).toEqual({ restored: 2 });
    expect([...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.stable.hash))).toHaveLength(2);
  });

  it('supersedes: the former one is taken back first, then the new one starts', async () => {
    const b = await bench(10);
    const first = await b.start(FAST);
    await b.until(first, (view) => view.waveIndex === 1);
    expect(await b.service.create({ group: 'prod', config: { name: 'base', version: 2 } }, { actor: 'tester' })).toMatchObject({
      kind: 'problem',
      status: 409,
    });
    const second = await b.start(FAST, { supersede: true });
    await b.engine.reconcile(second);
    expect((await b.service.get(second))?.holds).toEqual(['predecessor']);
    expect((await b.service.get(first))?.phase).toBe('rolling_back');
    await b.until(first, (view) => view.phase === 'rolled_back');
    const done = await b.until(second, (view) => view.phase === 'succeeded');
    expect(done.from).toEqual(b.stable);
  });

  it('says that the fleet is frozen, while it runs and in lists, and no more once it has ended', async () => {
    const b = await bench(4);
    const id = await b.start(FAST);
    expect((await b.service.get(id))?.fleetFrozen).toBe(false);
    await redis.client.hset(b.keys.spec, 'frozen', '1');
    expect((await b.service.get(id))?.fleetFrozen).toBe(true);
    expect((await b.service.list({ limit: 10 })).items.map(({ fleetFrozen }) => fleetFrozen)).toEqual([true]);
    const cancelled = await b.service.act(id, 'cancel', { actor: 'tester' });
    expect(cancelled).toMatchObject({ kind: 'ok', view: { phase: 'cancelled', fleetFrozen: false } });
    expect((await b.service.list({ limit: 10 })).items.map(({ fleetFrozen }) => fleetFrozen)).toEqual([false]);
  });

  it('says nothing of a freeze where a version is taken back, which goes through one', async () => {
    const b = await bench(4);
    const first = await b.start(FAST);
    await b.until(first, (view) => view.phase === 'succeeded');
    await b.engine.reconcile(first);
    await redis.client.hset(b.keys.spec, 'frozen', '1');
    const taken = await b.service.act(first, 'rollback', { actor: 'tester' });
    const id = taken.kind === 'created' ? taken.id : '';
    await b.engine.reconcile(id);
    expect(await b.view(id)).toMatchObject({ phase: 'running', revertOf: first, fleetFrozen: false });
    expect(parseSpec(await redis.client.hgetall(b.keys.spec)).rollouts.get('prod')).toMatchObject({ id, revert: true });
  });

  it('supersedes one that had offered nothing: it is cancelled, and the new one starts at once', async () => {
    const b = await bench(5);
    const first = await b.start({ ...FAST, schedule: { startAt: '2100-01-01T00:00:00Z' } });
    await b.until(first, (view) => view.holds.includes('not_started'));
    const second = await b.start(FAST, { supersede: true });
    expect(await b.service.get(first)).toMatchObject({
      phase: 'cancelled',
      outcome: `aborted by tester: superseded by rollout ${second}; nobody had been offered it`,
    });
    await b.until(second, (view) => view.phase === 'succeeded');
  });

  it('waits for agents instead of succeeding without any', async () => {
    const b = await bench(0);
    const id = await b.start(FAST);
    await b.until(id, (view) => view.holds.includes('no_agents'));
    await b.gateway.connect(uidsOf(3));
    const done = await b.until(id, (view) => view.phase === 'succeeded');
    expect(done.counts).toEqual({ applied: 3 });
  });

  it('writes events without gaps, each from where the one before led', async () => {
    const b = await bench(10);
    const id = await b.start(FAST);
    const done = await b.until(id, (view) => view.phase === 'succeeded');
    const events = (await b.service.events(id, 0)) ?? [];
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    expect(events).toHaveLength(done.eventSeq);
    events.forEach((event, index) => expect(event.from).toEqual(index === 0 ? null : events[index - 1]?.to));
    expect(events.at(-1)).toMatchObject({ type: 'rollout.succeeded', to: { phase: 'succeeded' } });
    const followed: number[] = [];
    for await (const event of b.service.follow(id, 2, new AbortController().signal)) followed.push(event.seq);
    expect(followed).toEqual(events.map((event) => event.seq).slice(2));
  });

  it('one idempotency key a hundred times at once is one rollout', async () => {
    const b = await bench(1);
    const body = { group: 'prod', config: { name: 'base', version: 2 }, strategy: FAST };
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, () => b.service.create(body, { actor: 'tester', idempotencyKey: 'once' })),
    );
    expect(outcomes.filter((outcome) => outcome.kind === 'created')).toHaveLength(1);
    expect(
      new Set(outcomes.map((outcome) => (outcome.kind === 'created' || outcome.kind === 'existing' ? outcome.id : outcome.kind))).size,
    ).toBe(1);
    expect(await redis.client.zcard(b.keys.rollouts)).toBe(1);
    // The order of the members is no difference, another member is one.
    const again = { strategy: FAST, config: { version: 2, name: 'base' }, group: 'prod' };
    expect(await b.service.create(again, { actor: 'somebody', idempotencyKey: 'once' })).toMatchObject({ kind: 'existing' });
    for (const other of [{ ...body, reason: 'another' }, { ...body, config: { name: 'base', version: 0 } }, 'please']) {
      expect(await b.service.create(other, { actor: 'tester', idempotencyKey: 'once' })).toMatchObject({
        kind: 'problem',
        type: 'idempotency-key-reused',
        status: 422,
      });
    }
  });

  it('previews without leaving a trace', async () => {
    const b = await bench(40);
    const body = { group: 'prod', config: { name: 'base', version: 2 }, strategy: FAST };
    const outcome = await b.service.create(body, { actor: 'tester', dryRun: true });
    if (outcome.kind !== 'preview') throw new Error(JSON.stringify(outcome));
    expect(outcome.preview).toMatchObject({
      from: b.stable,
      to: b.to,
      agents: { connected: 40, takesConfig: 40, unverified: 0, unsupported: 0, alreadyThere: 0, estimated: false },
      waves: [
        { agents: 2, adds: 2, approval: 'none', onFailure: 'rollback' },
        { agents: 20, adds: 18 },
        { agents: 40, adds: 20 },
      ],
      schedule: { windowOpen: null },
      conflict: null,
      warnings: [],
    });
    expect(outcome.preview.canary.agents).toHaveLength(2);
    expect(await redis.client.exists(b.keys.rollouts, b.keys.rolloutsActive)).toBe(0);
    const bad = await b.service.create({ ...body, config: { name: 'base', version: 99 } }, { actor: 'tester', dryRun: true });
    expect(bad).toMatchObject({ kind: 'problem', status: 404, errors: [{ path: 'config' }] });
  });

  it('previews who is away, pinned, in which stratum, and what a wave of labels reaches', async () => {
    const b = await bench(40);
    await b.gateway.connect(uidsOf(20, 100), { region: 'us', ring: 'early' });
    await b.gateway.disconnect(uidsOf(5));
    const [pinned = ''] = uidsOf(1, 30);
    await b.gateway.pin(pinned);
    const strategy = {
      ...FAST,
      spreadBy: ['region'],
      waves: [{ size: { count: 2 } }, { size: { labels: 'ring=early' } }, { size: { percent: 100 } }],
      schedule: { windows: [{ days: [], from: '22:00', to: '22:00', timeZone: 'UTC' }] },
    };
    const outcome = await b.service.create(
      { group: 'prod', config: { name: 'base', version: 2 }, strategy },
      { actor: 'tester', dryRun: true },
    );
    if (outcome.kind !== 'preview') throw new Error(JSON.stringify(outcome));
    const { agents, waves, schedule, canary } = outcome.preview;
    expect(agents).toMatchObject({
      connected: 55,
      takesConfig: 54,
      away: 5,
      pinned: 1,
      unsupported: 0,
      byStratum: [
        { stratum: { region: 'eu' }, agents: 34 },
        { stratum: { region: 'us' }, agents: 20 },
      ],
      byVersion: [{ version: '', agents: 54 }],
      byLabel: [],
    });
    // 20 of 54 have the label, about one of them a canary already.
    expect(waves.map((wave) => wave.agents)).toEqual([2, 21, 54]);
    expect(canary).toMatchObject({ strata: 2, strataCovered: 2 });
    expect(schedule.windowOpen).toBe(true);
  });

  it('takes the named agents first, and only those', async () => {
    const b = await bench(20);
    const named = uidsOf(3, 5);
    const id = await b.start({ ...FAST, waves: [{ size: { agents: named }, soak: '1h' }, { size: { percent: 100 } }] });
    await b.until(id, (view) => view.waves[0]?.phase === 'soaking');
    const touched = [...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash)).map((agent) => agent.uid);
    expect(touched.toSorted()).toEqual(named.toSorted());
  });

  it('moves a wave of labels over those that have them, wherever they lie in the order', async () => {
    const b = await bench(0);
    await b.gateway.connect(uidsOf(10), { env: 'test' });
    await b.gateway.connect(uidsOf(10, 100), { env: 'live' });
    await b.gateway.round();
    const id = await b.start({ ...FAST, waves: [{ size: { labels: 'env=test' }, soak: '1h' }, { size: { percent: 100 } }] });
    await b.until(id, (view) => view.waves[0]?.phase === 'soaking');
    const touched = [...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash));
    expect(touched).toHaveLength(10);
    expect(touched.every((agent) => agent.attributes['env'] === 'test')).toBe(true);
  });

  it('compares the health of a wave with that of agents it has not touched', async () => {
    const b = await bench(60);
    const id = await b.start({
      ...FAST,
      waves: [{ size: { percent: 50 }, soak: '1h' }, { size: { percent: 100 } }],
      onFailure: 'pause',
      ackTimeout: '1h',
    });
    await b.until(id, (view) => view.waves[0]?.phase === 'soaking');
    const touched = [...b.gateway.agents.values()].filter((agent) => agent.offers.includes(b.to.hash));
    expect(touched).toHaveLength(30);
    for (const agent of touched.slice(0, 5)) await b.gateway.setHealth(agent.uid, false);
    await b.service.act(id, 'promote', { actor: 'tester' });
    const held = await b.until(id, (view) => view.holds.includes('threshold'));
    expect(held.holdDetails[0]?.detail).toContain('healthRegression: 16.7 % are unhealthy with the new config, 0.0 % without');
    for (const agent of touched) await b.gateway.setHealth(agent.uid, true);
    await b.service.act(id, 'resume', { actor: 'tester' });
    await b.until(id, (view) => view.waveIndex === 1);
  });

  it('takes tuned limits over for the present wave and those after it', async () => {
    const b = await bench(20);
    for (const agent of b.gateway.agents.values()) agent.answer = (hash) => (hash === b.to.hash ? 'failed' : 'applied');
    const id = await b.start({ ...FAST, onFailure: 'pause' });
    await b.until(id, (view) => view.holds.includes('threshold'));
    expect(await b.service.tune(id, { ackTimeout: '1s', maxInFlight: 0 }, { actor: 'tester' })).toMatchObject({
      kind: 'problem',
      status: 422,
      errors: [{ path: 'strategy.maxInFlight' }, { path: 'strategy.ackTimeout' }],
    });
    const tuned = await b.service.tune(id, { onFailure: 'rollback', rate: { start: 5 } }, { actor: 'tester' });
    expect(tuned).toMatchObject({ kind: 'ok', view: { strategy: { rate: { start: 5 } } } });
    await b.until(id, (view) => view.phase === 'rolled_back');
  });

  it('lists rollouts newest first, page by page, each once', async () => {
    const b = await bench(1);
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      const id = await b.start(FAST);
      await b.service.act(id, index % 2 === 0 ? 'cancel' : 'abort', { actor: 'tester' });
      ids.unshift(id);
    }
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await b.service.list({ limit: 3, cursor });
      seen.push(...page.items.map((view) => view.id));
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    // Those of one millisecond stand in the order of their ids.
    expect(seen.toSorted()).toEqual(ids.toSorted());
    expect(new Set(seen).size).toBe(7);
    const cancelled = await b.service.list({ limit: 10, phase: 'cancelled' });
    // Nobody had been offered any of them, so those that were aborted end like those that were cancelled.
    expect(cancelled.items).toHaveLength(7);
    expect((await b.service.list({ limit: 10, group: 'nobody' })).items).toEqual([]);
  });

  it('replaces a canary that went away before its offer', async () => {
    const b = await bench(6);
    const id = await b.start({ ...FAST, waves: [{ size: { count: 1 }, soak: '1h' }] });
    await b.engine.reconcile(id);
    await b.gateway.readSpec();
    const [first] = b.gateway.spec.rollouts.get('prod')?.canary ?? [];
    await b.gateway.disconnect([first ?? '']);
    const view = await b.until(id, (seen) => seen.waves[0]?.phase === 'soaking');
    expect(view.counts).toEqual({ applied: 1 });
    expect(b.gateway.spec.rollouts.get('prod')?.canary).not.toContain(first);
  });
});
