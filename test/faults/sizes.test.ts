/** Groups of unusual sizes, agents that come in masses or late: I1, I2, I3, I7 and I9 by `expectTruth`. */
import { expect, test } from 'vitest';
import { shareStack, useFleet, useSleepingFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notOn } from '../support/truth.ts';
import { waitUntilRight } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 1 });
const PATIENT = { deadlineMs: 150_000 };

test('a group of one agent: it is canary and fleet, and taken back when it refuses', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), {
    name: 'single',
    agents: 1,
    profiles: [{ profile: 'normal', fraction: 1, overrides: { failOn: [{ kind: 'validation', match: { contains: 'single 2' } }] } }],
  });
  const deployment = await Deployment.create(api, fleet);
  const first = await deployment.store('single 1');
  const good = await deployment.finish(await deployment.start(first), 'succeeded');
  expect(good.counts).toEqual({ applied: 1 });
  await expectTruth(api, fleet, good.id);

  const bad = await deployment.finish(await deployment.start(await deployment.store('single 2')), 'rolled_back');
  expect(bad.counts).toEqual({ restored: 1 });
  expect(notOn(await fleet.records(), first.hash)).toEqual([]);
  await expectTruth(api, fleet, bad.id);
});

test('three hundred agents that all reconnect at once in the middle of a wave are counted once, and each ends on the new version', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'storm', agents: 300 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('storm 1', PATIENT);
  const config = await deployment.store('storm 2');
  // The health gate compares connections that were lost, and here all are. A wave reaches those too that are still on their way back.
  const id = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 30, gates: ['ackRatio'], offline: 'wait' });
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 60);

  expect(await fleet.control({ do: 'disconnect' })).toBe(300);
  const rollout = await deployment.finish(id, 'succeeded', PATIENT);

  await fleet.waitUntilConnected();
  expect(rollout.counts).toEqual({ applied: 300 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('agents that join before and after their wave get the version of the part of the fleet that they are in', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'joining', agents: 60, attributes: { part: 'old' } });
  const deployment = await Deployment.create(api, fleet);
  const former = await deployment.prove('joining 1');
  const config = await deployment.store('joining 2');
  const half = {
    ...FAST_STRATEGY,
    waves: [
      { size: { percent: 50 }, soak: '1h' },
      { size: { percent: 100 }, soak: '0s' },
    ],
  };
  const id = await deployment.start(config, half);
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');

  const newcomers = await useSleepingFleet(context, stack(), {
    name: 'joining',
    agents: 60,
    attributes: { part: 'new' },
    firstIndex: 1_000,
  });
  await newcomers.boot();
  await newcomers.waitUntilConnected();
  await waitUntilRight('every newcomer to have one of the two versions', async () => {
    const records = await newcomers.records();
    return records.filter(({ running }) => running !== config.hash && running !== former.hash).map(({ uid }) => uid);
  });
  const early = (await newcomers.records()).filter(({ running }) => running === config.hash).length;
  expect(early, 'newcomers inside the boundary').toBeGreaterThan(0);
  expect(early).toBeLessThan(60);
  const { counts } = await waitForRollout(api, id, 'to have nobody under way', ({ late }) => late.counts['applied'] === early);
  expect(counts['applied']).toBe(30 + early);

  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 120 });
  expect(notOn([...(await fleet.records()), ...(await newcomers.records())], config.hash)).toEqual([]);
});
