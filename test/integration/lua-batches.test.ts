import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, flushAgents, settleRollout } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem, FlushReply } from '@opamp-gateway/shared/redis/agent-scripts';
import type { ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { parseRow, ROW_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flushItem, ROLLOUT, rowWrite } from '../support/flush-item.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

/** Agents of one shard, so that one call can name several. */
const SAME_SHARD = uidsOf(1_000).filter((uid) => shardOf(uid) === shardOf(uidsOf(1)[0] as string));
const [A] = SAME_SHARD as [string];

let redis: RedisLab;
let shard: ShardKeys;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});
beforeEach(() => {
  shard = redis.keys().shards[shardOf(A)] as ShardKeys;
});

async function claim(uid: string, gateway = 'gw-1'): Promise<string> {
  const [reply] = await claimAgents(redis.client, shard, { gateway, mode: 'force', uids: [uid] });
  if (reply?.kind !== 'ok') throw new Error(`not claimed: ${JSON.stringify(reply)}`);
  return reply.epoch;
}

async function flush(uid: string, epoch: string, over: Partial<FlushItem>): Promise<FlushReply> {
  const [reply] = await flushAgents(redis.client, shard, 'gw-1', [flushItem(uid, epoch, over)]);
  if (reply === undefined) throw new Error('no reply');
  return reply;
}

async function counters(): Promise<Record<string, string>> {
  return redis.client.hgetall(shard.rollout(ROLLOUT));
}

async function standing(uid: string): Promise<string | undefined> {
  return parseRow((await redis.client.hget(shard.agent(uid), `r:${ROLLOUT}`)) ?? '')?.status;
}

/** Commands that Redis has run, those of scripts included. */
async function commandCalls(): Promise<Record<string, number>> {
  const text = await redis.client.info('commandstats');
  return Object.fromEntries([...text.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]));
}

describe('a batch of writes', () => {
  it('moves each counter once, whatever the number of its agents', async () => {
    const uids = SAME_SHARD.slice(0, 20);
    const epochs = await Promise.all(uids.map((uid) => claim(uid)));
    const flushAll = async (over: Partial<FlushItem>): Promise<void> => {
      await flushAgents(
        redis.client,
        shard,
        'gw-1',
        uids.map((uid, i) => flushItem(uid, epochs[i] ?? '', over)),
      );
    };
    await flushAll({ facets: 'group=prod\nstatus=unset', rows: [rowWrite('offered')] });
    const before = await commandCalls();
    await flushAll({ facets: 'group=prod\nstatus=applied', set: { reportedStatus: 'APPLIED' }, rows: [rowWrite('applied')] });
    const after = await commandCalls();
    expect(await redis.client.hgetall(shard.facets)).toEqual({ 'group=prod|1': '20', 'status=applied|1': '20' });
    expect(await counters()).toEqual({ '0:applied:1': '20' });
    // Out of one facet and one status, into another.
    expect((after['hincrby'] ?? 0) - (before['hincrby'] ?? 0)).toBe(4);
    expect((after['hset'] ?? 0) - (before['hset'] ?? 0)).toBe(uids.length);
    expect(await redis.client.zcard(shard.rolloutOpen(ROLLOUT))).toBe(0);
  });

  it('keeps the row of an agent that is released with it, in a rollout that the shard has not met before', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered')], release: true });
    expect(await standing(A)).toBe('offered');
    expect(await counters()).toEqual({ '0:offered:0': '1' });
  });

  it('takes several rows and attempts of one agent in order', async () => {
    const epoch = await claim(A);
    const reply = await flush(A, epoch, {
      rows: [rowWrite('offered'), rowWrite('failed'), rowWrite('offered', { attempt: 2 }), rowWrite('applied')],
    });
    expect(reply.kind === 'ok' && parseRow(reply.rows[ROLLOUT] ?? '')).toMatchObject({ status: 'offered', attempt: 2 });
    expect(await standing(A)).toBe('offered');
    expect(await counters()).toEqual({ '0:offered:1': '1' });
    expect(await redis.client.zcard(shard.rolloutOpen(ROLLOUT))).toBe(1);
  });

  it('keeps counters equal to rows and facets under random histories of many agents at once', async () => {
    const uids = SAME_SHARD.slice(0, 12);
    const held = new Map<string, string>();
    let seed = 11;
    const next = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    for (let step = 0; step < 150; step += 1) {
      for (const uid of uids) if (!held.has(uid) || next(6) === 0) held.set(uid, await claim(uid, `gw-${1 + next(2)}`));
      const items = uids
        .filter(() => next(3) > 0)
        .map((uid) =>
          flushItem(uid, held.get(uid) ?? '0', {
            release: next(5) === 0,
            facets: next(2) === 0 ? undefined : `version=${next(3)}\nhealth=${next(2)}`,
            rows:
              next(3) === 0
                ? []
                : [rowWrite(ROW_STATUSES[next(ROW_STATUSES.length)] as RowStatus, { attempt: 1 + next(2), wave: String(next(3)) })],
          }),
        );
      await flushAgents(redis.client, shard, 'gw-1', items);
    }
    const expected: Record<string, number> = {};
    const facets: Record<string, string> = {};
    for (const uid of uids) {
      const record = await redis.client.hgetall(shard.agent(uid));
      const column = (record['owner'] ?? '') === '' ? 0 : 1;
      const stored = parseRow(record[`r:${ROLLOUT}`] ?? '');
      const field = `${stored?.wave}:${stored?.status}:${column}`;
      if (stored !== undefined) expected[field] = (expected[field] ?? 0) + 1;
      for (const facet of (record['facets'] ?? '').split('\n').filter((text) => text !== ''))
        facets[`${facet}|${column}`] = String(Number(facets[`${facet}|${column}`] ?? 0) + 1);
    }
    expect((await settleRollout(redis.client, shard, { rollout: ROLLOUT, judge: false, limit: 100 })).counters).toEqual(expected);
    expect(await redis.client.hgetall(shard.facets)).toEqual(facets);
  });
});
