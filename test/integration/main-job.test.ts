import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { RolloutView } from '../support/api-client.ts';
import { type AgentRecord, APPLY_MS, type Fleet } from '../support/fleet.ts';
import { shareStack, useFleet, useSleepingFleet } from '../support/lifetimes.ts';
import { Deployment, expectCountersAreRows, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notOn, notRestored, offeredTo, tooManyAtOnce } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 2 });

/** Half of the fleet, then a soak that only `promote` ends, then the rest. */
const HALF_THEN_WAIT = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

/** Slow enough to be in its middle when somebody intervenes. */
const UNHURRIED = { ...FAST_STRATEGY, rate: { start: 20, factor: 1, max: 20 } };

async function waitForSoak(id: string, wave = 0): Promise<RolloutView> {
  return await waitForRollout(stack().api, id, `to soak in wave ${wave}`, ({ waves }) => waves[wave]?.phase === 'soaking');
}

async function waitUntilOn(fleet: Fleet, hash: string | null, isMeant: (record: AgentRecord) => boolean = () => true): Promise<void> {
  await waitUntilRight(`the agents of ${fleet.name} to run ${hash?.slice(0, 8)}`, async () =>
    notOn((await fleet.records()).filter(isMeant), hash),
  );
}

describe('a rollout', () => {
  test('over 300 agents on two gateways ends with every agent on the new version, and counters that are the truth', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'good', agents: 300 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('good 1');
    const config = await deployment.store('good 2');

    const id = await deployment.start(config);
    const rollout = await deployment.finish(id, 'succeeded');

    expect(rollout.counts).toEqual({ applied: 300 });
    expect(rollout.waves.map(({ phase }) => phase)).toEqual(['passed', 'passed', 'passed']);
    expect(rollout.waves.map(({ counts }) => counts['applied'])).toEqual([5, 145, 150]);
    expect(notOn(await fleet.records(), config.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
    const byGateway = new Set((await api.listAgents({ selector: fleet.selector })).map(({ gateway }) => gateway));
    expect(byGateway.size, 'gateways that hold the agents').toBe(2);
    expect((await api.getGroup(fleet.name)).stable).toMatchObject({ version: config.version, hash: config.hash });
  });

  test('of a config that 5 % refuse is stopped by its first waves, and every agent that had it is back on the version before', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), {
      name: 'refused',
      agents: 300,
      profiles: [{ profile: 'normal', fraction: 0.05, overrides: { failOn: [{ kind: 'validation', match: { contains: 'refused 2' } }] } }],
    });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('refused 1');
    const config = await deployment.store('refused 2');

    const id = await deployment.start(config, {
      ...FAST_STRATEGY,
      // Which agents come first is drawn: that none of the 15 is among the first 180 of 300 happens once in a million times.
      waves: [
        { size: { count: 10 }, soak: '0s' },
        { size: { percent: 60 }, soak: '0s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
      failure: { maxCount: 0 },
    });
    const rollout = await deployment.finish(id, 'rolled_back');

    expect(rollout.waveIndex).toBeLessThanOrEqual(1);
    expect(rollout.outcome).toMatch(/failed/);
    const records = await fleet.records();
    const touched = offeredTo(records, config.hash);
    expect(touched.length).toBeGreaterThan(0);
    expect(touched.length).toBeLessThanOrEqual(180);
    expect(touched.filter(({ everFailed }) => everFailed.includes(config.hash)).length).toBeGreaterThan(0);
    expect(notRestored(rollout, touched)).toEqual([]);
    expect(notOn(records, before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
    expect((await api.getGroup(fleet.name)).stable?.hash).toBe(before.hash);
  });

  test('reaches an agent that was away all the time when that comes back', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'returner', agents: 60 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('returner 1');
    const away = Array.from({ length: 15 }, (_, index) => index * 4);
    await fleet.control({ do: 'offline' }, { indexes: away });
    await waitUntil(
      'the API to show them as away',
      async () => (await api.listAgents({ selector: fleet.selector, connected: 'false' })).length,
      (count) => count === away.length,
    );
    const config = await deployment.store('returner 2');

    const id = await deployment.start(config);
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 45 });
    expect(notOn(await fleet.records({ indexes: away }), before.hash)).toEqual([]);

    await fleet.control({ do: 'online' }, { indexes: away });
    await waitUntilOn(fleet, config.hash);
    await expectTruth(api, fleet, id, { compareCounters: false });
  });

  test('gives an agent that connects for the first time in its middle the version of its wave', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'newcomer', agents: 100 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('newcomer 1');
    const config = await deployment.store('newcomer 2');
    const id = await deployment.start(config, HALF_THEN_WAIT);
    await waitForSoak(id);

    const newcomers = await useSleepingFleet(context, stack(), { name: 'newcomer', agents: 60, firstIndex: 100 });
    await newcomers.boot();
    const settled = await waitUntil(
      'each newcomer to run one of the two versions',
      async () => await newcomers.records(),
      (records) =>
        records.every((record) => [config.hash, before.hash].includes(record.running ?? '') && record.lastReported.status === 'APPLIED'),
    );

    // The wave is everybody whose hash lies below one boundary, whoever came when.
    const placeOf = ({ originUid }: AgentRecord): string => createHash('sha256').update(`${id}:${originUid}`).digest('hex').slice(0, 12);
    const everybody = [...settled, ...(await fleet.records())];
    const inside = everybody.filter(({ running }) => running === config.hash).map(placeOf);
    const outside = everybody.filter(({ running }) => running === before.hash).map(placeOf);
    expect(inside.length + outside.length).toBe(160);
    expect(settled.some(({ running }) => running === config.hash)).toBe(true);
    expect(settled.some(({ running }) => running === before.hash)).toBe(true);
    expect(
      inside
        .toSorted()
        .at(-1)
        ?.localeCompare(outside.toSorted()[0] ?? ''),
    ).toBe(-1);

    await api.act(id, 'promote');
    await deployment.finish(id, 'succeeded');
    await waitUntilOn(newcomers, config.hash);
    await waitUntilOn(fleet, config.hash);
  });

  test('takes HTTP polling agents along like those on WebSockets', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'pollers', agents: 60, httpFraction: 0.5 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('pollers 1');
    const good = await deployment.store('pollers 2');
    // By default a wave goes on when nine of ten have been reached; here the last poller is waited for as well.
    const id = await deployment.start(good, { ...FAST_STRATEGY, success: { minReached: 1 } });
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 60 });
    expect((await fleet.records()).filter(({ transport }) => transport === 'http')).toHaveLength(30);
    await expectTruth(api, fleet, id);
    expect(before.hash).not.toBe(good.hash);

    const next = await deployment.store('pollers 3');
    const aborted = await deployment.start(next, HALF_THEN_WAIT);
    await waitForSoak(aborted);
    await api.act(aborted, 'abort');
    await deployment.finish(aborted, 'rolled_back');
    await waitUntilOn(fleet, good.hash);
    await expectTruth(api, fleet, aborted);
  });
});

