/**
 * How simulated agents behave. A profile is plain data, so that it can be sent to a swarm in another process. All times
 * are those of a real supervisor, in milliseconds; the swarm multiplies them by its `timeScale`.
 */
import { AgentCapabilities } from '@opamp-gateway/proto/opamp';
import { unitHash } from './random.ts';
import type { SimConfig } from './sim-config.ts';

const {
  AgentCapabilities_ReportsStatus: REPORTS_STATUS,
  AgentCapabilities_AcceptsRemoteConfig: ACCEPTS_REMOTE_CONFIG,
  AgentCapabilities_ReportsEffectiveConfig: REPORTS_EFFECTIVE_CONFIG,
  AgentCapabilities_ReportsOwnMetrics: REPORTS_OWN_METRICS,
  AgentCapabilities_AcceptsRestartCommand: ACCEPTS_RESTART_COMMAND,
  AgentCapabilities_ReportsHealth: REPORTS_HEALTH,
  AgentCapabilities_ReportsRemoteConfig: REPORTS_REMOTE_CONFIG,
  AgentCapabilities_ReportsHeartbeat: REPORTS_HEARTBEAT,
  AgentCapabilities_ReportsAvailableComponents: REPORTS_AVAILABLE_COMPONENTS,
} = AgentCapabilities;

/** Supervisor without any option: 0x2845, takes no remote config. */
export const DEFAULT_SUPERVISOR_CAPABILITIES =
  REPORTS_STATUS | REPORTS_EFFECTIVE_CONFIG | REPORTS_OWN_METRICS | REPORTS_HEALTH | REPORTS_HEARTBEAT;

/** Supervisor with remote config, restart command and component lists on: 0x7c47. */
export const FULL_SUPERVISOR_CAPABILITIES =
  DEFAULT_SUPERVISOR_CAPABILITIES | ACCEPTS_REMOTE_CONFIG | REPORTS_REMOTE_CONFIG | ACCEPTS_RESTART_COMMAND | REPORTS_AVAILABLE_COMPONENTS;

/** Collector with the opamp extension and no supervisor: 0x4805. */
export const EXTENSION_CAPABILITIES = REPORTS_STATUS | REPORTS_EFFECTIVE_CONFIG | REPORTS_HEALTH | REPORTS_AVAILABLE_COMPONENTS;

/** Smallest and largest value in milliseconds; each agent and config draws its own, fixed by the seed. */
export interface DurationRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Which configs a rule is about; every given condition has to hold. An empty match fits every config. */
export interface ConfigMatch {
  readonly contains?: string;
  readonly notContains?: string;
  /** Hex of the server's config hash. */
  readonly hash?: string;
}

/**
 * What goes wrong. `crash`: the collector exits 1 while applying, again and again. `merge-error` and `validation`: FAILED
 * and the old config runs on. `soft-timeout`: FAILED "Config apply timeout exceeded", healthy later. `unhealthy`:
 * APPLIED, unhealthy after `afterMs`. `self-cut`: applied, then the connection is gone for ever. `never-answers`: takes
 * the config and says nothing about it. `stuck`: reads nothing from its socket any more.
 */
export type FailureKind = 'crash' | 'merge-error' | 'validation' | 'soft-timeout' | 'unhealthy' | 'self-cut' | 'never-answers' | 'stuck';

/** One way to fail on some configs. */
export interface FailureRule {
  readonly kind: FailureKind;
  readonly match: ConfigMatch;
  /** Share of agents it hits, chosen by a seeded hash of the agent's index; 1 = all. */
  readonly probability?: number;
  /** Another salt hits another choice of agents. */
  readonly salt?: string;
  /** Spares the first N agents of the swarm that receive the config: a defect that a canary of N cannot see. */
  readonly afterAgents?: number;
  /** For `unhealthy`: time from APPLIED to the first bad health, and of the recovery; 0 or absent = at once, never. */
  readonly afterMs?: number;
  readonly recoverAfterMs?: number;
  /** Replaces the usual error text. */
  readonly error?: string;
}

