import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';

/** A Redis or Redis Cluster connection. */
export type RedisClient = Redis | Cluster;

/** A Lua script with its digest. Bodies stand in `packages/shared/lua/`, one job each, with a header on KEYS, ARGV, returns. */
export interface Script {
  name: string;
  body: string;
  sha: string;
}

function load(name: string, withCommon: boolean): Script {
  const read = (file: string): string => readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), 'utf8');
  const body = withCommon ? `${read('common')}\n${read(name)}` : read(name);
  return { name, body, sha: createHash('sha1').update(body).digest('hex') };
}

/** Every script, loaded once. Those over agent records share `common.lua`. */
export const SCRIPTS = {
  claim: load('claim', true),
  flush: load('flush', true),
  release: load('release', true),
  settle: load('settle', true),
  finish: load('finish', true),
  editAgent: load('edit-agent', true),
  deleteAgent: load('delete-agent', true),
  commitRollout: load('commit-rollout', false),
  commitSpec: load('commit-spec', false),
  swapSpecField: load('swap-spec-field', false),
  putConfig: load('put-config', false),
  lease: load('lease', false),
  endLease: load('end-lease', false),
  takeDue: load('take-due', false),
  beat: load('beat', false),
  recordMinute: load('record-minute', false),
} as const;

/** Redis said that a key it needs is on its way to another cluster node; the call had no effect and may be repeated. */
function isTryAgain(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('TRYAGAIN');
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

/**
 * Runs a script by digest, sending its body when the server does not know it. Replies are text.
 * @throws the Redis error; a call that fails midway on TRYAGAIN is repeated up to 20 times, 50 ms apart.
 */
export async function runScript(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await client.evalsha(script.sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (isUnknownScript(error)) return await client.eval(script.body, keys.length, ...keys, ...args);
      if (!isTryAgain(error) || attempt >= 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
