/** Coordinators that die or freeze: I1, I2, I3, I7 and I9 by `expectTruth`, I5 because every rollout ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { RolloutView } from '../support/api-client.ts';
import { APPLY_MS } from '../support/fleet.ts';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, isEnded, waitForRollout } from '../support/rollouts.ts';
import { createRandom } from '../support/random.ts';
import type { Stack } from '../support/stack.ts';
import { notOn, offeredTo, tooManyAtOnce } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const MAX_IN_FLIGHT = 20;
const IN_STEPS = { ...FAST_STRATEGY, maxInFlight: MAX_IN_FLIGHT };

/** Kills coordinators in turn, at moments that the seed fixes, and starts each again, until told to stop. */
class Killer {
  kills = 0;
  readonly #stack: Stack;
  readonly #random = createRandom(20_261);
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  start(): void {
    this.#stopped = false;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const names = this.#stack.names('coordinator');
    while (!this.#stopped) {
      await sleep(this.#random() * 400);
      await this.#stack.restart(names[this.kills % names.length] as string);
      this.kills += 1;
    }
  }
}

test('ten SIGKILLs of coordinators over several rollouts leave no rollout unfinished, no agent behind and nothing counted twice', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, {
    name: 'kills',
    agents: 200,
    profiles: [{ profile: 'normal', fraction: 0.05, overrides: { failOn: [{ kind: 'validation', match: { contains: '(bad)' } }] } }],
  });
  const deployment = await Deployment.create(api, fleet);
  let proven = await deployment.prove('kills 0');
  const killer = new Killer(stack);
  context.onTestFinished(async () => await killer.stop());

  for (let round = 1; killer.kills < 10; round += 1) {
    const isBad = round % 3 === 0;
    const config = await deployment.store(`kills ${round}${isBad ? ' (bad)' : ''}`);
    const id = await deployment.start(config, IN_STEPS);
    killer.start();
    const rollout = await waitForRollout(api, id, 'to end while coordinators are killed', isEnded);
    await killer.stop();

    expect(rollout.phase, rollout.outcome).toBe(isBad ? 'rolled_back' : 'succeeded');
    if (!isBad) {
      proven = config;
      expect(rollout.counts).toEqual({ applied: 200 });
      expect(tooManyAtOnce(await fleet.records(), config.hash, { maxInFlight: MAX_IN_FLIGHT, applyMs: APPLY_MS })).toEqual([]);
    }
    expect(notOn(await fleet.records(), proven.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
    const offers = offeredTo(await fleet.records(), config.hash).map(
      (record) => record.offers.filter(({ hash }) => hash === config.hash).length,
    );
    expect(Math.max(...offers), 'offers of one version to one agent').toBe(1);
  }
  expect(killer.kills).toBeGreaterThanOrEqual(10);
});

test('a coordinator that stops on SIGTERM in the middle of a rollout ends in time with code 0, and another one goes on', async (context) => {
  const stack = await useStack(context, { gateways: 1, coordinators: 2 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'stopped', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('stopped 1');
  const config = await deployment.store('stopped 2');
  const id = await deployment.start(config, { ...IN_STEPS, maxInFlight: 10 });
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 20);

  // A shutdown that takes too long is cut off, with code 1.
  expect(await stack.kill('coordinator-1', 'SIGTERM')).toEqual({ code: 0, signal: null });
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 100 });
  await expectTruth(api, fleet, id);
});

test('a coordinator that was frozen in the middle of a rollout does no harm when it wakes up', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 2 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'frozen', agents: 200 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('frozen 1');
  const config = await deployment.store('frozen 2');
  const other = api.at(stack.apiUrlOf('coordinator-2'));
  const applied = (rollout: RolloutView): number => rollout.counts['applied'] ?? 0;

  const id = await deployment.start(config, { ...IN_STEPS, maxInFlight: 10 });
  await waitForRollout(other, id, 'to have moved a few', (rollout) => applied(rollout) >= 20);
  stack.signal('coordinator-1', 'SIGSTOP');
  const frozenAtMs = performance.now();
  // Twice as long as a coordinator keeps a rollout to itself, and until the other one has gone on.
  await waitForRollout(
    other,
    id,
    'to go on under the other coordinator',
    (rollout) => applied(rollout) >= 60 && performance.now() - frozenAtMs > 6_000,
  );
  stack.signal('coordinator-1', 'SIGCONT');
  const rollout = await waitForRollout(other, id, 'to end', isEnded);

  expect(rollout.phase, rollout.outcome).toBe('succeeded');
  expect(rollout.counts).toEqual({ applied: 200 });
  await stack.waitUntilReady('coordinator-1');
  await waitUntil(
    'the frozen one to know',
    async () => (await api.at(stack.apiUrlOf('coordinator-1')).getRollout(id)).rev,
    (rev) => rev >= rollout.rev,
  );
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  expect(tooManyAtOnce(await fleet.records(), config.hash, { maxInFlight: 10, applyMs: APPLY_MS })).toEqual([]);
  await expectTruth(api, fleet, id);
});

test('a hundred requests at once with one idempotency key are one rollout', async (context) => {
  const stack = await useStack(context, { gateways: 1, coordinators: 2 });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'hundred', agents: 20 });
  const deployment = await Deployment.create(api, fleet);
  const config = await deployment.store('hundred 1');
  const body = { group: fleet.name, config: { name: config.name, version: config.version }, strategy: FAST_STRATEGY };
  const clients = stack.apiUrls.map((url) => api.at(url));

  const ids = await Promise.all(Array.from({ length: 100 }, (_, index) => (clients[index % 2] ?? api).createRollout(body, 'one-key')));

  expect(new Set(ids).size).toBe(1);
  expect(await api.listRollouts({ group: fleet.name })).toHaveLength(1);
  const id = ids[0] ?? '';
  await deployment.finish(id, 'succeeded');
  await expectTruth(api, fleet, id);
  expect((await fleet.records()).map(({ offerCount }) => offerCount)).toEqual(new Array(20).fill(1));
});
