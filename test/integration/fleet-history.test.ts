import { createAgentReader } from '@opamp-gateway/coordinator/bus/agent-reader';
import { createFleetHistory } from '@opamp-gateway/coordinator/bus/fleet-history';
import type { FleetHistory } from '@opamp-gateway/coordinator/bus/fleet-history';
import { createGatewayDirectory } from '@opamp-gateway/coordinator/bus/gateway-directory';
import { createManualClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { renewLease } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';

const MINUTES = 1_440;

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis({ appendOnly: true });
});
afterAll(async () => await redis.stop());

/** The history as one of many coordinators has it; its timers stand still. */
function historyOf(keys: Keys): FleetHistory {
  const { client } = redis;
  const options = { client, keys, clock: createManualClock(), logger: createSilentLogger() };
  return createFleetHistory({ ...options, agents: createAgentReader(options), gateways: createGatewayDirectory(options) });
}

async function connect(keys: Keys, gateway: string, sessions: number, unhealthy: number): Promise<void> {
  const shard = keys.shards[0] as ShardKeys;
  await redis.client.hincrby(shard.facets, 'group=prod|1', sessions);
  await redis.client.hincrby(shard.facets, 'health=unhealthy|1', unhealthy);
  await redis.client.hincrby(shard.facets, 'group=prod|0', 7);
  const info = {
    address: '',
    version: '',
    draining: false,
    observed: '',
    evaluated: '',
    backlog: {},
    connected: sessions,
    unhealthy,
    startedAtMs: 0,
    trailing: {},
  };
  await renewLease(redis.client, keys, { id: gateway, leaseMs: 3_600_000, info });
}

describe('the history of the fleet', () => {
  it('is written by one coordinator a minute, and read by all', async () => {
    const keys = redis.keys();
    await connect(keys, 'g1', 5, 1);
    await connect(keys, 'g2', 3, 0);
    const coordinators = Array.from({ length: 6 }, () => historyOf(keys));
    const written = await Promise.all(coordinators.map((history) => history.recordOnce()));
    // Two, when the minute ended between the calls.
    const times = written.filter(Boolean).length;
    expect(times).toBe(await redis.client.hlen(keys.history));
    expect(times).toBeLessThanOrEqual(2);
    for (const history of [...coordinators, historyOf(keys)]) {
      const { nowMs, minutes } = await history.read();
      expect(minutes.at(-1)).toEqual({
        minute: expect.any(Number) as number,
        connected: 8,
        unhealthy: 1,
        gateways: { g1: 5, g2: 3 },
      });
      expect(Math.floor(nowMs / 60_000) - (minutes.at(-1)?.minute ?? 0)).toBeLessThanOrEqual(1);
    }
  });

  it('keeps a day: a minute takes the place of the one a day before it', async () => {
    const keys = redis.keys();
    const { minutes } = await recorded(keys);
    const now = minutes.at(-1)?.minute ?? 0;
    const old = (minute: number): string => JSON.stringify({ minute, connected: 1, unhealthy: 0, gateways: {} });
    await redis.client.del(keys.history);
    for (let ago = 1; ago <= MINUTES; ago += 1) await redis.client.hset(keys.history, String((now - ago) % MINUTES), old(now - ago));
    const history = historyOf(keys);
    await history.recordOnce();
    expect(await redis.client.hlen(keys.history)).toBe(MINUTES);
    const read = await history.read();
    // One less, when a minute ended meanwhile that nobody recorded.
    expect(read.minutes.length).toBeGreaterThanOrEqual(MINUTES - 1);
    expect(read.minutes[0]?.minute).toBe(Math.floor(read.nowMs / 60_000) - MINUTES + 1);
    expect(read.minutes.at(-1)?.connected).toBe(0);
  });

  it('is still there when Redis and every coordinator were restarted', async () => {
    const keys = redis.keys();
    await connect(keys, 'g1', 4, 0);
    const before = await recorded(keys);
    await redis.server.kill('SIGTERM');
    await redis.server.start();
    // The client has to connect again first.
    await waitUntil(
      'Redis to answer',
      () => redis.client.ping(),
      (answer) => answer === 'PONG',
    );
    const { minutes } = await historyOf(keys).read();
    expect(minutes[0]).toEqual(before.minutes[0]);
  });
});

async function recorded(keys: Keys): ReturnType<FleetHistory['read']> {
  const history = historyOf(keys);
  await history.recordOnce();
  return await history.read();
}
