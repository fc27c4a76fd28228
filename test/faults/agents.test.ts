/** Agents that fail, flap, fall silent, share a uid: I1, I2, I3, I7 and I9 by `expectTruth`, I6 by the row watch. */
import { describe, expect, test } from 'vitest';
import type { FailureRule } from '@opamp-gateway/loadtest/agent-profile';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { RowWatch } from '../support/row-watch.ts';
import { notOn, notRestored, offeredTo, violations, wrongWith } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

// Redis does not go away here: nothing has to be waited for before agents are judged.
const stack = shareStack({ gateways: 2, coordinators: 1, coordinatorEnv: { OPAMP_COORDINATOR_GRACE_MS: '500' } });

const CANARIES = 5;
/** Acknowledgements in some seconds, or it is taken for lost. */
const IMPATIENT = { ...FAST_STRATEGY, ackTimeout: '5s' };
/** Agents come and go all the time: a wave reaches those too that are away in the moment in which it would be complete. */
const WHOEVER_IS_AWAY = { offline: 'wait', gates: [] };

/** Agents that fail in one way on every config with `(bad)` in it. */
function failing(kind: FailureRule['kind'], more: Partial<FailureRule> = {}) {
  return { profile: 'normal', overrides: { failOn: [{ kind, match: { contains: '(bad)' }, ...more }] } } as const;
}

/** Some of the canaries: the first that fails may turn the rollout back before another gateway has offered anything. */
function expectCanaries(touched: readonly unknown[]): void {
  expect(touched.length).toBeGreaterThan(0);
  expect(touched.length).toBeLessThanOrEqual(CANARIES);
}

describe('a config with which', () => {
  test('agents never answer times out, is taken back, and nobody keeps it', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), {
      name: 'silent',
      agents: 60,
      profiles: [{ ...failing('never-answers'), fraction: 1 }],
    });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('silent 1');
    const config = await deployment.store('silent 2 (bad)');
    const id = await deployment.start(config, IMPATIENT);
    const rollout = await deployment.finish(id, 'rolled_back');

    expect(rollout.outcome).toMatch(/fail/);
    const touched = offeredTo(await fleet.records(), config.hash);
    expectCanaries(touched);
    expect(notRestored(rollout, touched)).toEqual([]);
    const failures = await api.getFailures(id);
    expect(failures.map(({ uid }) => uid).toSorted()).toEqual(touched.map(({ uid }) => uid).toSorted());
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('agents crash is taken back; who crashed runs the version before again', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'crashing', agents: 60, profiles: [{ ...failing('crash'), fraction: 1 }] });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('crashing 1');
    const config = await deployment.store('crashing 2 (bad)');
    const id = await deployment.start(config, IMPATIENT);
    const rollout = await deployment.finish(id, 'rolled_back');
    const touched = offeredTo(await fleet.records(), config.hash);
    expectCanaries(touched);
    expect(notRestored(rollout, touched)).toEqual([]);
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('agents become unhealthy some time after APPLIED is judged by that, and taken back', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), {
      name: 'sick',
      agents: 60,
      profiles: [{ ...failing('unhealthy', { afterMs: 20_000, error: 'exporter queue is full' }), fraction: 1 }],
    });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('sick 1');
    const config = await deployment.store('sick 2 (bad)');
    const id = await deployment.start(config, {
      ...FAST_STRATEGY,
      healthHold: '3s',
      waves: [
        { size: { count: 5 }, soak: '5s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
    });
    const rollout = await deployment.finish(id, 'rolled_back');

    const touched = offeredTo(await fleet.records(), config.hash);
    expectCanaries(touched);
    expect(notRestored(rollout, touched)).toEqual([]);
    expect(touched.every(({ everApplied }) => everApplied.includes(config.hash))).toBe(true);
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
    expect((await fleet.records()).filter(({ health }) => !health.healthy)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('agents cut themselves off counts them as lost and is taken back; they are put right when they return', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'cut-off', agents: 60, profiles: [{ ...failing('self-cut'), fraction: 1 }] });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('cut-off 1');
    const config = await deployment.store('cut-off 2 (bad)');
    const id = await deployment.start(config, IMPATIENT);
    const rollout = await deployment.finish(id, 'rolled_back');

    expect(rollout.outcome).toMatch(/fail/);
    const lost = offeredTo(await fleet.records(), config.hash);
    expectCanaries(lost);
    expect(lost.filter(({ connected }) => connected)).toEqual([]);
    expect(
      notOn(
        (await fleet.records()).filter(({ connected }) => connected),
        before.hash,
      ),
    ).toEqual([]);
    // Away agents are listed, not forgotten.
    const failures = await api.getFailures(id);
    expect(failures.map(({ uid }) => uid).toSorted()).toEqual(lost.map(({ uid }) => uid).toSorted());
    expect(new Set(failures.map(({ status }) => status))).toEqual(new Set(['lost']));

    await fleet.control({ do: 'online' }, { indexes: lost.map(({ index }) => index) });
    await waitUntilRight('the agents that were cut off to be back on the version before', async () =>
      notOn(await fleet.records(), before.hash),
    );
    expect(violations(await fleet.records())).toEqual([]);
  });
});

