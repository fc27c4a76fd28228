/** Redis away, empty, full, behind a black hole: I1, I2, I3, I7 and I9 by `expectTruth`, I5 without any queue. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, isEnded, waitForRollout } from '../support/rollouts.ts';
import { SHORT_LEASES } from '../support/stack.ts';
import { notOn } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const IN_STEPS = { ...FAST_STRATEGY, maxInFlight: 20 };

test('a restart of Redis in the middle of a rollout delays it, and nothing else', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2, redis: { appendOnly: true } });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'restarted', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('restarted 1');
  const config = await deployment.store('restarted 2');
  const id = await deployment.start(config, IN_STEPS);
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 40);

  await stack.stopRedis('SIGKILL');
  await stack.startRedis();
  const rollout = await deployment.finish(id, 'succeeded');

  expect(rollout.counts).toEqual({ applied: 200 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('while Redis is away agents stay connected and are offered nothing; the rollout goes on when it is back', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1, redis: { appendOnly: true } });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'away', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('away 1');
  const config = await deployment.store('away 2');
  const id = await deployment.start(config, IN_STEPS);
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 40);

  await stack.stopRedis();
  // The second answer from now on was given after all that the gateways had still read from Redis.
  const atStop = new Map((await fleet.records()).map(({ uid, messagesReceived }) => [uid, messagesReceived]));
  const settled = await waitUntil(
    'every agent to be done with what it had been offered',
    async () => await fleet.records(),
    (records) =>
      records.every(
        ({ uid, lastReported, messagesReceived }) => lastReported.status === 'APPLIED' && messagesReceived >= (atStop.get(uid) ?? 0) + 2,
      ),
  );
  const offers = settled.reduce((sum, { offerCount }) => sum + offerCount, 0);
  const messages = settled.reduce((sum, { messagesReceived }) => sum + messagesReceived, 0);
  // Heartbeats are answered as before: several from every agent, which takes some seconds.
  const later = await waitUntil(
    'the gateways to have answered every agent several times',
    async () => await fleet.records(),
    (records) => records.reduce((sum, { messagesReceived }) => sum + messagesReceived, 0) >= messages + 4 * 200,
  );
  expect(later.filter(({ connected }) => connected)).toHaveLength(200);
  expect(later.reduce((sum, { offerCount }) => sum + offerCount, 0)).toBe(offers);
  const answer = await api.request('GET', `/rollouts/${id}`);
  expect(answer.status).toBe(503);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');

  await stack.startRedis();
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 200 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  expect((await fleet.records()).every(({ connects }) => connects === 1)).toBe(true);
  await expectTruth(api, fleet, id);
});

test('rollouts finish although the keys of the queues are deleted again and again', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'flushed', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  const redis = new Redis(stack.redisUrl);
  let isDone = false;
  let flushes = 0;
  const flushing = (async () => {
    while (!isDone) {
      const keys = [...(await redis.keys('{opamp}:opamp-rollouts*')), ...(await redis.keys('{opamp}:opamp-wakes*'))];
      if (keys.length > 0) {
        await redis.del(keys);
        flushes += 1;
      }
      await sleep(150);
    }
  })();
  context.onTestFinished(async () => {
    isDone = true;
    await flushing;
    redis.disconnect();
  });

  for (let round = 1; round <= 3; round += 1) {
    const config = await deployment.store(`flushed ${round}`);
    const id = await deployment.start(config, IN_STEPS);
    const rollout = await waitForRollout(api, id, 'to end while the queues are emptied', isEnded);
    expect(rollout.phase, rollout.outcome).toBe('succeeded');
    expect(rollout.counts).toEqual({ applied: 100 });
    expect(notOn(await fleet.records(), config.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  }
  expect(flushes).toBeGreaterThan(3);
});

test('a gateway and a coordinator whose connections to Redis are black holes hold up nobody else, and catch up', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2, redis: { proxied: true }, ...SHORT_LEASES });
  const api = stack.api.at(stack.apiUrlOf('coordinator-2'));
  const fleet = await useFleet(context, stack, { name: 'hole', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('hole 1');
  const config = await deployment.store('hole 2');
  const port = stack.port('gateway-1');
  const connectedSince = async (): Promise<Map<string, unknown>> =>
    new Map((await api.listAgents({ selector: fleet.selector })).map(({ uid, connectedAt }) => [uid, connectedAt]));
  const since = await connectedSince();

  stack.redisProxy('gateway-1').blackhole();
  stack.redisProxy('coordinator-1').blackhole();
  await waitUntil(
    'the API to show the agents of that gateway as away',
    async () => (await api.listAgents({ selector: fleet.selector, connected: 'false' })).length,
    (away) => away > 0,
  );
  const id = await deployment.start(config, FAST_STRATEGY);
  await deployment.finish(id, 'succeeded');
  const others = (await fleet.records()).filter(({ server, connected }) => connected && server !== `127.0.0.1:${port}`);
  expect(others.length).toBeGreaterThan(0);
  expect(notOn(others, config.hash)).toEqual([]);
  const stuck = stack.api.at(stack.apiUrlOf('coordinator-1'));
  expect((await stuck.request('GET', `/rollouts/${id}`)).status).toBe(503);

  stack.redisProxy('gateway-1').heal();
  stack.redisProxy('coordinator-1').heal();
  await waitUntil(
    'every agent to be connected again',
    async () => (await api.listAgents({ selector: fleet.selector, connected: 'true' })).length,
    (connected) => connected === 100,
  );
  await waitUntil(
    'the other coordinator to answer again',
    async () => (await stuck.getRollout(id)).phase,
    (phase) => phase === 'succeeded',
  );
  await expectTruth(api, fleet, id, { compareCounters: false });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  // Only the store had let go of them: a connection that never broke is as old as it was, for gates count those that did.
  const kept = (await fleet.records()).filter(({ connects, server }) => connects === 1 && server === `127.0.0.1:${port}`);
  expect(kept.length).toBeGreaterThan(0);
  const now = await connectedSince();
  expect(kept.map(({ uid }) => now.get(uid))).toEqual(kept.map(({ uid }) => since.get(uid)));
});

test('a Redis without memory stops a rollout where it is; with memory again it goes on', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'full', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('full 1');
  const config = await deployment.store('full 2');
  const redis = new Redis(stack.redisUrl);
  context.onTestFinished(() => redis.disconnect());
  // Slow enough to be in its middle when the memory ends.
  const id = await deployment.start(config, { ...FAST_STRATEGY, rate: { start: 12, factor: 1, max: 12 } });
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 20);

  await redis.config('SET', 'maxmemory', '1mb');
  const settled = await waitUntil(
    'every agent to be done with what it had been offered',
    async () => await fleet.records(),
    (records) => records.every(({ lastReported }) => lastReported.status === 'APPLIED'),
  );
  const answer = await api.request('PUT', '/configs/full', {
    body: { files: { '': { body: 'receivers: {}\n', contentType: 'text/yaml' } }, message: '' },
  });
  expect([422, 503]).toContain(answer.status);
  expect((await api.request('PUT', '/groups/full-too', { body: { selector: 'env=full-too' } })).status).toBe(503);
  expect((await api.getRollout(id)).phase).toBe('running');
  const offers = settled.reduce((sum, { offerCount }) => sum + offerCount, 0);
  expect(offers).toBeLessThan(200);

  await redis.config('SET', 'maxmemory', '0');
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 100 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('a store that came back empty knows every agent again, and takes a new rollout', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'emptied', agents: 100 });
  const before = await Deployment.create(api, fleet);
  const former = await before.prove('emptied 1');

  await stack.stopRedis('SIGKILL');
  await stack.startRedis();
  await waitUntil(
    'the API to know every agent and what it runs again',
    async () =>
      (await api.listAgents({ selector: fleet.selector, connected: 'true' })).filter(({ config }) => config.hash === former.hash).length,
    (known) => known === 100,
  );
  expect(await api.listRollouts()).toEqual([]);
  // Nothing is desired any more: everybody keeps what it has.
  expect(notOn(await fleet.records(), former.hash)).toEqual([]);

  const deployment = await Deployment.create(api, fleet);
  const config = await deployment.store('emptied 2');
  const id = await deployment.start(config);
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 100 });
  await expectTruth(api, fleet, id);
});
