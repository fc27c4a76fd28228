import { HISTORY_MINUTES } from './keys.ts';
import { createHash } from 'node:crypto';
import type { Keys } from './keys.ts';
import { runScript, SCRIPTS } from './scripts.ts';
import type { RedisClient } from './scripts.ts';

/** One step of a rollout, see `lua/commit-rollout.lua`. */
export interface RolloutCommit {
  id: string;
  /** Revision the step was decided on; 0 creates. */
  expectedRev: number;
  /** JSON of the document, whose `rev` is expectedRev + 1. */
  document: string;
  group: string;
  createdAtMs: number;
  /** Null = never evaluated again. */
  nextEvalAtMs: number | null;
  /** `replace:<id>` takes the group over from that rollout, which is to be aborted. */
  active: 'keep' | 'set' | 'clear' | `replace:${string}`;
  idempotencyKey: string | null;
  specSet: Readonly<Record<string, string>>;
  specDel: readonly string[];
  /** JSON texts, in order. */
  events: readonly string[];
  outbox: readonly string[];
}

/** Outcome of {@link commitRollout}. */
export type RolloutCommitReply =
  | { kind: 'ok'; generation: number }
  | { kind: 'stale'; rev: number }
  | { kind: 'exists'; id: string }
  | { kind: 'active'; id: string }
  | { kind: 'no-group' };

/** Stores one step of a rollout: document, spec fields, events and outbox in one call that checks the revision. */
export async function commitRollout(client: RedisClient, keys: Keys, commit: RolloutCommit): Promise<RolloutCommitReply> {
  const document = keys.rollout(commit.id);
  const set = Object.entries(commit.specSet);
  const reply = (await runScript(
    client,
    SCRIPTS.commitRollout,
    [
      document,
      keys.spec,
      keys.rolloutsDue,
      keys.rolloutEvents(commit.id),
      keys.rolloutsActive,
      keys.rollouts,
      keys.outbox,
      commit.idempotencyKey === null ? document : keys.idempotency(commit.idempotencyKey),
      keys.events,
    ],
    [
      commit.id,
      commit.expectedRev,
      commit.expectedRev + 1,
      commit.document,
      commit.group,
      commit.createdAtMs,
      commit.nextEvalAtMs === null ? '' : Math.round(commit.nextEvalAtMs),
      commit.active,
      commit.idempotencyKey === null ? '0' : '1',
      keys.channelSpec,
      set.length,
      ...set.flat(),
      commit.specDel.length,
      ...commit.specDel,
      commit.events.length,
      ...commit.events,
      commit.outbox.length,
      ...commit.outbox,
    ],
  )) as [string, string?];
  switch (reply[0]) {
    case 'ok':
      return { kind: 'ok', generation: Number(reply[1]) };
    case 'stale':
      return { kind: 'stale', rev: Number(reply[1]) };
    case 'exists':
      return { kind: 'exists', id: reply[1] ?? '' };
    case 'active':
      return { kind: 'active', id: reply[1] ?? '' };
    case 'no-group':
      return { kind: 'no-group' };
    default:
      throw new Error(`commit-rollout answered ${String(reply[0])}`);
  }
}

/** An audit entry as the scripts take it: its digest, then its text; '' = none. */
function auditArgument(entry: string | null): string {
  return entry === null ? '' : createHash('sha256').update(entry).digest('hex') + entry;
}

/** Appends an entry (JSON) to the audit log, as the next link of its chain. */
export async function appendAudit(client: RedisClient, keys: Keys, entry: string): Promise<void> {
  await runScript(client, SCRIPTS.appendAudit, [keys.audit], [auditArgument(entry)]);
}

/** Removes audit entries up to and with `throughId`, and appends `entry`, which has to name the hash of that one. Answers how many went. */
export async function trimAudit(client: RedisClient, keys: Keys, trim: { throughId: string; entry: string }): Promise<number> {
  return (await runScript(client, SCRIPTS.trimAudit, [keys.audit], [trim.throughId, auditArgument(trim.entry)])) as number;
}

/** Change of spec fields that belong to no rollout. */
export interface SpecCommit {
  /** Group that must have no active rollout. */
  guardGroup: string | null;
  /** Spec field that must exist already. */
  mustExist: string | null;
  set: Readonly<Record<string, string>>;
  del: readonly string[];
  /** JSON audit entry, null = none. */
  audit: string | null;
}

