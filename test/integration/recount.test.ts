import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recount } from '../support/recount.ts';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { EngineBench, FAST } from './support/engine-bench.ts';

let lab: RedisLab;
let redis: Redis;

beforeAll(async () => {
  lab = await startRedis();
  redis = new Redis(lab.url);
});

afterAll(async () => {
  redis.disconnect();
  await lab.stop();
});

it('a recount finds nothing in a rollout that rests, and every sum that somebody has changed', async () => {
  const b = await EngineBench.create(lab, 20);
  const id = await b.start({ ...FAST, waves: [{ size: { percent: 100 }, soak: '1h' }] });
  for (const [index, agent] of [...b.gateway.agents.values()].entries()) if (index < 5) agent.answer = () => 'silent';
  await b.until(id, (view) => view.counts.applied === 15 && view.counts.offered === 5);
  await b.gateway.disconnect([...b.gateway.agents.keys()].slice(4, 8));
  expect(await recount(redis, b.keys)).toEqual({ agents: 20, problems: [] });

  const [uid = ''] = b.gateway.agents.keys();
  const shard = b.keys.shards[shardOf(uid)];
  if (shard === undefined) throw new Error('the agent has no shard');
  const member = (await redis.hget(shard.members('prod'), uid)) ?? '';
  await redis.hincrby(shard.rollout(id), '0:offered:1', 1);
  await redis.hincrby(shard.facets, 'group=prod|1', -1);
  await redis.zrem(shard.rolloutOpen(id), uid);
  await redis.hset(shard.members('prod'), uid, `another${member}`);
  const { problems } = await recount(redis, b.keys);
  const found = [/^shard \d+: rollout \w+ 0:offered:1: /, /: open rows of rollout /, /: facet group=prod\|1: /, /: group prod, member /];
  expect(problems).toHaveLength(found.length);
  for (const [index, pattern] of found.entries()) expect(problems[index]).toMatch(pattern);
});
