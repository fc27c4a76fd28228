import { createRetention } from '@opamp-gateway/coordinator/bus/retention';
import { systemClock } from '@opamp-gateway/shared/clock';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { createAuditLog } from '@opamp-gateway/coordinator/stores/audit-log';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { claimAgents, flushAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { formatRow } from '@opamp-gateway/shared/rollout-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const DAY_MS = 86_400_000;
const DAYS = { agents: 7, rollouts: 90, audit: 365, tokens: 30 };

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

function build(keys: Keys, days = DAYS) {
  return createRetention({
    client: redis.client,
    keys,
    clock: systemClock,
    logger: createSilentLogger(),
    days,
    audit: createAuditLog({ client: redis.client, keys }),
  });
}

function shardFor(keys: Keys, uid: string): ShardKeys {
  return keys.shards[shardOf(uid as InstanceUid)] as ShardKeys;
}

/** Puts an agent into Redis as a gateway does, and makes its last change as old as asked. */
async function putAgent(
  keys: Keys,
  uid: string,
  options: { connected: boolean; ageDays: number; row?: 'offered' | 'applied' },
): Promise<void> {
  const shard = shardFor(keys, uid);
  const [claimed] = await claimAgents(redis.client, shard, { gateway: 'g', mode: 'force', uids: [uid] });
  const epoch = claimed?.kind === 'ok' ? claimed.epoch : '';
  const effective = Buffer.from('x');
  const item = {
    uid,
    epoch,
    release: !options.connected,
    group: 'g',
    takesConfig: true,
    facets: 'group=g',
    effective,
    set: {},
    del: [],
    rows: [],
  };
  await flushAgents(redis.client, shard, 'g', [item]);
  if (options.row !== undefined) {
    await redis.client.hset(shard.rollout('r1'), 'x', '1');
    const row = { wave: '0', status: options.row, attempt: 1, deadlineMs: 0, offeredAtMs: 0, ackTimeoutMs: 0, soft: false };
    await redis.client.hset(shard.agent(uid), 'r:r1', formatRow(row));
  }
  await redis.client.zadd(shard.agents, Date.now() - options.ageDays * DAY_MS, uid);
}

describe('retention', () => {
  it('forgets agents that are away for long, and nobody else', async () => {
    const keys = redis.keys();
    const [old = '', young = '', connected = '', open = '', settled = ''] = uidsOf(5);
    await putAgent(keys, old, { connected: false, ageDays: 8 });
    await putAgent(keys, young, { connected: false, ageDays: 6 });
    await putAgent(keys, connected, { connected: true, ageDays: 30 });
    await putAgent(keys, open, { connected: false, ageDays: 30, row: 'offered' });
    await putAgent(keys, settled, { connected: false, ageDays: 30, row: 'applied' });
    expect(await build(keys).runOnce()).toEqual({ agents: 2, rollouts: 0 });

    const exists = async (uid: string): Promise<number> => await redis.client.exists(shardFor(keys, uid).agent(uid));
    expect(await Promise.all([old, young, connected, open, settled].map(exists))).toEqual([0, 1, 1, 1, 0]);
    expect(await redis.client.exists(shardFor(keys, old).effective(old))).toBe(0);
    expect(await redis.client.zscore(shardFor(keys, old).uids, old)).toBeNull();
    // Its facets are gone with it: those of the others are what is left.
    const facets = await redis.client.hgetall(shardFor(keys, connected).facets);
    expect(facets['group=g|1']).toBe('1');
    // A connected agent is looked at again only after as many days.
    expect(Number(await redis.client.zscore(shardFor(keys, connected).agents, connected))).toBeGreaterThan(Date.now() - DAY_MS);
    expect(await build(keys).runOnce()).toEqual({ agents: 0, rollouts: 0 });
  });

  it('copes with more agents than one call looks at', async () => {
    const keys = redis.keys();
    const shard = keys.shards[0] as ShardKeys;
    const uids = uidsOf(20_000, 50_000).filter((uid) => shardOf(uid as InstanceUid) === 0);
    expect(uids.length).toBeGreaterThan(1000);
    await claimAgents(redis.client, shard, { gateway: 'g', mode: 'force', uids });
    const pipeline = redis.client.pipeline();
    for (const [index, uid] of uids.entries()) {
      if (index % 2 === 0) pipeline.hset(shard.agent(uid), 'owner', '');
      pipeline.zadd(shard.agents, 1, uid);
    }
    await pipeline.exec();
    expect(await build(keys).runOnce()).toEqual({ agents: Math.ceil(uids.length / 2), rollouts: 0 });
    expect(await redis.client.zcard(shard.uids)).toBe(Math.floor(uids.length / 2));
  });

  it('removes rollouts that ended long ago with their events, and keeps those that go on', async () => {
    const keys = redis.keys();
    const ago = (days: number): number => Date.now() - days * DAY_MS;
    for (const [id, createdAtMs, endedAtMs] of [
      ['ended', ago(200), ago(100)],
      ['lately', ago(200), ago(10)],
      ['running', ago(200), null],
      ['new', ago(1), ago(1)],
    ] as const) {
      await redis.client.zadd(keys.rollouts, createdAtMs, id);
      await redis.client.hset(keys.rollout(id), 'rev', '1', 'doc', JSON.stringify({ id, endedAtMs }));
      await redis.client.rpush(keys.rolloutEvents(id), '{}');
    }
    expect(await build(keys).runOnce()).toEqual({ agents: 0, rollouts: 1 });
    expect(await redis.client.zrange(keys.rollouts, '0', '-1')).toEqual(['lately', 'running', 'new']);
    expect(await redis.client.exists(keys.rollout('ended'), keys.rolloutEvents('ended'))).toBe(0);
    expect(await redis.client.exists(keys.rollout('running'), keys.rolloutEvents('running'))).toBe(2);
  });

  it('removes nothing when it is told to keep everything', async () => {
    const keys = redis.keys();
    const [old = ''] = uidsOf(1);
    await putAgent(keys, old, { connected: false, ageDays: 4000 });
    expect(await build(keys, { agents: 0, rollouts: 0, audit: 0, tokens: 0 }).runOnce()).toEqual({ agents: 0, rollouts: 0 });
    expect(await redis.client.exists(shardFor(keys, old).agent(old))).toBe(1);
  });
});
