import { UnavailableError } from '@opamp-gateway/shared/errors';
import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import { commitRollout, takeDueRollouts } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { alertsOf } from '../alerts/rollout-alerts.ts';
import { parseDocument } from '../rollout/document.ts';
import type { RolloutDocument } from '../rollout/document.ts';
import type { CommitOutcome, ConfigLookup, RolloutStore, StepCommit } from '../rollout/ports.ts';
import type { RolloutEvent } from '../rollout/service.ts';

/** How long a commit may wait for its replicas. */
const WAIT_MS = 2_000;

export interface RolloutStoreOptions {
  client: RedisClient;
  keys: Keys;
  /** Replicas that must have a commit before it counts as done; 0 = none. */
  minReplicas?: number;
  /** Told of every event that was committed. */
  onEvent?: ((event: RolloutEvent) => void) | undefined;
}

/** Builds the store of rollout documents on one Redis. Every method rejects when Redis cannot be reached. */
export function createRolloutStore(options: RolloutStoreOptions): RolloutStore {
  const { client, keys } = options;
  const minReplicas = options.minReplicas ?? 0;

  const loadMany = async (ids: readonly string[]): Promise<RolloutDocument[]> => {
    if (ids.length === 0) return [];
    const pipeline = client.pipeline();
    for (const id of ids) pipeline.hget(keys.rollout(id), 'doc');
    const replies = (await pipeline.exec()) ?? [];
    return replies.flatMap(([error, text]) => {
      if (error !== null) throw error;
      return typeof text === 'string' ? [parseDocument(text)] : [];
    });
  };

  /** Rejects when too few replicas have what this connection has written: a failover could take it back. */
  const awaitReplicas = async (): Promise<void> => {
    if (minReplicas === 0) return;
    // The read takes the pipeline to the node that holds the documents, and so WAIT to the connection that wrote.
    const replies = (await client.pipeline().exists(keys.meta).wait(minReplicas, WAIT_MS).exec()) ?? [];
    const [error, count] = replies[1] ?? [null, 0];
    if (error !== null) throw error;
    if (Number(count) < minReplicas) throw new UnavailableError(`stored, but only ${String(count)} of ${minReplicas} replicas have it`);
  };

  return {
    async load(id) {
      return (await loadMany([id]))[0];
    },
    loadMany,

    async commit(step: StepCommit): Promise<CommitOutcome> {
      const { document, active } = step;
      const reply = await commitRollout(client, keys, {
        id: document.id,
        expectedRev: document.rev - 1,
        document: JSON.stringify(document),
        group: document.group,
        createdAtMs: document.createdAtMs,
        nextEvalAtMs: step.nextEvalAtMs,
        active: typeof active === 'string' ? active : `replace:${active.replace}`,
        idempotencyKey: step.idempotencyKey,
        specSet: step.specSet,
        specDel: step.specDel,
        events: step.events.map((event) => JSON.stringify(event)),
        outbox: alertsOf(document, step.events).map((alert) => JSON.stringify(alert)),
      });
      if (reply.kind !== 'ok') return reply.kind === 'stale' ? { kind: 'stale' } : reply;
      for (const event of step.events) options.onEvent?.(event);
      await awaitReplicas();
      return reply;
    },

    async postpone(id, nextEvalAtMs) {
      await client.zadd(keys.rolloutsDue, 'XX', Math.round(nextEvalAtMs), id);
    },

    async takeDue(pushMs, limit) {
      return (await takeDueRollouts(client, keys, pushMs, limit)).ids;
    },

    async page(cursor, limit) {
      const ids: string[] = [];
      const after = parseCursor(cursor);
      let offset = 0;
      // Ids of one millisecond stand in falling byte order, so the cursor's place among them is known.
      for (;;) {
        const flat = await client.zrevrangebyscore(keys.rollouts, after?.atMs ?? '+inf', '-inf', 'WITHSCORES', 'LIMIT', offset, limit + 1);
        offset += flat.length / 2;
        for (let i = 0; i + 1 < flat.length; i += 2) {
          const id = flat[i] as string;
          const atMs = Number(flat[i + 1]);
          if (after !== undefined && atMs === after.atMs && id >= after.id) continue;
          if (ids.length === limit) return { ids, cursor: await cursorOf(ids.at(-1)) };
          ids.push(id);
        }
        if (flat.length < 2 * (limit + 1)) return { ids, cursor: null };
      }
    },

    async findIdempotent(key) {
      return (await client.get(keys.idempotency(key))) ?? undefined;
    },

    async activeOf(group) {
      return (await client.hget(keys.rolloutsActive, group)) ?? undefined;
    },

    activeIds: () => client.hvals(keys.rolloutsActive),

    async events(id, afterSeq, limit) {
      const texts = await client.lrange(keys.rolloutEvents(id), afterSeq, afterSeq + limit - 1);
      return texts.map((text) => JSON.parse(text) as RolloutEvent);
    },
  };

  async function cursorOf(id: string | undefined): Promise<string | null> {
    if (id === undefined) return null;
    const score = await client.zscore(keys.rollouts, id);
    return score === null ? null : `${score}:${id}`;
  }
}

function parseCursor(cursor: string | undefined): { atMs: number; id: string } | undefined {
  const [, atMs, id] = /^(\d{1,16}):(.+)$/.exec(cursor ?? '') ?? [];
  return atMs === undefined || id === undefined ? undefined : { atMs: Number(atMs), id };
}

/** Looks configs up where the config store keeps them. */
export function createConfigLookup(options: { client: RedisClient; keys: Keys }): ConfigLookup {
  const { client, keys } = options;
  return {
    async find(name, version): Promise<ConfigRef | undefined> {
      const hash = await client.hget(keys.configVersions(name), `${version}:hash`);
      return hash === null ? undefined : { name, version, hash };
    },
  };
}
