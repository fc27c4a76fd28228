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

function read(file: string): string {
  return readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), 'utf8');
}

function build(name: string, ...parts: readonly string[]): Script {
  const body = parts.map(read).join('\n');
  return { name, body, sha: createHash('sha1').update(body).digest('hex') };
}

function load(name: string, withCommon: boolean): Script {
  return withCommon ? build(name, 'common', name) : build(name, name);
}

/** A script that writes to the audit log. */
function chained(name: string): Script {
  return build(name, 'audit-chain', name);
}

/** Every script, loaded once. Those over agent records share `common.lua`, those that write to the audit log `audit-chain.lua`. */
export const SCRIPTS = {
  claim: load('claim', true),
  flush: load('flush', true),
  release: load('release', true),
  settle: load('settle', true),
  observe: load('observe', true),
  finish: load('finish', true),
  editAgent: load('edit-agent', true),
  deleteAgent: load('delete-agent', true),
  readFields: load('read-fields', false),
  restoreAgent: load('restore-agent', true),
  commitRollout: load('commit-rollout', false),
  commitSpec: chained('commit-spec'),
  swapSpecField: chained('swap-spec-field'),
  putConfig: chained('put-config'),
  appendAudit: chained('append-audit'),
  trimAudit: chained('trim-audit'),
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
  putToken: load('put-token', false),
  enrol: load('enrol', false),
  useTokens: load('use-tokens', false),
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
  // The client flattens what it is given: thousands of arguments of a batch are not copied for that before.
  const list = args as unknown as string;
  for (;;) {
    try {
      return await client.evalsha(script.sha, declared.length, ...declared, list);
    } catch (error) {
      if (isUnknownScript(error)) return await client.eval(script.body, declared.length, ...declared, ...args);
      if (!isTryAgain(error) || performance.now() >= endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, MOVING_SLOT_PAUSE_MS));
    }
  }
}