/** Changes spec fields outside rollouts and tells the gateways to look. */
export async function commitSpec(
  client: RedisClient,
  keys: Keys,
  commit: SpecCommit,
): Promise<{ kind: 'ok'; generation: number } | { kind: 'active'; id: string } | { kind: 'missing' }> {
  const set = Object.entries(commit.set);
  const reply = (await runScript(
    client,
    SCRIPTS.commitSpec,
    [keys.spec, keys.rolloutsActive, keys.audit],
    [
      keys.channelSpec,
      commit.guardGroup ?? '',
      commit.mustExist ?? '',
      auditArgument(commit.audit),
      set.length,
      ...set.flat(),
      ...commit.del,
    ],
  )) as [string, string?];
  if (reply[0] === 'ok') return { kind: 'ok', generation: Number(reply[1]) };
  return reply[0] === 'active' ? { kind: 'active', id: reply[1] ?? '' } : { kind: 'missing' };
}

/** Replaces one spec field if it still has the text that was read ('' = absent). False when somebody else was first. */
export async function swapSpecField(
  client: RedisClient,
  keys: Keys,
  swap: { field: string; from: string; to: string; audit: string | null; outbox?: string | undefined },
): Promise<boolean> {
  const args = [keys.channelSpec, swap.field, swap.from, swap.to, auditArgument(swap.audit), swap.outbox ?? ''];
  return (await runScript(client, SCRIPTS.swapSpecField, [keys.spec, keys.audit, keys.outbox], args)) === 1;
}

/** Adds a version of a config unless the newest has the same hash. `metadata` is JSON that holds everything but the version. */
export async function putConfig(
  client: RedisClient,
  keys: Keys,
  config: { name: string; hash: string; metadata: string; audit: string | null },
): Promise<{ created: boolean; version: number; metadata: string }> {
  const [kind, version, metadata] = (await runScript(
    client,
    SCRIPTS.putConfig,
    [keys.configs, keys.configVersions(config.name), keys.audit],
    [config.name, config.hash, config.metadata, auditArgument(config.audit)],
  )) as ['created' | 'same', number, string];
  return { created: kind === 'created', version, metadata };
}

/** Offers of a group's proven version outside rollouts, and those that failed, in the last ten minutes. */
export interface TrailingCounts {
  /** The version they were offers of, and the group's `trailingRound` then: counts of others say nothing about the present ones. */
  hash: string;
  round: number;
  offers: number;
  failures: number;
}

/** What a gateway's lease says; all numbers absolute. */
export interface LeaseInfo {
  address: string;
  version: string;
  draining: boolean;
  /** `<generation>:<contentHash>` of the newest spec all sessions were evaluated against and whose rows Redis has. */
  observed: string;
  /** The same of the newest spec that all sessions were evaluated against; their rows may still be on the way to Redis. */
  evaluated: string;
  /** Sessions made eligible and not offered yet, by rollout id. */
  backlog: Record<string, number>;
  connected: number;
  unhealthy: number;
  startedAtMs: number;
  /** Offers and failures outside rollouts in the last 10 minutes, by group. */
  trailing: Record<string, TrailingCounts>;
}

/** Fields of `{opamp}:gateway:<id>`. */
export function formatLease(info: LeaseInfo): Record<string, string> {
  return {
    address: info.address,
    version: info.version,
    draining: info.draining ? '1' : '0',
    observed: info.observed,
    evaluated: info.evaluated,
    backlog: JSON.stringify(info.backlog),
    connected: String(info.connected),
    unhealthy: String(info.unhealthy),
    startedAt: String(info.startedAtMs),
    trailing: JSON.stringify(info.trailing),
  };
}

/** Reads the fields of {@link formatLease}. */
export function parseLease(fields: Readonly<Record<string, string>>): LeaseInfo {
  return {
    address: fields['address'] ?? '',
    version: fields['version'] ?? '',
    draining: fields['draining'] === '1',
    observed: fields['observed'] ?? '',
    // Releases before this field: what is observed has been evaluated.
    evaluated: fields['evaluated'] ?? fields['observed'] ?? '',
    backlog: JSON.parse(fields['backlog'] ?? '{}') as Record<string, number>,
    connected: Number(fields['connected'] ?? 0),
    unhealthy: Number(fields['unhealthy'] ?? 0),
    startedAtMs: Number(fields['startedAt'] ?? 0),
    trailing: JSON.parse(fields['trailing'] ?? '{}') as LeaseInfo['trailing'],
  };
}

/** Renews or takes a gateway's lease. `held` is false when the former one had ended: all sessions must be claimed again. */
export async function renewLease(
  client: RedisClient,
  keys: Keys,
  lease: { id: string; leaseMs: number; info: LeaseInfo },
): Promise<{ held: boolean; nowMs: number; incarnation: string; told: GatewayOrders }> {
  const [held, nowMs, incarnation, drain, shed] = (await runScript(
    client,
    SCRIPTS.lease,
    [keys.gateways, keys.gateway(lease.id), keys.meta],
    [lease.id, lease.leaseMs, ...Object.entries(formatLease(lease.info)).flat()],
  )) as [string, string, string, string, string];
  return { held: held === '1', nowMs: Number(nowMs), incarnation, told: parseOrders(drain, shed) };
}

