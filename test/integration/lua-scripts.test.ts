import { shardOf } from '@opamp-gateway/shared/instance-uid';
import {
  claimAgents,
  deleteAgent,
  finishRollout,
  flushAgents,
  releaseAgents,
  releaseSilentPollers,
  settleRollout,
} from '@opamp-gateway/shared/redis/agent-scripts';
import type { ClaimMode, FlushItem, FlushReply } from '@opamp-gateway/shared/redis/agent-scripts';
import {
  beat,
  commitRollout,
  commitSpec,
  endLease,
  putConfig,
  renewLease,
  takeDueRollouts,
} from '@opamp-gateway/shared/redis/fleet-scripts';
import type { RolloutCommit } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { parseRow, ROW_STATUSES, UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flushItem, ROLLOUT, rowWrite } from '../support/flush-item.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';

const HOUR_MS = 3_600_000;
/** Agents of one shard, so that one call can name several. */
const SAME_SHARD = uidsOf(2_000).filter((uid) => shardOf(uid) === shardOf(uidsOf(1)[0] as string));
const [A, B, C] = SAME_SHARD as [string, string, string];

let redis: RedisLab;
let keys: Keys;
let shard: ShardKeys;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});
beforeEach(() => {
  keys = redis.keys();
  shard = keys.shards[shardOf(A)] as ShardKeys;
});

async function claim(uid: string, gateway = 'gw-1', mode: ClaimMode = 'force'): Promise<string> {
  const [reply] = await claimAgents(redis.client, shard, { gateway, mode, uids: [uid] });
  if (reply?.kind !== 'ok') throw new Error(`not claimed: ${JSON.stringify(reply)}`);
  return reply.epoch;
}

async function flush(uid: string, epoch: string, over: Partial<FlushItem> = {}): Promise<FlushReply> {
  const [reply] = await flushAgents(redis.client, shard, 'gw-1', [flushItem(uid, epoch, over)]);
  if (reply === undefined) throw new Error('no reply');
  return reply;
}

async function counters(): Promise<Record<string, string>> {
  return redis.client.hgetall(shard.rollout(ROLLOUT));
}

async function settle(judge = true): Promise<Record<string, number>> {
  return (await settleRollout(redis.client, shard, { rollout: ROLLOUT, judge, limit: 100 })).counters;
}

async function standing(uid: string): Promise<string | undefined> {
  return parseRow((await redis.client.hget(shard.agent(uid), `r:${ROLLOUT}`)) ?? '')?.status;
}

describe('claim', () => {
  it('gives growing epochs, and the record as it stands', async () => {
    const first = await claim(A);
    const second = await claim(A, 'gw-2');
    expect(BigInt(second)).toBeGreaterThan(BigInt(first));
    const [reply] = await claimAgents(redis.client, shard, { gateway: 'gw-3', mode: 'force', uids: [A] });
    expect(reply).toMatchObject({ kind: 'ok', formerOwner: 'gw-2', fields: { owner: 'gw-3', origin: A } });
  });

  it('leaves an agent alone that another gateway holds, when asked politely', async () => {
    await claim(A);
    expect(await claimAgents(redis.client, shard, { gateway: 'gw-2', mode: 'polite', uids: [A] })).toEqual([
      { kind: 'owned', owner: 'gw-1', epoch: expect.any(String) },
    ]);
    expect(await redis.client.hget(shard.agent(A), 'owner')).toBe('gw-1');
  });

  it('dates the connection anew when an agent comes back, and not when the connection that had it claims it again', async () => {
    const epoch = await claim(A);
    await redis.client.hset(shard.agent(A), 'connectedAt', '1000');
    await flush(A, epoch, { release: true });
    await claim(A, 'gw-1', 'again');
    expect(await redis.client.hget(shard.agent(A), 'connectedAt')).toBe('1000');
    await flush(A, (await redis.client.hget(shard.agent(A), 'epoch')) ?? '', { release: true });
    await claim(A, 'gw-1', 'polite');
    expect(Number(await redis.client.hget(shard.agent(A), 'connectedAt'))).toBeGreaterThan(1000);
  });

  it('lists a new agent under no group, so that a sweep finds it before its first report', async () => {
    const epoch = await claim(A);
    expect(await redis.client.hgetall(shard.members('-'))).toEqual({ [A]: `gw-1:${epoch}:0:` });
    await flush(A, epoch, { group: 'edge', takesConfig: true });
    expect(await redis.client.hgetall(shard.members('-'))).toEqual({});
    expect(await redis.client.hgetall(shard.members('edge'))).toEqual({ [A]: `gw-1:${epoch}:1:` });
  });

  it('gives an agent that is taken over from another gateway time to come back', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('applying', { deadlineInMs: 0, ackTimeoutMs: HOUR_MS })] });
    await claim(A, 'gw-2');
    expect(await settle()).toEqual({ '0:applying:1': 1 });
  });

  it('never goes below the stored epoch, even when that lies in the future', async () => {
    await claim(A);
    await redis.client.hset(shard.agent(A), 'epoch', '9007199254740000');
    expect(await claim(A)).toBe('9007199254740001');
  });
});