/** A complete description of one kind of agent. */
export interface AgentBehaviour {
  readonly capabilities: number;
  /** `supervisor`: APPLYING, restart, timer, verdict. `immediate`: APPLIED or FAILED in the answer to the offer. */
  readonly style: 'supervisor' | 'immediate';
  /** `config_apply_timeout`: earliest time of APPLIED after an offer. */
  readonly applyMs: DurationRange;
  /** From the start of the collector to its first healthy report, or to its crash. */
  readonly collectorStartMs: DurationRange;
  /** The first rule that fits decides. */
  readonly failOn: readonly FailureRule[];
  /** Answer to an offer whose merged text is the one already composed. */
  readonly unchangedOffer: 'applied' | 'applying-forever' | 'silent';
  /** Status in the first message after a restart. */
  readonly restartStatus: 'persisted' | 'applied-from-disk' | 'unset';
  readonly crashNotice: 'at-once' | 'at-timer' | 'reported-applied';
  /** Answer to an empty config map; `failed-at-timer` also to pipelines of `nop` only. */
  readonly emptyConfig: 'stops' | 'failed-at-timer';
  /** `automatic_config_rollback`: after FAILED the last good config runs again and is reported APPLIED. */
  readonly rollsBack: boolean;
  /** What a reconnect of the same process says first. */
  readonly reconnectState: 'delta' | 'full';
  /** Number of a process's first message. */
  readonly firstSequenceNum: 0 | 1;
  /** False: the mask stands in full-state messages only. */
  readonly capabilitiesAlways: boolean;
  /** Drops its connection after this time, again and again; 0 = never. */
  readonly flapMs: number;
  /** Never reads from its socket. WebSocket only. */
  readonly stuck: boolean;
  /** Whether an HTTP agent says goodbye on a clean stop (opamp-go does not). */
  readonly disconnectOverHttp: boolean;
  /** What is forwarded of the collector's effective config: the file with the empty name, or all (`raw`, as it was received, beside it). */
  readonly effectiveFiles: 'empty-name' | 'all';
  /** False: its heartbeat interval is 0, so that a quiet WebSocket stays quiet. */
  readonly heartbeats: boolean;
  /** What an offered heartbeat interval of 0 does to an HTTP agent: `off-air` until its process starts again. */
  readonly zeroIntervalOverHttp: 'ignored' | 'off-air';
  /** Who accepts remote config reports its status too, whatever its options say. */
  readonly acceptingImpliesReporting: boolean;
}

const SUPERVISOR: AgentBehaviour = {
  capabilities: FULL_SUPERVISOR_CAPABILITIES,
  style: 'supervisor',
  applyMs: { minMs: 5_000, maxMs: 5_200 },
  collectorStartMs: { minMs: 800, maxMs: 1_600 },
  failOn: [],
  unchangedOffer: 'applied',
  restartStatus: 'persisted',
  crashNotice: 'at-once',
  emptyConfig: 'stops',
  rollsBack: false,
  reconnectState: 'delta',
  firstSequenceNum: 0,
  capabilitiesAlways: true,
  flapMs: 0,
  stuck: false,
  disconnectOverHttp: false,
  effectiveFiles: 'empty-name',
  heartbeats: true,
  zeroIntervalOverHttp: 'ignored',
  acceptingImpliesReporting: false,
};

const ANY: ConfigMatch = {};

/** Named profiles; the `supervisor-…` and client ones are the older or different agents a server still meets. */
export const PROFILES = {
  normal: {},
  slow: { applyMs: { minMs: 10_000, maxMs: 60_000 } },
  failing: { failOn: [{ kind: 'crash', match: ANY }] },
  'merge-error': { failOn: [{ kind: 'merge-error', match: ANY }] },
  'validation-error': { failOn: [{ kind: 'validation', match: ANY }] },
  'soft-timeout': { failOn: [{ kind: 'soft-timeout', match: ANY }] },
  unhealthy: { failOn: [{ kind: 'unhealthy', match: ANY, afterMs: 10_000 }] },
  'never-answers': { failOn: [{ kind: 'never-answers', match: ANY }] },
  'self-cut': { failOn: [{ kind: 'self-cut', match: ANY }] },
  stuck: { stuck: true },
  flapping: { flapMs: 20_000 },
  /** Takes configs, never says what became of them. */
  'no-report': { capabilities: DEFAULT_SUPERVISOR_CAPABILITIES | ACCEPTS_REMOTE_CONFIG },
  /** Takes no config at all. */
  'read-only': { capabilities: DEFAULT_SUPERVISOR_CAPABILITIES },
  /** A collector with the extension only. */
  extension: { capabilities: EXTENSION_CAPABILITIES },
  'supervisor-rollback': { rollsBack: true },
  'supervisor-0.116': {
    emptyConfig: 'failed-at-timer',
    unchangedOffer: 'applying-forever',
    restartStatus: 'applied-from-disk',
    crashNotice: 'at-timer',
  },
  'supervisor-0.124': { unchangedOffer: 'applying-forever', restartStatus: 'applied-from-disk', crashNotice: 'at-timer' },
  'supervisor-0.127': { unchangedOffer: 'silent', restartStatus: 'applied-from-disk', crashNotice: 'at-timer' },
  'supervisor-0.135': { unchangedOffer: 'silent', crashNotice: 'at-timer' },
  'supervisor-0.139': { crashNotice: 'reported-applied' },
  'supervisor-0.159': { zeroIntervalOverHttp: 'off-air' },
  /** The last one in which accepting and reporting are two options, with the second left off. */
  'supervisor-0.160': { capabilities: DEFAULT_SUPERVISOR_CAPABILITIES | ACCEPTS_REMOTE_CONFIG, effectiveFiles: 'all' },
  /** The same options, which now imply reporting. */
  'supervisor-0.161': {
    capabilities: DEFAULT_SUPERVISOR_CAPABILITIES | ACCEPTS_REMOTE_CONFIG,
    effectiveFiles: 'all',
    acceptingImpliesReporting: true,
  },
  /** Its heartbeat interval was set to 0. */
  'no-heartbeat': { heartbeats: false },
  /** opamp-go before 0.23: everything again on each reconnect. */
  'full-on-reconnect': { reconnectState: 'full' },
  'operator-bridge': { style: 'immediate', restartStatus: 'unset', unchangedOffer: 'silent' },
  'example-agent': { style: 'immediate' },
  'java-client': { style: 'immediate', firstSequenceNum: 1, disconnectOverHttp: true },
  'dotnet-client': { style: 'immediate', firstSequenceNum: 1, capabilitiesAlways: false, disconnectOverHttp: true },
} as const satisfies Record<string, Partial<AgentBehaviour>>;

