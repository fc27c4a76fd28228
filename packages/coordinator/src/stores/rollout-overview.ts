import { parseSpec } from '@opamp-gateway/shared/fleet-spec';
import { takeDueRollouts } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { HoldReason, RolloutPhase } from '@opamp-gateway/shared/rollout-types';
import { parseDocument } from '../rollout/document.ts';

/** All rollouts that have not ended, as far as numbers tell of them. */
export interface RolloutOverview {
  rollouts: readonly { id: string; phase: RolloutPhase; holds: readonly HoldReason[]; started: boolean }[];
  /** How far the most urgent rollout is past its next evaluation; 0 when none is. */
  dueLagMs: number;
  frozen: boolean;
  /** Groups whose offers outside rollouts are stopped. */
  trailingHeld: number;
}

/** Builds what reads the overview on one Redis; rejects when it cannot be reached. */
export function createRolloutOverview({ client, keys }: { client: RedisClient; keys: Keys }): { read(): Promise<RolloutOverview> } {
  return {
    async read() {
      const [active, first, fields] = await Promise.all([
        client.hvals(keys.rolloutsActive),
        client.zrange(keys.rolloutsDue, 0, '0', 'WITHSCORES'),
        client.hgetall(keys.spec),
      ]);
      const pipeline = client.pipeline();
      for (const id of active) pipeline.hget(keys.rollout(id), 'doc');
      const replies = active.length === 0 ? [] : ((await pipeline.exec()) ?? []);
      const { nowMs } = await takeDueRollouts(client, keys, 0, 0);
      const spec = parseSpec(fields);
      return {
        rollouts: replies.flatMap(([error, text]) => {
          if (error !== null) throw error;
          if (typeof text !== 'string') return [];
          const { id, phase, holds, startedAtMs } = parseDocument(text);
          return [{ id, phase, holds: holds.map((hold) => hold.reason), started: startedAtMs !== null }];
        }),
        dueLagMs: Math.max(0, nowMs - Number(first[1] ?? nowMs)),
        frozen: spec.frozen,
        trailingHeld: spec.groups.filter((group) => group.trailingHeld).length,
      };
    },
  };
}
