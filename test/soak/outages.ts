import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type AgentRecord, type Fleet, startFleet } from '../support/fleet.ts';
import { recount } from '../support/recount.ts';
import { Deployment, expectTruth, RESTING, waitForRollout } from '../support/rollouts.ts';
import { SHORT_LEASES, type Stack, startStack } from '../support/stack.ts';
import { atMost, notOn } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const AGENTS = 300;
const AWAY_MS = 60_000;
const LOOK_EVERY_MS = 2_000;
const PATIENT = { deadlineMs: 300_000 };
const STRATEGY = { ...RESTING, maxInFlight: 20 };

/** How Redis is away: its process is gone, or nothing of what is said to it arrives while every connection stands. */
export type Outage = 'killed' | 'silent';

/** Takes Redis away from every process for a minute in the middle of a rollout. Answers what is wrong. */
export async function rolloutOverOutage(outage: Outage): Promise<{ problems: string[]; detail: string }> {
  const stack = await startStack({ gateways: 2, coordinators: 2, redis: { appendOnly: true, proxied: true }, ...SHORT_LEASES });
  const problems: string[] = [];
  let detail = `${AGENTS} agents, ${AWAY_MS / 1_000} s`;
  try {
    const fleet = await startFleet(stack, { name: 'outage', agents: AGENTS });
    try {
      detail = await runOutage(stack, fleet, outage, problems);
    } finally {
      await fleet.close();
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error), `logs are in ${await stack.keepLogs()}`);
  } finally {
    await stack.stop();
  }
  return { problems: [...atMost(problems)], detail };
}

async function runOutage(stack: Stack, fleet: Fleet, outage: Outage, problems: string[]): Promise<string> {
  const { api } = stack;
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('outage 1', PATIENT);
  const config = await deployment.store('outage 2');
  const id = await deployment.start(config, STRATEGY);
  await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 60, PATIENT);

  const proxies = [...stack.names('gateway'), ...stack.names('coordinator')].map((name) => stack.redisProxy(name));
  const goneAtMs = performance.now();
  if (outage === 'killed') await stack.stopRedis('SIGKILL');
  else for (const proxy of proxies) proxy.blackhole();
  // What had left for an agent arrives, and is answered.
  await sleep(LOOK_EVERY_MS);
  const settled = await waitUntil(
    'every agent to be done with what it had been offered',
    async () => await fleet.records(),
    (records) => records.every(({ lastReported }) => lastReported.status === 'APPLIED'),
  );
  let looks = 0;
  while (performance.now() - goneAtMs < AWAY_MS) {
    problems.push(...disturbed(settled, await fleet.records()));
    looks += 1;
    await sleep(LOOK_EVERY_MS);
  }
  const answer = await api.request('GET', `/rollouts/${id}`);
  if (answer.status !== 503) problems.push(`the API answered ${answer.status} while Redis was away`);
  const heartbeats = sumOf(await fleet.records(), 'messagesReceived') - sumOf(settled, 'messagesReceived');
  if (heartbeats < AGENTS) problems.push(`${heartbeats} messages were answered while Redis was away`);

  const backAtMs = performance.now();
  if (outage === 'killed') await stack.startRedis();
  else for (const proxy of proxies) proxy.heal();
  await waitForRollout(api, id, 'to rest at its end', ({ waves }) => waves[2]?.phase === 'soaking', PATIENT);
  const seconds = Math.round((performance.now() - backAtMs) / 1_000);
  await waitForRollout(api, id, 'to count everybody', ({ counts }) => JSON.stringify(counts) === `{"applied":${AGENTS}}`, PATIENT);
  const redis = new Redis(stack.redisUrl);
  try {
    problems.push(...(await recount(redis, stack.keys)).problems);
  } finally {
    redis.disconnect();
  }
  await api.act(id, 'promote');
  await deployment.finish(id, 'succeeded', PATIENT);
  await waitUntilRight('everybody to run the new version', async () => notOn(await fleet.records(), config.hash), PATIENT);
  await expectTruth(api, fleet, id);
  const records = await fleet.records();
  const cut = records.filter(({ connects }) => connects !== 1).length;
  if (cut > 0) problems.push(`${cut} agents had to connect again`);
  const twice = records.filter(({ offers }) => offers.filter(({ hash }) => hash === config.hash).length > 1).length;
  if (twice > 0) problems.push(`${twice} agents were offered the version twice`);
  return `${AGENTS} agents, ${looks} looks in ${AWAY_MS / 1_000} s; the rollout at its end ${seconds} s after`;
}

function sumOf(records: readonly AgentRecord[], field: 'messagesReceived' | 'offerCount'): number {
  return records.reduce((sum, record) => sum + record[field], 0);
}

/** Agents that lost their connection or their config, or were offered one, since the outage began. */
function disturbed(before: readonly AgentRecord[], now: readonly AgentRecord[]): readonly string[] {
  const former = new Map(before.map((record) => [record.index, record]));
  return now.flatMap(({ index, connected, running, offerCount }) => {
    const was = former.get(index);
    return connected && was?.running === running && was.offerCount === offerCount
      ? []
      : [
          `while Redis was away agent ${index} is ${connected ? '' : 'not '}connected, runs ${running}, has ${offerCount} offers, had ${was?.offerCount}`,
        ];
  });
}
