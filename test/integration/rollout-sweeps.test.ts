import { createFleetReader } from '@opamp-gateway/coordinator/bus/fleet-reader';
import { createGatewayDirectory } from '@opamp-gateway/coordinator/bus/gateway-directory';
import { createSweeps } from '@opamp-gateway/coordinator/bus/sweeps';
import { RolloutEngine } from '@opamp-gateway/coordinator/rollout/engine';
import { createRolloutService } from '@opamp-gateway/coordinator/rollout/rollout-service';
import type { RolloutService } from '@opamp-gateway/coordinator/rollout/service';
import { createRolloutRunner } from '@opamp-gateway/coordinator/rollout/runner';
import type { RolloutRunner } from '@opamp-gateway/coordinator/rollout/runner';
import { createConfigLookup, createRolloutStore } from '@opamp-gateway/coordinator/stores/rollout-store';
import { createGroupStore } from '@opamp-gateway/coordinator/stores/group-store';
import { systemClock } from '@opamp-gateway/shared/clock';
import { parseSpec } from '@opamp-gateway/shared/fleet-spec';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { claimAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeGateway, putGroup } from '../support/fake-gateway.ts';
import { startRedis, storeConfig, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';

const QUICK = {
  waves: [
    { size: { count: 1 }, soak: '0s' },
    { size: { percent: 100 }, soak: '0s' },
  ],
  rate: 'unlimited',
  maxInFlight: 1_000,
  ackTimeout: '60s',
  healthHold: '0s',
  canaryMinHealthy: '0s',
};

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});

const logger = createSilentLogger();
const clock = systemClock;

function sweepsOf(keys: Keys): ReturnType<typeof createSweeps> {
  return createSweeps({ client: redis.client, keys, clock, logger });
}

function ownerOf(keys: Keys, uid: string): Promise<string | null> {
  return redis.client.hget((keys.shards[shardOf(uid)] as ShardKeys).agent(uid), 'owner');
}

function coordinatorOf(keys: Keys, sweepMs = 50): { service: RolloutService; runner: RolloutRunner; engine: RolloutEngine } {
  const { client } = redis;
  const store = createRolloutStore({ client, keys });
  const fleet = createFleetReader({ client, keys, clock, judgeDelayMs: 0 });
  const engine = new RolloutEngine({ store, fleet, logger });
  const service = createRolloutService({
    store,
    fleet,
    configs: createConfigLookup({ client, keys }),
    engine,
    clock,
    waker: { wake: () => undefined },
  });
  return { service, engine, runner: createRolloutRunner({ engine, store, clock, logger, sweepMs, pushMs: 200 }) };
}

