/** Actions that meet each other: I1, I2, I3, I7 and I9 by `expectTruth`, I4 where a rollout is held. */
import { expect, test } from 'vitest';
import type { ConfigRef, RolloutAction } from '../support/api-client.ts';
import { APPLY_MS } from '../support/fleet.ts';
import { shareStack, useFleet, useSleepingFleet } from '../support/lifetimes.ts';
import { createRandom } from '../support/random.ts';
import { Deployment, expectTruth, FAST_STRATEGY, isEnded, ONE_WAVE, waitForRollout } from '../support/rollouts.ts';
import { notOn, notRestored, offeredTo, tooManyAtOnce } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 2 });

const HALF_THEN_WAIT = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

test('pauses and resumes that race with the steps of two coordinators break nothing', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'racing', agents: 120 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('racing 1');
  const config = await deployment.store('racing 2');
  const clients = stack().apiUrls.map((url) => api.at(url));
  const random = createRandom(7);
  const id = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 10 });

  let isOver = false;
  const pick = (): RolloutAction => (random() < 0.5 ? 'pause' : 'resume');
  const operators = Promise.all(
    clients.map(async (client) => {
      while (!isOver) {
        // Refusals are part of it: resume of what is not held, actions after the end.
        await client.request('POST', `/rollouts/${id}/${pick()}`, { body: { reason: 'racing' } });
        await client.getRollout(id);
      }
    }),
  );
  // An error is told where they are awaited, or not at all when the test has failed before.
  operators.catch(() => undefined);
  context.onTestFinished(() => {
    isOver = true;
  });
  await waitForRollout(api, id, 'to have moved half', (rollout) => isEnded(rollout) || (rollout.counts['applied'] ?? 0) >= 60);
  isOver = true;
  await operators;
  await api.request('POST', `/rollouts/${id}/resume`, { body: {} });

  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 120 });
  expect(tooManyAtOnce(await fleet.records(), config.hash, { maxInFlight: 10, applyMs: APPLY_MS })).toEqual([]);
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('resume does not go on while the breaker is still tripped; abort then takes everybody back', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), {
    name: 'tripped',
    agents: 60,
    profiles: [{ profile: 'normal', fraction: 0.5, overrides: { failOn: [{ kind: 'validation', match: { contains: '(bad)' } }] } }],
  });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('tripped 1');
  const config = await deployment.store('tripped 2 (bad)');
  const id = await deployment.start(config, {
    ...FAST_STRATEGY,
    waves: [
      { size: { count: 20 }, soak: '0s' },
      { size: { percent: 100 }, soak: '0s' },
    ],
    onFailure: 'pause',
  });
  await waitForRollout(api, id, 'to be held', ({ holds }) => holds.includes('threshold'));
  const problem = await api.refusal('POST', `/rollouts/${id}/resume`, { body: {} });
  expect(problem).toMatchObject({ status: 409, type: '/problems/action-forbidden' });
  expect(problem.detail).toMatch(/stays held/);
  expect((await api.getRollout(id)).holds).toContain('threshold');
  // Who failed is back on the version before at once, whatever the rollout does.
  await waitUntilRight('the agents that failed to be back', async () =>
    notOn(
      (await fleet.records()).filter(({ everFailed }) => everFailed.includes(config.hash)),
      before.hash,
    ),
  );
  // The first that fail hold the rollout, perhaps before another gateway has offered it to all of its own.
  const touched = offeredTo(await fleet.records(), config.hash).length;
  expect(touched).toBeLessThanOrEqual(20);

  await api.act(id, 'abort');
  const rollout = await deployment.finish(id, 'rolled_back');
  expect(notRestored(rollout, offeredTo(await fleet.records(), config.hash))).toEqual([]);
  expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(touched);
  expect(notOn(await fleet.records(), before.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('a rollout that supersedes another one starts from the last proven version, after the other is undone', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'superseded', agents: 60 });
  const deployment = await Deployment.create(api, fleet);
  const proven = await deployment.prove('superseded 1');
  const second = await deployment.store('superseded 2');
  const third = await deployment.store('superseded 3');
  const first = await deployment.start(second, HALF_THEN_WAIT);
  await waitForRollout(api, first, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  const body = { group: fleet.name, config: { name: third.name, version: third.version }, strategy: FAST_STRATEGY };
  expect(await api.refusal('POST', '/rollouts', { body })).toMatchObject({ status: 409, type: '/problems/rollout-active' });

  const id = await api.createRollout({ ...body, supersede: true });
  const rollout = await deployment.finish(id, 'succeeded');
  const undone = await api.getRollout(first);
  expect(undone.phase).toBe('rolled_back');
  expect(undone.counts).toEqual({ restored: 30 });
  expect(rollout.from).toMatchObject({ hash: proven.hash });
  expect(Date.parse(undone.endedAt ?? '')).toBeLessThanOrEqual(Date.parse(rollout.waves[0]?.startedAt ?? ''));
  expect(rollout.counts).toEqual({ applied: 60 });
  expect(notOn(await fleet.records(), third.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('rollouts that supersede each other in the middle of a wave and of a rollback leave everybody on the last one', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'overtaken', agents: 60 });
  const deployment = await Deployment.create(api, fleet);
  const proven = await deployment.prove('overtaken 1');
  const configs = [
    await deployment.store('overtaken 2'),
    await deployment.store('overtaken 3'),
    await deployment.store('overtaken 4'),
  ] as const;
  // Slow enough for this test to come while the second wave is under way.
  const first = await deployment.start(configs[0], { ...FAST_STRATEGY, rate: { start: 2, factor: 1, max: 2 } });
  await waitForRollout(
    api,
    first,
    'to be in its second wave',
    ({ waveIndex, counts }) => waveIndex === 1 && (counts['applied'] ?? 0) >= 10,
  );
  const supersede = async ({ name, version }: ConfigRef, strategy: unknown = FAST_STRATEGY): Promise<string> =>
    await api.createRollout({ group: fleet.name, config: { name, version }, strategy, supersede: true });
  // Not begun when the third comes, however fast the first is undone.
  const [canary, ...others] = FAST_STRATEGY['waves'] as readonly object[];
  const second = await supersede(configs[1], { ...FAST_STRATEGY, waves: [{ ...canary, approval: 'before' }, ...others] });
  const third = await supersede(configs[2]);

  const rollout = await deployment.finish(third, 'succeeded');
  const undone = [await api.getRollout(first), await api.getRollout(second)];
  expect(undone.map(({ phase }) => phase)).toEqual(['rolled_back', 'cancelled']);
  const records = await fleet.records();
  const touched = offeredTo(records, configs[0].hash);
  expect(touched.length).toBeLessThan(60);
  expect(notRestored(undone[0] ?? rollout, touched)).toEqual([]);
  expect(undone[1]?.counts).toEqual({});
  expect(offeredTo(records, configs[1].hash)).toEqual([]);
  expect(rollout.from).toMatchObject({ hash: proven.hash });
  expect(Date.parse(undone[0]?.endedAt ?? '')).toBeLessThanOrEqual(Date.parse(rollout.waves[0]?.startedAt ?? ''));
  expect(notOn(records, configs[2].hash)).toEqual([]);
  await expectTruth(api, fleet, third);
});

test('rolling back a rollout that had succeeded brings everybody to the version before', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'regretted', agents: 40 });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('regretted 1');
  const config = await deployment.store('regretted 2');
  const first = await deployment.start(config);
  await deployment.finish(first, 'succeeded');

  const answer = (await api.call('POST', `/rollouts/${first}/rollback`, { body: { reason: 'regret' } })) as { readonly id: string };
  expect(answer.id).not.toBe(first);
  const rollout = await deployment.finish(answer.id, 'succeeded');
  expect(rollout.to).toMatchObject({ hash: before.hash });
  expect(notOn(await fleet.records(), before.hash)).toEqual([]);
  expect((await api.getGroup(fleet.name)).stable?.hash).toBe(before.hash);
  await expectTruth(api, fleet, answer.id);
});

