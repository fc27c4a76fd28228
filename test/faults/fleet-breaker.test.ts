/** The breaker of the whole fleet, over all rollouts: I4 while it holds, I1, I2, I3, I7 and I9 by `expectTruth`. */
import { expect, test } from 'vitest';
import { opampctl } from '../integration/cli-program.ts';
import type { RolloutView } from '../support/api-client.ts';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notOn, offeredTo } from '../support/truth.ts';

/** So long too many have to be unhealthy; calm has to last twice as long. */
const PATIENCE_MS = 1_000;
/** Half, then a rest that `promote` ends, then all. A limit that is passed holds. */
const HALVES = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
  failure: { maxCount: 2 },
  onFailure: 'pause',
  gates: ['ackRatio'],
};

const isSoaking = ({ waves }: RolloutView): boolean => waves[0]?.phase === 'soaking';
const isHeldBy =
  (reason: string) =>
  ({ holds }: RolloutView): boolean =>
    holds.includes(reason);

test('a part of the fleet that turns unhealthy holds every rollout, whoever these agents are; resume looks first, and calm lifts the hold', async (context) => {
  const stack = await useStack(context, {
    gateways: 1,
    coordinators: 2,
    coordinatorEnv: { OPAMP_COORDINATOR_FLEET_BREAKER_MS: String(PATIENCE_MS) },
  });
  const { api } = stack;
  const [left, right, bystanders] = await Promise.all(
    [
      { name: 'left', agents: 40 },
      { name: 'right', agents: 40 },
      // In no group, and in no rollout.
      { name: 'bystanders', agents: 60 },
    ].map(async (options) => await useFleet(context, stack, options)),
  );
  if (left === undefined || right === undefined || bystanders === undefined) throw new Error('a fleet is missing');
  const started = await Promise.all(
    [left, right].map(async (fleet) => {
      const deployment = await Deployment.create(api, fleet);
      await deployment.prove(`${fleet.name} 1`);
      const config = await deployment.store(`${fleet.name} 2`);
      const id = await deployment.start(config, HALVES);
      await waitForRollout(api, id, 'to soak', isSoaking);
      return { fleet, deployment, config, id };
    }),
  );
  const [one, two] = started;
  if (one === undefined || two === undefined) throw new Error('a rollout is missing');

  // A fifth of the fleet, none of it touched by either rollout.
  await bystanders.control(
    { do: 'set-health', healthy: false, lastError: 'backend is away' },
    { indexes: Array.from({ length: 28 }, (_, index) => index) },
  );
  for (const { id } of started) {
    const held = await waitForRollout(api, id, 'to be held by the breaker of the fleet', isHeldBy('fleet_breaker'));
    expect(held.holdDetails[0]?.detail).toMatch(/^\d+ agents of 140 have become unhealthy, more than rollouts explain$/);
    // Whoever is told to go on does not: the hold counts for every step.
    await api.act(id, 'promote');
  }
  const env = { OPAMP_API_URL: stack.apiUrl };
  const [{ out: shown }, { out: advice }] = await Promise.all([opampctl(['rollout', 'get', one.id], env), opampctl(['doctor'], env)]);
  expect(shown).toMatch(/^held: +fleet_breaker for .*: \d+ agents of 140 have become unhealthy/m);
  for (const { fleet, id } of started) expect(advice).toContain(`${id} of ${fleet.name} is held`);

  // Three of its own turn unhealthy too, one more than its limit allows: resume looks at that first, and lifts nothing.
  const own = (await left.records()).filter(({ running }) => running === one.config.hash).slice(0, 3);
  await left.control({ do: 'set-health', healthy: false }, { indexes: own.map(({ index }) => index) });
  await waitForRollout(api, one.id, 'to be held by its own limit too', isHeldBy('threshold'));
  const problem = await api.refusal('POST', `/rollouts/${one.id}/resume`, { body: { reason: 'too early' } });
  expect(problem).toMatchObject({ status: 409, type: '/problems/action-forbidden' });
  expect(problem.detail).toMatch(/^it stays held: /);
  expect((await api.getRollout(one.id)).holds.toSorted()).toEqual(['fleet_breaker', 'threshold']);
  await left.control({ do: 'set-health', healthy: true }, { indexes: own.map(({ index }) => index) });
  await waitForRollout(api, one.id, 'to count nobody as degraded', ({ counts }) => counts['degraded'] === undefined);

  for (const { fleet, config, id } of started) {
    expect((await api.getRollout(id)).waveIndex).toBe(0);
    expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(20);
  }
  // A person takes the fleet as it is for usual: this rollout goes on, the other one is still held.
  await api.act(one.id, 'resume');
  expect((await one.deployment.finish(one.id, 'succeeded')).counts).toEqual({ applied: 40 });
  expect(await api.getRollout(two.id)).toMatchObject({ holds: ['fleet_breaker'], waveIndex: 0 });
  expect(offeredTo(await right.records(), two.config.hash)).toHaveLength(20);

  await bystanders.control({ do: 'set-health', healthy: true });
  expect((await two.deployment.finish(two.id, 'succeeded')).counts).toEqual({ applied: 40 });
  const lifted = (await api.getEvents(two.id)).filter(({ type }) => type === 'hold.removed');
  expect(lifted.map(({ actor }) => actor)).toEqual(['system']);
  for (const { fleet, config, id } of started) {
    expect(notOn(await fleet.records(), config.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  }
});
