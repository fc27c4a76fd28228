import { UnavailableError } from '@opamp-gateway/shared/errors';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** How long a commit may wait for its replicas. */
const WAIT_MS = 2000;

/** Waits until enough replicas have what this connection has written. */
export type ReplicaWait = () => Promise<void>;

/**
 * Builds the wait for `minReplicas` replicas (0 = none). It rejects with an UnavailableError when there are too few: what was
 * written stands, but a failover could take it back.
 */
export function createReplicaWait(options: { client: RedisClient; keys: Keys; minReplicas: number }): ReplicaWait {
  const { client, keys, minReplicas } = options;
  return async () => {
    if (minReplicas === 0) return;
    // The read takes the pipeline to the node that holds configs and spec, and so WAIT to the connection that wrote them.
    const replies = (await client.pipeline().exists(keys.meta).wait(minReplicas, WAIT_MS).exec()) ?? [];
    const [error, count] = replies[1] ?? [null, 0];
    if (error !== null) throw error;
    if (Number(count) < minReplicas) throw new UnavailableError(`stored, but only ${String(count)} of ${minReplicas} replicas have it`);
  };
}