test('a freeze stops all offers at once, also to who comes back; an abort goes through it', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'frozen', agents: 120 });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('frozen 1');
  const config = await deployment.store('frozen 2');
  const id = await deployment.start(config, { ...ONE_WAVE, rate: { start: 5, factor: 1, max: 5 } });
  await waitForRollout(api, id, 'to have begun', ({ counts }) => (counts['applied'] ?? 0) >= 10);

  context.onTestFinished(async () => {
    await api.call('POST', '/fleet/unfreeze', { body: { reason: 'the end of the test' } });
  });
  await api.call('POST', '/fleet/freeze', { body: { reason: 'incident' } });
  await waitUntilObserved();
  // Who was offered it before goes on; from here on the number stands still.
  const { counts } = await waitForRollout(api, id, 'to have settled who was offered it', (view) => isSettled(view.counts));
  const touched = counts['applied'] ?? 0;
  expect(touched).toBeLessThan(120);
  const untouched = (await fleet.records()).filter((record) => offeredTo([record], config.hash).length === 0);
  expect(untouched).toHaveLength(120 - touched);

  const others = untouched.map(({ index }) => index);
  await fleet.control({ do: 'offline' }, { indexes: others });
  await fleet.control({ do: 'online' }, { indexes: others });
  await fleet.waitUntilConnected();
  await waitUntilObserved();
  expect((await api.getRollout(id)).phase).toBe('running');
  expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(touched);

  await api.act(id, 'abort');
  const rollout = await deployment.finish(id, 'rolled_back');
  expect(rollout.counts).toEqual({ restored: touched });
  const records = await fleet.records();
  expect(offeredTo(records, config.hash)).toHaveLength(touched);
  expect(notOn(records, before.hash)).toEqual([]);
});

