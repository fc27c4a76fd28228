import { normalizeFailure } from '../failure-message.ts';
import type { RowStatus } from '../rollout-types.ts';
import type { ShardKeys } from './keys.ts';
import { runScript, SCRIPTS } from './scripts.ts';
import type { RedisClient } from './scripts.ts';

/** Outcome of a claim for one uid. */
export type ClaimReply =
  | { kind: 'ok'; epoch: string; formerOwner: string; fields: Record<string, string> }
  | { kind: 'owned'; owner: string; epoch: string }
  | { kind: 'foreign'; token: string }
  | { kind: 'alias'; uid: string };

/** See {@link claimAgents}. */
export type ClaimMode = 'force' | 'polite' | 'again';

/** What an agent proved itself with: id of the credential, and the realm that it binds records to. */
export interface ClaimCredential {
  id: string;
  realm: string;
}

function toFields(flat: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string;
  return fields;
}

/**
 * Claims agents of one shard for a gateway: new epoch, owner, counters to the connected column, and the record as it
 * stands after the claim. `polite` leaves agents alone that another gateway holds, and so does `again`, which is for a connection
 * that had claimed the agent before: it counts as connected since then. `credentials` are those of the agents, by place.
 */
export async function claimAgents(
  client: RedisClient,
  shard: ShardKeys,
  claim: {
    gateway: string;
    mode: ClaimMode;
    silenceMs?: number;
    uids: readonly string[];
    credentials?: readonly ClaimCredential[];
  },
): Promise<ClaimReply[]> {
  const silence = claim.silenceMs === undefined ? '' : String(claim.silenceMs);
  const agents = claim.uids.flatMap((uid, i) => [uid, claim.credentials?.[i]?.id ?? '', claim.credentials?.[i]?.realm ?? '']);
  const replies = (await runScript(
    client,
    SCRIPTS.claim,
    [shard.agents],
    [shard.prefix, claim.gateway, claim.mode, silence, ...agents],
  )) as (['ok', string, string, string[]] | ['owned', string, string] | ['foreign' | 'alias', string])[];
  return replies.map((reply) => {
    if (reply[0] === 'ok') return { kind: 'ok', epoch: reply[1], formerOwner: reply[2], fields: toFields(reply[3]) };
    if (reply[0] === 'owned') return { kind: 'owned', owner: reply[1], epoch: reply[2] };
    return reply[0] === 'foreign' ? { kind: 'foreign', token: reply[1] } : { kind: 'alias', uid: reply[1] };
  });
}

/** One row to write with a flush. */
export interface RowWrite {
  rollout: string;
  wave: string;
  status: RowStatus;
  attempt: number;
  /** From Redis' now; -1 keeps the stored deadline. */
  deadlineInMs: number;
  ackTimeoutMs: number;
  soft: boolean;
  /** Why the status is bad, or `skipped`; kept under the rollout's failures. */
  error: string;
}

/** One agent's changes. */
export interface FlushItem {
  uid: string;
  epoch: string;
  release: boolean;
  /** Undefined = unchanged. */
  group: string | undefined;
  takesConfig: boolean | undefined;
  /** Facet counters this agent is to be counted under, one a line; undefined = unchanged. */
  facets: string | undefined;
  /** Effective config, already compressed; undefined = unchanged. */
  effective: Buffer | undefined;
  set: Readonly<Record<string, string>>;
  del: readonly string[];
  rows: readonly RowWrite[];
}

/** Outcome of a flush for one agent: `rows` holds the rows that stand now, '' for a rollout that has ended. */
export type FlushReply = { kind: 'ok'; rows: Record<string, string> } | { kind: 'fenced'; owner: string };

/** Writes a batch of agents of one shard in one call. */
export async function flushAgents(
  client: RedisClient,
  shard: ShardKeys,
  gateway: string,
  items: readonly FlushItem[],
): Promise<FlushReply[]> {
  const args: (string | number | Buffer)[] = [shard.prefix, gateway];
  for (const item of items) {
    const fields = Object.keys(item.set);
    args.push(
      item.uid,
      item.epoch,
      item.release ? 'release' : 'write',
      item.group ?? '',
      item.takesConfig === undefined ? '' : item.takesConfig ? '1' : '0',
      item.facets ?? '\0',
      item.effective ?? '',
      fields.length,
    );
    for (const field of fields) args.push(field, item.set[field] ?? '');
    args.push(item.del.length, ...item.del, item.rows.length);
    for (const row of item.rows) {
      args.push(
        row.rollout,
        row.wave,
        row.status,
        row.attempt,
        Math.round(row.deadlineInMs),
        Math.round(row.ackTimeoutMs),
        row.soft ? '1' : '0',
        row.error,
        normalizeFailure(row.error),
      );
    }
  }
  const replies = (await runScript(client, SCRIPTS.flush, [shard.agents], args)) as (['ok', ...string[]] | ['fenced', string])[];
  return replies.map((reply) =>
    reply[0] === 'ok' ? { kind: 'ok', rows: toFields(reply.slice(1)) } : { kind: 'fenced', owner: reply[1] ?? '' },
  );
}

/** Releases the given agents if `owner` still owns them under the same epoch; returns how many were. */
export async function releaseAgents(
  client: RedisClient,
  shard: ShardKeys,
  owner: string,
  agents: readonly { uid: string; epoch: string }[],
): Promise<number> {
  const args = agents.flatMap(({ uid, epoch }) => [uid, epoch]);
  return (await runScript(client, SCRIPTS.release, [shard.agents], [shard.prefix, owner, agents.length, ...args])) as number;
}