describe('flush', () => {
  it('counts a row once, however often the same write is repeated', async () => {
    const epoch = await claim(A);
    for (let i = 0; i < 5; i += 1) await flush(A, epoch, { rows: [rowWrite('offered')] });
    expect(await counters()).toEqual({ '0:offered:1': '1' });
    for (let i = 0; i < 5; i += 1) await flush(A, epoch, { rows: [rowWrite('applied')] });
    expect(await counters()).toEqual({ '0:applied:1': '1' });
    expect(await redis.client.zcard(shard.rolloutOpen(ROLLOUT))).toBe(0);
  });

  it('refuses the write of a gateway that lost the agent', async () => {
    const old = await claim(A);
    await claim(A, 'gw-2');
    expect(await flush(A, old, { set: { health: '0' }, rows: [rowWrite('offered')] })).toEqual({ kind: 'fenced', owner: 'gw-2' });
    expect(await counters()).toEqual({});
    expect(await redis.client.hget(shard.agent(A), 'health')).toBeNull();
  });

  it('asks for a new claim when the store has lost the one that the write goes by', async () => {
    const epoch = await claim(A);
    await redis.client.hset(shard.agent(A), 'epoch', '5', 'owner', 'gw-9');
    expect(await flush(A, epoch, { rows: [rowWrite('offered')] })).toEqual({ kind: 'fenced', owner: '' });
    expect(await counters()).toEqual({});
  });

  it('gives a row that the store has lost a deadline of its own', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('applying', { deadlineInMs: -1, ackTimeoutMs: HOUR_MS })] });
    expect(await settle()).toEqual({ '0:applying:1': 1 });
  });

  it('lets a rollback go of an agent that has another group or a pin, whatever its row was', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('applied')] });
    await flush(A, epoch, { rows: [rowWrite('left')] });
    expect(await counters()).toEqual({ '0:left:1': '1' });
  });

  it('keeps the wave of the first row, whatever a later write says', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered')] });
    await flush(A, epoch, { rows: [rowWrite('applied', { wave: '3' })] });
    expect(await counters()).toEqual({ '0:applied:1': '1' });
  });

  it('moves a settled row back to unsettled only in a higher attempt', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered')] });
    await flush(A, epoch, { rows: [rowWrite('failed', { error: 'no' })] });
    const refused = await flush(A, epoch, { rows: [rowWrite('offered')] });
    expect(refused.kind === 'ok' && parseRow(refused.rows[ROLLOUT] ?? '')?.status).toBe('failed');
    await flush(A, epoch, { rows: [rowWrite('offered', { attempt: 2 })] });
    expect(await counters()).toEqual({ '0:offered:1': '1' });
    expect(await flush(A, epoch, { rows: [rowWrite('failed')] })).toMatchObject({ kind: 'ok' });
    expect(await standing(A)).toBe('offered');
  });

  it('never makes a decided row undecided, for every pair of statuses', async () => {
    const decided = ROW_STATUSES.filter((status) => !UNSETTLED_STATUSES.has(status) && status !== 'left');
    let from = 0;
    for (const settled of decided) {
      for (const open of UNSETTLED_STATUSES) {
        // Who was passed by is offered the version once it can take it.
        if (open === 'restoring' || (settled === 'skipped' && open === 'offered')) continue;
        const uid = SAME_SHARD[(from += 1)] as string;
        const epoch = await claim(uid);
        await flush(uid, epoch, { rows: [rowWrite(settled)] });
        await flush(uid, epoch, { rows: [rowWrite(open)] });
        expect(await standing(uid), `${settled} -> ${open}`).toBe(settled);
      }
    }
  });

  it('lists an error until the agent recovers', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered')] });
    await flush(A, epoch, { rows: [rowWrite('degraded', { error: 'exporter is down' })] });
    expect(await redis.client.hgetall(shard.rolloutFailures(ROLLOUT))).toEqual({ [A]: 'degraded|exporter is down' });
    await flush(A, epoch, { rows: [rowWrite('applied')] });
    expect(await redis.client.hgetall(shard.rolloutFailures(ROLLOUT))).toEqual({});
  });

  it('drops the rows of a rollout that has ended', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('applied')] });
    await finishRollout(redis.client, shard, ROLLOUT, 60);
    expect(await flush(A, epoch, { rows: [rowWrite('degraded')] })).toEqual({ kind: 'ok', rows: { [ROLLOUT]: '' } });
    expect(await redis.client.hexists(shard.agent(A), `r:${ROLLOUT}`)).toBe(0);
  });

  it('books group, members and facets in the same step, and moves them', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { group: 'prod', takesConfig: true, facets: 'group=prod\nhealth=healthy' });
    expect(await redis.client.hgetall(shard.members('prod'))).toEqual({ [A]: `gw-1:${epoch}:1:` });
    expect(await redis.client.hgetall(shard.facets)).toEqual({ 'group=prod|1': '1', 'health=healthy|1': '1' });
    await flush(A, epoch, { group: 'test', facets: 'group=test\nhealth=healthy' });
    expect(await redis.client.hgetall(shard.members('prod'))).toEqual({});
    expect(await redis.client.hgetall(shard.facets)).toEqual({ 'group=test|1': '1', 'health=healthy|1': '1' });
    await flush(A, epoch, { release: true });
    expect(await redis.client.hgetall(shard.members('test'))).toEqual({});
    expect(await redis.client.hgetall(shard.facets)).toEqual({ 'group=test|0': '1', 'health=healthy|0': '1' });
  });
});

