import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { Child } from './child.ts';
import { findFreePort } from './ports.ts';
import { findOnPath, RedisServer } from './redis-server.ts';
import type { RedisStore } from './redis-store.ts';
import { waitUntil } from './wait-for.ts';

const HOST = '127.0.0.1';
const MASTER_NAME = 'main';
const SENTINELS = 3;
/** Replicas log in as this user, so that a test can shut them out, see {@link SentinelSet.cutReplication}. */
const REPLICA_USER = ['--user', 'replica', 'on', '>replica-secret', '+psync', '+replconf', '+ping'];
const REPLICA_LOGIN = ['--masteruser', 'replica', '--masterauth', 'replica-secret'];
/** Servers and Sentinels share two cores with everything else: all deadlines are long. */
const PATIENT = { deadlineMs: 120_000 };

export interface SentinelSetOptions {
  readonly directory: string;
  /** Default 2. */
  readonly replicas?: number;
  /** Silence after which a primary counts as down. Default 5,000: shorter ones take a busy machine for a dead server. */
  readonly downAfterMs?: number;
  /** Further arguments of every server. */
  readonly args?: readonly string[];
}

/** A primary with replicas, watched by three Sentinels: real processes. */
export class SentinelSet implements RedisStore {
  readonly servers: readonly RedisServer[];
  readonly #sentinels: readonly { readonly port: number; readonly child: Child }[];

  private constructor(servers: readonly RedisServer[], sentinels: readonly { readonly port: number; readonly child: Child }[]) {
    this.servers = servers;
    this.#sentinels = sentinels;
  }

  /** Starts everything and waits until the Sentinels know each other and all replicas. */
  static async start({ directory, replicas = 2, downAfterMs = 5_000, args = [] }: SentinelSetOptions): Promise<SentinelSet> {
    const servers: RedisServer[] = [];
    const sentinels: { port: number; child: Child }[] = [];
    const set = new SentinelSet(servers, sentinels);
    try {
      for (let index = 0; index <= replicas; index += 1) {
        const name = `redis-${index + 1}`;
        const own = join(directory, name);
        await mkdir(own, { recursive: true });
        const [primary] = servers;
        const follow = primary === undefined ? [] : ['--replicaof', `${HOST} ${primary.port}`];
        servers.push(
          await RedisServer.start({
            directory: own,
            name,
            args: ['--repl-diskless-sync-delay', '0', ...REPLICA_USER, ...REPLICA_LOGIN, ...follow, ...args],
          }),
        );
      }
      for (let index = 0; index < SENTINELS; index += 1)
        sentinels.push(await startSentinel(directory, index + 1, set.#first.port, downAfterMs));
      await set.#waitUntilWatched(replicas);
    } catch (error) {
      await set.stop();
      throw error;
    }
    return set;
  }

  get url(): string {
    return `redis+sentinel://${this.#sentinels.map(({ port }) => `${HOST}:${port}`).join(',')}/${MASTER_NAME}`;
  }

  /** The server that the Sentinels name as primary now. */
  async primary(): Promise<RedisServer> {
    const port = await this.#askSentinel(0, async (sentinel) => {
      const [, text] = (await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME)) as [string, string];
      return Number(text);
    });
    const server = this.servers.find((candidate) => candidate.port === port);
    if (server === undefined) throw new Error(`the Sentinels name port ${port}, which is none of ours`);
    return server;
  }

  /** Waits until the Sentinels name another primary than this one, and it takes writes; answers it. */
  async waitForFailover(former: RedisServer): Promise<RedisServer> {
    return await waitUntil(
      'the Sentinels to have made a replica the primary',
      async () => {
        const now = await this.primary();
        return { now, isPrimary: now !== former && (await roleOf(now)) === 'master' };
      },
      ({ isPrimary }) => isPrimary,
      PATIENT,
    ).then(({ now }) => now);
  }

  /** What this primary is told from now on reaches no replica. Sentinels still count its replicas as alive. */
  async cutReplication(primary: RedisServer): Promise<void> {
    await withClient(primary.port, async (client) => {
      await client.call('ACL', 'SETUSER', 'replica', 'off');
      await client.call('CLIENT', 'KILL', 'TYPE', 'replica');
    });
    await waitUntil(
      'the primary to have no replica',
      async () => await withClient(primary.port, (client) => client.info('replication')),
      (info) => info.includes('connected_slaves:0'),
    );
  }

  /** Ends Sentinels first, so that none of them sees a failure. */
  async stop(): Promise<boolean> {
    const ends = await Promise.all(this.#sentinels.map(({ child }) => child.stop(60_000)));
    const serverEnds = await Promise.all(this.servers.map((server) => server.stop()));
    return [...ends, ...serverEnds].every(Boolean);
  }

  get #first(): RedisServer {
    const [first] = this.servers;
    if (first === undefined) throw new Error('the set has no server');
    return first;
  }

  async #askSentinel<Value>(index: number, ask: (sentinel: Redis) => Promise<Value>): Promise<Value> {
    return await withClient(this.#sentinels[index]?.port ?? 0, ask);
  }

  async #waitUntilWatched(replicas: number): Promise<void> {
    for (const index of this.#sentinels.keys()) {
      await waitUntil(
        `Sentinel ${index + 1} to know the others and ${replicas} replicas`,
        async () =>
          await this.#askSentinel(index, async (sentinel) => {
            const flat = (await sentinel.call('SENTINEL', 'MASTER', MASTER_NAME)) as string[];
            const value = (name: string): string | undefined => flat[flat.indexOf(name) + 1];
            return { replicas: Number(value('num-slaves')), others: Number(value('num-other-sentinels')), flags: value('flags') };
          }),
        (known) => known.replicas === replicas && known.others === SENTINELS - 1 && known.flags === 'master',
        PATIENT,
      );
    }
    await waitUntil(
      `${replicas} replicas to follow`,
      async () => await withClient(this.#first.port, async (client) => await client.info('replication')),
      (info) => (info.match(/state=online/g) ?? []).length === replicas,
      PATIENT,
    );
  }
}