describe('the brakes', () => {
  test('a paused rollout moves nobody new, also nobody who comes back; resume goes on to the end', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'paused', agents: 120 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('paused 1');
    const config = await deployment.store('paused 2');
    const id = await deployment.start(config, { ...UNHURRIED, maxInFlight: 10 });
    await waitForRollout(api, id, 'to have moved a fourth', ({ counts }) => (counts['applied'] ?? 0) >= 30);

    const paused = await api.act(id, 'pause');
    expect(paused.holds).toEqual(['manual']);
    await waitUntilObserved();
    await expectCountersAreRows(api, id);
    const moved = offeredTo(await fleet.records(), config.hash).map(({ uid }) => uid);
    expect(moved.length).toBeLessThan(120);

    // Whoever comes back meanwhile is evaluated anew, and still gets what it had.
    const connects = (await fleet.records()).reduce((sum, record) => sum + record.connects, 0);
    await fleet.control({ do: 'disconnect' });
    await waitUntil(
      'every agent to be back',
      async () => (await fleet.records()).reduce((sum, record) => sum + record.connects, 0),
      (count) => count >= connects + 120,
    );
    await waitUntilRight('the API to know all of them', async () => {
      const connected = await api.listAgents({ selector: fleet.selector, connected: 'true' });
      return connected.length === 120 ? [] : [`${connected.length} are connected`];
    });
    await waitUntilObserved();
    expect(offeredTo(await fleet.records(), config.hash).map(({ uid }) => uid)).toEqual(moved);
    expect((await api.getRollout(id)).holds).toEqual(['manual']);
    await expectCountersAreRows(api, id);

    await api.act(id, 'resume');
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 120 });
    expect(tooManyAtOnce(await fleet.records(), config.hash, { maxInFlight: 10, applyMs: APPLY_MS })).toEqual([]);
    expect(before.hash).not.toBe(config.hash);
    await expectTruth(api, fleet, id);
  });

  test('abort takes every agent that had the new version back to the one before', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'aborted', agents: 120 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('aborted 1');
    const config = await deployment.store('aborted 2');
    const id = await deployment.start(config, { ...UNHURRIED, maxInFlight: 20 });
    await waitForRollout(api, id, 'to have moved a fourth', ({ counts }) => (counts['applied'] ?? 0) >= 30);
    await api.act(id, 'pause');
    await api.act(id, 'abort', 'changed our minds');

    const rollout = await deployment.finish(id, 'rolled_back');
    const records = await fleet.records();
    const touched = offeredTo(records, config.hash);
    expect(touched.length).toBeGreaterThanOrEqual(30);
    expect(notRestored(rollout, touched)).toEqual([]);
    expect(rollout.outcome).toContain('changed our minds');
    expect(notOn(records, before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('promote cuts a soak short', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'promoted', agents: 40 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('promoted 1');
    const config = await deployment.store('promoted 2');
    const id = await deployment.start(config, HALF_THEN_WAIT);
    await waitForSoak(id);
    expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(20);
    await expectCountersAreRows(api, id);
    await api.act(id, 'promote');
    await deployment.finish(id, 'succeeded');
    expect(notOn(await fleet.records(), config.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('a group in mode observe is counted and offered nothing, and a rollout of it is refused', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'observed', agents: 30 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('observed 1');
    await api.putGroup(fleet.name, { selector: fleet.selector, priority: 10, mode: 'observe', expectAgents: 30 });
    const config = await deployment.store('observed 2');
    const problem = await api.refusal('POST', '/rollouts', {
      body: { group: fleet.name, config: { name: config.name, version: config.version } },
    });
    expect(problem).toMatchObject({ status: 409, type: '/problems/group-observed' });
    expect(problem.detail).toContain(fleet.name);

    // Agents that have never had anything join the group, and get nothing.
    const newcomers = await useFleet(context, stack(), { name: 'observed', agents: 10, firstIndex: 100 });
    await waitUntilObserved();
    await waitUntil(
      'the group to count them',
      async () => (await api.getGroup(fleet.name)).counts.connected,
      (connected) => connected === 40,
    );
    expect((await newcomers.records()).map(({ offerCount }) => offerCount)).toEqual(new Array(10).fill(0));
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
  });

  test('a group change that moves more than 20 agents needs their number', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), {
      name: 'guarded',
      agents: 40,
      attributes: { tier: { cycle: ['two', 'two', 'two', 'one'] } },
    });
    const deployment = await Deployment.create(api, fleet);
    const config = await deployment.prove('guarded 1');
    const selector = 'env=guarded,tier=two';
    const second = await Deployment.create(api, { name: 'guarded-two', selector }, { priority: 90 });
    const other = await second.prove('guarded-two 1');
    const isTwo = ({ attributes }: AgentRecord): boolean => attributes['tier'] === 'two';
    expect(notOn((await fleet.records()).filter(isTwo), other.hash)).toEqual([]);

    const change = { selector, priority: 1 };
    expect(await api.call('PUT', '/groups/guarded-two?dryRun=true', { body: change })).toMatchObject({ dryRun: true, agentsChanging: 30 });
    const problem = await api.refusal('PUT', '/groups/guarded-two', { body: change });
    expect(problem).toMatchObject({ status: 409, type: '/problems/expect-agents' });
    expect(problem.detail).toContain('30');
    expect(await api.refusal('PUT', '/groups/guarded-two', { body: { ...change, expectAgents: 40 } })).toMatchObject({ status: 409 });
    await waitUntilObserved();
    expect(notOn((await fleet.records()).filter(isTwo), other.hash)).toEqual([]);

    await api.putGroup('guarded-two', { ...change, expectAgents: 29 });
    await waitUntilOn(fleet, config.hash);

    const problemOfDelete = await api.refusal('DELETE', '/groups/guarded', { body: {} });
    expect(problemOfDelete).toMatchObject({ status: 409, type: '/problems/expect-agents' });
  });
});

/** Waits until every gateway has met the present fleet spec with all of its sessions. */
async function waitUntilObserved(): Promise<void> {
  const { generation } = await stack().api.getFleet();
  await waitUntil(
    `every gateway to have met generation ${generation} of the fleet spec`,
    async () => await stack().api.listGateways(),
    (gateways) => gateways.length > 0 && gateways.every(({ observed }) => Number(observed.split(':')[0]) >= generation),
  );
}
