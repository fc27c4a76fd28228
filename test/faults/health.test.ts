/** A config that everybody applies and that makes agents unhealthy long after: I1, I2, I3, I7 and I9 by `expectTruth`. */
import { expect, test } from 'vitest';
import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notOn, offeredTo } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const AGENTS = 60;
const stack = shareStack({ gateways: 2, coordinators: 1 });

/** Half of the fleet, watched until the test says otherwise, then all. */
const WATCHED = {
  ...FAST_STRATEGY,
  healthHold: '1s',
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

const unhealthyWith = (records: readonly AgentRecord[], hash: string): readonly AgentRecord[] =>
  records.filter(({ running, health }) => running === hash && !health.healthy);

test('agents that turn unhealthy in the soak, long after APPLIED and a healthHold, are caught by the health gate before the second wave', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'late-gate', agents: AGENTS });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('late-gate 1');
  const config = await deployment.store('late-gate 2');
  // No limit judges: what is left is the comparison with those that do not have it.
  const lenient = { failure: { maxCount: AGENTS, maxPercent: 100 }, success: { minRatio: 0.01 } };
  const id = await deployment.start(config, { ...WATCHED, ...lenient });
  const soaking = await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  expect(soaking.counts).toEqual({ applied: AGENTS / 2 });
  const touched = offeredTo(await fleet.records(), config.hash);
  expect(touched.filter(({ everApplied, health }) => !everApplied.includes(config.hash) || !health.healthy)).toEqual([]);

  const sick = touched.filter((_, position) => position % 5 === 0).map(({ index }) => index);
  await fleet.control({ do: 'set-health', healthy: false, lastError: 'exporter queue is full' }, { indexes: sick });
  await waitUntil(
    'the API to show them as unhealthy',
    async () => (await api.listAgents({ selector: fleet.selector, health: 'unhealthy' })).length,
    (unhealthy) => unhealthy === sick.length,
  );
  expect((await api.getRollout(id)).phase).toBe('running');
  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'rolled_back');

  expect(rollout.outcome).toBe('healthRegression: 20.0 % are unhealthy with the new config, 0.0 % without');
  expect(rollout.waves.map(({ phase, startedAt }) => [phase, startedAt !== null])).toEqual([
    ['failed', true],
    ['pending', false],
  ]);
  expect(rollout.waves[0]?.gates.find(({ gate }) => gate === 'healthRegression')).toMatchObject({ outcome: 'fail' });
  const records = await fleet.records();
  expect(offeredTo(records, config.hash)).toHaveLength(AGENTS / 2);
  expect(rollout.counts).toEqual({ restored: AGENTS / 2 });
  expect(notOn(records, before.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('agents that turn unhealthy in the soak and stay so become degraded, which takes the rollout back before the second wave', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'late-limit', agents: AGENTS });
  const deployment = await Deployment.create(api, fleet);
  const before = await deployment.prove('late-limit 1');
  const config = await deployment.store('late-limit 2');
  const id = await deployment.start(config, { ...WATCHED, failure: { maxCount: 2 }, success: { minRatio: 0.01 }, gates: ['ackRatio'] });
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  const touched = offeredTo(await fleet.records(), config.hash);
  const [first, ...others] = touched.map(({ index }) => index);

  // One is within the limit, for as long as it may last.
  await fleet.control({ do: 'set-health', healthy: false, lastError: 'exporter queue is full' }, { indexes: [first ?? 0] });
  await waitForRollout(api, id, 'to count one as degraded', ({ counts }) => counts['degraded'] === 1);
  expect((await api.getRollout(id)).phase).toBe('running');
  await fleet.control({ do: 'set-health', healthy: false, lastError: 'exporter queue is full' }, { indexes: others.slice(0, 9) });
  const rollout = await deployment.finish(id, 'rolled_back');

  expect(rollout.outcome).toContain('failure.maxCount');
  expect(rollout.waves.map(({ phase }) => phase)).toEqual(['failed', 'pending']);
  const events = await api.getEvents(id);
  const types = events.map(({ type }) => type);
  expect(types.indexOf('rollback.started')).toBeGreaterThan(0);
  expect(events.filter(({ to }) => to.waveIndex > 0)).toEqual([]);
  const failures = await api.getFailures(id);
  expect(new Set(failures.map(({ status, error }) => `${status}: ${error}`))).toEqual(new Set(['degraded: exporter queue is full']));
  const records = await fleet.records();
  expect(unhealthyWith(records, config.hash)).toEqual([]);
  expect(offeredTo(records, config.hash)).toHaveLength(AGENTS / 2);
  expect(rollout.counts).toEqual({ restored: AGENTS / 2 });
  expect(notOn(records, before.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});
