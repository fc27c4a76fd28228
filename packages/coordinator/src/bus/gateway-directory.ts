import { parseLease, takeDueRollouts, tellGateway } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { LeaseInfo } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** One gateway that holds, or lately held, a lease. */
export interface KnownGateway extends LeaseInfo {
  id: string;
  /** False once the lease has ended and its agents have not been released yet. */
  alive: boolean;
  /** Redis ms. */
  leaseEndsAtMs: number;
}

/** Reads the gateways' leases. */
export interface GatewayDirectory {
  list(): Promise<KnownGateway[]>;
  /** Has a gateway send agents away, or serve again. False when it has no running lease. */
  tell(id: string, order: Parameters<typeof tellGateway>[3]): Promise<boolean>;
}

/** Builds the directory on one Redis. */
export function createGatewayDirectory(options: { client: RedisClient; keys: Keys }): GatewayDirectory {
  const { client, keys } = options;
  return {
    async list() {
      const flat = await client.zrange(keys.gateways, 0, '-1', 'WITHSCORES');
      if (flat.length === 0) return [];
      const pipeline = client.pipeline();
      for (let i = 0; i < flat.length; i += 2) pipeline.hgetall(keys.gateway(flat[i] as string));
      const [nowMs, replies] = await Promise.all([fleetTimeMs(client, keys), pipeline.exec()]);
      return (replies ?? []).map(([error, fields], index) => {
        if (error !== null) throw error;
        const leaseEndsAtMs = Number(flat[2 * index + 1]);
        return {
          ...parseLease(fields as Record<string, string>),
          id: flat[2 * index] as string,
          leaseEndsAtMs,
          alive: leaseEndsAtMs > nowMs,
        };
      });
    },

    async tell(id, order) {
      const isWritten = await tellGateway(client, keys, id, order);
      // A hint: the gateway reads what it was told with every renewal of its lease.
      if (isWritten) await client.publish(keys.channelGateway(id), JSON.stringify({ type: 'told' }));
      return isWritten;
    },
  };
}

/** Time of the node that stores leases and rollouts; on a Cluster `TIME` alone asks any node. */
export async function fleetTimeMs(client: RedisClient, keys: Keys): Promise<number> {
  return (await takeDueRollouts(client, keys, 0, 0)).nowMs;
}
