import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { putConfig } from '@opamp-gateway/shared/redis/fleet-scripts';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { RedisServer } from './redis-server.ts';

/** One Redis for a test file; every test takes a key prefix of its own. */
export interface RedisLab {
  readonly url: string;
  readonly client: RedisClient;
  readonly server: RedisServer;
  /** Fresh keys, and a client of its own when one is asked for. */
  keys(): Keys;
  connect(role?: 'command' | 'worker' | 'producer'): Promise<RedisClient>;
  stop(): Promise<void>;
}

/** Starts a Redis in a directory of its own. */
export async function startRedis(options: { appendOnly?: boolean } = {}): Promise<RedisLab> {
  const directory = await mkdtemp(join(tmpdir(), 'opamp-redis-'));
  const server = await RedisServer.start({ directory, ...options });
  const clients: RedisClient[] = [];
  const connect = async (role: 'command' | 'worker' | 'producer' = 'command'): Promise<RedisClient> => {
    const client = createRedis(server.url, role, createSilentLogger());
    clients.push(client);
    // Every test builds its own readers on the same connection.
    client.setMaxListeners(0);
    await waitUntilReady(client, 60_000);
    return client;
  };
  let prefixes = 0;
  return {
    url: server.url,
    client: await connect(),
    server,
    keys: () => createKeys(`t${(prefixes += 1)}`),
    connect,
    async stop() {
      await Promise.all(clients.map((client) => closeRedis(client)));
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Stores a version of a config that nobody has to understand. Returns its reference. */
export async function storeConfig(
  client: RedisClient,
  keys: Keys,
  name: string,
  text: string,
): Promise<{ name: string; version: number; hash: string }> {
  const hash = Buffer.from(text.padEnd(32, '.')).toString('hex').slice(0, 64);
  const { version } = await putConfig(client, keys, { name, hash, metadata: JSON.stringify({ hash }), audit: null });
  return { name, version, hash };
}

/** Uids of agents, the same in every run. */
export function uidsOf(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `0192f000-0000-7000-8000-${(from + index).toString(16).padStart(12, '0')}`);
}
