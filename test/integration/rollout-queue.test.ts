import { createRolloutStack } from '@opamp-gateway/coordinator/rollout-stack';
import type { RolloutStack } from '@opamp-gateway/coordinator/rollout-stack';
import { createWakeQueue } from '@opamp-gateway/coordinator/queue/wake-queue';
import { problemText } from '@opamp-gateway/coordinator/rollout/request';
import { systemClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import { Queue } from 'bullmq';
import type { Job } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { putGroup } from '../support/fake-gateway.ts';
import { startRedis, storeConfig } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { waitUntil } from '../support/wait-for.ts';

let redis: RedisLab;
let keys: Keys;
let stack: RolloutStack;
let queue: Queue;
const jobs: { id: string; outcome: string }[] = [];

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});

beforeEach(async () => {
  keys = redis.keys();
  jobs.length = 0;
  stack = createRolloutStack({
    client: redis.client,
    queues: { producer: await redis.connect('producer'), worker: await redis.connect('worker') },
    keys,
    clock: systemClock,
    logger: createSilentLogger(),
    sweepMs: 200,
    minReplicas: 0,
    onJob: (job) => jobs.push({ id: job.id, outcome: job.outcome }),
  });
  await stack.start();
  queue = new Queue(`${keys.prefix}-rollouts`, { connection: await redis.connect('producer'), prefix: `{${keys.prefix}}` });
  await putGroup(redis.client, keys, { name: 'prod', selector: '' });
  await storeConfig(redis.client, keys, 'base', 'one');
});

afterEach(async () => {
  await queue.close();
  await stack.stop();
});

/** As any BullMQ client would: add a job, look at it until it is done. */
async function run(data: unknown, options: { jobId?: string; attempts?: number } = {}): Promise<Job> {
  const { id } = await queue.add('rollout.create', data, options);
  return await waitUntil(
    `job ${id}`,
    async () => (await queue.getJob(id ?? '')) as Job,
    (job) => job.finishedOn !== undefined && (job.returnvalue !== null || job.failedReason !== undefined),
  );
}

const BODY = { group: 'prod', config: { name: 'base', version: 1 }, strategy: 'fast', reason: 'by queue' };

describe('the queue', () => {
  it('starts a rollout and answers with its id', async () => {
    const job = await run(BODY, { jobId: 'release-7' });
    const view = await stack.rollouts.get(job.returnvalue as string);
    expect(view).toMatchObject({ group: 'prod', createdBy: 'queue/release-7', reason: 'by queue' });
    expect(jobs).toEqual([{ id: 'release-7', outcome: 'created' }]);
  });

  it('takes the job id as idempotency key, also of the REST API', async () => {
    const job = await run(BODY, { jobId: 'release-8' });
    expect(await stack.rollouts.create(BODY, { actor: 'rest', idempotencyKey: 'release-8' })).toEqual({
      kind: 'existing',
      id: job.returnvalue,
    });
  });

  it('fails a bad job once and for all, with the text of the REST error', async () => {
    const body = { group: 'nobody', config: { name: 'base' }, strategy: { maxInFlight: 0, colour: 'red' } };
    const job = await run(body, { jobId: 'bad-1', attempts: 5 });
    const rest = await stack.rollouts.create(body, { actor: 'rest' });
    if (rest.kind !== 'problem') throw new Error('the same body was accepted');
    expect(job.failedReason).toBe(problemText(rest));
    for (const path of ['config.version', 'strategy.maxInFlight', 'strategy.colour']) expect(job.failedReason).toContain(path);
    expect(job.attemptsMade).toBe(1);
    expect(await queue.getFailedCount()).toBe(1);
  });

  it('refuses a job that it does not know', async () => {
    const { id } = await queue.add('rollout.destroy', {});
    const job = await waitUntil(
      'the job',
      async () => (await queue.getJob(id ?? '')) as Job,
      (found) => found.failedReason !== undefined,
    );
    expect(job.failedReason).toContain('rollout.destroy');
  });

  it('keeps jobs without an id of their own apart, also after the queue was emptied', async () => {
    const first = await run(BODY);
    await stack.rollouts.act(first.returnvalue as string, 'cancel', { actor: 'test' });
    await queue.obliterate({ force: true });
    const second = await run(BODY);
    expect(second.id).toBe(first.id);
    expect(second.returnvalue).not.toBe(first.returnvalue);
  });
});

describe('wakes', () => {
  it('of one rollout in a burst are a few runs, the last of them after the last wake', async () => {
    const runs: number[] = [];
    let woken = 0;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const producer = await redis.connect('producer');
    const wakes = createWakeQueue({
      producer,
      connection: await redis.connect('worker'),
      keys: redis.keys(),
      logger: createSilentLogger(),
      run: async () => {
        runs.push(woken);
        await gate;
      },
    });
    await wakes.start();
    wakes.wake('r1');
    await waitUntil(
      'the first run',
      () => runs.length,
      (count) => count === 1,
    );
    for (woken = 1; woken < 200; woken += 1) wakes.wake('r1');
    // What is added is in Redis before the first run ends.
    await waitUntil(
      'the wakes to arrive',
      async () => await producer.ping(),
      (answer) => answer === 'PONG',
    );
    release();
    await waitUntil(
      'the run after the last wake',
      () => runs.at(-1),
      (last) => last === 200,
    );
    expect(runs.length).toBeLessThanOrEqual(4);
    await wakes.stop();
  });
});
