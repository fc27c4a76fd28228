/** The words and colours of statuses, phases, holds and capabilities: one place, so that every page says the same. */

/** A colour of the style sheet. */
export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'idle' | 'back';

/** Statuses of agents in a rollout, in the order in which a bar shows them. */
export const ROW_STATUSES = [
  ['applied', 'applied', 'Runs the new version and is healthy'],
  ['restored', 'restored', 'Back on the version before'],
  ['verifying', 'verifying', 'Applied it; its health is being watched'],
  ['applying', 'applying', 'Says that it is applying it'],
  ['offered', 'offered', 'Was sent the config and has not answered yet'],
  ['restoring', 'restoring', 'Is being taken back'],
  ['observed', 'observed', 'Cannot report; its effective config holds the new version and it is healthy'],
  ['unverified', 'unverified', 'Was sent the config and cannot report'],
  ['failed', 'failed', 'Refused the config'],
  ['degraded', 'degraded', 'Applied it and became unhealthy'],
  ['timedOut', 'timed out', 'Did not answer in time'],
  ['lost', 'lost', 'Went away after the offer'],
  ['restoreFailed', 'restore failed', 'Could not be taken back'],
  ['skipped', 'skipped', 'Takes no remote config, or its build lacks a component'],
  ['left', 'left', 'Left the group on the way'],
] as const;

/** Statuses that say that something went wrong with an agent. */
export const FAILING = ['failed', 'degraded', 'timedOut', 'lost'] as const;

const STATUS_WORDS: ReadonlyMap<string, string> = new Map(ROW_STATUSES.map(([status, word]) => [status, word]));

/** Name of a status as people read it. */
export function statusWord(status: string): string {
  return STATUS_WORDS.get(status) ?? status;
}

interface Word {
  readonly text: string;
  readonly tone: Tone;
}

const PHASES: Readonly<Record<string, Word>> = {
  running: { text: 'Running', tone: 'busy' },
  rolling_back: { text: 'Rolling back', tone: 'back' },
  succeeded: { text: 'Succeeded', tone: 'good' },
  cancelled: { text: 'Cancelled', tone: 'idle' },
  rolled_back: { text: 'Rolled back', tone: 'back' },
  rollback_failed: { text: 'Rollback failed', tone: 'bad' },
};

const WAVE_PHASES: Readonly<Record<string, Word>> = {
  pending: { text: 'Waiting', tone: 'idle' },
  assigning: { text: 'Offering', tone: 'busy' },
  converging: { text: 'Converging', tone: 'busy' },
  soaking: { text: 'Soaking', tone: 'busy' },
  gating: { text: 'Checking gates', tone: 'busy' },
  passed: { text: 'Passed', tone: 'good' },
  failed: { text: 'Failed', tone: 'bad' },
};

const HEALTH: Readonly<Record<string, Word>> = {
  healthy: { text: 'Healthy', tone: 'good' },
  unhealthy: { text: 'Unhealthy', tone: 'bad' },
  unknown: { text: 'Health unknown', tone: 'idle' },
};

const CONFIG_STATUSES: Readonly<Record<string, Word>> = {
  unset: { text: 'Never reported', tone: 'idle' },
  applying: { text: 'Applying', tone: 'busy' },
  applied: { text: 'Applied', tone: 'good' },
  failed: { text: 'Failed', tone: 'bad' },
};

/** What connected agents run against what is desired, as the gateways count it. */
const SYNC: Readonly<Record<string, Word>> = {
  synced: { text: 'Runs what it should', tone: 'good' },
  drifted: { text: 'Runs something else', tone: 'warn' },
  failed: { text: 'Refused it', tone: 'bad' },
  unverified: { text: 'Cannot say', tone: 'idle' },
  unsupported: { text: 'Takes no config', tone: 'idle' },
  none: { text: 'Nothing is desired', tone: 'idle' },
};

const DRIFT: Readonly<Record<string, Word>> = {
  none: { text: 'Runs what it should', tone: 'good' },
  drifted: { text: 'Drifted', tone: 'warn' },
  pending: { text: 'Not applied yet', tone: 'busy' },
  unknown: { text: 'Cannot be told', tone: 'idle' },
};

const GATES: Readonly<Record<string, Word>> = {
  pending: { text: 'Not asked yet', tone: 'idle' },
  wait: { text: 'Waits', tone: 'busy' },
  pass: { text: 'Passed', tone: 'good' },
  fail: { text: 'Failed', tone: 'bad' },
  notApplicable: { text: 'Does not apply', tone: 'idle' },
  inconclusive: { text: 'Cannot tell', tone: 'warn' },
  error: { text: 'Could not be asked', tone: 'bad' },
};

const HOLDS: Readonly<Record<string, string>> = {
  manual: 'Paused by a person',
  not_started: 'Its start time has not come',
  predecessor: 'Waits for the rollout before it',
  threshold: 'Too many agents failed',
  gate_inconclusive: 'A gate cannot tell',
  gate_error: 'A gate could not be asked',
  approval: 'Waits for approval',
  no_agents: 'No agent to go on with',
  window_closed: 'Outside its maintenance window',
  deadline: 'Takes longer than allowed',
  fleet_breaker: 'The fleet breaker is open',
  lagging_gateway: 'A gateway lags behind',
};

