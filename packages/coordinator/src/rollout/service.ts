import type { CommandRights } from './approval.ts';
import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import type { Finding } from '../validation/finding.ts';
import type { PreflightReport } from '../validation/preflight.ts';
import type { PreflightSummary } from './document.ts';
import type { HealthComparison } from './gates.ts';
import type { HoldReason, RolloutPhase, RowStatus, WavePhase } from '@opamp-gateway/shared/rollout-types';

/** Actions on a rollout; each is one compare-and-set on its document. */
export const ROLLOUT_ACTIONS = ['pause', 'resume', 'promote', 'abort', 'rollback', 'retry', 'cancel'] as const;
export type RolloutAction = (typeof ROLLOUT_ACTIONS)[number];

/** The closed list of problem types that a call on rollouts answers with; the API turns them into RFC 9457 `type`s. */
export const ROLLOUT_PROBLEM_TYPES = [
  'invalid-rollout',
  'group-not-found',
  'config-not-found',
  'rollout-not-found',
  'rollout-active',
  'group-observed',
  'action-forbidden',
  'approver-required',
  'own-rollout',
  'stale-revision',
  'idempotency-key-reused',
] as const;
export type RolloutProblemType = (typeof ROLLOUT_PROBLEM_TYPES)[number];

/** One thing that is wrong with a request; `path` as in `strategy.waves[1].soak`. */
export interface FieldProblem {
  path: string;
  message: string;
}

/** Why a call did nothing, in the members of RFC 9457. */
export interface RolloutProblem {
  kind: 'problem';
  /** 403, 404, 409, 412 or 422. */
  status: 403 | 404 | 409 | 412 | 422;
  type: RolloutProblemType;
  title: string;
  detail: string;
  errors: FieldProblem[];
}

/** How many agents stand in each status; absent = 0. */
export type CountsView = Partial<Record<RowStatus, number>>;

/** Size of a wave as it was asked for. */
export type WaveSizeView = { count?: number; percent?: number } | { agents: string[] } | { labels: string; percent?: number };

/** One wave as the API shows it. */
export interface WaveView {
  phase: WavePhase;
  size: WaveSizeView;
  counts: CountsView;
  /** Connected members of the group when the wave started; null before. */
  members: number | null;
  /** RFC 3339, null before. */
  startedAt: string | null;
  passedAt: string | null;
  /** What the gates said of it; empty before it has soaked. */
  gates: GateView[];
  approvals: { what: 'before' | 'after'; by: string; at: string; reason: string }[];
  /** `offline: wait`: agents that are away and waited for; null when nobody is. */
  awaiting: number | null;
}

/** One gate of a wave as the API shows it. */
export interface GateView {
  gate: string;
  outcome: 'pending' | 'pass' | 'fail' | 'notApplicable' | 'inconclusive' | 'wait' | 'error';
  detail: string;
  /** RFC 3339, null when nobody answered yet. */
  at: string | null;
  /** What the answer was found on: the query with its values, or what the receiver said. */
  evidence: string;
  /** How often it was asked. */
  asked: number;
  /** The numbers behind `healthRegression`; null for other gates, and where there were too few agents to compare. */
  comparison: HealthComparison | null;
}

/** Why a rollout does not advance. */
export interface HoldView {
  reason: HoldReason;
  since: string;
  detail: string;
}

/** A rollout as the API shows it: durations are strings, hashes hex, times RFC 3339 UTC. */
export interface RolloutView {
  id: string;
  rev: number;
  phase: RolloutPhase;
  holds: HoldReason[];
  /** Since when and why, one entry for each of `holds`. */
  holdDetails: HoldView[];
  waveIndex: number;
  waves: WaveView[];
  late: { counts: CountsView };
  counts: CountsView;
  group: string;
  from: ConfigRef | null;
  to: ConfigRef;
  /** The whole strategy, defaults filled in. */
  strategy: Record<string, unknown>;
  attempt: number;
  /** Id of the succeeded rollout that this one takes back. */
  revertOf: string | null;
  createdAt: string;
  createdBy: string;
  reason: string;
  endedAt: string | null;
  /** Why it is rolling back or ended, in one sentence; empty while it goes forward. */
  outcome: string;
  /** `no_way_back` for example. */
  warnings: string[];
  /** Which agents could load the config when the rollout was made; null when nothing was compared. */
  preflight: PreflightSummary | null;
  /** Number of events so far. */
  eventSeq: number;
  /** The whole fleet is frozen now: a running rollout offers to nobody new until it is unfrozen. False for one that has ended, and for one that takes another one back. */
  fleetFrozen: boolean;
}

