import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import { parseAgentToken } from '@opamp-gateway/shared/agent-token';
import { deleteAgent } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { AuditLog } from '../stores/audit-log.ts';
import { putToken } from '@opamp-gateway/shared/redis/token-scripts';
import { fleetTimeMs } from './gateway-directory.ts';

const DAY_MS = 86_400_000;
const INTERVAL_MS = 3_600_000;
/** The first round waits until a start has settled: agents of a fleet that was down are claimed again first. */
const FIRST_ROUND_MS = 300_000;
/** Entries looked at by one call. */
const BATCH = 500;

/** For how many days things are kept; 0 = for ever. */
export interface RetentionDays {
  /** An agent that is away, from its last contact on. */
  agents: number;
  /** An ended rollout and its events. */
  rollouts: number;
  /** Audit entries. */
  audit: number;
  /** A revoked or expired credential of agents, from its end on. */
  tokens: number;
}

/** What one round removed. */
export interface RetentionRound {
  agents: number;
  rollouts: number;
}

/** Removes what is older than it should be kept. Every coordinator runs it; doing the same work twice does no harm. */
export interface Retention extends Service {
  /** One round now. Rejects when Redis cannot be reached. */
  runOnce(): Promise<RetentionRound>;
}

/** Builds the retention of one coordinator. */
export function createRetention(options: {
  client: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  days: RetentionDays;
  audit: Pick<AuditLog, 'trim'>;
  /** Told of every round that removed something. */
  onExpired?(removed: RetentionRound): void;
}): Retention {
  const { client, keys, clock, logger, days } = options;
  const timers: ClockTimer[] = [];
  let round: Promise<void> | undefined;
  let stopped = false;

  /** Agents by last change: who is away since then goes; who is connected is looked at again in as many days. */
  const expireAgents = async (shard: ShardKeys, cutoffMs: number, nowMs: number): Promise<number> => {
    let removed = 0;
    let kept = 0;
    for (;;) {
      const uids = await client.zrangebyscore(shard.agents, '-inf', cutoffMs, 'LIMIT', kept, BATCH);
      if (uids.length === 0 || stopped) return removed;
      const pipeline = client.pipeline();
      for (const uid of uids) pipeline.hget(shard.agent(uid), 'owner');
      const owners = (await pipeline.exec()) ?? [];
      for (const [index, uid] of uids.entries()) {
        const [error, owner] = owners[index] ?? [null, null];
        if (error !== null) throw error;
        if (typeof owner === 'string' && owner !== '') {
          await client.zadd(shard.agents, 'XX', 'GT', nowMs, uid);
          continue;
        }
        const outcome = await deleteAgent(client, shard, uid);
        if (outcome === 'ok') removed += 1;
        else if (outcome === 'unknown') await client.zrem(shard.agents, uid);
        else kept += 1;
      }
    }
  };

  const expireRollouts = async (cutoffMs: number): Promise<number> => {
    let removed = 0;
    let kept = 0;
    for (;;) {
      const ids = await client.zrangebyscore(keys.rollouts, '-inf', cutoffMs, 'LIMIT', kept, BATCH);
      if (ids.length === 0 || stopped) return removed;
      const pipeline = client.pipeline();
      for (const id of ids) pipeline.hget(keys.rollout(id), 'doc');
      const documents = (await pipeline.exec()) ?? [];
      for (const [index, id] of ids.entries()) {
        const [error, text] = documents[index] ?? [null, null];
        if (error !== null) throw error;
        const endedAtMs = typeof text === 'string' ? (JSON.parse(text) as { endedAtMs: number | null }).endedAtMs : 0;
        if (endedAtMs === null || endedAtMs > cutoffMs) {
          kept += 1;
          continue;
        }
        // One step: a list must not name a rollout that is half gone.
        await client.multi().zrem(keys.rollouts, id).del(keys.rollout(id), keys.rolloutEvents(id)).exec();
        removed += 1;
      }
    }
  };

  /** Certificates stay: their entry is what keeps a revoked one out. */
  const expireTokens = async (cutoffMs: number): Promise<void> => {
    let after = '-';
    for (;;) {
      const ids = await client.zrange(keys.tokenIds, after, '+', 'BYLEX', 'LIMIT', 0, BATCH);
      const last = ids.at(-1);
      if (last === undefined || stopped) return;
      after = `(${last}`;
      const texts = await client.hmget(keys.tokens, ...ids);
      for (const [index, id] of ids.entries()) {
        const text = texts[index] ?? null;
        if (text === null) continue;
        const { kind, revokedAtMs, expiresAtMs } = parseAgentToken(text);
        const endedAtMs = Math.min(revokedAtMs ?? Number.POSITIVE_INFINITY, expiresAtMs ?? Number.POSITIVE_INFINITY);
        if (kind === 'certificate' || endedAtMs > cutoffMs) continue;
        if (await putToken(client, keys, { id, from: text, to: '' }))
          await client.multi().hdel(keys.tokensUsed, id).hdel(keys.tokenUses, id).exec();
      }
    }
  };

  const runOnce = async (): Promise<RetentionRound> => {
    const nowMs = await fleetTimeMs(client, keys);
    const result: RetentionRound = { agents: 0, rollouts: 0 };
    if (days.agents > 0) {
      const counts = await Promise.all(keys.shards.map((shard) => expireAgents(shard, nowMs - days.agents * DAY_MS, nowMs)));
      result.agents = counts.reduce((sum, count) => sum + count, 0);
    }
    if (days.rollouts > 0) result.rollouts = await expireRollouts(nowMs - days.rollouts * DAY_MS);
    if (days.tokens > 0) await expireTokens(nowMs - days.tokens * DAY_MS);
    if (days.audit > 0) await options.audit.trim(nowMs - days.audit * DAY_MS);
    if (result.agents > 0 || result.rollouts > 0) options.onExpired?.(result);
    if (result.agents > 0 || result.rollouts > 0) logger.info({ ...result }, 'what was kept long enough is removed');
    return result;
  };

  const begin = (): void => {
    round ??= runOnce()
      .then(() => {})
      .catch((error: unknown) => logger.warn({ err: error }, 'retention could not finish, the next round will try again'))
      .finally(() => {
        round = undefined;
      });
  };

  const service = createService({
    name: 'retention',
    async start() {
      timers.push(clock.after(FIRST_ROUND_MS, begin), clock.every(INTERVAL_MS, begin));
    },
    async stop() {
      stopped = true;
      for (const timer of timers) timer.cancel();
      await round;
    },
  });
  return { ...service, runOnce };
}
