import { createHash } from 'node:crypto';
import { BUCKET_SPACE, hash48 } from './bucket.ts';
import { attributeOf, matches, parseSelector } from './selector.ts';
import type { Selector, SelectorAttributes } from './selector.ts';

/** Names one immutable version of a config; `hash` is the hex config hash that travels as `config_hash`. */
export interface ConfigRef {
  name: string;
  version: number;
  hash: string;
  /** Builds of collectors (hash of their component list) that lack a component of this config: it is not offered to them. */
  lacks?: readonly string[];
}

/** What the configs of a group may do beyond the usual; a field left out is the usual. */
export interface GroupPolicy {
  /** `${file:…}`, `${http:…}`, `${https:…}` and `${yaml:…}`: true = without a warning, false = refused. */
  readonly allowProviders?: boolean;
  /** Configs without pipelines. */
  readonly allowNoPipelines?: boolean;
  /** Configs that are only a part of what the agents merge, because they have files of their own. */
  readonly allowFragments?: boolean;
}

/** Names of the switches of a {@link GroupPolicy}. */
export const GROUP_POLICY_FIELDS = ['allowProviders', 'allowNoPipelines', 'allowFragments'] as const;

/** A group of agents and the version it is proven on. */
export interface GroupSpec {
  name: string;
  /** Selector text, see `selector.ts`. */
  selector: string;
  priority: number;
  /** `observe` groups are counted and shown, but offered nothing. */
  mode: 'manage' | 'observe';
  /** Last proven version; null before the first successful rollout. */
  stable: ConfigRef | null;
  /** The version before `stable`: what an agent gets that has FAILED `stable`. */
  previous: ConfigRef | null;
  /** Absent when every switch is as usual. */
  policy?: GroupPolicy;
  /** Set by the coordinator when offers outside rollouts fail: such offers stop for this group. */
  trailingHeld: boolean;
  /** Raised each time such offers may go on again: what failed before that does not count any more. Absent = 0. */
  trailingRound?: number;
}

/** One part of a cohort: the agents that match `selector` and whose bucket hash lies below `boundary`. */
export interface Slice {
  selector: string;
  /** 0 … 2^48; `h(bucket, salt) < boundary` is inside. */
  boundary: number;
}

/** What a gateway must know of an active rollout. */
export interface RolloutSpec {
  id: string;
  group: string;
  to: ConfigRef;
  from: ConfigRef | null;
  direction: 'forward' | 'back';
  held: boolean;
  /** Wave label under which newly touched agents are booked: the wave's index as text, or `late`. */
  wave: string;
  attempt: number;
  salt: string;
  /** Origins of the canaries. */
  canary: string[];
  slices: Slice[];
  /** Attribute whose value replaces the origin in the bucket hash. */
  bucketBy: string | null;
  ackTimeoutMs: number;
  healthHoldMs: number;
  /** Who was away at this time (Redis ms) and has been offered nothing is passed over; absent = nobody is. */
  passOverAwayAtMs?: number;
  /** Offers per second, fleet-wide, to agents that come inside the boundary without a boundary move; null = unlimited. */
  joinRate: number | null;
  /** It takes a rollout back that had succeeded: its offers go out although the fleet is frozen. Absent = false. */
  revert?: boolean;
  /** `traceparent` of the request that started it; only while traces are made. */
  trace?: string;
}

/** The desired state of the whole fleet: what every gateway holds a copy of. */
export interface FleetSpec {
  generation: number;
  /** Hash of all fields: two stores with the same generation can differ after a failover. */
  contentHash: string;
  frozen: boolean;
  /** By falling priority, then name in byte order: the first match is an agent's group. */
  groups: readonly GroupSpec[];
  /** Active rollout by group name. */
  rollouts: ReadonlyMap<string, RolloutSpec>;
}

/** Field names of the hash `{opamp}:spec`. */
export const specField = {
  generation: 'generation',
  frozen: 'frozen',
  group: (name: string): string => `group:${name}`,
  stable: (name: string): string => `stable:${name}`,
  rollout: (id: string): string => `rollout:${id}`,
} as const;

type StoredGroup = Pick<GroupSpec, 'selector' | 'priority' | 'mode' | 'policy'>;
type StoredStable = Pick<GroupSpec, 'stable' | 'previous'> & { trailingHeld?: boolean; trailingRound?: number };

/** Text of a `group:<name>` field. */
export function formatGroupField(group: StoredGroup): string {
  const { selector, priority, mode, policy } = group;
  const set = policy !== undefined && Object.keys(policy).length > 0;
  return JSON.stringify({ selector, priority, mode, ...(set ? { policy } : {}) });
}