/** Where a rollout stands, as far as events tell it. */
export interface RolloutState {
  phase: RolloutPhase;
  waveIndex: number;
  wavePhase: WavePhase;
  holds: HoldReason[];
}

/** One thing that happened; `seq` starts at 1 and has no gap, `from` equals the `to` before it. */
export interface RolloutEvent {
  seq: number;
  rollout: string;
  group: string;
  /** RFC 3339. */
  at: string;
  type: string;
  from: RolloutState | null;
  to: RolloutState;
  /** Who did it; `system` for what the rollout does by itself. */
  actor: string;
  detail: string;
  data?: Record<string, unknown>;
}

/** One agent that failed. */
export interface FailureView {
  uid: string;
  status: RowStatus;
  wave: string;
  error: string;
}

/** Agents that failed in one way, of one version, or in one stratum. */
export interface FailureGroup {
  count: number;
  /** Uids of some of them. */
  examples: string[];
}

/** Failures of a rollout, the largest groups first. An agent that failed and was restored is still counted. */
export interface FailureGroups {
  /** Agents that are counted in the groups. */
  total: number;
  /** Agents that failed when there were too many to count them in groups. */
  omitted: number;
  /** `message` without what differs from agent to agent. */
  byMessage: (FailureGroup & { status: RowStatus; message: string })[];
  /** `version` of the collector; empty when it said none. */
  byVersion: (FailureGroup & { version: string })[];
  /** By the attributes of `spreadBy`; empty without. */
  byStratum: (FailureGroup & { stratum: Record<string, string> })[];
}

/** What differs between what a group runs now and what it would run. */
export interface PreviewDiff {
  /** Unified diff of all files, cut after at most 64 KiB at the end of a line; empty when both are the same. */
  unified: string;
  /** Lines that are new, and lines that are gone, in the whole of it. */
  added: number;
  removed: number;
  truncated: boolean;
}

/** Findings of a config: all are counted, the first of them listed, errors before warnings. */
export interface ValidationSummary {
  errors: number;
  warnings: number;
  /** At most {@link MAX_SHOWN_FINDINGS}. */
  findings: readonly Finding[];
}

/** Findings that a preview lists. */
export const MAX_SHOWN_FINDINGS = 50;

/** What a rollout would do, without doing it. */
export interface RolloutPreview {
  group: string;
  from: ConfigRef | null;
  to: ConfigRef;
  strategy: Record<string, unknown>;
  /** Members of the group that are known to us now. */
  agents: {
    connected: number;
    takesConfig: number;
    unverified: number;
    unsupported: number;
    unhealthy: number;
    alreadyThere: number;
    /** Known members that no gateway reaches; `offline` says what becomes of them. */
    away: number;
    /** Connected members with a config of their own, which the rollout does not touch. */
    pinned: number;
    /** Of those that take configs, by collector version, the most frequent first; '' = none said. At most 50. */
    byVersion: { version: string; agents: number }[];
    /** By server-side label, as `name=value`. At most 50. */
    byLabel: { label: string; agents: number }[];
    /** By the attributes of `spreadBy`; empty without. At most 50. */
    byStratum: { stratum: Record<string, string>; agents: number }[];
    /** How many records were read for the three numbers above; `estimated` when not all. */
    sampled: number;
    estimated: boolean;
  };
  waves: {
    size: WaveSizeView;
    /** Agents that have been offered it when the wave is through, those of the waves before included. */
    agents: number;
    /** Of these, agents that this wave adds. */
    adds: number;
    soak: string;
    approval: 'none' | 'before' | 'after';
    onFailure: 'pause' | 'rollback';
  }[];
  /** When it would start, and whether a maintenance window is open then; null without windows. */
  schedule: { startsAt: string; windowOpen: boolean | null };
  canary: { agents: string[]; strata: number; strataCovered: number };
  /** Duration text: shortest time in which the rollout can finish. */
  eta: string;
  /** Which agents of the group could load the config; null when nothing was compared. */
  preflight: PreflightReport | null;
  /** The config against what the group is proven on (or its baseline); null when there is nothing to compare with. */
  diff: PreviewDiff | null;
  /** What validation says of the config; null when it was not looked at. */
  validation: ValidationSummary | null;
  /** Why it would be refused; empty when it would start. */
  problems: string[];
  /** What each gate would say now; webhooks and people are not asked. */
  gates: { name: string; outcome: 'pass' | 'fail' | 'notApplicable' | 'inconclusive'; detail: string }[];
  /** Id of the group's active rollout. */
  conflict: string | null;
  warnings: string[];
}

