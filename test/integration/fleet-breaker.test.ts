import { putGroup } from '../support/fake-gateway.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';
import { EngineBench, FAST } from './support/engine-bench.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';

let redis: RedisLab;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(async () => {
  await redis.stop();
});

it('agents under way in another rollout do not make the breaker of the fleet hold this one; the same number at rest does', async () => {
  const b = await EngineBench.create(redis, 60);
  await putGroup(redis.client, b.keys, { name: 'other', selector: 'region=us', stable: b.stable });
  await b.gateway.readSpec();
  const others = uidsOf(30, 100);
  await b.gateway.connect(others, { region: 'us' });
  b.gateway.census = { connected: 90, unhealthy: 0 };
  await b.gateway.round();
  const id = await b.start({ ...FAST, waves: [{ size: { count: 2 }, soak: '1h' }, { size: { percent: 100 } }] });
  await b.until(id, (view) => view.waves[0]?.phase === 'soaking');
  for (const uid of others) {
    const agent = b.gateway.agents.get(uid);
    if (agent !== undefined) agent.answer = () => 'silent';
  }
  const elsewhere = await b.start({ ...FAST, waves: [{ size: { percent: 100 }, soak: '1h' }], ackTimeout: '1h' }, { group: 'other' });
  await b.until(elsewhere, (view) => view.counts.offered === 30);

  // A third of the fleet, which restarts because the other rollout asked it to.
  b.gateway.census = { connected: 90, unhealthy: 30 };
  await b.gateway.round();
  await b.engine.reconcile(id);
  b.advance(60_000);
  await b.gateway.round();
  await b.engine.reconcile(id);
  expect((await b.view(id)).holds).toEqual([]);

  for (const uid of others) {
    const agent = b.gateway.agents.get(uid);
    if (agent !== undefined) agent.answer = () => 'applied';
  }
  await b.until(elsewhere, (view) => view.counts.applied === 30);
  // The count of those under way may be a second old.
  const holds = await waitUntil(
    'the breaker to hold',
    async () => {
      await b.gateway.round();
      await b.engine.reconcile(id);
      b.advance(10_000);
      return (await b.view(id)).holds;
    },
    ([first]) => first !== undefined,
    { pollMs: 50 },
  );
  expect(holds).toEqual(['fleet_breaker']);
  expect((await b.view(id)).holdDetails[0]?.detail).toBe('30 agents of 90 have become unhealthy, more than rollouts explain');
});
