import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Cluster, type Redis } from 'ioredis';
import { absentKeyBeside } from './keys.ts';

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
  readFields: load('read-fields', false),
  restoreAgent: load('restore-agent', true),
  commitRollout: load('commit-rollout', false),
  commitSpec: load('commit-spec', false),
  swapSpecField: load('swap-spec-field', false),
  putConfig: load('put-config', false),
  lease: load('lease', false),
  endLease: load('end-lease', false),
  tellGateway: load('tell-gateway', false),
  takeDue: load('take-due', false),
  beat: load('beat', false),
  recordMinute: load('record-minute', false),
  admitAlerts: load('admit-alerts', false),
  takeAlerts: load('take-alerts', false),
  settleAlert: load('settle-alert', false),
  retryAlerts: load('retry-alerts', false),
  raiseAlert: load('raise-alert', false),
} as const;

/** How long a call is repeated while its slot is on its way to another cluster node. */
const MOVING_SLOT_MS = 4000;
const MOVING_SLOT_PAUSE_MS = 50;

/** The slot is on its way to another cluster node; the call had no effect and may be repeated. */
function isTryAgain(error: unknown): boolean {
  return error instanceof Error && error.message.includes('TRYAGAIN');
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

/**
 * Runs a script by digest, sending its body when the server does not know it. Replies are text.
 *
 * Scripts touch keys that are not declared, and while a slot is being moved some of these are on one node and some on the other: a
 * script would take an agent whose record has not arrived yet for a new one. So in a Cluster each call also declares a key that never
 * exists, for which Redis refuses the whole call (TRYAGAIN) before its first command, until the slot has arrived.
 * @throws the Redis error; a call that is refused for a moving slot is repeated for 4 s.
 */
export async function runScript(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  const [first = ''] = keys;
  const declared = client instanceof Cluster ? [...keys, absentKeyBeside(first)] : keys;
  const endMs = performance.now() + MOVING_SLOT_MS;
  for (;;) {
    try {
      return await client.evalsha(script.sha, declared.length, ...declared, ...args);
    } catch (error) {
      if (isUnknownScript(error)) return await client.eval(script.body, declared.length, ...declared, ...args);
      if (!isTryAgain(error) || performance.now() >= endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, MOVING_SLOT_PAUSE_MS));
    }
  }
}
