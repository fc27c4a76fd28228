import type { Clock } from '@opamp-gateway/shared/clock';
import { acceptsRemoteConfig, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import { desired } from '@opamp-gateway/shared/fleet-spec';
import type { Desired, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import type { TrailingCounts } from '@opamp-gateway/shared/redis/fleet-scripts';
import { NO_GROUP } from '@opamp-gateway/shared/redis/keys';
import { formatFailed, formatOfferedFor } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { Row } from '@opamp-gateway/shared/rollout-types';
import type { GatewayEvents } from '../events.ts';
import { reconcile, unreported } from '../reconciler/reconcile.ts';
import type { OfferPlan, RowChange } from '../reconciler/reconcile.ts';
import type { AgentSession, FacetSource } from './agent-session.ts';
import { carriedOver, shapeOf } from './carried-over.ts';
import { interned, withEntry } from './interning.ts';
import type { SessionWriter, SpecSource } from './ports.ts';
import { TokenBucket } from './token-bucket.ts';

/** Why an agent is evaluated: the spec changed, or the agent did something (joined, reported). */
export type Cause = 'spec' | 'session';

export interface OfferDeskOptions {
  clock: Clock;
  events: GatewayEvents;
  spec: SpecSource;
  writer: SessionWriter;
  /** Offers per second outside rollouts. */
  offerRate: number;
  /** Most offers without an answer, and their bytes. */
  windowOffers: number;
  windowBytes: number;
  /** Uncompressed limit of a message, header included. */
  maxMessageBytes: number;
  /** False: effective configs are not stored, and nobody is judged by one. */
  keepEffective: boolean;
  /** False while this gateway's lease is not held: nothing is offered. */
  mayOffer(): boolean;
  /** Number of live gateways, for the share of a rollout's join rate. */
  liveGateways(): number;
  /** The reply that an offer goes with: flags and capabilities owed to the agent. */
  sendWithOffer(session: AgentSession, remoteConfig: Uint8Array): boolean;
}

/** Time after which an offer without an answer gives its credit back; the agent's row has its own deadline. */
const CREDIT_TIMEOUT_MS = 30_000;
/**
 * Time after which an agent that has said nothing of its offer counts as slow: it then takes its credit from a second window, so that
 * the others do not wait for it. A supervisor answers APPLYING at once.
 */
const SLOW_AFTER_MS = 2_000;
/** Their window as a part of the first: where everybody is slow, more offers under way would make it worse. */
const SLOW_SHARE = 0.5;
const TRAILING_WINDOW_MS = 600_000;
/** Longest value of a facet. */
const MAX_FACET_CHARS = 128;
/** Longest time that one look at the waiting offers may take. */
const TICK_BUDGET_MS = 20;
/** A look at so many sessions that let no offer begin is followed by a rest: nothing changes from one look to the next. */
const MANY_SESSIONS = 256;
const REST_MS = 1_000;

/**
 * Decides what to offer to whom, and when: record first, then the bytes. Offers that a boundary move started pass only
 * the credit window (offers without an answer, and their bytes); all others also a token bucket.
 */
export class OfferDesk {
  readonly #options: OfferDeskOptions;
  readonly #trailing: TokenBucket;
  readonly #joins = new Map<string, TokenBucket>();
  readonly #waiting = new Set<AgentSession>();
  /** Sessions whose offer is being recorded: decided, and not in Redis yet. */
  readonly #recording = new Set<AgentSession>();
  readonly #fresh = createWindow();
  /** Offers of agents that are slow to answer, or do not read: half as many again, so that their memory is bounded too. */
  readonly #slow = createWindow();
  /** Offers and failures outside rollouts. */
  #trailingLog: { atMs: number; group: string; hash: string; round: number; failed: boolean }[] = [];
  #oversizeLogged = new Set<string>();
  /** Offers that began, ever. */
  #begun = 0;
  #restUntilMs = 0;

  constructor(options: OfferDeskOptions) {
    this.#options = options;
    this.#trailing = new TokenBucket(options.offerRate, options.clock.nowMs());
  }

  /** Sessions that are to be offered something, and whose offer is not in Redis yet, by rollout id ('' outside rollouts). */
  backlog(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const session of this.#waiting) {
      if (session.waiting === undefined) continue;
      counts[session.waiting] = (counts[session.waiting] ?? 0) + 1;
    }
    for (const { offer } of this.#recording) if (offer !== undefined) counts[offer.rolloutId] = (counts[offer.rolloutId] ?? 0) + 1;
    return counts;
  }

  /** Offers of the groups' proven versions outside rollouts in the last ten minutes, and failures, by group. */
  trailing(): Record<string, TrailingCounts> {
    const from = this.#options.clock.nowMs() - TRAILING_WINDOW_MS;
    this.#trailingLog = this.#trailingLog.filter((entry) => entry.atMs >= from);
    const counts: Record<string, TrailingCounts> = {};
    const present = new Map(this.#options.spec.spec.groups.map((group) => [group.name, group]));
    for (const entry of this.#trailingLog) {
      const group = present.get(entry.group);
      if (group?.stable?.hash !== entry.hash || (group.trailingRound ?? 0) !== entry.round) continue;
      const count = (counts[entry.group] ??= { hash: entry.hash, round: entry.round, offers: 0, failures: 0 });
      if (entry.failed) count.failures += 1;
      else count.offers += 1;
    }
    return counts;
  }

  /** A version that was offered outside a rollout got FAILED. */
  trailingFailed(group: string, hash: string): void {
    this.#logTrailing(group, hash, true);
  }

  #logTrailing(name: string, hash: string, failed: boolean): void {
    const round = this.#options.spec.spec.groups.find((group) => group.name === name)?.trailingRound ?? 0;
    this.#trailingLog.push({ atMs: this.#options.clock.nowMs(), group: name, hash, round, failed });
  }

  /** Brings one agent in line with the spec: books rows, plans the offer that is due, updates group and facets. */
  evaluate(session: AgentSession, cause: Cause): void {
    if (session.phase !== 'live') return;
    const { spec } = this.#options.spec;
    const { record } = session;
    const carried = cause === 'spec' ? carriedOver(session, spec) : undefined;
    if (carried !== undefined) {
      session.desired = carried;
      return;
    }
    const outcome = desired(spec, session.desiredInput);
    session.desired = outcome;
    session.shape = shapeOf(spec);
    this.#bookGroup(session, outcome);
    const now = this.#options.clock.nowMs();
    if (session.awaitingReportUntilMs > now) {
      this.#stopWaiting(session);
      return;
    }
    // Bytes that have not left and are no longer wanted never leave. Who has what is wanted instead needs no offer of it either:
    // a client does not report again what it has reported.
    if (session.offer !== undefined && session.offer.config.hash !== outcome.config?.hash) this.offerUnsent(session);
    const plan = reconcile(spec, record, outcome, this.#options.keepEffective);
    for (const row of plan.rows) this.bookRow(session, row);
    if (plan.offer === null) this.#stopWaiting(session);
    else this.#tryOffer(session, plan.offer, outcome, cause);
    this.bookFacets(session);
  }

  /** Writes a row: in memory at once, in Redis with the next flush. */
  bookRow(session: AgentSession, change: RowChange): void {
    this.noteRow(session, change);
    session.write().rows.push(change);
    this.#options.writer.markDirty(session);
  }

  /** The part of {@link bookRow} that concerns memory. */
  noteRow(session: AgentSession, change: RowChange): void {
    const now = this.#options.clock.nowMs();
    const old = session.record.rows.get(change.rollout);
    const row: Row = {
      wave: old?.wave ?? change.wave,
      status: change.status,
      attempt: change.attempt,
      deadlineMs: change.deadlineInMs < 0 ? (old?.deadlineMs ?? 0) : now + change.deadlineInMs,
      offeredAtMs: change.status === 'offered' ? now : (old?.offeredAtMs ?? 0),
      ackTimeoutMs: change.ackTimeoutMs,
      soft: change.soft,
    };
    session.record.rows = withEntry(session.record.rows, change.rollout, row);
  }

  /** An agent is back. Its disconnect had moved the end of a health hold by the whole acknowledgement timeout; now the hold begins anew. */
  holdAgain(session: AgentSession): void {
    for (const rollout of this.#options.spec.spec.rollouts.values()) {
      const row = session.record.rows.get(rollout.id);
      if (row === undefined || row.soft || rollout.direction === 'back') continue;
      if (!reportsRemoteConfig(session.record.capabilities)) this.#bookUnreported(session, rollout, row);
      if (row.status !== 'verifying') continue;
      const { wave, status, attempt, ackTimeoutMs, soft } = row;
      this.bookRow(session, {
        rollout: rollout.id,
        wave,
        status,
        attempt,
        deadlineInMs: rollout.healthHoldMs,
        ackTimeoutMs,
        soft,
        error: '',
      });
    }
  }

  /** Recomputes the facet counters the agent is counted under. */
  bookFacets(session: AgentSession): void {
    const { record, desired: want } = session;
    const group = want?.group?.name ?? NO_GROUP;
    const sync = syncWord(session);
    if (isFacetSource(session.facetSource, record, group, sync) && session.facetText !== '') return;
    session.facetSource = {
      group,
      sync,
      healthy: record.healthy,
      status: record.reportedStatus,
      hash: record.reportedHash,
      attributes: record.attributes,
      componentsHash: record.componentsHash,
      capabilities: record.capabilities,
    };
    const health = record.healthy === undefined ? 'unknown' : record.healthy ? 'healthy' : 'unhealthy';
    const facets = [
      word('group', group),
      word('group-health', `${group}=${health}`),
      word('service', record.attributes.identifying['service.name']),
      word('version', record.attributes.identifying['service.version']),
      word('health', health),
      word('status', record.reportedStatus.toLowerCase()),
      word('sync', sync),
      word('running', record.reportedStatus === 'APPLIED' ? record.reportedHash.slice(0, 12) : ''),
      // Who could load a config is judged for each group by the builds in it.
      ...(acceptsRemoteConfig(record.capabilities) ? [`build=${record.componentsHash.slice(0, 64)}=${group}`] : []),
    ];
    const text = facets.join('\n');
    if (text === session.facetText) return;
    session.facetText = interned.text('facets', text);
    session.write().facets = session.facetText;
    this.#options.writer.markDirty(session);
  }

  /** Called when Redis has acknowledged the write that records the session's offer: now the bytes leave. */
  offerRecorded(session: AgentSession): void {
    const { offer } = session;
    if (offer === undefined) return;
    session.offer = undefined;
    this.#recording.delete(session);
    const sent = this.#options.sendWithOffer(session, offer.bytes);
    if (!sent) {
      this.#takeBack(session, offer);
      return;
    }
    this.#options.events.offerSent(offer.kind, session.uid, offer.config.hash);
    const group = session.desired?.group?.name ?? NO_GROUP;
    if (offer.kind === 'trailing') this.#logTrailing(group, offer.config.hash, false);
    if (!reportsRemoteConfig(session.record.capabilities)) this.#cannotReport(session);
  }

  /** The connection ended (or the reply could not be written, or the offer is no longer wanted) before the offer's bytes left. */
  offerUnsent(session: AgentSession): void {
    const { offer } = session;
    if (offer === undefined) return;
    session.offer = undefined;
    this.#recording.delete(session);
    this.#takeBack(session, offer);
  }

  /** The agent answered, or will not: its share of the window is free again. */
  returnCredit(session: AgentSession): void {
    if (session.creditBytes === 0) return;
    for (const window of [this.#fresh, this.#slow]) if (window.sessions.delete(session)) window.bytes -= session.creditBytes;
    session.creditBytes = 0;
  }

  /** The session is gone from this gateway. */
  forget(session: AgentSession): void {
    this.#stopWaiting(session);
    this.#recording.delete(session);
    this.returnCredit(session);
  }

  /** Returns overdue credit and tries the offers that wait. Called several times a second. */
  tick(): void {
    this.#ageCredits();
    const nowMs = this.#options.clock.monotonicMs();
    // Without a lease nobody can be offered anything, and a gateway that has lost it needs its time to get it back.
    if (!this.#options.mayOffer() || nowMs < this.#restUntilMs) return;
    // Whoever goes on waiting moves to the end, so that each gets its turn; the time bound keeps heartbeats and accepts going.
    const before = this.#begun;
    let looks = 0;
    for (let left = this.#waiting.size; left > 0; left -= 1) {
      const session = this.#waiting.values().next().value;
      if (session === undefined || this.#windowIsFull() || this.#options.clock.monotonicMs() > nowMs + TICK_BUDGET_MS) break;
      this.#waiting.delete(session);
      this.evaluate(session, session.waitingCause);
      looks += 1;
    }
    if (looks >= MANY_SESSIONS && this.#begun === before) this.#restUntilMs = nowMs + REST_MS;
  }

  /** Sessions with an offer that waits. */
  get waiting(): ReadonlySet<AgentSession> {
    return this.#waiting;
  }

  #bookGroup(session: AgentSession, outcome: Desired): void {
    const { record } = session;
    const group = outcome.group?.name ?? NO_GROUP;
    // A pinned agent takes no part in its group's rollouts, nor one whose build lacks a component: they count neither for percents
    // nor as unreached.
    const takes = acceptsRemoteConfig(record.capabilities) && record.pin === null && !outcome.lacking;
    if (record.group === group && session.takesConfig === takes) return;
    record.group = group;
    session.takesConfig = takes;
    const write = session.write();
    write.group = group;
    write.takesConfig = takes;
    this.#options.writer.markDirty(session);
  }

  #tryOffer(session: AgentSession, plan: OfferPlan, outcome: Desired, given: Cause): void {
    const { spec, writer } = this.#options;
    const rolloutId = plan.kind === 'rollout' || plan.kind === 'back' ? (outcome.rollout?.id ?? '') : '';
    // Whatever takes something back: neither a freeze nor the pace of offers holds it up.
    const urgent = plan.kind === 'back' || plan.kind === 'takeBack' || (plan.kind === 'rollout' && outcome.rollout?.revert === true);
    // An offer that waits keeps the pacing it began with, whatever the agent says or the spec does meanwhile.
    const cause = session.waiting === rolloutId ? session.waitingCause : given;
    if (!this.#options.mayOffer() || (spec.spec.frozen && !urgent) || (plan.kind === 'trailing' && outcome.group?.trailingHeld === true)) {
      this.#wait(session, rolloutId, cause);
      return;
    }
    const bytes = spec.remoteConfig(plan.config.hash);
    if (bytes === undefined || this.#windowIsFull() || (!urgent && !this.#paced(plan, outcome, cause))) {
      this.#wait(session, rolloutId, cause);
      return;
    }
    if (bytes.length + session.wireUid.length + 3 > this.#options.maxMessageBytes) {
      this.#tooBig(session, plan, bytes.length);
      return;
    }
    this.#stopWaiting(session);
    const { record } = session;
    const { offered, offerAnswered, offeredFor } = record;
    const prior = session.offer?.prior ?? { offered, offerAnswered, offeredFor, offeredHere: session.offeredHere };
    session.offer = { config: plan.config, bytes, prior, kind: plan.kind, rolloutId };
    this.#recording.add(session);
    this.#begun += 1;
    session.offeredHere = true;
    record.offered = plan.config.hash;
    record.offerAnswered = !reportsRemoteConfig(record.capabilities);
    record.offeredFor = plan.offeredFor;
    record.unhealthyWhenOffered = record.healthy === false;
    const write = session.write();
    write.set.offered = record.offered;
    write.set.offerAnswered = record.offerAnswered ? '1' : '0';
    if (record.asked !== undefined) {
      // What was asked about an earlier offer says nothing about this one.
      record.asked = undefined;
      write.set.asked = '';
    }
    write.set.offeredFor = formatOfferedFor(record.offeredFor);
    write.set.unhealthyWhenOffered = record.unhealthyWhenOffered ? '1' : '0';
    if (plan.row !== null) this.bookRow(session, plan.row);
    this.returnCredit(session);
    this.#fresh.sessions.add(session);
    session.creditBytes = bytes.length;
    this.#fresh.bytes += bytes.length;
    session.creditSinceMs = this.#options.clock.nowMs();
    writer.markDirty(session, session.outlet.transport === 'http');
  }

  #paced(plan: OfferPlan, outcome: Desired, cause: Cause): boolean {
    const now = this.#options.clock.nowMs();
    if (plan.kind === 'trailing') return this.#trailing.take(now);
    if (cause === 'spec' || outcome.rollout === null || outcome.rollout.joinRate === null) return true;
    const { id, joinRate } = outcome.rollout;
    const rate = Math.max(1, joinRate / Math.max(1, this.#options.liveGateways()));
    let bucket = this.#joins.get(id);
    if (bucket === undefined) {
      if (this.#joins.size > 1000) this.#joins.clear();
      bucket = new TokenBucket(rate, now);
      this.#joins.set(id, bucket);
    }
    bucket.setRate(rate);
    return bucket.take(now);
  }

  /** Moves the credit of slow agents to their own window while that has room, and returns what is overdue. */
  #ageCredits(): void {
    const now = this.#options.clock.nowMs();
    for (const window of [this.#slow, this.#fresh]) {
      for (const session of window.sessions) {
        if (now - session.creditSinceMs < CREDIT_TIMEOUT_MS) break;
        this.returnCredit(session);
      }
    }
    for (const session of this.#fresh.sessions) {
      if (now - session.creditSinceMs < SLOW_AFTER_MS || this.#isFull(this.#slow, SLOW_SHARE)) return;
      this.#fresh.sessions.delete(session);
      this.#fresh.bytes -= session.creditBytes;
      this.#slow.sessions.add(session);
      this.#slow.bytes += session.creditBytes;
    }
  }

  #windowIsFull(): boolean {
    return this.#isFull(this.#fresh);
  }

  #isFull({ sessions, bytes }: CreditWindow, share = 1): boolean {
    return sessions.size >= share * this.#options.windowOffers || bytes >= share * this.#options.windowBytes;
  }

  #wait(session: AgentSession, rolloutId: string, cause: Cause): void {
    session.waiting = rolloutId;
    session.waitingCause = cause;
    if (session.outlet.transport === 'ws') this.#waiting.add(session);
  }

  #stopWaiting(session: AgentSession): void {
    session.waiting = undefined;
    this.#waiting.delete(session);
  }

  #tooBig(session: AgentSession, plan: OfferPlan, bytes: number): void {
    this.#stopWaiting(session);
    if (!this.#oversizeLogged.has(plan.config.hash)) {
      if (this.#oversizeLogged.size > 1000) this.#oversizeLogged.clear();
      this.#oversizeLogged.add(plan.config.hash);
      this.#options.events.offerTooBig(plan.config.hash, bytes, this.#options.maxMessageBytes);
    }
    if (plan.row !== null && plan.kind === 'rollout' && !session.record.rows.has(plan.row.rollout)) {
      this.bookRow(session, { ...plan.row, status: 'skipped', deadlineInMs: -1, error: 'the config is over the message size limit' });
    }
  }

  #takeBack(session: AgentSession, offer: NonNullable<AgentSession['offer']>): void {
    const { record } = session;
    this.returnCredit(session);
    if (record.offered !== offer.config.hash) return;
    session.offeredHere = offer.prior.offeredHere;
    record.offered = offer.prior.offered;
    record.offerAnswered = offer.prior.offerAnswered;
    record.offeredFor = offer.prior.offeredFor;
    const write = session.write();
    write.set.offered = record.offered;
    write.set.offerAnswered = record.offerAnswered ? '1' : '0';
    write.set.offeredFor = formatOfferedFor(record.offeredFor);
    this.#options.writer.markDirty(session);
  }

  /** An agent that cannot report: once sent, its offer counts as answered; its row is restored, or what {@link unreported} says. */
  #cannotReport(session: AgentSession): void {
    this.returnCredit(session);
    for (const rollout of this.#options.spec.spec.rollouts.values()) {
      const row = session.record.rows.get(rollout.id);
      if (row === undefined) continue;
      this.#bookUnreported(session, rollout, row);
      if (row.status !== 'restoring') continue;
      const { wave, attempt, ackTimeoutMs } = row;
      this.bookRow(session, {
        rollout: rollout.id,
        wave,
        status: 'restored',
        attempt,
        deadlineInMs: -1,
        ackTimeoutMs,
        soft: false,
        error: '',
      });
    }
  }

  /** The row of an agent that cannot report, once it has been sent the version: what {@link unreported} says. */
  #bookUnreported(session: AgentSession, rollout: RolloutSpec, { status, wave, attempt }: Row): void {
    if (status !== 'offered' || session.record.offered !== rollout.to.hash) return;
    this.bookRow(session, { ...unreported(session.record, rollout, this.#options.keepEffective), wave, attempt });
  }
}

/** Offers without an answer, oldest first, and their bytes. */
interface CreditWindow {
  readonly sessions: Set<AgentSession>;
  bytes: number;
}

function createWindow(): CreditWindow {
  return { sessions: new Set(), bytes: 0 };
}

/** One facet, without the characters that separate facets where they are stored. */
function word(key: string, value = ''): string {
  const isPlain = value.length <= MAX_FACET_CHARS && !value.includes('\n') && !value.includes('|');
  return `${key}=${isPlain ? value : value.slice(0, MAX_FACET_CHARS).replaceAll(/[\n|]/g, ' ')}`;
}

/** Whether facets that were made of `source` are those of the record as it is. */
function isFacetSource(source: FacetSource | undefined, record: AgentRecord, group: string, sync: string): boolean {
  return (
    source !== undefined &&
    source.group === group &&
    source.sync === sync &&
    source.healthy === record.healthy &&
    source.status === record.reportedStatus &&
    source.hash === record.reportedHash &&
    source.attributes === record.attributes &&
    source.componentsHash === record.componentsHash &&
    source.capabilities === record.capabilities
  );
}

/** How an agent stands to its desired config. */
function syncWord(session: AgentSession): string {
  const { record, desired: want } = session;
  if (want === undefined || want.config === null) return 'none';
  if (!acceptsRemoteConfig(record.capabilities)) return 'unsupported';
  if (!reportsRemoteConfig(record.capabilities)) return 'unverified';
  if (record.reportedHash === want.config.hash && record.reportedStatus === 'APPLIED') return 'synced';
  return record.reportedStatus === 'FAILED' && record.reportedHash === want.config.hash ? 'failed' : 'drifted';
}

/** Text of the `failed` field after a change, for the write that carries it. */
export function bookFailed(session: AgentSession, writer: SessionWriter): void {
  session.write().set.failed = formatFailed(session.record.failed);
  writer.markDirty(session);
}