describe('release and claim', () => {
  it('move the rows of an agent between the columns, and extend the deadline of an open one', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered', { deadlineInMs: 1_000, ackTimeoutMs: 600_000 })] });
    const before = Number(await redis.client.zscore(shard.rolloutOpen(ROLLOUT), A));
    await flush(A, epoch, { release: true });
    expect(await counters()).toEqual({ '0:offered:0': '1' });
    const after = Number(await redis.client.zscore(shard.rolloutOpen(ROLLOUT), A));
    expect(after - before).toBeGreaterThan(590_000);
    await claim(A, 'gw-2');
    expect(await counters()).toEqual({ '0:offered:1': '1' });
  });

  it('do not extend a deadline beyond three times the acknowledgement time', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered', { deadlineInMs: 10_000, ackTimeoutMs: 10_000 })] });
    const offeredAt = parseRow((await redis.client.hget(shard.agent(A), `r:${ROLLOUT}`)) ?? '')?.offeredAtMs ?? 0;
    let mine = epoch;
    for (let i = 0; i < 10; i += 1) {
      await flush(A, mine, { release: true });
      mine = await claim(A);
    }
    const deadline = Number(await redis.client.zscore(shard.rolloutOpen(ROLLOUT), A));
    expect(deadline).toBeLessThanOrEqual(offeredAt + 30_000);
  });

  it('of a dead gateway leave an agent alone that it has claimed again, or that has moved on', async () => {
    const old = await claim(A);
    const moved = await claim(B);
    await flush(A, old, { rows: [rowWrite('applied')] });
    await claim(A);
    await claim(B, 'gw-2');
    const dead = await claim(C);
    expect(
      await releaseAgents(redis.client, shard, 'gw-1', [
        { uid: A, epoch: old },
        { uid: B, epoch: moved },
        { uid: C, epoch: dead },
      ]),
    ).toBe(1);
    expect(await redis.client.hget(shard.agent(A), 'owner')).toBe('gw-1');
    expect(await redis.client.hget(shard.agent(B), 'owner')).toBe('gw-2');
    expect(await redis.client.hget(shard.agent(C), 'owner')).toBe('');
    expect(await counters()).toEqual({ '0:applied:1': '1' });
    expect(await releaseAgents(redis.client, shard, 'gw-1', [{ uid: C, epoch: dead }])).toBe(0);
  });

  it('release pollers that fell silent, and only those', async () => {
    await claimAgents(redis.client, shard, { gateway: 'gw-1', mode: 'force', silenceMs: 0, uids: [A] });
    await claimAgents(redis.client, shard, { gateway: 'gw-1', mode: 'force', silenceMs: HOUR_MS, uids: [B] });
    expect(
      await waitUntil(
        'the silent one',
        () => releaseSilentPollers(redis.client, shard, 10),
        (count) => count > 0,
      ),
    ).toBe(1);
    expect(await redis.client.hget(shard.agent(A), 'owner')).toBe('');
    expect(await redis.client.hget(shard.agent(B), 'owner')).toBe('http');
  });

  it('keep the sum of the counters equal to the rows under random histories', async () => {
    const gateways = ['gw-1', 'gw-2'];
    const epochs = new Map<string, string>();
    const uids = SAME_SHARD.slice(0, 12);
    // A fixed linear congruential sequence: the same history in every run.
    let seed = 7;
    const next = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    for (let step = 0; step < 600; step += 1) {
      const uid = uids[next(uids.length)] as string;
      const kind = next(4);
      if (kind === 0 || !epochs.has(uid)) epochs.set(uid, await claim(uid, gateways[next(2)]));
      else if (kind === 1) await flush(uid, epochs.get(uid) ?? '0', { release: true });
      else {
        const status = ROW_STATUSES[next(ROW_STATUSES.length)] as RowStatus;
        await flush(uid, epochs.get(uid) ?? '0', { rows: [rowWrite(status, { attempt: 1 + next(2), wave: String(next(3)) })] });
      }
    }
    const expected: Record<string, number> = {};
    for (const uid of uids) {
      const stored = parseRow((await redis.client.hget(shard.agent(uid), `r:${ROLLOUT}`)) ?? '');
      if (stored === undefined) continue;
      const connected = ((await redis.client.hget(shard.agent(uid), 'owner')) ?? '') === '' ? 0 : 1;
      const field = `${stored.wave}:${stored.status}:${connected}`;
      expected[field] = (expected[field] ?? 0) + 1;
    }
    expect(await settle(false)).toEqual(expected);
  });
});

