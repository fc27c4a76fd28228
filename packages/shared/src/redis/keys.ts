/** The only place that spells a Redis key, channel or queue name. `docs/redis.md` describes each. */

/** Hash tags of the shards; their cluster slots are evenly spaced, so any number of masters gets an even share. */
export const SHARD_TAGS = [
  '06b8',
  '1678',
  '2fe6',
  '3f06',
  '40d0',
  '52fb',
  '6101',
  '732c',
  '83f0',
  '91db',
  'ae5f',
  'bda5',
  'c82e',
  'd07a',
  'e073',
  'f342',
] as const;

/** Number of shards the agents are spread over. Stored in `{opamp}:meta`; changing it needs a migration. */
export const SHARD_COUNT = SHARD_TAGS.length;

/** Version of the layout described in `docs/redis.md`. A release refuses to start on a newer one. */
export const SCHEMA_VERSION = 1;

/** Minutes of history that are kept: one day. */
export const HISTORY_MINUTES = 1_440;

/** Group name under which agents are listed that no selector matches. */
export const NO_GROUP = '-';

/** Owner of agents that poll over plain HTTP: no gateway holds a connection to them. */
export const HTTP_OWNER = 'http';

/** Keys of one shard. `prefix` is handed to the Lua scripts, which append the same suffixes. */
export interface ShardKeys {
  /** `opamp:{ss}:` */
  prefix: string;
  agent(uid: string): string;
  agents: string;
  edited: string;
  polls: string;
  facets: string;
  /** zset with score 0: every known uid in byte order, the cursor of listings. */
  uids: string;
  /** Set of the group names that have (or had) a members hash in this shard. */
  memberGroups: string;
  members(group: string): string;
  rollout(id: string): string;
  rolloutOpen(id: string): string;
  rolloutFailures(id: string): string;
  /** hash: uid -> the groups of failures that the agent is counted in. */
  rolloutFailing(id: string): string;
  /** hash: counts and examples of failures by message, version and stratum. */
  rolloutFailureGroups(id: string): string;
  effective(uid: string): string;
  /** Where a re-identified agent's former uid leads. */
  alias(uid: string): string;
}

export type Keys = ReturnType<typeof createKeys>;

/** A key in the slot of `key` that is never written, see `runScript`. */
export function absentKeyBeside(key: string): string {
  const end = key.indexOf('}');
  return `${key.slice(0, end + 1)}:absent`;
}

/** All keys under one prefix (`OPAMP_KEY_PREFIX`, which holds no braces). */
export function createKeys(prefix = 'opamp') {
  const tag = `{${prefix}}`;
  const shards: ShardKeys[] = SHARD_TAGS.map((shardTag) => {
    const base = `${prefix}:{${shardTag}}:`;
    return {
      prefix: base,
      agent: (uid) => `${base}agent:${uid}`,
      agents: `${base}agents`,
      edited: `${base}edited`,
      polls: `${base}polls`,
      facets: `${base}facets`,
      uids: `${base}uids`,
      memberGroups: `${base}member-groups`,
      members: (group) => `${base}members:${group}`,
      rollout: (id) => `${base}rollout:${id}`,
      rolloutOpen: (id) => `${base}rollout:${id}:open`,
      rolloutFailures: (id) => `${base}rollout:${id}:failures`,
      rolloutFailing: (id) => `${base}rollout:${id}:failing`,
      rolloutFailureGroups: (id) => `${base}rollout:${id}:failure-groups`,
      effective: (uid) => `${base}effective:${uid}`,
      alias: (uid) => `${base}alias:${uid}`,
    };
  });
  return {
    prefix,
    /** Prefix of everything in the coordinator's slot, handed to Lua: `{opamp}:` */
    tagPrefix: `${tag}:`,
    meta: `${tag}:meta`,
    spec: `${tag}:spec`,
    configs: `${tag}:configs`,
    configVersions: (name: string): string => `${tag}:config:${name}:versions`,
    rollout: (id: string): string => `${tag}:rollout:${id}`,
    rolloutEvents: (id: string): string => `${tag}:rollout:${id}:events`,
    /** zset: every rollout id by creation time. */
    rollouts: `${tag}:rollouts`,
    rolloutsDue: `${tag}:rollouts:due`,
    /** hash: group name -> id of its active rollout. */
    rolloutsActive: `${tag}:rollouts:active`,
    idempotency: (key: string): string => `${tag}:idempotency:${key}`,
    gateways: `${tag}:gateways`,
    gateway: (id: string): string => `${tag}:gateway:${id}`,
    /** hash: id -> credential of agents. */
    tokens: `${tag}:tokens`,
    /** zset with score 0: every credential's id in byte order, the cursor of listings. */
    tokenIds: `${tag}:tokens:ids`,
    /** zset: id -> revision of its last change, by which gateways notice. */
    tokenChanges: `${tag}:tokens:changes`,
    /** hash: id -> Unix ms at which it was last presented. */
    tokensUsed: `${tag}:tokens:used`,
    /** hash: id of an enrolment token -> how often it was exchanged. */
    tokenUses: `${tag}:tokens:uses`,
    audit: `${tag}:audit`,
    /** Number and hash of the last audit entry. */
    auditHead: `${tag}:audit:head`,
    events: `${tag}:events`,
    /** hash: minute modulo {@link HISTORY_MINUTES} -> counts of that minute. */
    history: `${tag}:history`,
    /** Stream: messages that nobody has been picked for yet. */
    outbox: `${tag}:outbox`,
    /** zset: every alert that is remembered, by its time. */
    alerts: `${tag}:alerts`,
    alert: (id: string): string => `${tag}:alert:${id}`,
    /** zset: alerts that wait for one target, by the time of their next attempt. */
    alertsDue: (target: string): string => `${tag}:alerts:due:${target}`,
    /** zset: `<id> <target>` of deliveries that were given up, by when. */
    alertsDead: `${tag}:alerts:dead`,
    /** Set of the targets that anything was ever to be delivered to. */
    alertsTargets: `${tag}:alerts:targets`,
    alertsLease: `${tag}:alerts:lease`,
    /** hash: what is watched -> its state, when that is not the usual one. */
    alertsStates: `${tag}:alerts:states`,
    /** Component lists by hash, one per build of a collector. */
    components: (hash: string): string => `${tag}:components:${hash}`,
    blob: (hash: string): string => `${prefix}:blob:${hash}`,
    channelSpec: `${prefix}:spec`,
    channelTokens: `${prefix}:tokens`,
    channelGateway: (id: string): string => `${prefix}:gateway:${id}`,
    /** Where gateways answer the commands of one coordinator. */
    channelCoordinator: (id: string): string => `${prefix}:coordinator:${id}`,
    /** Custom messages that agents sent for one of the announced capabilities; nothing is kept of them. */
    channelCustomMessages: `${prefix}:custom-messages`,
    queuePrefix: tag,
    queueRollouts: `${prefix}-rollouts`,
    queueWakes: `${prefix}-wakes`,
    shards,
  } as const;
}
