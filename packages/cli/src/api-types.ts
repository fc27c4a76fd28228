/** The parts of the API's answers that the CLI shows; `openapi.json` of the coordinator has all of them. */

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

export interface ConfigRef {
  name: string;
  version: number;
  hash: string;
}

export interface Finding {
  code: string;
  severity: 'error' | 'warning';
  path: string;
  line: number | null;
  column: number | null;
  message: string;
  suggestion?: string;
}

export interface ConfigVersion extends ConfigRef {
  createdAt: string;
  createdBy: string;
  message: string;
  files: Record<string, { contentType: string; sizeBytes: number; body?: string }>;
  validation: { errors: number; warnings: number; findings: Finding[] };
}

/** What the configs of a group may do beyond the usual. */
export interface GroupPolicy {
  allowProviders?: boolean;
  allowNoPipelines?: boolean;
  allowFragments?: boolean;
}

/** Which agents could load a config. */
export interface Preflight {
  agents: number;
  unable: number;
  unknown: number;
  lines: string[];
}

export interface Group {
  name: string;
  selector: string;
  priority: number;
  mode: 'manage' | 'observe';
  policy?: GroupPolicy;
  stable: ConfigRef | null;
  activeRollout: string | null;
  counts: { agents: number; connected: number; health: Record<string, number> };
}

export interface Impact {
  dryRun?: boolean;
  agentsChanging: number;
  /** Absent from coordinators that do not count them. */
  agentsLeaving?: number;
  agentsAffected?: number;
  estimated: boolean;
  sampled: number;
  agents: number;
  activeRollout?: string | null;
}

export interface Agent {
  uid: string;
  connected: boolean;
  gateway: string | null;
  group: string | null;
  attributes: Record<string, string>;
  labels: Record<string, string>;
  health: { status: string; since: string | null };
  config: { status: string; hash: string | null; error: string; desired: (ConfigRef & { source: string }) | null; inSync: boolean | null };
  lastSeenAt: string | null;
}

export interface Drift {
  state: 'none' | 'drifted' | 'pending' | 'unknown';
  reason: string;
  differences: { path: string; change: string; desired: string; effective: string | null }[];
  truncated: boolean;
}

export interface DriftSurvey {
  agents: number;
  compared: number;
  sampled: boolean;
  estimated: boolean;
  states: Record<Drift['state'], number>;
  items: { uid: string; group: string | null; desired: ConfigRef | null; drift: Drift }[];
}

export interface Rollout {
  id: string;
  rev: number;
  phase: string;
  holds: string[];
  holdDetails: { reason: string; since: string; detail: string }[];
  waveIndex: number;
  waves: { phase: string; counts: Record<string, number> }[];
  counts: Record<string, number>;
  group: string;
  from: ConfigRef | null;
  to: ConfigRef;
  createdAt: string;
  createdBy: string;
  reason: string;
  /** The succeeded rollout that this one takes back. */
  revertOf: string | null;
  endedAt: string | null;
  outcome: string;
  warnings: string[];
  preflight?: Preflight | null;
  /** Nobody new is offered anything until the fleet is unfrozen. */
  fleetFrozen?: boolean;
}

export interface RolloutEvent {
  seq: number;
  at: string;
  type: string;
  to: { phase: string; waveIndex: number; wavePhase: string; holds: string[] };
  actor: string;
  detail: string;
}

export interface Gateway {
  id: string;
  address: string;
  version: string;
  alive: boolean;
  draining: boolean;
  connected: number;
  unhealthy: number;
  observed: string;
  backlog?: Record<string, number>;
  startedAt: string;
}

/** Answer of `POST /gateways/rebalance`. */
export interface Rebalance {
  mean: number;
  items: { id: string; connected: number; count: number }[];
}

export interface Fleet {
  generation: number;
  frozen: boolean;
  agents: {
    total: number;
    connected: number;
    away: number;
    health: Record<string, number>;
    status: Record<string, number>;
    sync: Record<string, number>;
    versions: Record<string, number>;
  };
  groups: { name: string | null; agents: number; connected: number }[];
  rollouts: { id: string; group: string; to: ConfigRef; direction: string; held: boolean }[];
  gateways: { alive: number; draining: number };
  configs: number;
}

/** Columns of equal length, null where nobody recorded. */
export interface FleetHistory {
  from: string;
  stepMinutes: number;
  connected: (number | null)[];
  unhealthy: (number | null)[];
  gateways: Record<string, (number | null)[]>;
}

export interface AuditEntry {
  at: string;
  actor: string;
  action: string;
  target: string;
  reason?: string;
  detail: Record<string, unknown>;
}

export interface AuditVerdict {
  ok: boolean;
  entries: number;
  unchained: number;
  first: number | null;
  last: { seq: number; hash: string } | null;
  defects: { kind: string; detail: string }[];
}

export interface Me {
  name: string;
  kind: string;
  role: string;
  groups: string[];
  permissions: string[];
}

export interface Alert {
  id: string;
  type: string;
  severity: string;
  at: string;
  summary: string;
  deliveries: { target: string; state: string; attempts: number; error: string }[];
}

export interface AlertTarget {
  name: string;
  host: string;
  minSeverity: string;
  types: string[] | null;
}

export interface FailureGroup {
  count: number;
  examples: string[];
}

export interface RolloutFailures {
  items: { uid: string; status: string; wave: string; error: string }[];
  /** Agents that are kept one by one; `items` has the first of them. */
  total: number;
  groups: {
    total: number;
    omitted: number;
    byMessage: (FailureGroup & { status: string; message: string })[];
    byVersion: (FailureGroup & { version: string })[];
    byStratum: (FailureGroup & { stratum: Record<string, string> })[];
  };
}

export interface AgentCredential {
  id: string;
  kind: 'agent' | 'enrolment' | 'certificate';
  name: string;
  labels: Record<string, string>;
  groups: string[] | null;
  state: 'active' | 'revoked' | 'expired' | 'spent';
  createdAt: string;
  createdBy: string;
  expiresAt: string | null;
  revokedAt: string | null;
  lastUsedAt: string | null;
  uses: number | null;
  maxUses: number | null;
}
