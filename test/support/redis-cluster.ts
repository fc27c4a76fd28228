import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, type Redis } from 'ioredis';
import { findFreePort } from './ports.ts';
import { withClient } from './redis-sentinels.ts';
import { RedisServer } from './redis-server.ts';
import type { RedisStore } from './redis-store.ts';
import { waitUntil } from './wait-for.ts';

const HOST = '127.0.0.1';
const SLOTS = 16_384;
const PATIENT = { deadlineMs: 120_000 };

export interface ClusterSetOptions {
  readonly directory: string;
  /** Default 3. */
  readonly masters?: number;
  /** Replicas of each master. Default 0. */
  readonly replicas?: number;
  /** Silence after which a master counts as down. Default 5,000. */
  readonly nodeTimeoutMs?: number;
  readonly args?: readonly string[];
}

/** A real Redis Cluster. The masters own equal parts of the slots, in the order of {@link masters}. */
export class ClusterSet implements RedisStore {
  /** Masters as they were at the start. */
  readonly masters: readonly RedisServer[];
  /** `replicas[i]` follow `masters[i]`. */
  readonly replicas: readonly (readonly RedisServer[])[];

  private constructor(masters: readonly RedisServer[], replicas: readonly (readonly RedisServer[])[]) {
    this.masters = masters;
    this.replicas = replicas;
  }

  /** Starts the servers, joins them, and waits until each says that the Cluster is complete. */
  static async start(options: ClusterSetOptions): Promise<ClusterSet> {
    const { masters: count = 3, replicas: each = 0 } = options;
    const masters: RedisServer[] = [];
    const replicas: RedisServer[][] = [];
    const set = new ClusterSet(masters, replicas);
    const busPorts = new Map<RedisServer, number>();
    try {
      for (let index = 0; index < count * (1 + each); index += 1) {
        const busPort = await findFreePort();
        const server = await startNode(options, `redis-${index + 1}`, busPort);
        busPorts.set(server, busPort);
        if (index < count) masters.push(server);
        else (replicas[index % count] ??= []).push(server);
      }
      await set.#join(busPorts);
    } catch (error) {
      await set.stop();
      throw error;
    }
    return set;
  }

  get url(): string {
    return this.masters.map(({ url }) => url).join(',');
  }

  /** A client of the whole Cluster; the caller closes it. */
  connect(): Cluster {
    return new Cluster(this.masters.map(({ port }) => ({ host: HOST, port })));
  }

  /** The slot of a key. */
  async slotOf(key: string): Promise<number> {
    return await this.#onAny(async (client) => Number(await client.call('CLUSTER', 'KEYSLOT', key)));
  }

