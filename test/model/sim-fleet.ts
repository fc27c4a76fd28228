import { sumCounters } from '@opamp-gateway/coordinator/rollout/counters';
import type { Counters } from '@opamp-gateway/coordinator/rollout/counters';
import type { RolloutDocument } from '@opamp-gateway/coordinator/rollout/document';
import type {
  AgentFacts,
  CommitOutcome,
  FleetReader,
  LiveGateway,
  RolloutStore,
  StepCommit,
} from '@opamp-gateway/coordinator/rollout/ports';
import type { RolloutEvent } from '@opamp-gateway/coordinator/rollout/service';
import { hash48, BUCKET_SPACE } from '@opamp-gateway/shared/bucket';
import { desired, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { FailedHash, FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';

/** The row of an agent in one rollout, as the model keeps it. */
export interface SimRow {
  wave: string;
  status: RowStatus;
  attempt: number;
  deadlineMs: number;
}

/** One agent of the model. */
export interface SimAgent {
  uid: string;
  connected: boolean;
  http: boolean;
  gateway: number;
  rack: string;
  lastSeenMs: number;
  connectedAtMs: number;
  /** By the model's own account: it was away when the rollout started (`away`), and came back once since (`back`). */
  passedOver: 'no' | 'away' | 'back';
  offered: string;
  failed: Map<string, FailedHash>;
  rows: Map<string, SimRow>;
}

/** By the model's own account, whatever the clocks say. */
function isPassedOver(rollout: RolloutSpec, agent: SimAgent): boolean {
  return rollout.passOverAwayAtMs !== undefined && agent.passedOver !== 'no';
}

/** What was offered to whom, under which wave, in order. */
export interface SimOffer {
  uid: string;
  rollout: string;
  wave: string;
  hash: string;
  atMs: number;
  /** The agent had no row in this rollout before. */
  first: boolean;
  /** The gateway's spec said that the rollout is held. */
  held: boolean;
  /** The agent was away when the rollout started, and has not left since it came back. */
  passedOver: boolean;
}

/** A commit that did not happen, as when a process dies before it. */
export class BrokenConnectionError extends Error {
  override name = 'BrokenConnectionError';
}

/** A gateway and the spec that it follows. */
export interface SimGateway {
  spec: FleetSpec;
  alive: boolean;
}

const UNTOUCHED: ReadonlySet<RowStatus> = new Set<RowStatus>(['skipped', 'left']);

/**
 * A fleet, its gateways and the store in memory, behind the same ports as Redis. Gateways follow the spec only when they are
 * told to, and agents answer only when they are told to, so that a test decides about every order of events.
 */
export class SimFleet implements FleetReader, RolloutStore {
  now = 1_700_000_000_000;
  readonly agents = new Map<string, SimAgent>();
  readonly gatewayList: SimGateway[];
  readonly offers: SimOffer[] = [];
  readonly documents = new Map<string, RolloutDocument[]>();
  readonly eventLog = new Map<string, RolloutEvent[]>();
  readonly due = new Map<string, number>();
  readonly finished = new Set<string>();
  readonly active = new Map<string, string>();
  /** When the rollout started. */
  startedAtMs: number | null = null;
  fields: Record<string, string> = { [specField.generation]: '1' };
  /** Called after each stored step. */
  onCommit: (step: {
    before: RolloutDocument | undefined;
    after: RolloutDocument;
    events: readonly RolloutEvent[];
    fieldBefore: string | undefined;
  }) => void = () => undefined;
  /** When set, the next commit fails after this many are done, as a process that dies does. */
  failCommits = 0;

  constructor(gateways: number) {
    this.gatewayList = Array.from({ length: gateways }, () => ({ spec: parseSpec(this.fields), alive: true }));
  }

  // ---- the world

  get currentSpec(): FleetSpec {
    return parseSpec(this.fields);
  }

  join(uid: string, gateway: number, http = false): void {
    const agent: SimAgent = this.agents.get(uid) ?? {
      uid,
      connected: false,
      http,
      gateway,
      rack: `rack-${this.agents.size % 3}`,
      lastSeenMs: 0,
      connectedAtMs: 0,
      passedOver: 'no',
      offered: '',
      failed: new Map(),
      rows: new Map(),
    };
    if (!agent.connected) {
      agent.connectedAtMs = this.now;
      // Who comes back in the very millisecond of the start counts as there.
      if (agent.passedOver === 'away') agent.passedOver = this.startedAtMs === this.now ? 'no' : 'back';
    }
    agent.connected = true;
    agent.gateway = gateway;
    this.agents.set(uid, agent);
    // A gateway brings every session that it gets in line with the spec that it follows.
    if (!agent.http) this.evaluate(agent);
  }

  /** One gateway reads the spec and brings all its agents in line with it. Pollers wait for their poll. */
  follow(index: number): void {
    const gateway = this.gatewayList[index];
    if (gateway === undefined || !gateway.alive) return;
    gateway.spec = this.currentSpec;
    for (const agent of this.agents.values()) if (agent.connected && agent.gateway === index && !agent.http) this.evaluate(agent);
  }

  /** A poller polls. */
  poll(uid: string): void {
    const agent = this.agents.get(uid);
    if (agent?.connected === true && agent.http) this.evaluate(agent);
  }

  evaluate(agent: SimAgent): void {
    const spec = this.gatewayList[agent.gateway]?.spec ?? this.currentSpec;
    const want = desired(spec, {
      origin: agent.uid,
      attributes: {},
      pin: null,
      failed: agent.failed,
      absence: { fromMs: agent.lastSeenMs, toMs: agent.connectedAtMs },
      wasOffered: (id) => this.#touched(agent.rows.get(id)),
    });
    const { rollout, config } = want;
    const row = rollout === null ? undefined : agent.rows.get(rollout.id);
    if (rollout?.direction === 'back' && this.#touched(row)) {
      if (row === undefined || row.status === 'restored' || row.status === 'restoreFailed') return;
      if (row.status !== 'restoring') this.#book(agent, rollout, 'restoring');
      if (config === null) this.#book(agent, rollout, 'restoreFailed');
      else if (agent.offered !== config.hash) agent.offered = config.hash;
      return;
    }
    if (config === null || agent.offered === config.hash) {
      if (want.source === 'rollout' && rollout !== null && row === undefined) this.#book(agent, rollout, 'applied');
      return;
    }
    if (want.source === 'rollout' && rollout !== null) {
      this.offers.push({
        uid: agent.uid,
        rollout: rollout.id,
        wave: row?.wave ?? rollout.wave,
        hash: config.hash,
        atMs: this.now,
        first: row === undefined,
        held: rollout.held,
        passedOver: agent.passedOver !== 'no',
      });
      this.#book(agent, rollout, 'offered');
    }
    agent.offered = config.hash;
  }

  /** An agent answers what it was offered last. */
  answer(uid: string, verdict: 'applied' | 'failed'): void {
    const agent = this.agents.get(uid);
    if (agent === undefined || !agent.connected) return;
    for (const rollout of this.currentSpec.rollouts.values()) {
      const row = agent.rows.get(rollout.id);
      if (row === undefined) continue;
      if (row.status === 'restoring') this.#book(agent, rollout, verdict === 'applied' ? 'restored' : 'restoreFailed');
      else if (agent.offered === rollout.to.hash && row.status !== 'failed' && row.status !== 'applied') {
        this.#book(agent, rollout, verdict);
        if (verdict === 'failed') agent.failed.set(agent.offered, { by: rollout.id, attempt: row.attempt });
      }
    }
    this.evaluate(agent);
  }

  /** An agent that applied turns unhealthy for good. */
  degrade(uid: string): void {
    const agent = this.agents.get(uid);
    for (const rollout of this.currentSpec.rollouts.values()) {
      if (agent?.rows.get(rollout.id)?.status === 'applied') this.#book(agent, rollout, 'degraded');
    }
  }

  disconnect(uid: string): void {
    const agent = this.agents.get(uid);
    if (agent?.connected !== true) return;
    agent.connected = false;
    agent.lastSeenMs = this.now;
    if (agent.passedOver === 'back') agent.passedOver = 'no';
  }

  /** Connected agents that are under way in this rollout, by what is really the case. */
  trulyInFlight(rollout: RolloutSpec): number {
    let count = 0;
    for (const agent of this.agents.values()) {
      if (!agent.connected) continue;
      const row = agent.rows.get(rollout.id);
      if (row?.status === 'offered' || row?.status === 'applying') count += 1;
      else if (row === undefined && this.isInside(rollout, agent) && !isPassedOver(rollout, agent)) count += 1;
    }
    return count;
  }

  isInside(rollout: RolloutSpec, agent: SimAgent): boolean {
    if (rollout.canary.includes(agent.uid)) return true;
    return rollout.slices.some((slice) => slice.boundary === BUCKET_SPACE || hash48(rollout.salt, agent.uid) < slice.boundary);
  }

  #touched(row: SimRow | undefined): boolean {
    return row !== undefined && !UNTOUCHED.has(row.status);
  }

  #book(agent: SimAgent, rollout: RolloutSpec, status: RowStatus): void {
    if (this.finished.has(rollout.id)) return;
    const old = agent.rows.get(rollout.id);
    agent.rows.set(rollout.id, {
      wave: old?.wave ?? rollout.wave,
      status,
      attempt: rollout.attempt,
      deadlineMs: this.now + rollout.ackTimeoutMs,
    });
  }

  // ---- FleetReader

  async nowMs(): Promise<number> {
    return this.now;
  }

  async gateways(): Promise<LiveGateway[]> {
    return this.gatewayList.flatMap((gateway, index) =>
      gateway.alive
        ? [
            {
              id: `gw-${index}`,
              address: '',
              version: '',
              draining: false,
              observed: `${gateway.spec.generation}:${gateway.spec.contentHash}`,
              evaluated: `${gateway.spec.generation}:${gateway.spec.contentHash}`,
              backlog: {},
              connected: 0,
              unhealthy: 0,
              startedAtMs: 0,
              trailing: {},
            },
          ]
        : [],
    );
  }

  async spec(): ReturnType<FleetReader['spec']> {
    return { spec: this.currentSpec, fields: { ...this.fields } };
  }

  async settle(id: string): ReturnType<FleetReader['settle']> {
    for (const agent of this.agents.values()) {
      const row = agent.rows.get(id);
      if (row === undefined || !UNSETTLED_STATUSES.has(row.status) || row.deadlineMs > this.now) continue;
      if (row.status === 'restoring') {
        if (agent.connected) row.status = 'restoreFailed';
      } else row.status = agent.connected ? 'timedOut' : 'lost';
    }
    return { counters: await this.counters(id), overdue: 0, observe: [] };
  }

  async beat(): Promise<void> {
    // The model has no outage.
  }

  async counters(id: string): Promise<Counters> {
    return sumCounters([this.#counts(id)]);
  }

  #counts(id: string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const agent of this.agents.values()) {
      const row = agent.rows.get(id);
      if (row === undefined) continue;
      const field = `${row.wave}:${row.status}:${agent.connected ? 1 : 0}`;
      counts[field] = (counts[field] ?? 0) + 1;
    }
    return counts;
  }

  async finish(id: string): Promise<Record<string, number>> {
    const counts = this.#counts(id);
    this.finished.add(id);
    return counts;
  }

  async connected(): Promise<number> {
    return [...this.agents.values()].filter((agent) => agent.connected).length;
  }

  async members(): ReturnType<FleetReader['members']> {
    const members = [...this.agents.values()]
      .filter((agent) => agent.connected)
      .map((agent) => ({ uid: agent.uid, origin: agent.uid, http: agent.http }));
    return { kind: 'listed', members };
  }

  async sampleMembers(): ReturnType<FleetReader['sampleMembers']> {
    return [];
  }

  async facts(uids: readonly string[]): ReturnType<FleetReader['facts']> {
    return new Map(
      uids.flatMap((uid) => [...this.agents.values()].filter((agent) => agent.uid === uid).map((agent) => [uid, this.#factsOf(agent)])),
    );
  }

  #factsOf(agent: SimAgent): AgentFacts {
    return {
      origin: agent.uid,
      attributes: { rack: agent.rack },
      absence: { fromMs: agent.lastSeenMs, toMs: agent.connectedAtMs },
    };
  }

  async openRows(id: string): Promise<string[]> {
    return [...this.agents.values()].filter((agent) => UNSETTLED_STATUSES.has(agent.rows.get(id)?.status ?? 'left')).map(({ uid }) => uid);
  }

  /** Agents that are away, and whose row, if any, is not settled. */
  awayOpen(id: string): SimAgent[] {
    return [...this.agents.values()].filter((agent) => {
      const status = agent.rows.get(id)?.status;
      return !agent.connected && (status === undefined || UNSETTLED_STATUSES.has(status));
    });
  }

  async awayUnsettled(_group: string, rollout: string): Promise<AgentFacts[]> {
    return this.awayOpen(rollout).map((agent) => this.#factsOf(agent));
  }

  async candidates(members: Parameters<FleetReader['candidates']>[0]): ReturnType<FleetReader['candidates']> {
    return members.map(({ uid, origin }) => ({
      uid,
      origin,
      canAcknowledge: true,
      healthy: true,
      healthSinceMs: 0,
      connectedAtMs: 0,
      pinned: false,
      reportedHash: '',
      stratum: '',
    }));
  }

  async canaryStates(rollout: string, uids: readonly string[]): ReturnType<FleetReader['canaryStates']> {
    return uids.map((uid) => {
      const agent = this.agents.get(uid);
      return { uid, connected: agent?.connected === true, http: agent?.http === true, hasRow: agent?.rows.has(rollout) === true };
    });
  }

  async healthSamples(): ReturnType<FleetReader['healthSamples']> {
    return { cohort: [], control: [] };
  }

  async away(): Promise<number> {
    return 0;
  }

  async pinned(): Promise<number> {
    return 0;
  }

  async failureGroups(): ReturnType<FleetReader['failureGroups']> {
    return { total: 0, omitted: 0, byMessage: [], byVersion: [], byStratum: [] };
  }

  async countFailuresBy(): Promise<void> {}

  async failures(): ReturnType<FleetReader['failures']> {
    return { items: [], total: 0 };
  }

  async frozen(): ReturnType<FleetReader['frozen']> {
    return false;
  }

  async rowsOf(id: string, uids: readonly string[]): ReturnType<FleetReader['rowsOf']> {
    return new Map(
      uids.flatMap((uid) => {
        const row = this.agents.get(uid)?.rows.get(id);
        return row === undefined ? [] : [[uid, { status: row.status, wave: row.wave }]];
      }),
    );
  }

  // ---- RolloutStore

  async load(id: string): Promise<RolloutDocument | undefined> {
    const newest = this.documents.get(id)?.at(-1);
    return newest === undefined ? undefined : structuredClone(newest);
  }

  async loadMany(ids: readonly string[]): Promise<RolloutDocument[]> {
    return (await Promise.all(ids.map((id) => this.load(id)))).filter((document) => document !== undefined);
  }

  async commit(step: StepCommit): Promise<CommitOutcome> {
    const { document } = step;
    if (this.failCommits > 0) {
      this.failCommits -= 1;
      throw new BrokenConnectionError('the connection broke before the commit');
    }
    const before = this.documents.get(document.id)?.at(-1);
    if ((before?.rev ?? 0) !== document.rev - 1) return { kind: 'stale' };
    if (before === undefined) {
      const other = this.active.get(document.group);
      const replaced = typeof step.active === 'object' ? step.active.replace : undefined;
      if (other !== undefined && other !== replaced) return { kind: 'active', id: other };
      this.active.set(document.group, document.id);
      this.documents.set(document.id, []);
      this.eventLog.set(document.id, []);
    }
    if (this.startedAtMs === null && document.startedAtMs !== null) {
      this.startedAtMs = document.startedAtMs;
      for (const agent of this.agents.values()) if (!agent.connected && agent.lastSeenMs < this.now) agent.passedOver = 'away';
    }
    this.documents.get(document.id)?.push(structuredClone(document));
    this.eventLog.get(document.id)?.push(...structuredClone([...step.events]));
    const fieldBefore = this.fields[specField.rollout(document.id)];
    const changes = Object.keys(step.specSet).length + step.specDel.length;
    Object.assign(this.fields, step.specSet);
    for (const field of step.specDel) delete this.fields[field];
    const generation = Number(this.fields[specField.generation] ?? 0) + (changes > 0 ? 1 : 0);
    this.fields[specField.generation] = String(generation);
    if (step.nextEvalAtMs === null) this.due.delete(document.id);
    else this.due.set(document.id, step.nextEvalAtMs);
    if (step.active === 'clear' && this.active.get(document.group) === document.id) this.active.delete(document.group);
    this.onCommit({ before, after: document, events: step.events, fieldBefore });
    return { kind: 'ok', generation };
  }

  async postpone(id: string, nextEvalAtMs: number): Promise<void> {
    if (this.due.has(id)) this.due.set(id, nextEvalAtMs);
  }

  async takeDue(): Promise<string[]> {
    return [...this.due].filter(([, atMs]) => atMs <= this.now).map(([id]) => id);
  }

  async page(): ReturnType<RolloutStore['page']> {
    return { ids: [...this.documents.keys()], cursor: null };
  }

  async findIdempotent(): Promise<string | undefined> {
    return undefined;
  }

  async activeOf(group: string): Promise<string | undefined> {
    return this.active.get(group);
  }

  async activeIds(): Promise<string[]> {
    return [...this.active.values()];
  }

  async events(id: string, afterSeq: number): Promise<RolloutEvent[]> {
    return this.eventLog.get(id)?.slice(afterSeq) ?? [];
  }
}