/** Text of a `stable:<name>` field. */
export function formatStableField(group: StoredStable): string {
  return JSON.stringify({
    stable: group.stable,
    previous: group.previous,
    ...(group.trailingHeld === true ? { trailingHeld: true } : {}),
    ...((group.trailingRound ?? 0) > 0 ? { trailingRound: group.trailingRound } : {}),
  });
}

/** Text of a `rollout:<id>` field. */
export function formatRolloutField(rollout: RolloutSpec): string {
  return JSON.stringify(rollout);
}

const selectorCache = new Map<string, Selector>();
const SELECTOR_CACHE_LIMIT = 10_000;

function selectorOf(text: string): Selector {
  let selector = selectorCache.get(text);
  if (selector === undefined) {
    selector = parseSelector(text);
    if (selectorCache.size >= SELECTOR_CACHE_LIMIT) selectorCache.clear();
    selectorCache.set(text, selector);
  }
  return selector;
}

/** Builds the spec from HGETALL of `{opamp}:spec`. Throws on a field that is not what this release writes. */
export function parseSpec(fields: Readonly<Record<string, string>>): FleetSpec {
  const groups: GroupSpec[] = [];
  const rollouts = new Map<string, RolloutSpec>();
  const digest = createHash('sha256');
  for (const field of Object.keys(fields).toSorted()) {
    const text = fields[field] ?? '';
    digest.update(`${field.length}:${field}${text.length}:${text}`);
    if (field.startsWith('group:')) {
      const name = field.slice('group:'.length);
      const stored = JSON.parse(text) as StoredGroup;
      // A selector that this release cannot read fails here, where the former spec is kept, and not at each agent.
      selectorOf(stored.selector);
      const stable = JSON.parse(fields[specField.stable(name)] ?? '{}') as Partial<StoredStable>;
      groups.push({
        name,
        selector: stored.selector,
        priority: stored.priority,
        mode: stored.mode,
        ...(stored.policy === undefined ? {} : { policy: stored.policy }),
        stable: stable.stable ?? null,
        previous: stable.previous ?? null,
        trailingHeld: stable.trailingHeld === true,
        ...(stable.trailingRound === undefined ? {} : { trailingRound: stable.trailingRound }),
      });
    } else if (field.startsWith('rollout:')) {
      const rollout = JSON.parse(text) as RolloutSpec;
      for (const slice of rollout.slices) if (slice.selector !== '') selectorOf(slice.selector);
      rollouts.set(rollout.group, rollout);
    }
  }
  groups.sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return {
    generation: Number(fields[specField.generation] ?? 0),
    contentHash: digest.digest('hex').slice(0, 16),
    frozen: fields[specField.frozen] === '1',
    groups,
    rollouts,
  };
}

/** The spec of a store that nobody has written to. */
export const EMPTY_SPEC: FleetSpec = parseSpec({});

/** Why a config hash is not offered again: the rollout (or pin) and attempt that got FAILED for it. */
export interface FailedHash {
  /** Rollout id, or `pin:<id>`; empty when nothing of ours offered it. */
  by: string;
  attempt: number;
}

/** One agent's own config, set by an operator. */
export interface Pin {
  /** New with every PUT, so that pinning again frees a FAILED hash. */
  id: string;
  config: ConfigRef;
}

/** What {@link desired} reads of an agent. */
export interface DesiredInput {
  /** UUID text under which the record was created; a re-identified agent keeps it. */
  origin: string;
  /** Flat attributes, identifying ones winning, with server-side labels under `label.<name>`. */
  attributes: SelectorAttributes;
  /** The only groups it can be in, as its credential says; absent or null = every group. */
  scope?: readonly string[] | null;
  pin: Pin | null;
  failed: ReadonlyMap<string, FailedHash>;
  /** Hash of its component list [OpAMP available_components.hash]; left out or empty when it has told none. */
  componentsHash?: string;
  /** When it last went away, and when it came back, Redis ms; left out for agents that have always been there. */
  absence?: { fromMs: number; toMs: number };
  /** True when the agent has a row in `rollout` that says it was offered `to` (any status but skipped and left). */
  wasOffered(rolloutId: string): boolean;
}

/** Outcome of {@link desired}. */
export interface Desired {
  /** The agent's effective group, null when no selector matches. */
  group: GroupSpec | null;
  /** The config it should run, null = offer nothing. */
  config: ConfigRef | null;
  source: 'pin' | 'rollout' | 'stable' | 'previous' | 'none';
  /** The group's active rollout. */
  rollout: RolloutSpec | null;
  /** True when the agent's desired config would be `to` had it not FAILED it. */
  inCohort: boolean;
  /** True when the rollout's `to` needs a component that the agent's build lacks: the rollout passes it by. */
  lacking: boolean;
}

