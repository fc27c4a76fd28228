/** Answers of the REST API, as far as the pages use them. The OpenAPI document is the full description. */

export type Counts = Readonly<Record<string, number>>;

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

export interface ConfigRef {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
}

export interface Finding {
  readonly code?: string;
  readonly severity?: string;
  readonly path: string;
  readonly line?: number | null;
  readonly column?: number | null;
  readonly message: string;
  readonly suggestion?: string;
}

export interface ConfigVersion extends ConfigRef {
  readonly createdAt: string;
  readonly createdBy: string;
  readonly message: string;
  readonly files: Readonly<Record<string, { readonly contentType: string; readonly sizeBytes?: number; readonly body?: string }>>;
  readonly validation: { readonly errors: number; readonly warnings: number; readonly findings: readonly Finding[] };
}

export interface ConfigDiff {
  readonly identical: boolean;
  readonly structural: readonly { readonly file: string; readonly path: string; readonly change: 'added' | 'removed' | 'changed' }[];
  readonly truncated: boolean;
}

export interface Fleet {
  readonly generation: number;
  readonly frozen: boolean;
  readonly agents: {
    readonly total: number;
    readonly connected: number;
    readonly away: number;
    readonly health: Counts;
    readonly status: Counts;
    readonly sync: Counts;
    readonly versions: Counts;
  };
  readonly rollouts: readonly {
    readonly id: string;
    readonly group: string;
    readonly to: ConfigRef;
    readonly direction: 'forward' | 'back';
    readonly held: boolean;
  }[];
  readonly gateways: { readonly alive: number; readonly draining: number };
  readonly configs: number;
}

export interface Gateway {
  readonly id: string;
  readonly address: string;
  readonly version: string;
  readonly alive: boolean;
  readonly draining: boolean;
  readonly connected: number;
  readonly unhealthy: number;
  readonly backlog: Counts;
  readonly startedAt: string;
}

export interface Group {
  readonly name: string;
  readonly selector: string;
  readonly priority: number;
  readonly mode: 'manage' | 'observe';
  readonly stable: ConfigRef | null;
  readonly activeRollout: string | null;
  readonly trailingHeld: boolean;
  readonly counts: { readonly agents: number; readonly connected: number; readonly health: Counts };
}

export interface Agent {
  readonly uid: string;
  readonly connected: boolean;
  readonly gateway: string | null;
  readonly transport: 'ws' | 'http';
  readonly group: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly health: { readonly status: string; readonly since: string | null };
  readonly config: {
    readonly status: string;
    readonly hash: string | null;
    readonly error: string;
    readonly desired: (ConfigRef & { readonly source: string }) | null;
    readonly inSync: boolean | null;
  };
  readonly rollouts: Readonly<Record<string, { readonly wave: string; readonly status: string }>>;
  readonly pin: ConfigRef | null;
  readonly createdAt: string;
  readonly connectedAt: string | null;
  readonly lastSeenAt: string | null;
}

export interface Drift {
  readonly state: 'none' | 'drifted' | 'pending' | 'unknown';
  readonly reason: string;
  readonly differences: readonly {
    readonly path: string;
    readonly change: 'missing' | 'changed';
    readonly desired: string;
    readonly effective: string | null;
  }[];
  readonly truncated: boolean;
}

export interface DriftSurvey {
  readonly agents: number;
  readonly compared: number;
  readonly sampled: boolean;
  readonly states: Counts;
  readonly items: readonly { readonly uid: string; readonly group: string | null; readonly drift: Drift }[];
}

export interface Abilities {
  readonly agents: number;
  readonly estimated: boolean;
  readonly acceptsRemoteConfig: number;
  readonly reportsRemoteConfig: number;
  readonly reportsEffectiveConfig: number;
  readonly reportsHealth: number;
}

export interface HealthNode {
  readonly healthy: boolean;
  readonly status: string;
  readonly lastError: string;
  readonly children?: Readonly<Record<string, HealthNode>>;
}

export interface AgentDetail extends Agent {
  readonly identifyingAttributes: Readonly<Record<string, string>>;
  readonly nonIdentifyingAttributes: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  readonly healthTree: HealthNode | null;
  readonly drift: Drift;
  readonly failedHashes: readonly { readonly hash: string; readonly by: string }[];
  readonly history: readonly { readonly hash: string; readonly status: string; readonly at: string; readonly error?: string }[];
  /** Why what is stored cannot be read; `effective` is null then. */
  readonly effectiveUnreadable?: string | null;
  readonly effective: {
    readonly reportedAt: string;
    readonly truncated: boolean;
    readonly files: Readonly<Record<string, { readonly body: string; readonly contentType: string }>>;
  } | null;
}