describe('settle', () => {
  it('judges nothing while it is told not to', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered', { deadlineInMs: 0 })] });
    expect(await settle(false)).toEqual({ '0:offered:1': 1 });
  });

  it.each([
    ['offered', {}, 'timedOut'],
    ['applying', { health: '1' }, 'unverified'],
    ['applying', { health: '0' }, 'degraded'],
    ['verifying', { health: '1' }, 'applied'],
    ['verifying', { health: '0' }, 'degraded'],
    ['verifying', { health: '0', unhealthyWhenOffered: '1' }, 'applied'],
    ['restoring', {}, 'restoreFailed'],
  ] as const)('of a connected agent makes %s with %j %s', async (status, set, verdict) => {
    const epoch = await claim(A);
    await flush(A, epoch, { set, rows: [rowWrite(status, { deadlineInMs: 0 })] });
    await waitUntil(
      'the verdict',
      async () => Object.keys(await settle()),
      (fields) => fields.includes(`0:${verdict}:1`),
    );
    expect(await standing(A)).toBe(verdict);
  });

  it('calls an agent that is away lost, but only lists one that is to be restored', async () => {
    for (const [uid, status] of [
      [A, 'applying'],
      [B, 'restoring'],
    ] as const) {
      const epoch = await claim(uid);
      await flush(uid, epoch, { rows: [rowWrite(status, { deadlineInMs: 0, ackTimeoutMs: 0 })], release: true });
    }
    await waitUntil('the verdict', settle, (found) => found['0:lost:0'] === 1);
    expect(await settle()).toEqual({ '0:lost:0': 1, '0:restoring:0': 1 });
    expect(await redis.client.hget(shard.rolloutFailures(ROLLOUT), A)).toMatch(/^lost\|/);
  });

  it('remembers the hash of a soft failure that did not recover', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { set: { health: '0', offered: 'ab' }, rows: [rowWrite('verifying', { deadlineInMs: 0, soft: true })] });
    await waitUntil('the verdict', settle, (found) => found['0:failed:1'] === 1);
    expect(await redis.client.hget(shard.agent(A), 'failed')).toBe(`ab:${ROLLOUT}:1`);
  });

  it('takes a bounded number of rows and says how many are left', async () => {
    const rows = [rowWrite('offered', { deadlineInMs: 0, ackTimeoutMs: 0 })];
    for (const uid of SAME_SHARD.slice(0, 8)) await flush(uid, await claim(uid), { rows });
    const reply = await waitUntil(
      'all to be overdue',
      () => settleRollout(redis.client, shard, { rollout: ROLLOUT, judge: true, limit: 3 }),
      (found) => found.overdue <= 5,
    );
    expect(reply.counters['0:timedOut:1']).toBeGreaterThanOrEqual(3);
  });

  it('accepts a late answer as the verdict, without making the row open again', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered', { deadlineInMs: 0 })] });
    await waitUntil('the verdict', settle, (found) => found['0:timedOut:1'] === 1);
    await flush(A, epoch, { rows: [rowWrite('applying')] });
    expect(await standing(A)).toBe('timedOut');
    await flush(A, epoch, { rows: [rowWrite('applied')] });
    expect(await settle()).toEqual({ '0:applied:1': 1 });
  });
});

