import { randomBytes } from 'node:crypto';
import { ConfigurationError, toError } from '@opamp-gateway/shared/errors';
import { serversOf } from '@opamp-gateway/shared/redis/client';
import { SCHEMA_VERSION, SHARD_COUNT } from '@opamp-gateway/shared/redis/keys';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { Redis } from 'ioredis';

/** Oldest Redis whose commands we use (ZRANDMEMBER, GETEX, …). */
const MIN_VERSION = [6, 2] as const;

/**
 * Looks whether every server of this Redis can be trusted with our data: its version, that it evicts nothing, and that what is stored there
 * has a layout we know. Throws a ConfigurationError that says what to do. Returns what could not be found out, as warnings.
 */
export async function checkStore(client: RedisClient, keys: Keys): Promise<string[]> {
  const warnings: string[] = [];
  const problems: string[] = [];
  for (const { name, server } of serversOf(client)) await checkNode(server, name, problems, warnings);
  problems.push(...(await layoutProblems(client, keys)));
  if (problems.length > 0) throw new ConfigurationError([...new Set(problems)]);
  return [...new Set(warnings)];
}

/**
 * Writes what every process must agree on, where it is missing: the version of the layout, the number of shards, and a
 * random incarnation by which gateways notice that a store has been emptied. Safe to repeat, also from several coordinators.
 */
export async function ensureMeta(client: RedisClient, keys: Keys): Promise<void> {
  const pipeline = client.pipeline();
  pipeline.hsetnx(keys.meta, 'schemaVersion', String(SCHEMA_VERSION));
  pipeline.hsetnx(keys.meta, 'shardCount', String(SHARD_COUNT));
  pipeline.hsetnx(keys.meta, 'incarnation', randomBytes(8).toString('hex'));
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

async function checkNode(node: Redis, address: string, problems: string[], warnings: string[]): Promise<void> {
  let info: string;
  try {
    info = await node.info('server');
  } catch (error) {
    // A dead replica must not keep a coordinator from starting; a dead master will, with the first command.
    warnings.push(`Redis at ${address} does not say what it is: ${toError(error).message}`);
    return;
  }
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info);
  if (version === null) warnings.push(`the version of Redis at ${address} is not known`);
  else if (Number(version[1]) < MIN_VERSION[0] || (Number(version[1]) === MIN_VERSION[0] && Number(version[2]) < MIN_VERSION[1])) {
    problems.push(`Redis at ${address} is version ${version[1]}.${version[2]}, at least ${MIN_VERSION.join('.')} is needed`);
  }
  let policy: string | undefined;
  try {
    policy = ((await node.config('GET', 'maxmemory-policy')) as string[])[1];
  } catch {
    // Managed services often refuse CONFIG.
  }
  if (policy === undefined) warnings.push(`Redis at ${address} does not tell its maxmemory-policy; it must be noeviction`);
  else if (policy !== 'noeviction') {
    problems.push(
      `Redis at ${address} has maxmemory-policy ${policy}, which drops configs and agents when memory runs out: run "redis-cli ${cliAddress(address)} CONFIG SET maxmemory-policy noeviction" and put it into its configuration file`,
    );
  }
}

/** Arguments of `redis-cli` for `host:port`. */
function cliAddress(address: string): string {
  const at = address.lastIndexOf(':');
  return `-h ${address.slice(0, at).replaceAll(/[[\]]/g, '')} -p ${address.slice(at + 1)}`;
}

async function layoutProblems(client: RedisClient, keys: Keys): Promise<string[]> {
  const meta = await client.hgetall(keys.meta);
  const problems: string[] = [];
  const schemaVersion = Number(meta['schemaVersion'] ?? SCHEMA_VERSION);
  if (schemaVersion > SCHEMA_VERSION) {
    problems.push(
      `the data under ${keys.prefix} has layout ${schemaVersion}, this release knows ${SCHEMA_VERSION}: run a newer release, or set another OPAMP_KEY_PREFIX`,
    );
  }
  const shardCount = Number(meta['shardCount'] ?? SHARD_COUNT);
  if (shardCount !== SHARD_COUNT) {
    problems.push(
      `the data under ${keys.prefix} is spread over ${shardCount} shards, this release uses ${SHARD_COUNT}: set another OPAMP_KEY_PREFIX`,
    );
  }
  return problems;
}