/** Outcome of {@link RolloutService.create}. */
export type CreateOutcome =
  | { kind: 'created'; id: string; rev: number; view: RolloutView }
  | { kind: 'existing'; id: string }
  | { kind: 'preview'; preview: RolloutPreview }
  | RolloutProblem;

/** How a rollout was before an action. */
export type RolloutBefore = Pick<RolloutView, 'rev' | 'phase' | 'waveIndex' | 'holds' | 'strategy'>;

/** Outcome of an action; `created` when a rollback of a succeeded rollout answers with a new one. */
export type ActOutcome =
  | { kind: 'ok'; view: RolloutView; before: RolloutBefore }
  | { kind: 'created'; id: string; rev: number; view: RolloutView }
  | RolloutProblem;

/** A page of rollouts, newest first. */
export interface RolloutPage {
  items: RolloutView[];
  nextCursor: string | null;
}

/** What the REST API and the queue worker call. Every method rejects only when Redis cannot be reached. */
export interface RolloutService {
  /**
   * Starts a rollout from the body of `POST /rollouts`. At most once for an idempotency key within 24 h, also across
   * processes. Every problem of the body is reported at once.
   */
  create(
    body: unknown,
    options: {
      actor: string;
      idempotencyKey?: string | undefined;
      dryRun?: boolean | undefined;
      expectedRev?: number | undefined;
      /** `traceparent` under which everything that follows is traced. */
      trace?: string | undefined;
    },
  ): Promise<CreateOutcome>;
  /** Undefined when there is none of this id. Counts are as of now. */
  get(id: string): Promise<RolloutView | undefined>;
  /** `limit` 1 … 1,000. A cursor of an earlier page; others start at the top. */
  list(query: {
    group?: string | undefined;
    /** Only rollouts of these groups; undefined = of all. */
    groups?: ReadonlySet<string> | undefined;
    phase?: RolloutPhase | undefined;
    limit: number;
    cursor?: string | undefined;
  }): Promise<RolloutPage>;
  /** Done when it returns: a pause that was answered offers to nobody new. 409 names the state that forbids it, 412 a stale `expectedRev`. */
  act(
    id: string,
    action: RolloutAction,
    options: { actor: string; rights?: CommandRights | undefined; reason?: string | undefined; expectedRev?: number | undefined },
  ): Promise<ActOutcome>;
  /** Changes tunable strategy fields of a running rollout. */
  tune(
    id: string,
    patch: unknown,
    options: { actor: string; reason?: string | undefined; expectedRev?: number | undefined },
  ): Promise<ActOutcome>;
  /** The groups, and at most `limit` of the `total` agents that are kept one by one. Undefined when there is no such rollout. */
  failures(id: string, limit: number): Promise<{ items: FailureView[]; total: number; groups: FailureGroups } | undefined>;
  /** Events with `seq > afterSeq`, at most `limit` (default 1,000); undefined when there is no such rollout. */
  events(id: string, afterSeq: number, limit?: number): Promise<RolloutEvent[] | undefined>;
  /** Yields events with `seq > afterSeq` as they happen; ends with the rollout's last one or when the signal aborts. */
  follow(id: string, afterSeq: number, signal: AbortSignal): AsyncIterable<RolloutEvent>;
}