/** Releases at most `limit` HTTP agents of the shard whose silence has lasted too long. */
export async function releaseSilentPollers(client: RedisClient, shard: ShardKeys, limit: number): Promise<number> {
  return (await runScript(client, SCRIPTS.release, [shard.agents], [shard.prefix, 'http', limit])) as number;
}

/** Counters of one rollout in one shard: `<wave>:<status>:<0|1>` -> count. */
export interface SettleReply {
  nowMs: number;
  /** Overdue rows that this call did not get to. */
  overdue: number;
  counters: Record<string, number>;
  /** Agents that cannot report: whoever reads them compares their effective configs, see {@link observeAgents}. */
  observe: string[];
}

function toCounters(flat: readonly string[]): Record<string, number> {
  const counters: Record<string, number> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) if (flat[i] !== 'ended') counters[flat[i] as string] = Number(flat[i + 1]);
  return counters;
}

/** Judges at most `limit` overdue rows (none when `judge` is false) and reads the shard's counters in the same step. */
export async function settleRollout(
  client: RedisClient,
  shard: ShardKeys,
  options: { rollout: string; judge: boolean; limit: number },
): Promise<SettleReply> {
  const [nowMs, overdue, flat, observe] = (await runScript(
    client,
    SCRIPTS.settle,
    [shard.agents],
    [shard.prefix, options.rollout, options.judge ? '1' : '0', options.limit],
  )) as [string, number, string[], string[]];
  return { nowMs: Number(nowMs), overdue, counters: toCounters(flat), observe };
}

/** What the effective config of an agent says of a version. */
export interface Observation {
  uid: string;
  /** True when it holds the version. */
  holds: boolean;
  /** When it was told, by the clock of its gateway; 0 when there is none. */
  toldAtMs: number;
}

/** Judges agents of one shard that cannot report. Returns how many were judged. */
export async function observeAgents(
  client: RedisClient,
  shard: ShardKeys,
  { rollout, hash, healthHoldMs }: { rollout: string; hash: string; healthHoldMs: number },
  agents: readonly Observation[],
): Promise<number> {
  const args = agents.flatMap(({ uid, holds, toldAtMs }) => [uid, holds ? '1' : '0', toldAtMs]);
  return (await runScript(client, SCRIPTS.observe, [shard.agents], [shard.prefix, rollout, hash, healthHoldMs, ...args])) as number;
}

/** Marks a rollout as ended in one shard and lets its keys expire; returns the final counters. */
export async function finishRollout(
  client: RedisClient,
  shard: ShardKeys,
  rollout: string,
  ttlSeconds: number,
): Promise<Record<string, number>> {
  return toCounters((await runScript(client, SCRIPTS.finish, [shard.agents], [shard.prefix, rollout, ttlSeconds])) as string[]);
}

/** How long an edit stays listed for gateways to pick up. */
export const EDITED_KEEP_MS = 3_600_000;

/** Changes fields of an agent's record that operators own; undefined when there is no such agent, else its owner. */
export async function editAgent(
  client: RedisClient,
  shard: ShardKeys,
  edit: { uid: string; set: Readonly<Record<string, string>>; del: readonly string[] },
): Promise<string | undefined> {
  const set = Object.entries(edit.set);
  const reply = (await runScript(
    client,
    SCRIPTS.editAgent,
    [shard.agents],
    [shard.prefix, edit.uid, EDITED_KEEP_MS, set.length, ...set.flat(), ...edit.del],
  )) as ['ok' | 'unknown', string?];
  return reply[0] === 'ok' ? (reply[1] ?? '') : undefined;
}

/** Forgets an agent that is away and has no open row. */
export async function deleteAgent(client: RedisClient, shard: ShardKeys, uid: string): Promise<'ok' | 'unknown' | 'connected' | 'open'> {
  return (await runScript(client, SCRIPTS.deleteAgent, [shard.agents], [shard.prefix, uid])) as 'ok' | 'unknown' | 'connected' | 'open';
}

/** Values of the same fields of many records of one shard, null where a field or the whole record is absent. */
export async function readFields(
  client: RedisClient,
  shard: ShardKeys,
  fields: readonly string[],
  uids: readonly string[],
): Promise<(string | null)[][]> {
  return (await runScript(client, SCRIPTS.readFields, [shard.agents], [shard.prefix, fields.length, ...fields, ...uids])) as (
    | string
    | null
  )[][];
}

/**
 * Puts what a backup says of an agent back: fields of its record and rows by rollout, as they were stored. An agent that is known
 * already gets its pin and labels, and what it lacks.
 */
export async function restoreAgent(
  client: RedisClient,
  shard: ShardKeys,
  agent: { uid: string; set: Readonly<Record<string, string>>; rows: Readonly<Record<string, string>> },
): Promise<'created' | 'edited'> {
  const set = Object.entries(agent.set);
  const rows = Object.entries(agent.rows);
  const args = [shard.prefix, agent.uid, set.length, ...set.flat(), rows.length, ...rows.flat()];
  return (await runScript(client, SCRIPTS.restoreAgent, [shard.agents], args)) as 'created' | 'edited';
}