describe('a gateway that died', () => {
  it("has its agents released, whatever their group, and nobody else's", async () => {
    const keys = redis.keys();
    await putGroup(redis.client, keys, { name: 'prod', selector: 'env=prod' });
    const dead = new FakeGateway({ id: 'dead', client: redis.client, keys, leaseMs: 1 });
    const alive = new FakeGateway({ id: 'alive', client: redis.client, keys });
    for (const gateway of [dead, alive]) await gateway.readSpec();
    await dead.connect(uidsOf(40), { env: 'prod' });
    await dead.connect(uidsOf(20, 100));
    await alive.connect(uidsOf(30, 200), { env: 'prod' });
    const [moved] = uidsOf(1) as [string];
    await alive.connect([moved], { env: 'prod' });
    for (const gateway of [dead, alive]) await gateway.renew();
    const sweeps = sweepsOf(keys);
    const directory = createGatewayDirectory({ client: redis.client, keys });
    await waitUntil(
      'the end of the lease',
      async () => {
        await sweeps.sweepOnce();
        return (await directory.list()).map((gateway) => gateway.id);
      },
      (ids) => !ids.includes('dead'),
    );
    expect((await directory.list()).map(({ id, alive: lives }) => [id, lives])).toEqual([['alive', true]]);
    for (const uid of [...uidsOf(40).slice(1), ...uidsOf(20, 100)]) expect(await ownerOf(keys, uid)).toBe('');
    for (const uid of [moved, ...uidsOf(30, 200)]) expect(await ownerOf(keys, uid)).toBe('alive');
    const members = await createFleetReader({ client: redis.client, keys, clock }).members('prod', 1_000);
    expect(members.kind === 'listed' && members.members.length).toBe(31);
  });

  it('keeps its lease, and the agents it has claimed again, when it comes back in time', async () => {
    const keys = redis.keys();
    const gateway = new FakeGateway({ id: 'back', client: redis.client, keys });
    await gateway.readSpec();
    await gateway.connect(uidsOf(5));
    await gateway.renew();
    await sweepsOf(keys).sweepOnce();
    for (const uid of uidsOf(5)) expect(await ownerOf(keys, uid)).toBe('back');
  });

  it('in the middle of a wave loses nothing: its agents go on elsewhere and are counted once', async () => {
    const keys = redis.keys();
    const stable = await storeConfig(redis.client, keys, 'base', 'one');
    const to = await storeConfig(redis.client, keys, 'base', 'two');
    await putGroup(redis.client, keys, { name: 'prod', selector: '', stable });
    const dying = new FakeGateway({ id: 'dying', client: redis.client, keys, leaseMs: 1 });
    const other = new FakeGateway({ id: 'other', client: redis.client, keys });
    for (const gateway of [dying, other]) await gateway.readSpec();
    await dying.connect(uidsOf(10));
    await other.connect(uidsOf(10, 100));
    for (const agent of dying.agents.values()) agent.answer = () => 'silent';
    const { service, engine } = coordinatorOf(keys);
    const outcome = await service.create({ group: 'prod', config: { name: 'base', version: 2 }, strategy: QUICK }, { actor: 'test' });
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    await engine.reconcile(outcome.id);
    for (let round = 0; round < 5; round += 1) {
      for (const gateway of [dying, other]) await gateway.round();
      await engine.reconcile(outcome.id);
    }
    // It is gone without a word; its agents find the other one.
    await waitUntil(
      'the sweep',
      async () => {
        await sweepsOf(keys).sweepOnce();
        return await redis.client.zscore(keys.gateways, 'dying');
      },
      (score) => score === null,
    );
    await other.connect(uidsOf(10));
    const view = await waitUntil(
      'the end of the rollout',
      async () => {
        await other.round();
        await engine.reconcile(outcome.id);
        return await service.get(outcome.id);
      },
      (seen) => seen?.phase === 'succeeded',
    );
    expect(view?.counts).toEqual({ applied: 20 });
    expect([...other.agents.values()].every((agent) => agent.offered === to.hash)).toBe(true);
  });
});

describe('offers outside rollouts', () => {
  it('are stopped for a group in which five and 5 % of them fail, whichever gateways made them', async () => {
    const keys = redis.keys();
    const stable = await storeConfig(redis.client, keys, 'base', 'one');
    for (const name of ['bad', 'rare', 'few', 'other', 'former'])
      await putGroup(redis.client, keys, { name, selector: `in=${name}`, stable });
    const gateways = ['gw-1', 'gw-2'].map((id) => new FakeGateway({ id, client: redis.client, keys }));
    const of = (offers: number, failures: number, over: object = {}) => ({ hash: stable.hash, round: 0, offers, failures, ...over });
    const failing = {
      bad: of(20, 3),
      rare: of(500, 10),
      few: of(2, 2),
      other: of(20, 10, { hash: 'ee' }),
      former: of(20, 10, { round: 1 }),
    };
    for (const gateway of gateways) await gateway.renew({}, failing);
    await sweepsOf(keys).sweepOnce();
    const held = async () =>
      parseSpec(await redis.client.hgetall(keys.spec))
        .groups.filter((group) => group.trailingHeld)
        .map((group) => group.name);
    expect(await held()).toEqual(['bad']);
    expect(parseSpec(await redis.client.hgetall(keys.spec)).groups.every((group) => group.stable?.hash === stable.hash)).toBe(true);
    const generation = await redis.client.hget(keys.spec, 'generation');
    await sweepsOf(keys).sweepOnce();
    expect(await redis.client.hget(keys.spec, 'generation')).toBe(generation);
    expect(await redis.client.xlen(keys.audit)).toBe(1);

    // Somebody lets them go on: the same counts do not stop them again, new ones do.
    const groups = createGroupStore({ client: redis.client, keys });
    expect(await groups.liftTrailingHold('bad', { audit: '{}' })).toBe(true);
    expect(await groups.liftTrailingHold('bad', { audit: '{}' })).toBe(false);
    await sweepsOf(keys).sweepOnce();
    expect(await held()).toEqual([]);
    for (const gateway of gateways) await gateway.renew({}, { bad: of(20, 3, { round: 1 }) });
    await sweepsOf(keys).sweepOnce();
    expect(await held()).toEqual(['bad']);
  });
});

