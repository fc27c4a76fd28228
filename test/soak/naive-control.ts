import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { Child } from '../support/child.ts';
import { RedisServer } from '../support/redis-server.ts';
import { waitUntil } from '../support/wait-for.ts';
import { countAnomalies, NAIVE, type NaiveAnomalies, type NaiveJob } from './naive-rollout.ts';

const WORKER = fileURLToPath(new URL('./naive-worker.ts', import.meta.url));
const LOCK_MS = 1_000;
const WORKERS = 2;
/** What the workers go through after each batch of rollouts is added. */
const KILLS_PER_BATCH = 6;
/** How long nothing may happen before what is left counts as lost. */
const QUIET_MS = 15_000;

type Fault = 'kills' | 'freezes' | 'emptied queue';

export interface NaiveResult {
  readonly anomalies: Readonly<Record<Fault | 'none', NaiveAnomalies>>;
  readonly kills: number;
}

/**
 * The same faults for the control: SIGKILL at random moments, SIGSTOP past the lock, a deleted queue. Each on its own batch of
 * rollouts, and one batch without a fault, which has to be right.
 */
export async function runNaiveControl(random: () => number): Promise<NaiveResult> {
  const directory = await mkdtemp(join(tmpdir(), 'opamp-naive-'));
  await mkdir(join(directory, 'redis'));
  const server = await RedisServer.start({ directory: join(directory, 'redis') });
  const redis = new Redis(server.url);
  const connection = new Redis(server.url, { maxRetriesPerRequest: null });
  const queue = new Queue<NaiveJob>(NAIVE.queue, { connection });
  const control = new Control(server.url, directory, redis, queue, random);
  try {
    const none = await control.batch('none', async () => undefined);
    const kills = await control.batch('kills', async () => await control.kill());
    const freezes = await control.batch('freezes', async () => await control.freeze());
    const emptied = await control.batch('emptied', async () => await control.empty());
    return { anomalies: { none, kills, freezes, 'emptied queue': emptied }, kills: control.kills };
  } finally {
    await control.stop();
    await queue.close();
    connection.disconnect();
    redis.disconnect();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

class Control {
  kills = 0;
  readonly #url: string;
  readonly #directory: string;
  readonly #redis: Redis;
  readonly #queue: Queue<NaiveJob>;
  readonly #random: () => number;
  #workers: Child[] = [];

  constructor(url: string, directory: string, redis: Redis, queue: Queue<NaiveJob>, random: () => number) {
    this.#url = url;
    this.#directory = directory;
    this.#redis = redis;
    this.#queue = queue;
    this.#random = random;
  }

  /** Adds rollouts, injects a fault while they run, waits until nothing happens any more. */
  async batch(name: string, inject: () => Promise<void>): Promise<NaiveAnomalies> {
    await this.#redis.del(NAIVE.starts, NAIVE.finished);
    this.#workers = Array.from({ length: WORKERS }, (_, index) => this.#spawn(index));
    const rollouts = Array.from({ length: NAIVE.rollouts }, (_, index) => `${name}-${index}`);
    await this.#queue.addBulk(rollouts.map((rollout) => ({ name: 'rollout', data: { rollout, step: 0 } })));
    await waitUntil(
      'a wave to start',
      async () => await this.#redis.llen(NAIVE.starts),
      (starts) => starts > 0,
    );
    await inject();
    await this.#untilQuiet(rollouts.length);
    await this.stop();
    return await countAnomalies(this.#redis, rollouts);
  }

  async kill(): Promise<void> {
    for (let kill = 0; kill < KILLS_PER_BATCH; kill += 1) {
      await sleep(this.#random() * 800);
      const index = kill % WORKERS;
      await this.#workers[index]?.kill();
      this.#workers[index] = this.#spawn(index);
      this.kills += 1;
    }
  }

  /** Twice the lock: the other worker takes the jobs over, then the frozen one goes on as if nothing had been. */
  async freeze(): Promise<void> {
    for (const worker of this.#workers) {
      worker.signal('SIGSTOP');
      await sleep(2 * LOCK_MS + this.#random() * 500);
      worker.signal('SIGCONT');
    }
  }

  async empty(): Promise<void> {
    await sleep(this.#random() * 800);
    const keys = await this.#redis.keys(`bull:${NAIVE.queue}*`);
    if (keys.length > 0) await this.#redis.del(keys);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => await worker.kill()));
    this.#workers = [];
  }

  #spawn(index: number): Child {
    const name = `naive-${index}`;
    return new Child({
      name,
      command: [process.execPath, '--conditions=source', '--disable-warning=ExperimentalWarning', WORKER, this.#url, String(LOCK_MS)],
      environment: {},
      directory: this.#directory,
      logFile: join(this.#directory, `${name}.log`),
    });
  }

  /** All finished, or no progress for a long time although the workers run. */
  async #untilQuiet(rollouts: number): Promise<void> {
    let seen = '';
    let sinceMs = performance.now();
    for (;;) {
      const [starts, finished] = [await this.#redis.llen(NAIVE.starts), await this.#redis.scard(NAIVE.finished)];
      if (`${starts} ${finished}` !== seen) sinceMs = performance.now();
      seen = `${starts} ${finished}`;
      if (finished === rollouts && performance.now() - sinceMs > 2 * LOCK_MS) return;
      if (performance.now() - sinceMs > QUIET_MS) return;
      await sleep(100);
    }
  }
}