/** Name of a built-in profile. */
export type ProfileName = keyof typeof PROFILES;

/** A profile by name, with fields replaced. */
export interface ProfileChoice {
  readonly profile: ProfileName;
  readonly overrides?: Partial<AgentBehaviour>;
}

/** A part of the swarm: `fraction` of all agents, picked by seed, or the listed ones, counted from the swarm's first. */
export interface ProfileShare extends ProfileChoice {
  readonly fraction?: number;
  readonly indexes?: readonly number[];
}

/** The full behaviour that a choice stands for. */
export function resolveProfile({ profile, overrides }: ProfileChoice): AgentBehaviour {
  const behaviour: AgentBehaviour = { ...SUPERVISOR, ...PROFILES[profile], ...overrides };
  const implies = behaviour.acceptingImpliesReporting && (behaviour.capabilities & ACCEPTS_REMOTE_CONFIG) !== 0;
  return implies ? { ...behaviour, capabilities: behaviour.capabilities | REPORTS_REMOTE_CONFIG } : behaviour;
}

/**
 * Gives each agent its profile. Fractions are exact counts (rounded), drawn without replacement in an order that the
 * seed fixes; listed indexes win; who is left over is `normal`.
 */
export function assignProfiles(agents: number, seed: number, shares: readonly ProfileShare[]): readonly ProfileChoice[] {
  const normal: ProfileChoice = { profile: 'normal' };
  const choices: (ProfileChoice | undefined)[] = Array.from({ length: agents });
  for (const share of shares) for (const index of share.indexes ?? []) if (index < agents) choices[index] = share;
  const order = Array.from({ length: agents }, (_, index) => index).filter((index) => choices[index] === undefined);
  const rank = new Map(order.map((index) => [index, unitHash(`${seed}:profile:${index}`)]));
  order.sort((left, right) => (rank.get(left) ?? 0) - (rank.get(right) ?? 0));
  let next = 0;
  for (const share of shares) {
    for (let count = Math.round((share.fraction ?? 0) * agents); count > 0 && next < order.length; count -= 1) {
      choices[order[next] ?? 0] = share;
      next += 1;
    }
  }
  return choices.map((choice) => choice ?? normal);
}

function matches(match: ConfigMatch, config: SimConfig): boolean {
  if (match.hash !== undefined && match.hash !== config.hashHex) return false;
  if (match.contains !== undefined && !config.mergedText.includes(match.contains)) return false;
  return match.notContains === undefined || !config.mergedText.includes(match.notContains);
}

/** Whom a rule is asked about: `arrival` counts the agents of the swarm that received the config before this one. */
export interface RuleSubject {
  readonly seed: number;
  readonly index: number;
  readonly arrival: number;
}

/** Whether a seeded rule with this salt and probability picks an agent. */
export function isPicked(seed: number, index: number, salt: string, probability: number): boolean {
  return probability >= 1 || unitHash(`${seed}:rule:${salt}:${index}`) < probability;
}

/** The first rule that this config and agent run into. */
export function findFailure(rules: readonly FailureRule[], config: SimConfig, subject: RuleSubject): FailureRule | undefined {
  return rules.find(
    (rule) =>
      matches(rule.match, config) &&
      subject.arrival >= (rule.afterAgents ?? 0) &&
      isPicked(subject.seed, subject.index, rule.salt ?? '', rule.probability ?? 1),
  );
}