export interface WaveSize {
  readonly count?: number;
  readonly percent?: number;
  readonly agents?: readonly string[];
  readonly labels?: string;
}

export interface Wave {
  readonly phase: string;
  readonly size: WaveSize;
  readonly counts: Counts;
  readonly members: number | null;
  readonly startedAt: string | null;
  readonly passedAt: string | null;
  readonly gates?: readonly Gate[];
  readonly approvals?: readonly { readonly what: 'before' | 'after'; readonly by: string; readonly at: string; readonly reason: string }[];
}

/** What a gate said last. */
export interface Gate {
  readonly gate: string;
  readonly outcome: string;
  readonly detail: string;
  readonly at: string | null;
  readonly evidence: string;
  readonly asked: number;
  readonly comparison?: { readonly cohort: HealthShares; readonly control: HealthShares } | null;
}

/** One side of a comparison of health; ratios from 0 to 1. */
export interface HealthShares {
  readonly agents: number;
  readonly unhealthyRatio: number;
  readonly reconnectedRatio: number;
}

export interface Rollout {
  readonly id: string;
  readonly rev: number;
  readonly phase: string;
  readonly holds: readonly string[];
  readonly holdDetails: readonly { readonly reason: string; readonly since: string; readonly detail: string }[];
  readonly waveIndex: number;
  readonly waves: readonly Wave[];
  readonly late: { readonly counts: Counts };
  readonly counts: Counts;
  readonly group: string;
  readonly from: ConfigRef | null;
  readonly to: ConfigRef;
  readonly strategy: Readonly<Record<string, unknown>>;
  readonly attempt: number;
  readonly revertOf: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly reason: string;
  readonly endedAt: string | null;
  readonly outcome: string;
  readonly warnings: readonly string[];
  readonly fleetFrozen?: boolean;
}

export interface RolloutEvent {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly actor: string;
  readonly detail: string;
  readonly to: { readonly phase: string; readonly waveIndex: number; readonly wavePhase: string; readonly holds: readonly string[] };
}

interface FailureGroup {
  readonly count: number;
  readonly examples: readonly string[];
}

export interface FailureGroups {
  readonly total: number;
  readonly omitted: number;
  readonly byMessage: readonly (FailureGroup & { readonly status: string; readonly message: string })[];
  readonly byVersion: readonly (FailureGroup & { readonly version: string })[];
  readonly byStratum: readonly (FailureGroup & { readonly stratum: Readonly<Record<string, string>> })[];
}

export interface Failures {
  readonly groups: FailureGroups;
}

export interface RolloutPreview {
  readonly from: ConfigRef | null;
  readonly to: ConfigRef;
  readonly agents: { readonly connected: number; readonly unverified: number; readonly unhealthy: number; readonly estimated: boolean };
  readonly waves: readonly { readonly size: WaveSize; readonly agents: number; readonly soak: string }[];
  readonly canary: { readonly agents: readonly string[] };
  readonly eta: string;
  readonly conflict: string | null;
  readonly warnings: readonly string[];
  readonly diff?: { readonly unified: string; readonly added: number; readonly removed: number; readonly truncated: boolean } | null;
  readonly validation?: { readonly errors: number; readonly warnings: number; readonly findings: readonly Finding[] } | null;
  readonly problems?: readonly string[];
}

/** The last day in columns of equal length; null where nobody recorded. */
export interface History {
  readonly from: string;
  readonly stepMinutes: number;
  readonly connected: readonly (number | null)[];
  readonly unhealthy: readonly (number | null)[];
  readonly gateways: Readonly<Record<string, readonly (number | null)[]>>;
}

export interface AuditEntry {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly outcome?: string;
  readonly reason?: string;
  readonly role?: string;
  readonly before?: unknown;
  readonly after?: unknown;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** What an agent signs in with. */
export interface AgentCredential {
  readonly id: string;
  readonly kind: 'agent' | 'enrolment' | 'certificate';
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly groups: readonly string[] | null;
  readonly state: 'active' | 'revoked' | 'expired' | 'spent';
  readonly createdAt: string;
  readonly createdBy: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly lastUsedAt: string | null;
  readonly uses: number | null;
  readonly maxUses: number | null;
}

/** What a change of a group would do. */
export interface Impact {
  readonly agentsChanging: number;
  readonly estimated: boolean;
  readonly agents: number;
  readonly activeRollout?: string | null;
}
