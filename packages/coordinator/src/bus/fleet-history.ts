import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import { parseHistoryMinute, recordMinute } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { HistoryCounts, HistoryMinute } from '@opamp-gateway/shared/redis/fleet-scripts';
import { HISTORY_MINUTES } from '@opamp-gateway/shared/redis/keys';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { AgentReader } from './agent-reader.ts';
import type { GatewayDirectory } from './gateway-directory.ts';
import { fleetTimeMs } from './gateway-directory.ts';

const MINUTE_MS = 60_000;
/** Every coordinator tries so often; the first one in a minute writes it. */
const INTERVAL_MS = 15_000;
/** What was read is believed for so long, so that many dashboards cost one reading. */
const FRESH_MS = 5_000;
/** Gateways that a minute names, those with most sessions first. */
export const HISTORY_GATEWAYS = 100;

/** The last day of the fleet by the minute; it is kept in Redis and survives every process. */
export interface FleetHistory extends Service {
  /** Notes the present minute unless that was done; answers whether it was written. Rejects when Redis cannot be reached. */
  recordOnce(): Promise<boolean>;
  /** Recorded minutes of the last day, oldest first, and the present time of Redis; minutes that nobody recorded are left out. */
  read(): Promise<{ nowMs: number; minutes: readonly HistoryMinute[] }>;
}

/** Builds the history of one coordinator. */
export function createFleetHistory(options: {
  client: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  agents: Pick<AgentReader, 'facets'>;
  gateways: GatewayDirectory;
}): FleetHistory {
  const { client, keys, clock, logger, agents, gateways } = options;
  const ring = new Map<number, HistoryMinute>();
  let timer: ClockTimer | undefined;
  let round: Promise<void> | undefined;
  let readToMinute = Number.NEGATIVE_INFINITY;
  let latest: { atMs: number; answer: ReturnType<FleetHistory['read']> } | undefined;

  const count = async (): Promise<HistoryCounts> => {
    const [facets, leases] = await Promise.all([agents.facets(), gateways.list()]);
    let connected = 0;
    for (const [facet, agentCount] of facets) if (facet.startsWith('group=') && facet.endsWith('|1')) connected += agentCount;
    const largest = leases
      .filter((gateway) => gateway.alive)
      .toSorted((left, right) => right.connected - left.connected)
      .slice(0, HISTORY_GATEWAYS);
    return {
      connected,
      unhealthy: facets.get('health=unhealthy|1') ?? 0,
      gateways: Object.fromEntries(largest.map((gateway) => [gateway.id, gateway.connected])),
    };
  };

  const recordOnce = async (): Promise<boolean> => (await recordMinute(client, keys, await count())).written;

  /** Reads what the ring in memory does not have yet: everything at first, then the minutes since. */
  const refresh = async (): Promise<{ nowMs: number; minutes: readonly HistoryMinute[] }> => {
    const nowMs = await fleetTimeMs(client, keys);
    const nowMinute = Math.floor(nowMs / MINUTE_MS);
    const first = Math.max(readToMinute, nowMinute - HISTORY_MINUTES + 1);
    const missing = Array.from({ length: Math.max(1, nowMinute - first + 1) }, (_, index) => String((first + index) % HISTORY_MINUTES));
    for (const text of await client.hmget(keys.history, ...missing)) {
      const minute = text === null ? undefined : parseHistoryMinute(text);
      if (minute !== undefined) ring.set(minute.minute, minute);
    }
    // The present minute may still be written.
    readToMinute = nowMinute;
    for (const minute of ring.keys()) if (minute <= nowMinute - HISTORY_MINUTES || minute > nowMinute) ring.delete(minute);
    return { nowMs, minutes: [...ring.values()].toSorted((left, right) => left.minute - right.minute) };
  };

  const service = createService({
    name: 'fleet history',
    async start() {
      const record = (): void => {
        round ??= recordOnce()
          .then(() => {})
          .catch((error: unknown) => logger.debug({ err: error }, 'a minute of the history could not be noted'))
          .finally(() => {
            round = undefined;
          });
      };
      record();
      timer = clock.every(INTERVAL_MS, record);
    },
    async stop() {
      timer?.cancel();
      await round;
    },
  });

  return {
    ...service,
    recordOnce,
    async read() {
      const nowMs = clock.monotonicMs();
      if (latest !== undefined && nowMs - latest.atMs < FRESH_MS) return await latest.answer;
      const answer = refresh();
      latest = { atMs: nowMs, answer };
      // What failed is asked again by the next reader.
      answer.catch(() => {
        latest = undefined;
      });
      return await answer;
    },
  };
}
