import type { ConfigRef, FleetSpec, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import type { LeaseInfo } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import type { Counters } from './counters.ts';
import type { RolloutDocument } from './document.ts';
import type { AskedGate } from './gate-strategy.ts';
import type { HealthSamples } from './gates.ts';
import type { CanaryCandidate } from './plan.ts';
import type { CountsView, FailureGroups, FailureView, PreviewDiff, RolloutEvent, ValidationSummary } from './service.ts';
import type { CanaryState } from './view.ts';
import type { PreflightReport } from '../validation/preflight.ts';

/** One step to store. */
export interface StepCommit {
  /** Its `rev` is the one it will have. */
  document: RolloutDocument;
  events: readonly RolloutEvent[];
  specSet: Readonly<Record<string, string>>;
  specDel: readonly string[];
  nextEvalAtMs: number | null;
  /** `set` and `replace` for a new one, `clear` when it ends. */
  active: 'keep' | 'set' | 'clear' | { replace: string };
  idempotencyKey: string | null;
}

export type CommitOutcome =
  | { kind: 'ok'; generation: number }
  | { kind: 'stale' }
  | { kind: 'exists'; id: string }
  | { kind: 'active'; id: string }
  | { kind: 'no-group' };

/** Where rollout documents live. */
export interface RolloutStore {
  /** The newest committed document; undefined when there is none. Throws on one of a newer schema. */
  load(id: string): Promise<RolloutDocument | undefined>;
  /** Newest documents of these ids, in order; absent ones are left out. */
  loadMany(ids: readonly string[]): Promise<RolloutDocument[]>;
  /** Atomic: all or nothing, and only on the revision before. At most once for an idempotency key within 24 h. */
  commit(step: StepCommit): Promise<CommitOutcome>;
  /** Moves the next evaluation of a rollout that still has one; no effect on an ended one. */
  postpone(id: string, nextEvalAtMs: number): Promise<void>;
  /** Takes due rollouts and pushes each `pushMs` ahead, so that each is taken by one coordinator at a time. */
  takeDue(pushMs: number, limit: number): Promise<string[]>;
  /** Ids by creation time, newest first, from after `cursor`; the cursor of the last. */
  page(cursor: string | undefined, limit: number): Promise<{ ids: string[]; cursor: string | null }>;
  /** Id that an idempotency key led to. */
  findIdempotent(key: string): Promise<string | undefined>;
  activeOf(group: string): Promise<string | undefined>;
  /** Ids of all rollouts that have not ended, one for each group. */
  activeIds(): Promise<string[]>;
  events(id: string, afterSeq: number, limit: number): Promise<RolloutEvent[]>;
}

/** A gateway whose lease runs. */
export interface LiveGateway extends LeaseInfo {
  id: string;
}

/** A connected agent that takes configs. */
export interface ConnectedMember {
  uid: string;
  origin: string;
  http: boolean;
}

/** What a step reads of the fleet. Reads are not atomic with each other; the order of the calls is the caller's. */
export interface FleetReader {
  /** Time of the Redis node that stores the documents. */
  nowMs(): Promise<number>;
  /** Gateways whose lease runs now. */
  gateways(): Promise<LiveGateway[]>;
  /** The fleet spec and its fields as stored. */
  spec(): Promise<{ spec: FleetSpec; fields: Readonly<Record<string, string>> }>;
  /** Whether the fleet spec says that nobody is offered anything; one field, for those who look often. */
  frozen(): Promise<boolean>;
  /**
   * Judges rows past their deadline, then sums the shards. Judges nothing within one lease time after Redis could not be
   * reached, so that an outage of ours makes nobody lost. `overdue` rows were not got to. `observe`: agents that cannot report, for an
   * {@link Observer}; those that are not judged come again.
   */
  settle(id: string): Promise<{ counters: Counters; overdue: number; observe: string[] }>;
  /** Notes that the store is reached, so that the next coordinator to start knows of no outage. */
  beat(): Promise<void>;
  /** Sums the shards without judging. */
  counters(id: string): Promise<Counters>;
  /** Closes the rollout in every shard; idempotent. Returns the final counters, field by field. */
  finish(id: string): Promise<Record<string, number>>;
  /** Connected members of a group, those among them that take no config. */
  connected(group: string): Promise<number>;
  /** Known members of a group that are connected to no gateway. */
  away(group: string): Promise<number>;
  /** Of the connected members that take no config from the group: how many have a pin. Estimated from a sample in large groups. */
  pinned(group: string): Promise<number>;
  /**
   * Connected members of a group that take configs; only counted when there are more than `limit`. May be some seconds old
   * in large groups.
   */
  members(
    group: string,
    limit: number,
  ): Promise<{ kind: 'listed'; members: readonly ConnectedMember[] } | { kind: 'counted'; connected: number; http: number }>;
  /** Some connected members, in no order; for groups too large to list. */
  sampleMembers(group: string, count: number): Promise<ConnectedMember[]>;
  /** What a place in the order of a rollout depends on. */
  facts(uids: readonly string[]): Promise<Map<string, AgentFacts>>;
  /** Agents whose row in this rollout still waits for something, connected or not. */
  openRows(id: string): Promise<string[]>;
  /** Known agents of a group that are away and whose row in this rollout, if any, is not settled. Reads the records of all agents. */
  awayUnsettled(group: string, rollout: string): Promise<AgentFacts[]>;
  candidates(members: readonly ConnectedMember[], spreadBy: readonly string[]): Promise<Omit<CanaryCandidate, 'hash'>[]>;
  canaryStates(rollout: string, uids: readonly string[]): Promise<CanaryState[]>;
  healthSamples(query: HealthQuery): Promise<HealthSamples>;
  /** Agents that failed: at most `limit` of the `total` that are kept, in an order that stays while none is added. */
  failures(id: string, limit: number): Promise<{ items: FailureView[]; total: number }>;
  /** Failures by message, version and stratum, as they were counted when they were written. */
  failureGroups(id: string): Promise<FailureGroups>;
  /** Says by which attributes failures of a rollout are to be counted; called before anybody is offered it. */
  countFailuresBy(id: string, attributes: readonly string[]): Promise<void>;
  /** Statuses of rows in one rollout, for tests and reports. */
  rowsOf(id: string, uids: readonly string[]): Promise<Map<string, { status: RowStatus; wave: string }>>;
}

/** What a place in the order of a rollout depends on. */
export interface AgentFacts {
  origin: string;
  /** Flat, for selectors, labels included. */
  attributes: Record<string, string>;
  /** When it last went away, and when it came back. */
  absence: { fromMs: number; toMs: number };
}

/** Whom to compare. */
export interface HealthQuery {
  rollout: string;
  toHash: string;
  /** Reconnects of untouched agents count from here. */
  sinceMs: number;
  spreadBy: readonly string[];
  cohort: readonly ConnectedMember[];
  control: readonly ConnectedMember[];
}

/** What speaks against a config in one group. */
export interface ConfigVerdict {
  /** Sentences about what the group's switches do not allow; empty when there is nothing, or it was stored by force. */
  refused: readonly string[];
  /** Which agents of the group have every component that the config needs. */
  builds: PreflightReport;
  /** What validation says of the config by the group's switches. */
  validation: ValidationSummary;
}

/** Judges a config for a group before anybody is offered it. */
export interface ConfigCheck {
  check(group: GroupSpec, config: ConfigRef): Promise<ConfigVerdict>;
  /** What differs between two configs, as text. */
  diff(from: ConfigRef, to: ConfigRef): Promise<PreviewDiff>;
}

/** Looks up versions of configs. */
export interface ConfigLookup {
  /** Undefined when there is no such version. */
  find(name: string, version: number): Promise<ConfigRef | undefined>;
}

/** What an {@link Observer} has to know of a rollout. */
export interface ObservedRollout {
  id: string;
  to: ConfigRef;
  /** How long an agent must stay healthy with it. */
  healthHoldMs: number;
}

/** Judges agents that cannot report by the effective configs that they tell. */
export interface Observer {
  /** Takes agents of a rollout, to be judged soon; what is too much at a time is left out, and comes again. */
  observe(rollout: ObservedRollout, uids: readonly string[]): void;
}

/** Tells whoever works on rollouts that one should be looked at now. May be lost; the sweep repairs that. */
export interface Waker {
  wake(id: string): void;
}

/** What a gate wants to know of another system, at one time. */
export interface GateQuestion {
  gate: AskedGate;
  /** Rises with every question of this gate in this wave; an answer is taken for the last one only. */
  ask: number;
  /** The same for all attempts at one question: a receiver may answer the second from memory. */
  key: string;
  /** Redis ms. */
  askedAtMs: number;
  rollout: { id: string; group: string; from: ConfigRef | null; to: ConfigRef; attempt: number; createdBy: string; reason: string };
  wave: { index: number; of: number; startedAtMs: number; members: number | null; target: number | null; counts: CountsView };
  /** Of all waves. */
  counts: CountsView;
}

/** What came of a question. `error`: it could not be asked, or the answer makes no sense. */
export interface GateAnswer {
  outcome: 'pass' | 'fail' | 'inconclusive' | 'wait' | 'error';
  detail: string;
  evidence: string;
}

/** Asks other systems what gates want to know. */
export interface GateAsker {
  /** Never longer than the gate's timeout. A rejection counts as `error`. */
  ask(question: GateQuestion, signal: AbortSignal): Promise<GateAnswer>;
}
