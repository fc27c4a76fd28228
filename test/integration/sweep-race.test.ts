import { createSweeps } from '@opamp-gateway/coordinator/bus/sweeps';
import { systemClock } from '@opamp-gateway/shared/clock';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeGateway } from '../support/fake-gateway.ts';
import { type RedisLab, startRedis, uidsOf } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});

test('a gateway that comes back while its end is being swept keeps the agents it has claimed again', async () => {
  const keys = redis.keys();
  const gateway = new FakeGateway({ id: 'slow', client: redis.client, keys, leaseMs: 1 });
  await gateway.readSpec();
  await gateway.connect(uidsOf(20));
  await gateway.renew();
  await waitUntil(
    'the end of the lease',
    async () => Number(await redis.client.zscore(keys.gateways, 'slow')) < Number((await redis.client.time())[0]) * 1_000,
    (hasEnded) => hasEnded,
  );
  const back = new FakeGateway({ id: 'slow', client: redis.client, keys, leaseMs: 60_000 });
  await back.readSpec();
  let comesBack: Promise<void> | undefined;
  // The leases have been read by the time the sweep asks for the first group; that is when the gateway returns.
  const client = new Proxy(redis.client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'smembers')
        return async (key: string): Promise<string[]> => {
          comesBack ??= back.renew().then(() => back.connect(uidsOf(20)));
          await comesBack;
          return await target.smembers(key);
        };
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  }) as RedisClient;

  await createSweeps({ client, keys, clock: systemClock, logger: createSilentLogger() }).sweepOnce();

  expect(comesBack).toBeDefined();
  const owners = await Promise.all(
    uidsOf(20).map(async (uid) => await redis.client.hget(keys.shards[shardOf(uid)]?.agent(uid) ?? '', 'owner')),
  );
  expect(owners).toEqual(new Array(20).fill('slow'));
  expect(await redis.client.zscore(keys.gateways, 'slow')).not.toBeNull();
});
