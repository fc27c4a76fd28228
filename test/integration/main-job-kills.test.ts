import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { SHORT_LEASES } from '../support/stack.ts';
import { notOn, settledStatuses } from '../support/truth.ts';

/** Some seconds long, so that there is a middle. */
const IN_STEPS = { ...FAST_STRATEGY, maxInFlight: 20 };

test('a rollout ends with every agent on the new version although one of two gateways is killed in its middle', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2, ...SHORT_LEASES });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'gateway-killed', agents: 300 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('gateway-killed 1');
  const config = await deployment.store('gateway-killed 2');
  const id = await deployment.start(config, IN_STEPS);
  await waitForRollout(api, id, 'to have moved a fifth', ({ counts }) => (counts['applied'] ?? 0) >= 60);

  await stack.kill('gateway-1', 'SIGKILL');
  const rollout = await deployment.finish(id, 'succeeded');

  await fleet.waitUntilConnected();
  await expectTruth(api, fleet, id, { compareCounters: false });
  const records = await fleet.records();
  expect(notOn(records, config.hash)).toEqual([]);
  expect(new Set(records.map(({ server }) => server))).toEqual(new Set([`127.0.0.1:${stack.port('gateway-2')}`]));
  expect(settledStatuses(rollout.counts)).toEqual(['applied']);
});

test('a rollout ends with every agent on the new version although the only coordinator is killed and another one started', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'coordinator-killed', agents: 300 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('coordinator-killed 1');
  const config = await deployment.store('coordinator-killed 2');
  const id = await deployment.start(config, IN_STEPS);
  await waitForRollout(api, id, 'to have moved a fifth', ({ counts }) => (counts['applied'] ?? 0) >= 60);

  await stack.kill('coordinator-1', 'SIGKILL');
  await stack.startCoordinator();
  const rollout = await deployment.finish(id, 'succeeded');

  expect(rollout.counts).toEqual({ applied: 300 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});
