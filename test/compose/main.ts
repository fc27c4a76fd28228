/**
 * Brings docker-compose.yml up, runs rollouts through its load balancer while every container is lost in turn, and holds the
 * result against the agents' own records: `node scripts/run.mjs test:compose`. Needs root, a Docker engine and docker-compose;
 * where no image can be pulled, stand-ins.sh makes some first.
 */
import { execFile } from 'node:child_process';
import { kill } from 'node:process';
import { promisify } from 'node:util';
import { createSwarmProcess } from '@opamp-gateway/loadtest/swarm-client';

import { ApiClient, type ApiAnswer, type CallOptions } from '../support/api-client.ts';
import { Fleet, TIME_SCALE } from '../support/fleet.ts';
import { Deployment, expectTruth, FAST_STRATEGY } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';

const PROJECT = 'opamp-compose-check';
const AGENTS = 300;
/** Long enough for a container that is killed to be started again several times. */
const PATIENCE = { deadlineMs: 300_000 };
/** A container is lost in the middle: waves of 10 %, 50 % and all, a few agents at a time. */
const STRATEGY = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 10 }, soak: '1s' },
    { size: { percent: 50 }, soak: '1s' },
    { size: { percent: 100 }, soak: '1s' },
  ],
  maxInFlight: 40,
};
const LOST_IN_TURN = [
  'gateway-1',
  'gateway-2',
  'gateway-3',
  'coordinator-1',
  'coordinator-2',
  'redis',
  'load-balancer',
  'prometheus',
] as const;

const run = promisify(execFile);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function compose(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker-compose', ['-p', PROJECT, ...args], { maxBuffer: 1 << 26 });
  return stdout;
}

async function inspect(service: string, format: string): Promise<string> {
  const id = (await compose('ps', '-q', service)).trim();
  if (id === '') return '';
  const { stdout } = await run('docker', ['inspect', '--format', format, id]);
  return stdout.trim();
}

/** Through the load balancer, with the token of the first start. A call that a lost container swallowed is made again. */
class PublishedApi extends ApiClient {
  readonly #token: string;

  constructor(token: string) {
    super(() => ['http://127.0.0.1:4330']);
    this.#token = token;
  }

  override async request(method: string, path: string, options: CallOptions = {}): Promise<ApiAnswer> {
    const headers = { ...options.headers, authorization: `Bearer ${this.#token}` };
    let answer: ApiAnswer | undefined;
    await waitUntil(
      `${method} ${path} to be answered`,
      async () => {
        answer = await super.request(method, path, { ...options, headers });
        return answer.status;
      },
      (status) => status !== 502 && status !== 503 && status !== 504,
      PATIENCE,
    );
    return answer as ApiAnswer;
  }
}

async function waitUntilHealthy(service: string): Promise<void> {
  await waitUntil(
    `${service} to be healthy`,
    async () => await inspect(service, '{{.State.Health.Status}}'),
    (status) => status === 'healthy',
    PATIENCE,
  );
}

/** Ends the container's process from outside, as a crash does: `docker kill` would tell the engine not to start it again. */
async function lose(service: string): Promise<void> {
  const pid = Number(await inspect(service, '{{.State.Pid}}'));
  if (!(pid > 0)) throw new Error(`${service} has no process`);
  const before = await inspect(service, '{{.State.StartedAt}}');
  kill(pid, 'SIGKILL');
  await waitUntil(
    `${service} to be started again`,
    async () => ({ started: await inspect(service, '{{.State.StartedAt}}'), running: await inspect(service, '{{.State.Running}}') }),
    ({ started, running }) => started !== before && running === 'true',
    PATIENCE,
  );
}

async function check(fleet: Fleet, api: ApiClient): Promise<void> {
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('first');
  await expectTruth(api, fleet, (await api.listRollouts({ group: fleet.name }))[0]?.id ?? '');
  const perGateway = (await api.listGateways()).filter(({ alive }) => alive).map(({ id, connected }) => `${id} ${connected}`);
  say(`first config: all ${fleet.size} agents have it; ${perGateway.join(', ')}`);

  for (const service of LOST_IN_TURN) {
    const config = await deployment.store(`without ${service}`);
    const id = await api.createRollout(
      { group: fleet.name, config: { name: config.name, version: config.version }, strategy: STRATEGY, reason: `${service} is lost` },
      `compose-${service}`,
    );
    await waitUntil(
      `rollout ${id} to be in its second wave`,
      async () => (await api.getRollout(id)).waveIndex,
      (wave) => wave >= 1,
      PATIENCE,
    );
    await lose(service);
    const rollout = await deployment.finish(id, 'succeeded', PATIENCE);
    await fleet.waitUntilConnected();
    await expectTruth(api, fleet, id, { compareCounters: false });
    await waitUntilHealthy(service);
    say(`${service} lost in wave 1: ${rollout.phase}, ${JSON.stringify(rollout.counts)}, every agent runs what is desired`);
  }
}

async function main(): Promise<void> {
  say((await compose('up', '-d')).trim());
  try {
    for (const service of LOST_IN_TURN) await waitUntilHealthy(service);
    say('every container is healthy');
    const token = (await compose('run', '--rm', 'tokens', 'cat', '/var/lib/opamp/api-tokens')).trim().split(':').pop() ?? '';
    const swarm = await createSwarmProcess({
      urls: ['ws://127.0.0.1:4320/v1/opamp'],
      seed: 1,
      timeScale: TIME_SCALE,
      reconnectScale: 0.2,
      heartbeatMs: 1_000,
      httpPollMs: 500,
      agents: AGENTS,
      attributes: { nonIdentifying: { env: 'compose' } },
    });
    const fleet = new Fleet('compose', AGENTS, swarm);
    try {
      await fleet.boot();
      await fleet.waitUntilConnected();
      await check(fleet, new PublishedApi(token));
    } finally {
      await fleet.close();
    }
  } catch (error) {
    say(await compose('logs', '--tail', '40'));
    throw error;
  } finally {
    await compose('down', '-v', '--remove-orphans');
  }
  say('1 passed, 0 failed');
}

await main();
