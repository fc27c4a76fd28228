/** Rows of agents that cannot report what became of a config: how `settle` hands them out, and how `observe` judges them. */
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, flushAgents, observeAgents, settleRollout } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem, RowWrite } from '@opamp-gateway/shared/redis/agent-scripts';
import type { ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { parseRow } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flushItem } from '../support/flush-item.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const ROLLOUT = 'r1';
const HOUR_MS = 3_600_000;
/** Agents of one shard, so that one call can name both. */
const [A, B] = uidsOf(2_000).filter((uid) => shardOf(uid) === shardOf(uidsOf(1)[0] as string)) as [string, string];

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

async function claim(uid: string): Promise<string> {
  const [reply] = await claimAgents(redis.client, shard, { gateway: 'gw-1', mode: 'force', uids: [uid] });
  if (reply?.kind !== 'ok') throw new Error(`not claimed: ${JSON.stringify(reply)}`);
  return reply.epoch;
}

function row(status: RowStatus, over: Partial<RowWrite> = {}): RowWrite {
  return { rollout: ROLLOUT, wave: '0', status, attempt: 1, deadlineInMs: HOUR_MS, ackTimeoutMs: 1_000, soft: false, error: '', ...over };
}

async function flush(uid: string, epoch: string, over: Partial<FlushItem>): Promise<void> {
  await flushAgents(redis.client, shard, 'gw-1', [flushItem(uid, epoch, over)]);
}

async function standing(uid: string): Promise<RowStatus | undefined> {
  return parseRow((await redis.client.hget(shard.agent(uid), `r:${ROLLOUT}`)) ?? '')?.status;
}

describe('an agent that cannot report', () => {
  /** AcceptsRemoteConfig, ReportsEffectiveConfig and a bit that no number of Lua holds beside them. */
  const capabilities = String((1n << 62n) + 6n);
  const look = async (): Promise<string[]> =>
    (await settleRollout(redis.client, shard, { rollout: ROLLOUT, judge: true, limit: 100 })).observe;
  const observe = async (holds: boolean, healthHoldMs = 0): Promise<number> =>
    await observeAgents(redis.client, shard, { rollout: ROLLOUT, healthHoldMs }, [{ uid: A, holds }]);
  const offer = async (ackTimeoutMs: number, set: Record<string, string> = {}): Promise<void> => {
    const epoch = await claim(A);
    await flush(A, epoch, { set: { capabilities, ...set }, rows: [row('offered', { deadlineInMs: 0, ackTimeoutMs })] });
  };

  it('is handed out, and not again before its next look', async () => {
    await offer(HOUR_MS);
    expect(await look()).toEqual([A]);
    expect(await look()).toEqual([]);
    expect(await standing(A)).toBe('offered');
  });

  it('that shows the version is held for the health hold, then observed', async () => {
    await offer(HOUR_MS);
    expect(await observe(true, HOUR_MS)).toBe(1);
    expect(await standing(A)).toBe('verifying');
    await flush(B, await claim(B), { set: { capabilities }, rows: [row('verifying', { deadlineInMs: 0 })] });
    await look();
    expect(await standing(B)).toBe('observed');
    expect(await redis.client.hgetall(shard.rollout(ROLLOUT))).toEqual({ '0:verifying:1': '1', '0:observed:1': '1' });
  });

  it.each([
    [true, '1', 'observed'],
    [true, '0', 'offered'],
    [false, '1', 'offered'],
  ] as const)('that has time left, shows it: %s, is healthy: %s, is %s', async (holds, health, status) => {
    await offer(HOUR_MS, { health });
    await observe(holds);
    expect(await standing(A)).toBe(status);
  });

  it.each([
    ['1', 'unverified'],
    ['0', 'degraded'],
  ] as const)('whose time is over, that does not show it, healthy: %s, is %s', async (health, status) => {
    await offer(0, { health });
    expect(await observe(false)).toBe(1);
    expect(await standing(A)).toBe(status);
  });

  it('is left alone when it can report by now', async () => {
    await offer(HOUR_MS);
    await flush(A, await claim(A), { set: { capabilities: String(4096 + 6) } });
    expect(await observe(true)).toBe(0);
  });

  it('does not stay open when nobody compares', async () => {
    await offer(0);
    await look();
    expect(await standing(A)).toBe('unverified');
  });
});
