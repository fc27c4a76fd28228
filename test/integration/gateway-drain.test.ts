/** Gateways that are told to send agents away, in the middle of a rollout; the truth is what agents saw. */
import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';

test('a gateway drained during a rollout loses no agent, takes nobody, and gets its share again', async (context) => {
  const stack = await useStack(context, { gateways: 3, coordinators: 1 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'moving', agents: 150 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('moving 1');
  const asked = (await fleet.records()).reduce((sum, { fullStateRequests }) => sum + fullStateRequests, 0);

  const [first] = await api.listGateways();
  const id = first?.id ?? '';
  const config = await deployment.store('moving 2');
  // Who is between two gateways when the last wave is complete is waited for, so that everybody is counted.
  const rollout = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 20, offline: 'wait' });
  await waitForRollout(api, rollout, 'to be in its second wave', ({ waveIndex }) => waveIndex >= 1);
  await api.call('POST', `/gateways/${id}/drain`, { body: { windowSeconds: 1, reason: 'test' } });
  const loadOf = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await api.listGateways()).map((gateway) => [gateway.id, gateway.connected]));
  const drained = await waitUntil('the drained gateway to be empty, the others to have all', loadOf, (load) => {
    const others = Object.entries(load).filter(([other]) => other !== id);
    return load[id] === 0 && others.reduce((sum, [, connected]) => sum + connected, 0) === 150;
  });
  await deployment.finish(rollout, 'succeeded');
  await expectTruth(api, fleet, rollout);
  expect((await loadOf())[id]).toBe(0);
  // Moved agents are known: only one whose last message was on its way when its connection ended is asked for its full state.
  const askedNow = (await fleet.records()).reduce((sum, { fullStateRequests }) => sum + fullStateRequests, 0);
  expect(askedNow - asked).toBeLessThan(first?.connected ?? 0);

  await api.call('POST', `/gateways/${id}/undrain`, { body: { reason: 'test' } });
  await waitUntil(
    'the gateway to serve again',
    async () => (await api.call('GET', '/gateways')) as { readonly items: readonly { readonly id: string; readonly draining: boolean }[] },
    ({ items }) => items.every(({ draining }) => !draining),
  );
  const connects = async (): Promise<number> => (await fleet.records()).reduce((sum, record) => sum + record.connects, 0);
  const before = await connects();
  const plan = (await api.call('POST', '/gateways/rebalance', { body: { windowSeconds: 1, tolerancePercent: 0 } })) as {
    readonly mean: number;
    readonly items: readonly { readonly id: string; readonly count: number }[];
  };
  expect(plan.mean).toBe(50);
  expect(plan.items.map((item) => item.id)).not.toContain(id);
  expect(plan.items.reduce((sum, { count }) => sum + count, 0)).toBe(
    Object.values(drained).reduce((sum, load) => sum + Math.max(0, load - 50), 0),
  );
  // Where they go is up to a load balancer, and here there is none: they come back to where they were, once.
  const sentAway = plan.items.reduce((sum, { count }) => sum + count, 0);
  await waitUntil('as many agents as planned to have connected again', connects, (now) => now - before === sentAway);
  await fleet.waitUntilConnected();
  await expectTruth(api, fleet, rollout);
});