async function startSentinel(
  directory: string,
  number: number,
  primaryPort: number,
  downAfterMs: number,
): Promise<{ port: number; child: Child }> {
  const own = join(directory, `sentinel-${number}`);
  await mkdir(own, { recursive: true });
  const port = await findFreePort();
  const file = join(own, 'sentinel.conf');
  await writeFile(
    file,
    [
      `port ${port}`,
      `bind ${HOST}`,
      `dir "${own}"`,
      `sentinel monitor ${MASTER_NAME} ${HOST} ${primaryPort} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
      `sentinel failover-timeout ${MASTER_NAME} 20000`,
      '',
    ].join('\n'),
  );
  const binary = findOnPath('redis-server') ?? findOnPath('valkey-server');
  if (binary === undefined) throw new Error('neither redis-server nor valkey-server is on the PATH: run npm run setup');
  const child = new Child({
    name: `sentinel-${number}`,
    command: [binary, file, '--sentinel'],
    environment: {},
    directory: own,
    logFile: join(own, 'sentinel.log'),
  });
  await child.waitUntilReady(async () => (await withClient(port, async (client) => await client.ping())) === 'PONG');
  return { port, child };
}

/** A server's role by its own account: `master` or `slave`. */
async function roleOf(server: RedisServer): Promise<string> {
  return await withClient(server.port, async (client) => ((await client.call('ROLE')) as [string])[0]);
}

/** Asks one server over a connection of its own. */
export async function withClient<Value>(port: number, ask: (client: Redis) => Promise<Value>): Promise<Value> {
  const client = new Redis({
    host: HOST,
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  });
  client.on('error', () => undefined); // told by the call itself
  try {
    await client.connect();
    return await ask(client);
  } finally {
    client.disconnect();
  }
}
