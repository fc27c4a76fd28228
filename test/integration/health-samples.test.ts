/** What the health comparison counts as a lost connection, from records in a real Redis. */
import { createRecordReader } from '@opamp-gateway/coordinator/bus/record-reader';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const ROLLOUT = 'r1';
const NEW = 'aa';
const WAVE_STARTED_MS = 10_500;
const UIDS = uidsOf(4);

let redis: RedisLab;
let keys: Keys;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});
beforeEach(() => {
  keys = redis.keys();
});

async function put(uid: string, connectedAtMs: number, history: object[], row?: string): Promise<void> {
  const shard = keys.shards[shardOf(uid)] as ShardKeys;
  await redis.client.hset(shard.agent(uid), {
    origin: uid,
    owner: 'gw',
    connectedAt: String(connectedAtMs),
    history: JSON.stringify(history),
    ...(row === undefined ? {} : { [`r:${ROLLOUT}`]: row }),
  });
}

it('an agent that connected in the second in which it applied the config has lost nothing, one that came later has', async () => {
  const [inTheSame, later, calm, restless] = UIDS as [string, string, string, string];
  const applied = [{ hash: NEW, status: 'APPLIED', atMs: 10_000 }];
  const row = '1|applied|1|0|10400|1000|0';
  await put(inTheSame, 10_300, applied, row);
  await put(later, 11_000, applied, row);
  await put(calm, 10_300, []);
  await put(restless, 10_700, []);

  const reader = createRecordReader({ client: redis.client, keys });
  const lostBy = async (cohort: string[], control: string[]) => {
    const member = (uid: string) => ({ uid, origin: uid, http: false });
    const query = { rollout: ROLLOUT, toHash: NEW, sinceMs: WAVE_STARTED_MS, spreadBy: [] };
    const samples = await reader.healthSamples({ ...query, cohort: cohort.map(member), control: control.map(member) });
    return [...samples.cohort, ...samples.control].map(({ reconnected }) => reconnected);
  };

  expect(await lostBy([inTheSame], [])).toEqual([false]);
  expect(await lostBy([later], [])).toEqual([true]);
  expect(await lostBy([], [calm])).toEqual([false]);
  expect(await lostBy([], [restless])).toEqual([true]);
});
