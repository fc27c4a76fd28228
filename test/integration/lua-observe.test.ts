/** Rows of agents that cannot report what became of a config: how `settle` hands them out, and how `observe` judges them. */
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, flushAgents, observeAgents, settleRollout } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem } from '@opamp-gateway/shared/redis/agent-scripts';
import type { ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { parseRow } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flushItem, ROLLOUT, rowWrite } from '../support/flush-item.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const HASH = 'aa';
const HOUR_MS = 3_600_000;
/** AcceptsRemoteConfig and ReportsRemoteConfig, and neither that nor ReportsEffectiveConfig. */
const REPORTS = String(4096 + 2);
const MUTE = '2';
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
  const observe = async (holds: boolean, healthHoldMs = 0, toldAtMs = Date.now()): Promise<number> =>
    await observeAgents(redis.client, shard, { rollout: ROLLOUT, hash: HASH, healthHoldMs }, [{ uid: A, holds, toldAtMs }]);
  const offer = async (ackTimeoutMs: number, set: Record<string, string> = {}): Promise<string> => {
    const epoch = await claim(A);
    const offered = { offered: HASH, offeredFor: `${ROLLOUT}:1` };
    await flush(A, epoch, { set: { capabilities, ...offered, ...set }, rows: [rowWrite('offered', { deadlineInMs: 0, ackTimeoutMs })] });
    return epoch;
  };
  const failures = async (): Promise<string[]> => await redis.client.hkeys(`${shard.rollout(ROLLOUT)}:failures`);

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
    await flush(B, await claim(B), { set: { capabilities }, rows: [rowWrite('verifying', { deadlineInMs: 0 })] });
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

  it('is not judged by what it told before the offer, until its time is over', async () => {
    await offer(HOUR_MS);
    expect(await observe(true, 0, Date.now() - 60_000)).toBe(0);
    expect(await standing(A)).toBe('offered');
  });

  it.each([
    ['its time is over', 0, { offeredFor: `${ROLLOUT}:1` }],
    ['it had the version already', HOUR_MS, { offeredFor: 'r0:1' }],
    ['it had the version already, and says so', HOUR_MS, { offered: '', offeredFor: '', reportedHash: HASH }],
  ])('is judged by what it told before when %s', async (_, ackTimeoutMs, set) => {
    await offer(ackTimeoutMs, set);
    await observe(true, 0, Date.now() - 60_000);
    expect(await standing(A)).toBe('observed');
  });

  it('is left alone while the version was not sent to it', async () => {
    await offer(HOUR_MS, { offered: 'bb' });
    expect(await observe(true)).toBe(0);
    expect(await standing(A)).toBe('offered');
  });

  it('that can report before its first look is over has all its time to do so', async () => {
    const epoch = await offer(HOUR_MS);
    await flush(A, epoch, { set: { capabilities: REPORTS } });
    expect(await look()).toEqual([]);
    expect(await standing(A)).toBe('offered');
  });

  it('that stops telling its effective config is unverified when its time is over, and observed when that had been seen', async () => {
    await offer(0, { capabilities: MUTE });
    await flush(B, await claim(B), { set: { capabilities: MUTE }, rows: [rowWrite('verifying', { deadlineInMs: 0 })] });
    await look();
    expect([await standing(A), await standing(B)]).toEqual(['unverified', 'observed']);
  });

  it('that was unhealthy when it was offered the version is not degraded for want of somebody who compares', async () => {
    await offer(0, { health: '0', unhealthyWhenOffered: '1' });
    await look();
    expect(await standing(A)).toBe('unverified');
  });

  it('that is healthy again is no longer listed among the failures', async () => {
    const epoch = await offer(HOUR_MS);
    await flush(A, epoch, { rows: [rowWrite('degraded', { error: 'down' })] });
    expect(await failures()).toEqual([A]);
    await flush(A, epoch, { rows: [rowWrite('unverified')] });
    expect(await failures()).toEqual([]);
  });

  it.each([true, false])('that is tried again and passes is no longer listed among the failures, with a hold: %s', async (held) => {
    const epoch = await offer(HOUR_MS);
    await flush(A, epoch, { rows: [rowWrite('degraded', { error: 'down' })] });
    await flush(A, epoch, { rows: [rowWrite('offered', { attempt: 2, deadlineInMs: 0 })] });
    if (held) await flush(A, epoch, { rows: [rowWrite('verifying', { attempt: 2, deadlineInMs: 0 })] });
    if (held) await look();
    else await observe(true);
    expect(await standing(A)).toBe('observed');
    expect(await failures()).toEqual([]);
  });

  it('that was observed is not tried again by a gateway that does not know', async () => {
    const epoch = await offer(HOUR_MS);
    await observe(true);
    await flush(A, epoch, { rows: [rowWrite('offered', { attempt: 2 })] });
    expect(await standing(A)).toBe('observed');
  });

  it('does not stay open when nobody compares', async () => {
    await offer(0);
    await look();
    expect(await standing(A)).toBe('unverified');
  });
});