/** What a gateway was told to do with its connections. It stands in its lease's hash until the gateway ends. */
export interface GatewayOrders {
  /** Take nobody new and send everybody away over this many milliseconds; null = serve. */
  drainMs: number | null;
  /** Send `count` agents away once, over `windowMs`. Carried out once for each id. */
  shed: { id: string; count: number; windowMs: number } | null;
}

/** Reads the fields `drain` and `shed` of a gateway's hash; a missing one is ''. */
export function parseOrders(drain: string, shed: string): GatewayOrders {
  const [id = '', count = '0', windowMs = '0'] = shed.split(' ');
  return {
    drainMs: drain === '' ? null : Number(drain),
    shed: id === '' ? null : { id, count: Number(count), windowMs: Number(windowMs) },
  };
}

/** Writes one of the {@link GatewayOrders} (`null` takes a drain back). False when the gateway has no running lease. */
export async function tellGateway(
  client: RedisClient,
  keys: Keys,
  id: string,
  order: { drainMs: number | null } | { shed: { id: string; count: number; windowMs: number } },
): Promise<boolean> {
  const [field, value] =
    'drainMs' in order
      ? ['drain', order.drainMs === null ? '' : String(order.drainMs)]
      : ['shed', `${order.shed.id} ${order.shed.count} ${order.shed.windowMs}`];
  return (await runScript(client, SCRIPTS.tellGateway, [keys.gateways, keys.gateway(id)], [id, field, value])) === 1;
}

/** Removes a gateway; with `onlyExpired` only when its lease has ended. Returns whether it was removed. */
export async function endLease(client: RedisClient, keys: Keys, id: string, onlyExpired: boolean): Promise<boolean> {
  return (await runScript(client, SCRIPTS.endLease, [keys.gateways, keys.gateway(id)], [id, onlyExpired ? '1' : '0'])) === 1;
}

/** Takes at most `limit` due rollouts and pushes each `pushMs` ahead. */
export async function takeDueRollouts(
  client: RedisClient,
  keys: Keys,
  pushMs: number,
  limit: number,
): Promise<{ nowMs: number; ids: string[] }> {
  const [nowMs, ...ids] = (await runScript(client, SCRIPTS.takeDue, [keys.rolloutsDue], [pushMs, limit])) as string[];
  return { nowMs: Number(nowMs), ids };
}

/**
 * Notes that a coordinator reaches the store. When none did for `gapMs`, an outage is taken to have ended now, and rows may be
 * judged from `graceMs` later on; every coordinator gets the same answer.
 */
export async function beat(
  client: RedisClient,
  keys: Keys,
  options: { gapMs: number; graceMs: number },
): Promise<{ nowMs: number; judgeFromMs: number }> {
  const [nowMs, judgeFromMs] = (await runScript(client, SCRIPTS.beat, [keys.meta], [options.gapMs, options.graceMs])) as [string, string];
  return { nowMs: Number(nowMs), judgeFromMs: Number(judgeFromMs) };
}

/** What one minute of the history says. */
export interface HistoryCounts {
  /** Connected agents, pollers too. */
  connected: number;
  /** Of these: agents that report themselves unhealthy. */
  unhealthy: number;
  /** Sessions by gateway. */
  gateways: Record<string, number>;
}

/** A minute as it is kept; `minute` counts from 1970 by the clock of Redis. */
export interface HistoryMinute extends HistoryCounts {
  minute: number;
}

/** Notes the present minute, unless another coordinator has done so; answers which minute it is. */
export async function recordMinute(client: RedisClient, keys: Keys, counts: HistoryCounts): Promise<{ written: boolean; minute: number }> {
  const [written, minute] = (await runScript(client, SCRIPTS.recordMinute, [keys.history], [HISTORY_MINUTES, JSON.stringify(counts)])) as [
    string,
    string,
  ];
  return { written: written === '1', minute: Number(minute) };
}

/** Reads a field of `{opamp}:history`; undefined for one that is not what {@link recordMinute} writes. */
export function parseHistoryMinute(text: string): HistoryMinute | undefined {
  const { minute, connected, unhealthy, gateways } = JSON.parse(text) as Partial<HistoryMinute>;
  if (minute === undefined || connected === undefined || unhealthy === undefined) return undefined;
  return { minute, connected, unhealthy, gateways: gateways ?? {} };
}