describe('pollers', () => {
  it('that fell silent are released', async () => {
    const keys = redis.keys();
    const [silent, talking] = uidsOf(2) as [string, string];
    for (const [uid, silenceMs] of [
      [silent, 0],
      [talking, 3_600_000],
    ] as const) {
      await claimAgents(redis.client, keys.shards[shardOf(uid)] as ShardKeys, { gateway: 'gw', mode: 'force', silenceMs, uids: [uid] });
    }
    await waitUntil(
      'the sweep',
      async () => {
        await sweepsOf(keys).sweepOnce();
        return await ownerOf(keys, silent);
      },
      (owner) => owner === '',
    );
    expect(await ownerOf(keys, talking)).toBe('http');
  });
});

describe('the runner', () => {
  it('finds rollouts that nobody woke it for, and takes over those of a coordinator that is gone', async () => {
    const keys = redis.keys();
    const stable = await storeConfig(redis.client, keys, 'base', 'one');
    await storeConfig(redis.client, keys, 'base', 'two');
    await putGroup(redis.client, keys, { name: 'prod', selector: '', stable });
    const gateway = new FakeGateway({ id: 'gw', client: redis.client, keys });
    await gateway.readSpec();
    await gateway.connect(uidsOf(10));
    await gateway.round();
    const first = coordinatorOf(keys);
    const second = coordinatorOf(keys);
    const outcome = await first.service.create({ group: 'prod', config: { name: 'base', version: 2 }, strategy: QUICK }, { actor: 'test' });
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    await first.runner.start();
    const look = async () => {
      await gateway.round();
      return await second.service.get(outcome.id);
    };
    await waitUntil('the first wave', look, (view) => view?.waves[0]?.phase !== 'pending');
    await first.runner.stop();
    await second.runner.start();
    const view = await waitUntil('the end', look, (seen) => seen?.phase === 'succeeded');
    expect(view?.counts).toEqual({ applied: 10 });
    await waitUntil(
      'the clean-up',
      () => redis.client.zcard(keys.rolloutsDue),
      (due) => due === 0,
    );
    await second.runner.stop();
  });
});

describe('several coordinators', () => {
  it('working on the same rollouts at the same time bring each agent there once, in order', async () => {
    const keys = redis.keys();
    const groups = Array.from({ length: 6 }, (_, index) => `group-${index}`);
    const stable = await storeConfig(redis.client, keys, 'base', 'one');
    const to = await storeConfig(redis.client, keys, 'base', 'two');
    for (const name of groups) await putGroup(redis.client, keys, { name, selector: `in=${name}`, stable });
    const gateways = ['gw-1', 'gw-2'].map((id) => new FakeGateway({ id, client: redis.client, keys }));
    for (const [index, gateway] of gateways.entries()) {
      await gateway.readSpec();
      for (const [at, name] of groups.entries()) await gateway.connect(uidsOf(5, 1_000 * index + 10 * at), { in: name });
    }
    const coordinators = [coordinatorOf(keys), coordinatorOf(keys), coordinatorOf(keys)];
    const ids = await Promise.all(
      groups.map(async (group) => {
        const outcome = await coordinators[0]?.service.create(
          { group, config: { name: 'base', version: 2 }, strategy: QUICK },
          { actor: 'test' },
        );
        if (outcome?.kind !== 'created') throw new Error(JSON.stringify(outcome));
        return outcome.id;
      }),
    );
    await waitUntil(
      'all to succeed',
      async () => {
        await Promise.all([
          ...gateways.map((gateway) => gateway.round()),
          ...coordinators.flatMap(({ engine }) => ids.map((id) => engine.reconcile(id))),
        ]);
        return await Promise.all(ids.map(async (id) => (await coordinators[1]?.service.get(id))?.phase));
      },
      (phases) => phases.every((phase) => phase === 'succeeded'),
    );
    for (const id of ids) {
      const view = await coordinators[2]?.service.get(id);
      expect(view?.counts).toEqual({ applied: 10 });
      const events = (await coordinators[2]?.service.events(id, 0)) ?? [];
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
      expect(events.filter((event) => event.type === 'wave.started')).toHaveLength(2);
    }
    for (const gateway of gateways)
      for (const agent of gateway.agents.values()) expect(agent.offers.filter((hash) => hash === to.hash)).toHaveLength(1);
  });
});
