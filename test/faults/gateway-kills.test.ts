/** Gateways that die, freeze or stop: I1, I2, I3, I7 and I9 by `expectTruth`, I6 by the row watch. */
import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { RowWatch } from '../support/row-watch.ts';
import { SHORT_LEASES } from '../support/stack.ts';
import { notOn, settledStatuses } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const IN_STEPS = { ...FAST_STRATEGY, maxInFlight: 20 };

test('five SIGKILLs of gateways over several rollouts: every rollout succeeds, every agent ends on its version', async (context) => {
  const stack = await useStack(context, { gateways: 3, coordinators: 1, ...SHORT_LEASES });
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
    expect(settledStatuses(rollout.counts), 'statuses at the end').toEqual(['applied']);
  }
});

test('a gateway that stops on SIGTERM in the middle of a wave hands its agents on and leaves the rollout whole', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1, ...SHORT_LEASES });
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
  expect(settledStatuses(rollout.counts)).toEqual(['applied']);
});

test('a gateway that is stopped while a wave soaks, as in an upgrade, does not make its config look bad', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1, ...SHORT_LEASES });
  const { api } = stack;
  const [first = '', second = ''] = stack.gatewayUrls;
  // Those that get the config first are mostly on the gateway that dies, the others mostly on the other one.
  const name = 'soaking';
  const cohort = await useFleet(context, stack, { name, agents: 60, attributes: { part: 'one' }, urls: [first, first, first, second] });
  const others = await useFleet(context, stack, { name, agents: 60, attributes: { part: 'two' }, urls: [second, second, second, first] });
  const deployment = await Deployment.create(api, cohort);
  await deployment.prove('soaking 1');
  const config = await deployment.store('soaking 2');
  const id = await deployment.start(config, {
    ...FAST_STRATEGY,
    waves: [
      { size: { labels: 'part=one' }, soak: '1h' },
      { size: { percent: 100 }, soak: '0s' },
    ],
  });
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');

  await stack.kill('gateway-1', 'SIGTERM');
  await waitUntil(
    'the API to show every agent on the other gateway',
    async () => (await api.listAgents({ selector: cohort.selector, gateway: 'gateway-2.1' })).length,
    (moved) => moved === 120,
  );
  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 120 });
  expect(notOn([...(await cohort.records()), ...(await others.records())], config.hash)).toEqual([]);
});

test('a gateway that was frozen for longer than its lease takes its agents back when it wakes up', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1, ...SHORT_LEASES });
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