/** Shown when the API warns. */
export const WARNINGS: Readonly<Record<string, string>> = {
  no_way_back: 'There is no earlier version to go back to: a rollback would leave the agents as they are.',
  no_agents: 'No agent of the group is connected now.',
};

const CAPABILITIES: Readonly<Record<string, string>> = {
  ReportsStatus: 'reports its status',
  AcceptsRemoteConfig: 'takes configs from here',
  ReportsEffectiveConfig: 'shows the config it runs',
  AcceptsPackages: 'takes packages',
  ReportsPackageStatuses: 'reports on its packages',
  ReportsOwnTraces: 'sends its own traces',
  ReportsOwnMetrics: 'sends its own metrics',
  ReportsOwnLogs: 'sends its own logs',
  AcceptsOpAMPConnectionSettings: 'takes settings for this connection',
  AcceptsOtherConnectionSettings: 'takes settings for other connections',
  AcceptsRestartCommand: 'restarts when asked',
  ReportsHealth: 'reports its health',
  ReportsRemoteConfig: 'says how an offered config went',
  ReportsHeartbeat: 'sends heartbeats',
  ReportsAvailableComponents: 'lists the components of its build',
  ReportsConnectionSettingsStatus: 'says how connection settings went',
};

/** What an agent can do, as a verb. */
export function capabilityWord(name: string): string {
  return CAPABILITIES[name] ?? name;
}

/** Why a rollout is held, in words. */
export function holdWord(reason: string): string {
  return HOLDS[reason] ?? reason;
}

const TABLES = {
  phase: PHASES,
  wave: WAVE_PHASES,
  health: HEALTH,
  config: CONFIG_STATUSES,
  drift: DRIFT,
  gate: GATES,
  sync: SYNC,
} as const;

/** Word and colour of a value of one kind; an unknown value speaks for itself. */
export function wordOf(kind: keyof typeof TABLES, value: string): Word {
  return TABLES[kind][value] ?? { text: value, tone: 'idle' };
}

const EVENT_WORDS: Readonly<Record<string, string>> = {
  'rollout.created': 'Created',
  'rollout.started': 'Started',
  'rollout.succeeded': 'Succeeded',
  'rollout.cancelled': 'Cancelled',
  'rollout.rolled_back': 'Rolled back',
};

/** Name of an event as people read it: `wave.passed` is "wave passed". */
export function eventWord(type: string): string {
  return EVENT_WORDS[type] ?? type.replaceAll(/[._]/g, ' ');
}

const AUDIT_WORDS: Readonly<Record<string, string>> = {
  'agent.custom-message': 'sent a message',
  'agent.delete': 'forgot',
  'agent.labels': 'labelled',
  'agent.pin': 'pinned',
  'agent.restart': 'restarted',
  'agent.unpin': 'unpinned',
  'config.force': 'stored with errors',
  'config.put': 'stored',
  'fleet.freeze': 'froze',
  'fleet.unfreeze': 'unfroze',
  'group.delete': 'deleted',
  'group.put': 'changed',
  'group.trailing_held': 'stopped late offers',
  'rollout.create': 'started',
  'rollout.pause': 'paused',
  'rollout.resume': 'resumed',
  'rollout.promote': 'promoted',
  'rollout.abort': 'aborted',
  'rollout.rollback': 'rolled back',
  'rollout.retry': 'retried',
  'rollout.cancel': 'cancelled',
  'rollout.tune': 'tuned',
  'token.create': 'made',
  'token.change': 'changed',
  'token.revoke': 'revoked',
};

/** What an audit entry says that somebody did. */
export function auditWord(action: string): string {
  return AUDIT_WORDS[action] ?? action.replaceAll(/[._-]/g, ' ');
}

/** `1,234`. */
export function numberText(value: number): string {
  return value.toLocaleString('en');
}

/** `1 agent`, `1,234 agents`. */
export function agentsText(count: number): string {
  return `${numberText(count)} ${count === 1 ? 'agent' : 'agents'}`;
}

/** `name v3`. */
export function configText(config: { readonly name: string; readonly version: number } | null): string {
  return config === null ? 'nothing' : `${config.name} v${config.version}`;
}

/** The name by which people know an agent: its host or instance, else the start of its uid. */
export function agentName({ uid, attributes }: { readonly uid: string; readonly attributes: Readonly<Record<string, string>> }): string {
  return attributes['host.name'] ?? attributes['k8s.pod.name'] ?? attributes['service.instance.id'] ?? uid.slice(0, 13);
}

/** Sum of the counts of these statuses, of all when none is named. */
export function sumOf(counts: Readonly<Record<string, number>>, statuses: readonly string[] = Object.keys(counts)): number {
  return statuses.reduce((sum, status) => sum + (counts[status] ?? 0), 0);
}