  /** The master that owns a slot, by the account of the first server that answers. */
  async ownerOf(slot: number): Promise<RedisServer> {
    const port = await this.#onAny(async (client) => {
      const ranges = (await client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
      return ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
    });
    const server = this.#all.find((candidate) => candidate.port === port);
    if (server === undefined) throw new Error(`nobody owns slot ${slot}`);
    return server;
  }

  /**
   * Moves a slot with all its keys while clients use it, as `redis-cli --cluster reshard` does: key by key, in several steps, with
   * a `pause` between them, so that requests meet a slot that is on both nodes. Answers the number of keys moved.
   */
  async moveSlot(slot: number, to: RedisServer, { pause }: { readonly pause?: () => Promise<void> } = {}): Promise<number> {
    const from = await this.ownerOf(slot);
    const [fromId, toId] = [await idOf(from), await idOf(to)];
    await withClient(to.port, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId));
    let moved = 0;
    await withClient(from.port, async (client) => {
      await client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
      for (;;) {
        const keys = (await client.call('CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[];
        if (keys.length === 0) break;
        await client.call('MIGRATE', HOST, to.port, '', 0, 30_000, 'KEYS', ...keys);
        moved += keys.length;
        await pause?.();
      }
    });
    // The new owner first, so that no moment has nobody who answers for the slot.
    for (const server of [to, from, ...this.masters.filter((other) => other !== to && other !== from)])
      await withClient(server.port, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId));
    return moved;
  }

  /** Waits until another server than `former` owns the slot and the Cluster is complete again; answers it. */
  async waitForFailover(former: RedisServer, slot: number): Promise<RedisServer> {
    return await waitUntil(
      `a replica to have taken slot ${slot} over`,
      async () => {
        const owner = await this.ownerOf(slot);
        const info = (await withClient(owner.port, (client) => client.call('CLUSTER', 'INFO'))) as string;
        return { owner, isDone: owner !== former && info.includes('cluster_state:ok') };
      },
      ({ isDone }) => isDone,
      PATIENT,
    ).then(({ owner }) => owner);
  }

  async stop(): Promise<boolean> {
    return (await Promise.all(this.#all.map((server) => server.stop()))).every(Boolean);
  }

  get #all(): readonly RedisServer[] {
    return [...this.masters, ...this.replicas.flat()];
  }

  async #onAny<Value>(ask: (client: Redis) => Promise<Value>): Promise<Value> {
    const problems: unknown[] = [];
    for (const server of this.#all) {
      try {
        return await withClient(server.port, ask);
      } catch (error) {
        problems.push(error);
      }
    }
    throw new AggregateError(problems, 'no server of the Cluster answers');
  }

  async #join(busPorts: ReadonlyMap<RedisServer, number>): Promise<void> {
    const [first] = this.masters;
    if (first === undefined) throw new Error('the Cluster has no master');
    for (const [index, server] of this.masters.entries()) {
      const from = Math.floor((index * SLOTS) / this.masters.length);
      const to = Math.floor(((index + 1) * SLOTS) / this.masters.length);
      await withClient(server.port, async (client) => {
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
        await client.call('CLUSTER', 'ADDSLOTS', ...Array.from({ length: to - from }, (_, offset) => from + offset));
      });
    }
    for (const server of this.#all) {
      if (server !== first)
        await withClient(server.port, (client) => client.call('CLUSTER', 'MEET', HOST, first.port, busPorts.get(first) ?? 0));
    }
    const size = this.#all.length;
    const info = async (server: RedisServer): Promise<string> =>
      (await withClient(server.port, (client) => client.call('CLUSTER', 'INFO'))) as string;
    const known = async (server: RedisServer): Promise<number> => Number(/cluster_known_nodes:(\d+)/.exec(await info(server))?.[1]);
    for (const server of this.#all)
      await waitUntil(
        `${server.address} to know ${size} servers`,
        async () => await known(server),
        (count) => count === size,
        PATIENT,
      );
    for (const [index, followers] of this.replicas.entries()) {
      const master = this.masters[index] as RedisServer;
      const masterId = await idOf(master);
      for (const follower of followers) await replicate(follower, masterId);
      await waitUntil(
        `${followers.length} replicas to follow ${master.address}`,
        async () => await withClient(master.port, (client) => client.info('replication')),
        (text) => (text.match(/state=online/g) ?? []).length === followers.length,
        PATIENT,
      );
    }
    for (const server of this.#all)
      await waitUntil(
        `${server.address} to see the Cluster complete`,
        async () => await info(server),
        (text) => text.includes('cluster_state:ok'),
        PATIENT,
      );
  }
}

async function startNode(
  { directory, nodeTimeoutMs = 5_000, args = [] }: ClusterSetOptions,
  name: string,
  busPort: number,
): Promise<RedisServer> {
  const own = join(directory, name);
  await mkdir(own, { recursive: true });
  return await RedisServer.start({
    directory: own,
    name,
    args: [
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', String(nodeTimeoutMs)],
      ...['--cluster-announce-ip', HOST, '--repl-diskless-sync-delay', '0', ...args],
    ],
  });
}

async function idOf(server: RedisServer): Promise<string> {
  return (await withClient(server.port, (client) => client.call('CLUSTER', 'MYID'))) as string;
}

/** A node can follow only who it has heard of. */
async function replicate(follower: RedisServer, masterId: string): Promise<void> {
  await waitUntil(
    `${follower.address} to follow ${masterId}`,
    async () => await withClient(follower.port, (client) => client.call('CLUSTER', 'REPLICATE', masterId)),
    (reply) => reply === 'OK',
    PATIENT,
  );
}