test('a rollback that an operator starts in a frozen fleet brings everybody back; other offers go on waiting', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'thawed', agents: 40 });
  const other = await useFleet(context, stack(), { name: 'icy', agents: 10 });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('thawed 1');
  const config = await deployment.store('thawed 2');
  const first = await deployment.start(config);
  await deployment.finish(first, 'succeeded');
  const waiting = await Deployment.create(api, other);
  const icy = await waiting.store('icy 1');

  context.onTestFinished(async () => {
    await api.call('POST', '/fleet/unfreeze', { body: { reason: 'the end of the test' } });
  });
  await api.call('POST', '/fleet/freeze', { body: { reason: 'incident' } });
  const held = await waiting.start(icy, ONE_WAVE);
  const answer = (await api.call('POST', `/rollouts/${first}/rollback`, { body: { reason: 'incident' } })) as { readonly id: string };
  const rollout = await deployment.finish(answer.id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 40 });
  expect(notOn(await fleet.records(), before.hash)).toEqual([]);
  await expectTruth(api, fleet, answer.id);

  expect(await api.getRollout(held)).toMatchObject({ phase: 'running', fleetFrozen: true });
  expect(offeredTo(await other.records(), icy.hash)).toEqual([]);
  await api.call('POST', '/fleet/unfreeze', { body: { reason: 'over' } });
  await waiting.finish(held, 'succeeded');
});

test('a rollout without an agent is held, not called a success, and goes on when one comes', async (context) => {
  const { api } = stack();
  const fleet = await useSleepingFleet(context, stack(), { name: 'lonely', agents: 1 });
  const deployment = await Deployment.create(api, fleet);
  const config = await deployment.store('lonely 1');
  const id = await deployment.start(config);
  await waitForRollout(api, id, 'to be held', ({ holds }) => holds.includes('no_agents'));
  await fleet.boot();
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 1 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('a good config is not blamed when a fifth of the fleet becomes unhealthy, with it and without', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'weather', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('weather 1');
  const config = await deployment.store('weather 2');
  const id = await deployment.start(config, {
    ...FAST_STRATEGY,
    waves: [
      { size: { percent: 50 }, soak: '1h' },
      { size: { percent: 100 }, soak: '0s' },
    ],
    failure: { maxPercent: 50 },
    success: { minRatio: 0.5 },
  });
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  // Every fifth agent on either side, so that the two halves can be compared.
  const records = await fleet.records();
  const inside = records.filter(({ running }) => running === config.hash);
  const outside = records.filter(({ running }) => running !== config.hash);
  const fifth = [...inside, ...outside].filter((_, index) => index % 5 === 0).map(({ index }) => index);
  await fleet.control({ do: 'set-health', healthy: false, lastError: 'backend is away' }, { indexes: fifth });
  await waitForRollout(api, id, 'to count them', ({ counts }) => (counts['degraded'] ?? 0) === 20);
  await api.act(id, 'promote');
  const rollout = await waitForRollout(
    api,
    id,
    'to be in its second wave',
    ({ waveIndex, phase }) => waveIndex === 1 || phase !== 'running',
  );
  // Its second wave may have passed by now.
  expect(['running', 'succeeded'], rollout.outcome).toContain(rollout.phase);
  await fleet.control({ do: 'set-health', healthy: true });
  await deployment.finish(id, 'succeeded');
  await waitUntilRight('everybody to run the new version', async () => notOn(await fleet.records(), config.hash));
});

/** Whether everybody who was offered the version has applied it. */
function isSettled(counts: Readonly<Record<string, number>>): boolean {
  return Object.entries(counts).every(([status, count]) => status === 'applied' || count === 0);
}

/** Waits until every gateway has met the present fleet spec with all of its sessions. */
async function waitUntilObserved(): Promise<void> {
  const { generation } = await stack().api.getFleet();
  await waitUntil(
    `every gateway to have met generation ${generation} of the fleet spec`,
    async () => await stack().api.listGateways(),
    (gateways) => gateways.length > 0 && gateways.every(({ observed }) => Number(observed.split(':')[0]) >= generation),
  );
}