describe('finish', () => {
  it('gives the same final counters however often it is called', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('applied')] });
    expect(await finishRollout(redis.client, shard, ROLLOUT, 60)).toEqual({ '0:applied:1': 1 });
    await flush(A, epoch, { release: true });
    await claim(A);
    expect(await finishRollout(redis.client, shard, ROLLOUT, 60)).toEqual({ '0:applied:1': 1 });
    expect(await redis.client.hexists(shard.agent(A), `r:${ROLLOUT}`)).toBe(0);
  });
});

describe('delete', () => {
  it('forgets an agent that is away, with its counters, and refuses every other', async () => {
    const epoch = await claim(A);
    await flush(A, epoch, { rows: [rowWrite('offered')], facets: 'x' });
    expect(await deleteAgent(redis.client, shard, A)).toBe('connected');
    await flush(A, epoch, { release: true });
    expect(await deleteAgent(redis.client, shard, A)).toBe('open');
    await flush(A, await claim(A), { rows: [rowWrite('applied')], release: true });
    expect(await deleteAgent(redis.client, shard, A)).toBe('ok');
    expect(await counters()).toEqual({});
    expect(await redis.client.hgetall(shard.facets)).toEqual({});
    expect(await deleteAgent(redis.client, shard, A)).toBe('unknown');
  });
});

describe('commit-rollout', () => {
  const base: Omit<RolloutCommit, 'id' | 'group'> = {
    expectedRev: 0,
    document: '{}',
    createdAtMs: 1,
    nextEvalAtMs: 1,
    active: 'set',
    idempotencyKey: null,
    specSet: {},
    specDel: [],
    events: [],
    outbox: [],
  };

  beforeEach(async () => {
    await redis.client.hset(keys.spec, 'group:a', '{}', 'group:b', '{}');
  });

  it('takes one of many steps on the same revision', async () => {
    await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'a' });
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        commitRollout(redis.client, keys, {
          ...base,
          id: 'x',
          group: 'a',
          expectedRev: 1,
          active: 'keep',
          events: [`{"n":${index}}`],
          specSet: { 'rollout:x': String(index) },
        }),
      ),
    );
    expect(replies.filter((reply) => reply.kind === 'ok')).toHaveLength(1);
    expect(replies.filter((reply) => reply.kind === 'stale' && reply.rev === 2)).toHaveLength(19);
    expect(await redis.client.llen(keys.rolloutEvents('x'))).toBe(1);
    expect(await redis.client.hget(keys.spec, 'generation')).toBe('1');
  });

  it('lets two rollouts of different groups patch the spec side by side', async () => {
    await Promise.all(
      ['a', 'b'].map(async (group) => {
        for (let rev = 0; rev < 50; rev += 1) {
          const reply = await commitRollout(redis.client, keys, {
            ...base,
            id: group,
            group,
            expectedRev: rev,
            active: rev === 0 ? 'set' : 'keep',
            specSet: { [`rollout:${group}`]: String(rev) },
          });
          expect(reply.kind).toBe('ok');
        }
      }),
    );
    expect(await redis.client.hgetall(keys.spec)).toMatchObject({ 'rollout:a': '49', 'rollout:b': '49', generation: '100' });
  });

  it('has one active rollout in a group, and hands the group over only from the one that is named', async () => {
    expect(await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'a' })).toMatchObject({ kind: 'ok' });
    expect(await commitRollout(redis.client, keys, { ...base, id: 'y', group: 'a' })).toEqual({ kind: 'active', id: 'x' });
    expect(await commitRollout(redis.client, keys, { ...base, id: 'y', group: 'a', active: 'replace:z' })).toEqual({
      kind: 'active',
      id: 'x',
    });
    expect(await commitRollout(redis.client, keys, { ...base, id: 'y', group: 'a', active: 'replace:x' })).toMatchObject({ kind: 'ok' });
    // The end of the former one leaves the group to the new one.
    await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'a', expectedRev: 1, active: 'clear', nextEvalAtMs: null });
    expect(await redis.client.hget(keys.rolloutsActive, 'a')).toBe('y');
    expect(await redis.client.zrange(keys.rolloutsDue, 0, '-1')).toEqual(['y']);
  });

  it('creates once for one idempotency key, whatever is tried at the same time', async () => {
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        commitRollout(redis.client, keys, { ...base, id: `x${index}`, group: 'a', idempotencyKey: 'k' }),
      ),
    );
    const [created] = replies.flatMap((reply, index) => (reply.kind === 'ok' ? [`x${index}`] : []));
    expect(replies.filter((reply) => reply.kind === 'ok')).toHaveLength(1);
    expect(replies.filter((reply) => reply.kind === 'exists' && reply.id === created)).toHaveLength(99);
  });

  it('needs the group, and tells the gateways only of changes to the spec', async () => {
    expect(await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'nobody' })).toEqual({ kind: 'no-group' });
    expect(await redis.client.exists(keys.rollout('x'))).toBe(0);
    await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'a' });
    expect(await redis.client.hget(keys.spec, 'generation')).toBeNull();
  });

  it('protects a group with an active rollout from edits', async () => {
    await commitRollout(redis.client, keys, { ...base, id: 'x', group: 'a' });
    const edit = { guardGroup: 'a', mustExist: null, set: { 'group:a': '{"new":1}' }, del: [], audit: null };
    expect(await commitSpec(redis.client, keys, edit)).toEqual({ kind: 'active', id: 'x' });
    expect(await commitSpec(redis.client, keys, { ...edit, guardGroup: 'b', mustExist: 'group:c' })).toEqual({ kind: 'missing' });
  });
});