test('agents that flap between the gateways all the time each end on the new version, and are counted once', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'flapping', agents: 60 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('flapping 1');
  const config = await deployment.store('flapping 2');
  // Every 30 s of real time is 0.6 s here: several times during the rollout, and often in the middle of applying.
  await fleet.control({ do: 'set-profile', profile: 'flapping', overrides: { flapMs: 30_000 } }, { fraction: 0.4 });

  const id = await deployment.start(config, { ...FAST_STRATEGY, ...WHOEVER_IS_AWAY, maxInFlight: 10 });
  const watch = RowWatch.start(api, id);
  const rollout = await deployment.finish(id, 'succeeded');
  expect(await watch.stop()).toEqual([]);
  expect(rollout.counts).toEqual({ applied: 60 });

  await fleet.control({ do: 'set-profile', profile: 'normal' });
  await fleet.waitUntilConnected();
  const records = await fleet.records();
  expect(records.some(({ connects }) => connects > 3)).toBe(true);
  expect(notOn(records, config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('agents that lose their connection in the moment of reporting are counted once, as what they are', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'moment', agents: 60 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('moment 1');
  const config = await deployment.store('moment 2');
  const id = await deployment.start(config, { ...FAST_STRATEGY, ...WHOEVER_IS_AWAY, waves: [{ size: { percent: 100 }, soak: '0s' }] });
  const watch = RowWatch.start(api, id);
  // Different thirds of the fleet, a few milliseconds apart, while all of them get their offers, apply and report.
  let cuts = 0;
  for (let round = 0; round < 15; round += 1) {
    cuts += await fleet.control({ do: 'disconnect' }, { fraction: 0.34, salt: String(round) });
    await api.getRollout(id);
  }
  const rollout = await deployment.finish(id, 'succeeded');
  expect(await watch.stop()).toEqual([]);
  expect(cuts).toBeGreaterThan(60);
  await fleet.waitUntilConnected();
  expect(rollout.counts).toEqual({ applied: 60 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('of two live agents with one uid one gets a new uid, and both take part', async (context) => {
  const { api } = stack();
  const options = { name: 'cloned', agents: 10, seed: 4_711, attributes: { copy: 'first' } };
  const first = await useFleet(context, stack(), options);
  const deployment = await Deployment.create(api, first);
  await deployment.prove('cloned 1');
  const second = await useFleet(context, stack(), { ...options, attributes: { copy: 'second', 'host.name': 'another-host-{i}' } });

  const everybody = await waitUntil(
    'every agent to have a uid of its own',
    async () => [...(await first.records()), ...(await second.records())],
    (records) => new Set(records.map(({ uid }) => uid)).size === 20 && records.every(({ connected }) => connected),
  );
  expect(new Set(everybody.map(({ originUid }) => originUid)).size).toBe(10);
  const config = await deployment.store('cloned 2');
  await waitUntil(
    'the API to know all twenty',
    async () => (await api.listAgents({ selector: 'env=cloned', connected: 'true' })).length,
    (known) => known === 20,
  );
  const id = await deployment.start(config);
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 20 });
  await waitUntilRight('both copies to run the new version', async () =>
    [...(await first.records()), ...(await second.records())].flatMap((record) => wrongWith(record, config.hash) ?? []),
  );
});

test('an agent that a label moves to another group in the middle of a rollout gets that group’s version, and comes back to its own', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'moving', agents: 40 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('moving 1');
  const special = await Deployment.create(api, { name: 'moving-special', selector: 'env=moving,label.special=yes' }, { priority: 90 });
  const guest = await fleet.record(0);
  const setLabel = async (labels: Readonly<Record<string, string>>): Promise<void> => {
    await api.call('PUT', `/agents/${guest.uid}/labels`, { body: { labels } });
  };
  await setLabel({ special: 'yes' });
  await waitUntil(
    'the agent to be in the other group',
    async () => (await api.getAgent(guest.uid)).group,
    (group) => group === 'moving-special',
  );
  const own = await special.prove('moving-special 1');
  await setLabel({});
  await waitUntil(
    'the agent to be in its first group',
    async () => (await api.getAgent(guest.uid)).group,
    (group) => group === 'moving',
  );

  const config = await deployment.store('moving 2');
  const id = await deployment.start(config, {
    ...FAST_STRATEGY,
    waves: [
      { size: { percent: 50 }, soak: '1h' },
      { size: { percent: 100 }, soak: '0s' },
    ],
  });
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  await setLabel({ special: 'yes' });
  await waitUntilRight('the agent to run the version of the other group', async () => notOn([await fleet.record(0)], own.hash));
  await api.act(id, 'promote');
  await deployment.finish(id, 'succeeded');
  expect(notOn([await fleet.record(0)], own.hash)).toEqual([]);
  expect(
    notOn(
      (await fleet.records()).filter(({ index }) => index !== 0),
      config.hash,
    ),
  ).toEqual([]);

  await setLabel({});
  await waitUntilRight('the agent to run the version of its first group', async () => notOn([await fleet.record(0)], config.hash));
  await expectTruth(api, fleet, id, { compareCounters: false });
});
