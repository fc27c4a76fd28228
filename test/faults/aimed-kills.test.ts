/**
 * Kills at exact points: I1 by a recount of all records, I2, I3, I7 and I9 by `expectTruth`, I5 because every rollout ends. A trap in the
 * proxy between a process and Redis holds back the one piece of data in question until the process is dead.
 */
import { Redis } from 'ioredis';
import { expect, test, type TestContext } from 'vitest';
import {
  AFTER_TIMER,
  AFTER_WAKE,
  afterOfferRecorded,
  beforeCommit,
  beforeFirstFlush,
  untilSprung,
  wakeUntilSprung,
} from '../support/aims.ts';
import type { RolloutView } from '../support/api-client.ts';
import { APPLY_MS } from '../support/fleet.ts';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { recount } from '../support/recount.ts';
import { Deployment, expectTruth, RESTING, waitForRollout } from '../support/rollouts.ts';
import { SHORT_LEASES, type Stack } from '../support/stack.ts';
import { notOn, offeredTo, tooManyAtOnce } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const AGENTS = 40;
const MAX_IN_FLIGHT = 5;
const STRATEGY = {
  ...RESTING,
  maxInFlight: MAX_IN_FLIGHT,
  // Connections die here for reasons of ours.
  gates: ['ackRatio'],
};

function useRedis(context: TestContext, stack: Stack): Redis {
  const redis = new Redis(stack.redisUrl);
  context.onTestFinished(() => redis.disconnect());
  return redis;
}

const isResting = ({ waves }: RolloutView): boolean => waves[2]?.phase === 'soaking';

/** Every sum that Redis keeps is what the records add up to. */
async function expectSums(redis: Redis, stack: Stack, agents: number): Promise<void> {
  const { agents: read, problems } = await recount(redis, stack.keys);
  expect(problems).toEqual([]);
  expect(read).toBe(agents);
}

test('a coordinator killed just before its commit, or just after it has taken work, has done nothing, and the next one does it once', async (context) => {
  const stack = await useStack(context, { gateways: 1, coordinators: 1, redis: { proxied: true } });
  const { api, keys } = stack;
  const redis = useRedis(context, stack);
  const fleet = await useFleet(context, stack, { name: 'aimed', agents: AGENTS });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('aimed 1');
  const config = await deployment.store('aimed 2');
  // Slow enough to have something to decide when the traps are set.
  const id = await deployment.start(config, { ...STRATEGY, rate: { start: 3, factor: 1, max: 3 } });
  const proxy = stack.redisProxy('coordinator-1');
  const rev = async (): Promise<string | null> => await redis.hget(keys.rollout(id), 'rev');

  const deciding = proxy.trap(beforeCommit(id));
  await untilSprung('a commit to be on its way', deciding);
  const decided = await rev();
  await stack.kill('coordinator-1');
  expect(await rev()).toBe(decided);
  await stack.restart('coordinator-1');

  const woken = proxy.trap(AFTER_WAKE);
  await wakeUntilSprung(stack, id, woken);
  await stack.kill('coordinator-1');
  expect(await redis.llen(`${keys.queuePrefix}:${keys.queueWakes}:active`), 'jobs that are taken').toBeGreaterThan(0);
  await stack.restart('coordinator-1');

  const taken = proxy.trap(AFTER_TIMER);
  await untilSprung('due rollouts to be taken', taken);
  const [before, [, now = ''] = []] = [await rev(), taken.caught?.toString().match(/\$13\r\n(\d{13})/) ?? []];
  await stack.kill('coordinator-1');
  expect(await rev()).toBe(before);
  expect(Number(await redis.zscore(keys.rolloutsDue, id)) - Number(now), 'ms by which it was pushed ahead').toBe(3_000);
  await stack.restart('coordinator-1');

  await waitForRollout(api, id, 'to rest at its end', isResting);
  await expectSums(redis, stack, AGENTS);
  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: AGENTS });
  const records = await fleet.records();
  expect(notOn(records, config.hash)).toEqual([]);
  expect(tooManyAtOnce(records, config.hash, { maxInFlight: MAX_IN_FLIGHT, applyMs: APPLY_MS })).toEqual([]);
  const offers = offeredTo(records, config.hash).map((record) => record.offers.filter(({ hash }) => hash === config.hash).length);
  expect(Math.max(...offers), 'offers of one version to one agent').toBe(1);
  await expectTruth(api, fleet, id);
});

test('a gateway killed between a claim and its first write, or between recording an offer and sending it, leaves no agent behind and every sum right', async (context) => {
  const stack = await useStack(context, { gateways: 2, coordinators: 1, redis: { proxied: true }, ...SHORT_LEASES });
  const { api } = stack;
  const redis = useRedis(context, stack);
  const fleet = await useFleet(context, stack, { name: 'aimed', agents: AGENTS });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('aimed 1');
  const config = await deployment.store('aimed 2');

  const recorded = stack.redisProxy('gateway-1').trap(afterOfferRecorded(config.hash));
  const id = await deployment.start(config, STRATEGY);
  await untilSprung('an offer to be recorded', recorded);
  const [records, offered] = [await fleet.records(), await recordedOn(redis, stack, config.hash)];
  const unsent = records.filter(({ uid, offers }) => offered.has(uid) && offers.every(({ hash }) => hash !== config.hash));
  expect(unsent.length, 'agents whose offer is recorded and was not sent').toBeGreaterThan(0);
  await stack.kill('gateway-1');
  await expectSums(redis, stack, AGENTS);
  await stack.restart('gateway-1');

  // All agents are on the other one now, and come back to where they were.
  const claimed = stack.redisProxy('gateway-2').trap(beforeFirstFlush());
  await waitUntil(
    'an agent that was cut off to be claimed',
    async () => {
      if (!claimed.isSprung) await fleet.control({ do: 'disconnect' }, { fraction: 0.3, salt: String(performance.now()) });
      return claimed.isSprung;
    },
    Boolean,
    { pollMs: 1_000 },
  );
  await stack.kill('gateway-2');
  await expectSums(redis, stack, AGENTS);
  await stack.restart('gateway-2');

  await fleet.waitUntilConnected();
  await waitForRollout(api, id, 'to rest at its end', isResting);
  await waitUntilRight('everybody to run the new version', async () => notOn(await fleet.records(), config.hash));
  await waitForRollout(api, id, 'to count everybody', ({ counts }) => JSON.stringify(counts) === `{"applied":${AGENTS}}`);
  await expectSums(redis, stack, AGENTS);
  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: AGENTS });
  await expectTruth(api, fleet, id, { compareCounters: false });
  await expectSums(redis, stack, AGENTS);
});

/** Uids of the agents that Redis says this hash was offered to last. */
async function recordedOn(redis: Redis, { keys }: Stack, hash: string): Promise<ReadonlySet<string>> {
  const found = await Promise.all(
    keys.shards.map(async (shard) => {
      const uids = await redis.zrange(shard.uids, '0', '-1');
      const offered = await Promise.all(uids.map(async (uid) => await redis.hget(shard.agent(uid), 'offered')));
      return uids.filter((_, index) => offered[index] === hash);
    }),
  );
  return new Set(found.flat());
}