describe('due, leases and configs', () => {
  it('gives each due rollout to one of many askers', async () => {
    await redis.client.zadd(keys.rolloutsDue, 1, 'x', 1, 'y');
    const taken = await Promise.all(Array.from({ length: 10 }, () => takeDueRollouts(redis.client, keys, HOUR_MS, 10)));
    expect(taken.flatMap((reply) => reply.ids).toSorted()).toEqual(['x', 'y']);
  });

  it('tells every coordinator the same about an outage that is just over', async () => {
    const ask = () => beat(redis.client, keys, { gapMs: 60_000, graceMs: 15_000 });
    const first = await ask();
    expect(first.judgeFromMs).toBe(first.nowMs + 15_000);
    expect((await ask()).judgeFromMs).toBe(first.judgeFromMs);
    // Nobody was there for two minutes.
    await redis.client.hset(keys.meta, 'beat', first.nowMs - 120_000, 'judgeFrom', first.nowMs - 110_000);
    const replies = await Promise.all([ask(), ask(), ask()]);
    expect(new Set(replies.map((reply) => reply.judgeFromMs)).size).toBe(1);
    expect(replies[0]?.judgeFromMs).toBeGreaterThan(first.nowMs);
    await redis.client.hset(keys.meta, 'judgeFrom', first.nowMs - 1);
    expect((await ask()).judgeFromMs).toBe(first.nowMs - 1);
  });

  it('knows whether a lease still ran, and removes one only when it has ended', async () => {
    const info = {
      address: '',
      version: '',
      draining: false,
      observed: '1:a',
      evaluated: '2:b',
      backlog: {},
      connected: 0,
      unhealthy: 0,
      startedAtMs: 0,
      trailing: {},
    };
    expect(await renewLease(redis.client, keys, { id: 'g', leaseMs: HOUR_MS, info })).toMatchObject({ held: false });
    expect(await renewLease(redis.client, keys, { id: 'g', leaseMs: 1, info })).toMatchObject({ held: true });
    await waitUntil(
      'the end of the lease',
      () => endLease(redis.client, keys, 'g', true),
      (removed) => removed,
    );
    await renewLease(redis.client, keys, { id: 'g', leaseMs: HOUR_MS, info });
    expect(await endLease(redis.client, keys, 'g', true)).toBe(false);
    expect(await endLease(redis.client, keys, 'g', false)).toBe(true);
  });

  it('numbers the versions of a config without a gap, and adds none for the same content', async () => {
    const put = (hash: string) => putConfig(redis.client, keys, { name: 'c', hash, metadata: '{}', audit: null });
    expect(await put('h1')).toMatchObject({ created: true, version: 1 });
    expect(await put('h1')).toMatchObject({ created: false, version: 1 });
    const versions = await Promise.all(Array.from({ length: 20 }, (_, index) => put(`n${index}`)));
    expect(versions.map((entry) => entry.version).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 2));
  });
});
