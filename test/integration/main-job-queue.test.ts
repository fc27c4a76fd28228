import { Queue } from 'bullmq';
import { expect, test, type TestContext } from 'vitest';
import type { RolloutBody } from '../support/api-client.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY } from '../support/rollouts.ts';
import { notOn } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 2 });

/** The documented queue, through a connection of its own: what any BullMQ client does. */
function openQueue(context: TestContext): Queue {
  const queue = new Queue('opamp-rollouts', { connection: { host: '127.0.0.1', port: stack().redis.port }, prefix: '{opamp}' });
  queue.on('error', () => undefined);
  context.onTestFinished(async () => await queue.close());
  return queue;
}

async function waitForJob(
  queue: Queue,
  jobId: string,
): Promise<{ readonly state: string; readonly result: unknown; readonly reason: string }> {
  return await waitUntil(
    `job ${jobId} to end`,
    async () => {
      // The state first: a job read before it ended has no result yet.
      const state = await queue.getJobState(jobId);
      const job = await queue.getJob(jobId);
      return { state, result: job?.returnvalue as unknown, reason: job?.failedReason ?? '' };
    },
    ({ state }) => state === 'completed' || state === 'failed',
  );
}

test('a job that any BullMQ client adds starts a rollout like the API, once, with its id as the result', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'queued', agents: 100 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('queued 1');
  const config = await deployment.store('queued 2');
  const body: RolloutBody = {
    group: fleet.name,
    config: { name: config.name, version: config.version },
    strategy: FAST_STRATEGY,
    reason: 'by a job',
  };
  const queue = openQueue(context);

  await queue.add('rollout.create', body, { jobId: 'release-2' });
  const { state, result } = await waitForJob(queue, 'release-2');
  expect(state).toBe('completed');
  expect(result).toEqual(expect.any(String));
  const id = String(result);
  // The job's id is the idempotency key, for the API as well.
  expect(await api.createRollout(body, 'release-2')).toBe(id);

  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 100 });
  expect(notOn(await fleet.records(), config.hash)).toEqual([]);
  await expectTruth(api, fleet, id);
  expect(await api.listRollouts({ group: fleet.name })).toHaveLength(2);
});

test.for<[what: string, jobId: string, body: unknown]>([
  ['an unknown group', 'bad-group', { group: 'nobody', config: { name: 'queued', version: 1 } }],
  ['an unknown config', 'bad-config', { group: 'known', config: { name: 'nothing', version: 7 } }],
  [
    'a strategy with several mistakes',
    'bad-strategy',
    { group: 'known', config: { name: 'known', version: 1 }, strategy: { waves: [], maxInFlight: -1, speed: 9 } },
  ],
  ['a body that is no object', 'bad-body', 'please'],
])('a job with %s fails with the words of the API, and leaves no rollout', async ([, jobId, body], context) => {
  const { api } = stack();
  await api.putGroup('known', { selector: 'env=known' });
  const queue = openQueue(context);
  await queue.add('rollout.create', body, { jobId });
  const { state, reason } = await waitForJob(queue, jobId);
  expect(state).toBe('failed');

  if (typeof body === 'object') {
    const problem = await api.refusal('POST', '/rollouts', { body });
    expect(reason).toContain(problem.detail);
    for (const { path, message } of problem.errors ?? []) expect(reason).toContain(`${path}: ${message}`);
  } else {
    expect(reason).not.toBe('');
  }
  expect(await api.listRollouts({ group: 'known' })).toEqual([]);
});
