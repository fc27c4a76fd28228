import { Queue } from 'bullmq';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { expect, type TestContext } from 'vitest';
import { useFleet } from './lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY } from './rollouts.ts';
import type { Stack } from './stack.ts';
import { notOn, notRestored, offeredTo } from './truth.ts';
import { waitUntil, waitUntilRight } from './wait-for.ts';

export interface MainJobOptions {
  /** Where a BullMQ client of the test adds its job. Default: where the stack's processes are. */
  readonly queueUrl?: string;
  readonly tls?: RedisTls;
  /** What agents send with each upgrade and poll. */
  readonly agentHeaders?: Readonly<Record<string, string>>;
}

const AGENTS = 60;

/** Waits for those that poll, too. */
const ALL = { ...FAST_STRATEGY, success: { minRatio: 1, minReached: 1 } };

/**
 * Everything that uses Redis, once: a good rollout, a bad one that turns back, one by a job on the queue; labels, pin, restart, freeze;
 * every list; an agent that is forgotten. Some of the agents poll over HTTP. Holds all of it against the agents' own records.
 */
export async function expectMainJob(
  context: TestContext,
  stack: Stack,
  { queueUrl = stack.redisUrl, tls, agentHeaders = {} }: MainJobOptions = {},
): Promise<void> {
  const { api } = stack;
  const fleet = await useFleet(context, stack, {
    name: 'shape',
    agents: AGENTS,
    httpFraction: 0.1,
    headers: agentHeaders,
    profiles: [{ profile: 'normal', fraction: 1, overrides: { failOn: [{ kind: 'validation', match: { contains: 'shape bad' } }] } }],
  });
  const deployment = await Deployment.create(api, fleet);
  const good = await deployment.prove('shape 1');
  // A wave is done when most are: those that poll may come a little later.
  await waitUntilRight('every agent to run the first config', async () => notOn(await fleet.records(), good.hash));

  const bad = await deployment.store('shape bad');
  const rolledBack = await deployment.finish(await deployment.start(bad), 'rolled_back');
  expect(notRestored(rolledBack, offeredTo(await fleet.records(), bad.hash))).toEqual([]);
  expect((await api.getFailures(rolledBack.id)).length).toBeGreaterThan(0);
  await expectTruth(api, fleet, rolledBack.id);

  const next = await deployment.store('shape 2');
  const body = { group: fleet.name, config: { name: next.name, version: next.version }, strategy: ALL, reason: 'by a job' };
  const id = await createByJob(queueUrl, tls, body);
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: AGENTS });
  expect(notOn(await fleet.records(), next.hash)).toEqual([]);
  await expectTruth(api, fleet, id);

  await expectAgentCalls(stack, fleet.selector, good.version, next.version);
  for (const path of [
    '/fleet',
    '/gateways',
    '/audit',
    '/groups',
    '/configs',
    '/rollouts',
    `/configs/${fleet.name}/versions`,
    '/agents/facets',
  ])
    expect((await api.request('GET', path)).status, path).toBeLessThan(500);
  await api.call('POST', `/rollouts?dryRun=true`, { body });
  await api.call('POST', '/fleet/freeze', { body: { reason: 'test' } });
  await api.call('POST', '/fleet/unfreeze', { body: { reason: 'test' } });
  await expectForgotten(stack, fleet.selector, async () => await fleet.close());
}

/** Adds a job as any BullMQ client does; answers the id of the rollout that it started. */
async function createByJob(url: string, tls: RedisTls | undefined, body: object): Promise<string> {
  const connection = createRedis(url, 'producer', createSilentLogger(), tls);
  try {
    await waitUntilReady(connection, 60_000);
    const queue = new Queue('opamp-rollouts', { connection, prefix: '{opamp}' });
    queue.on('error', () => undefined);
    await queue.add('rollout.create', body, { jobId: 'shape-job' });
    const { result } = await waitUntil(
      'the job to have started a rollout',
      async () => {
        const state = await queue.getJobState('shape-job');
        const job = await queue.getJob('shape-job');
        return { state, result: job?.returnvalue as unknown, reason: job?.failedReason };
      },
      ({ state }) => state === 'completed',
    );
    await queue.close();
    return String(result);
  } finally {
    await closeRedis(connection);
  }
}

async function expectAgentCalls(stack: Stack, selector: string, formerVersion: number, version: number): Promise<void> {
  const { api } = stack;
  const agents = await api.listAgents({ selector });
  const agent = agents.find(({ transport }) => transport === 'ws');
  if (agent === undefined) throw new Error('no agent is connected by WebSocket');
  const path = `/agents/${agent.uid}`;
  await api.call('PUT', `${path}/labels`, { body: { labels: { ring: 'one' } } });
  await waitUntil(
    'the label to select the agent',
    async () => (await api.listAgents({ selector: 'label.ring=one' })).map(({ uid }) => uid),
    (uids) => uids.length === 1 && uids[0] === agent.uid,
  );
  const name = selector.slice('env='.length);
  await api.call('PUT', `${path}/pin`, { body: { config: { name, version: formerVersion } } });
  await waitUntil(
    'the pinned agent to run what it is pinned to',
    async () => (await api.getAgent(agent.uid)).config,
    ({ inSync, desired }) => inSync === true && desired?.version === formerVersion,
  );
  await api.call('DELETE', `${path}/pin`);
  await waitUntil(
    'the agent to be back on its group',
    async () => (await api.getAgent(agent.uid)).config,
    ({ inSync, desired }) => inSync === true && desired?.version === version,
  );
  expect([202, 409]).toContain((await api.request('POST', `${path}/restart`, { body: {} })).status);
}

async function expectForgotten(stack: Stack, selector: string, close: () => Promise<void>): Promise<void> {
  const { api } = stack;
  await close();
  const away = await waitUntil(
    'every agent to be shown as away',
    async () => await api.listAgents({ selector, connected: 'false' }),
    (agents) => agents.length === AGENTS,
  );
  await api.call('DELETE', `/agents/${away[0]?.uid ?? ''}`);
  expect(await api.listAgents({ selector })).toHaveLength(AGENTS - 1);
}
