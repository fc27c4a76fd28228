import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { RowWatch } from '../support/row-watch.ts';
import { notOn } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const IN_STEPS = { ...FAST_STRATEGY, maxInFlight: 20 };

test('five SIGKILLs of gateways over several rollouts: every rollout succeeds, every agent ends on its version', async (context) => {
  const stack = await useStack(context, { gateways: 3, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'kills', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('kills 0');

  for (let round = 1; round <= 5; round += 1) {
    const config = await deployment.store(`kills ${round}`);
    const id = await deployment.start(config, IN_STEPS);
    const watch = RowWatch.start(api, id);
    await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 20 * round);
    await stack.restart(`gateway-${1 + (round % 3)}`);
    const rollout = await deployment.finish(id, 'succeeded');
    expect(await watch.stop()).toEqual([]);
    await fleet.waitUntilConnected();
    await expectTruth(api, fleet, id, { compareCounters: false });
    expect(notOn(await fleet.records(), config.hash)).toEqual([]);
    expect(Object.keys(rollout.counts), 'statuses at the end').toEqual(['applied']);
  }
});

test('a gateway that stops on SIGTERM in the middle of a wave hands its agents on and leaves the rollout whole', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'drained', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('drained 1');
  const config = await deployment.store('drained 2');
  const id = await deployment.start(config, IN_STEPS);
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 40);

  expect(await stack.kill('gateway-1', 'SIGTERM')).toEqual({ code: 0, signal: null });
  const rollout = await deployment.finish(id, 'succeeded');

  await fleet.waitUntilConnected();
  await expectTruth(api, fleet, id, { compareCounters: false });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  expect(Object.keys(rollout.counts)).toEqual(['applied']);
});

test('a gateway that was frozen for longer than its lease takes its agents back when it wakes up', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'frozen', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('frozen 1');
  const config = await deployment.store('frozen 2');
  const id = await deployment.start(config, { ...IN_STEPS, maxInFlight: 5 });
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 10);

  stack.signal('gateway-1', 'SIGSTOP');
  await waitUntil(
    'the API to show the agents of the frozen gateway as away',
    async () => (await api.listAgents({ selector: fleet.selector, connected: 'false' })).length,
    (away) => away > 0,
  );
  stack.signal('gateway-1', 'SIGCONT');
  await deployment.finish(id, 'succeeded');

  await waitUntil(
    'the API to show every agent as connected again',
    async () => (await api.listAgents({ selector: fleet.selector, connected: 'true' })).length,
    (connected) => connected === 100,
  );
  await expectTruth(api, fleet, id, { compareCounters: false });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
});