/** The group of an agent: of those in its scope, the highest priority that matches, ties by name in byte order. */
function groupOf(spec: FleetSpec, { attributes, scope }: Pick<DesiredInput, 'attributes' | 'scope'>): GroupSpec | null {
  for (const group of spec.groups) {
    if (scope !== undefined && scope !== null && !scope.includes(group.name)) continue;
    if (matches(selectorOf(group.selector), attributes)) return group;
  }
  return null;
}

/** The text that is hashed with the salt: the `bucketBy` attribute if the agent has it, else its origin. */
export function bucketOf(rollout: Pick<RolloutSpec, 'bucketBy'>, agent: Pick<DesiredInput, 'origin' | 'attributes'>): string {
  if (rollout.bucketBy === null) return agent.origin;
  return attributeOf(agent.attributes, rollout.bucketBy) ?? agent.origin;
}

const canarySets = new WeakMap<RolloutSpec, ReadonlySet<string>>();

function canarySet(rollout: RolloutSpec): ReadonlySet<string> {
  let set = canarySets.get(rollout);
  if (set === undefined) {
    set = new Set(rollout.canary);
    canarySets.set(rollout, set);
  }
  return set;
}

/** True when a last absence covers this time. An agent in its first connection has none. */
export function isAwayAt(absence: DesiredInput['absence'], atMs: number): boolean {
  return absence !== undefined && absence.fromMs > 0 && absence.fromMs < atMs && absence.toMs > atMs;
}

/** True when `agent` is among those whose desired config is the rollout's `to` now. */
export function isInCohort(rollout: RolloutSpec, agent: DesiredInput): boolean {
  if (rollout.direction === 'back') return false;
  if (rollout.held) return agent.wasOffered(rollout.id);
  if (rollout.passOverAwayAtMs !== undefined && isAwayAt(agent.absence, rollout.passOverAwayAtMs) && !agent.wasOffered(rollout.id))
    return false;
  if (canarySet(rollout).has(agent.origin)) return true;
  if (rollout.slices.length === 0) return false;
  // The last wave, where no place has to be computed.
  if (rollout.slices.some(({ boundary, selector }) => boundary >= BUCKET_SPACE && selector === '')) return true;
  const hash = hash48(rollout.salt, bucketOf(rollout, agent));
  return rollout.slices.some(
    (slice) => hash < slice.boundary && (slice.selector === '' || matches(selectorOf(slice.selector), agent.attributes)),
  );
}

/** True when the agent's build is known to lack a component of this config. */
function lacks(config: ConfigRef, agent: DesiredInput): boolean {
  return config.lacks !== undefined && agent.componentsHash !== undefined && config.lacks.includes(agent.componentsHash);
}

/**
 * Decides what an agent should run: the first, that it has not FAILED and whose components its build has, of its pin, the `to` of its group's rollout if it
 * is in the cohort, the group's stable version (for agents that a first rollout touched: its baseline), the version before.
 * Pure.
 */
export function desired(spec: FleetSpec, agent: DesiredInput): Desired {
  const group = groupOf(spec, agent);
  const rollout = group === null ? null : (spec.rollouts.get(group.name) ?? null);
  const inCohort = rollout !== null && agent.pin === null && isInCohort(rollout, agent);
  const lacking = rollout !== null && agent.pin === null && lacks(rollout.to, agent) && !agent.wasOffered(rollout.id);
  const outcome = (config: ConfigRef | null, source: Desired['source']): Desired => ({ group, config, source, rollout, inCohort, lacking });

  if (agent.pin !== null) {
    const failed = agent.failed.get(agent.pin.config.hash);
    if (failed === undefined || failed.by !== `pin:${agent.pin.id}`) return outcome(agent.pin.config, 'pin');
  }
  if (inCohort && !lacking) {
    const failed = agent.failed.get(rollout.to.hash);
    if (failed === undefined || failed.by !== rollout.id || failed.attempt < rollout.attempt) return outcome(rollout.to, 'rollout');
  }
  // A group's first rollout may name what its agents ran before; only those it touched are brought back to that.
  const baseline = group?.stable === null && rollout !== null && agent.pin === null ? rollout.from : null;
  if (baseline !== null && rollout !== null && !agent.failed.has(baseline.hash) && agent.wasOffered(rollout.id)) {
    return outcome(baseline, 'previous');
  }
  if (group?.stable && !agent.failed.has(group.stable.hash) && !lacks(group.stable, agent)) return outcome(group.stable, 'stable');
  if (group?.previous && !agent.failed.has(group.previous.hash) && !lacks(group.previous, agent))
    return outcome(group.previous, 'previous');
  return outcome(null, 'none');
}
