import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import { parseRow } from '@opamp-gateway/shared/rollout-types';
import { CLOSE_REASONS } from '../close-reasons.ts';
import { decodeBody, decodeWebSocketMessage } from '../protocol/codec.ts';
import type { Decoded } from '../protocol/codec.ts';
import { readHeartbeat } from '../protocol/heartbeat.ts';
import { encodeError, encodeReply, REPORT_FULL_STATE } from '../protocol/replies.ts';
import { emptyWrite, mergeWrites } from '../pending-write.ts';
import type { PendingWrite } from '../pending-write.ts';
import { AgentSession } from './agent-session.ts';
import type { QueuedMessage } from './agent-session.ts';

import { AgentCommands } from './agent-commands.ts';
import { AWAIT_REPORT_MS, Claiming } from './claiming.ts';
import { adoptCredential, isForeign } from './credential.ts';
import { FullStateLimiter } from './full-state.ts';
import { HealthWatch } from './health-watch.ts';
import { identify } from './identify.ts';
import { Identity } from './identity.ts';
import { withEntry } from './interning.ts';
import { OfferDesk } from './offer-desk.ts';
import type { Outlet } from './ports.ts';
import { ReplyDesk } from './reply-desk.ts';
import { isComplete, mergeReport, messageDigest } from './report.ts';
import { rewriteAll } from './rewrite.ts';
import type { SessionManagerOptions } from './session-options.ts';
import { isAsking, SessionRegistry } from './session-registry.ts';
import { StatusDesk } from './status-desk.ts';

/** Most times that one poll is reconciled when others claim the same agent. */
const MAX_EXCHANGE_ATTEMPTS = 3;
/**
 * The flow of messages: finds or makes the session of the agent that speaks, merges what it reports, lets the desk decide
 * what to offer, and answers every message. [OpAMP Status Reporting: respond to each AgentToServer]
 */
export class SessionManager {
  readonly registry = new SessionRegistry();
  readonly desk: OfferDesk;
  readonly health: HealthWatch;
  readonly commands = new AgentCommands(this.registry);
  readonly #options: SessionManagerOptions;
  readonly #fullState: FullStateLimiter;
  readonly #replies: ReplyDesk;
  readonly #statuses: StatusDesk;
  readonly #identity: Identity;
  readonly #claiming: Claiming;
  readonly #superseded = new Set<AgentSession>();
  /** HTTP exchanges of one agent run one after the other. */
  readonly #exchanges = new Map<string, Promise<void>>();

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#fullState = new FullStateLimiter({
      ratePerSecond: options.fullStateRate,
      intervalMs: options.fullStateIntervalMs,
      nowMs: options.clock.nowMs(),
    });
    this.desk = new OfferDesk({
      clock: options.clock,
      events: options.events,
      spec: options.spec,
      writer: options.writer,
      offerRate: options.offerRate,
      windowOffers: options.windowOffers,
      windowBytes: options.windowBytes,
      maxMessageBytes: options.maxMessageBytes,
      keepEffective: options.keepEffective,
      mayOffer: () => options.mayOffer(),
      liveGateways: () => options.liveGateways(),
      sendWithOffer: (session, remoteConfig) => this.#replies.sendOwed(session, remoteConfig),
    });
    this.health = new HealthWatch({
      spec: options.spec,
      desk: this.desk,
      writer: options.writer,
      degradedAfterMs: options.degradedAfterMs,
    });
    this.#replies = new ReplyDesk({
      clock: options.clock,
      events: options.events,
      spec: options.spec,
      components: options.components,
      writer: options.writer,
      fullState: this.#fullState,
      customCapabilities: options.customCapabilities,
      maxMessageBytes: options.maxMessageBytes,
    });
    this.#identity = new Identity({
      events: options.events,
      records: options.records,
      writer: options.writer,
      registry: this.registry,
      replies: this.#replies,
      end: (session) => this.#end(session),
      forget: (session) => this.#forget(session),
      unavailable: (session, message) => this.#unavailable(session, message),
    });
    this.#claiming = new Claiming({
      clock: options.clock,
      events: options.events,
      spec: options.spec,
      records: options.records,
      writer: options.writer,
      registry: this.registry,
      desk: this.desk,
      health: this.health,
      replies: this.#replies,
      process: (session, { message, digest }) => this.#process(session, message, digest),
      end: (session) => this.#end(session),
      forget: (session) => this.#forget(session),
      supersede: (session) => this.#supersede(session),
      unavailable: (session, message) => this.#unavailable(session, message),
      foreign: (session) => this.#foreign(session),
    });
    this.#statuses = new StatusDesk({
      clock: options.clock,
      events: options.events,
      spec: options.spec,
      writer: options.writer,
      desk: this.desk,
      health: this.health,
    });
  }

  /** Number of agents on connections whose records are being loaded. */
  get claiming(): number {
    return this.#claiming.underWay;
  }

  /** Number of connected agents that report themselves unhealthy, as of the last tick. */
  get unhealthy(): number {
    return this.health.unhealthy;
  }

  /** One WebSocket message (header included). */
  handleWebSocketMessage(outlet: Outlet, bytes: Uint8Array): void {
    this.#options.events.messageRead('ws');
    const only = this.registry.only(outlet);
    if (only !== undefined && this.#beat(only, bytes)) return;
    // What waits for a claim outlives this call, the bytes that it points into do not.
    const kept = only?.phase === 'live' || only?.phase === 'superseded' ? bytes : bytes.slice();
    const decoded = decodeWebSocketMessage(kept);
    const identified = this.#identify(outlet, decoded);
    if (identified === undefined || !decoded.ok) return;
    const session = this.registry.on(outlet, identified);
    const message = { message: decoded.message, digest: messageDigest(bytes), bytes: bytes.length };
    if (session === undefined || session.phase === 'closed') {
      this.#claiming.open(outlet, identified, kept === bytes ? copyOf(message, bytes) : message);
    } else if (session.phase === 'claiming') this.#claiming.enqueue(session, kept === bytes ? copyOf(message, bytes) : message);
    else if (session.phase === 'superseded') this.#identity.handleSuperseded(session, message.message, message.digest);
    else this.#process(session, message.message, message.digest);
  }

  /** A bare heartbeat, the next in order, of an agent of whom nothing is awaited: answered, and its number noted. */
  #beat(session: AgentSession, bytes: Uint8Array): boolean {
    const { record } = session;
    if (session.phase !== 'live' || session.offer !== undefined || session.fullStateOwed || session.offerQuestion) return false;
    if (!session.greeted || session.handedUid !== undefined || record.gap || record.seq === undefined) return false;
    const beat = readHeartbeat(bytes);
    if (beat === undefined || beat.sequenceNum !== Number(record.seq) + 1 || !session.isWireUid(beat.uid)) return false;
    if (beat.capabilities !== 0 && beat.capabilities !== Number(record.capabilities)) return false;
    record.seq = BigInt(beat.sequenceNum);
    record.seqDigest = messageDigest(bytes);
    session.numberUnwritten = true;
    session.outlet.send(encodeReply(session.wireUid));
    return true;
  }

  /**
   * One HTTP exchange: claims the record for this poll, reconciles, writes (record first), then answers through `outlet`.
   * Rejects when Redis is away; nothing was stored then and the caller answers 503.
   */
  async handleHttpBody(outlet: Outlet, bytes: Uint8Array): Promise<void> {
    this.#options.events.messageRead('http');
    const decoded = decodeBody(bytes);
    const uid = this.#identify(outlet, decoded);
    if (uid === undefined || !decoded.ok) return;
    const before = this.#exchanges.get(uid) ?? Promise.resolve();
    const exchange = before.catch(() => undefined).then(() => this.#exchange(outlet, uid, decoded.message, messageDigest(bytes)));
    this.#exchanges.set(uid, exchange);
    try {
      await exchange;
    } finally {
      if (this.#exchanges.get(uid) === exchange) this.#exchanges.delete(uid);
    }
  }

  /** A connection ended: all its agents are away, unless another connection has them by now. */
  outletClosed(outlet: Outlet): void {
    for (const session of this.registry.allOn(outlet)) {
      // What was read before the end is still processed: the last message may be the agent's verdict.
      if (session.phase === 'claiming') session.outletEnded = true;
      else this.#end(session);
    }
  }

  /** The agent's owner elsewhere asks for it: write everything, number included, then let go. */
  async release(uid: string): Promise<void> {
    const session = this.registry.owner(uid);
    if (session?.phase === 'closed') {
      // Its connection has just ended, and its last state is on its way to Redis.
      await this.#options.writer.settled(session);
      return;
    }
    if (session === undefined || session.phase !== 'live') return;
    this.desk.offerUnsent(session);
    this.#replies.answerOwed(session);
    session.bookNumber();
    await this.#options.writer.settled(session);
    this.#supersede(session);
    this.#options.events.takenOver('gateway');
  }

  /**
   * A write was refused. `owner` is who has the agent now: another session has claimed it; or nobody, because the store has
   * lost the record, or this gateway for a connection that is gone already: then it is claimed again.
   */
  fenced(session: AgentSession, write: PendingWrite, owner: string): void {
    session.wasFenced = true;
    if (session.outlet.transport === 'http') return;
    this.#replies.answerOwed(session);
    if (session.phase !== 'live') this.#forget(session);
    else if (owner === '' || (owner === this.#options.gatewayId && this.registry.owner(session.uid) === session)) {
      // What was refused is written again under the new epoch: the agent would not say it twice.
      session.pending = mergeWrites(write, session.pending ?? emptyWrite());
      void this.#claiming.reclaim(session);
    } else this.#supersede(session);
  }

  /** Redis acknowledged a write. */
  written(session: AgentSession, write: PendingWrite, rows: Readonly<Record<string, string>>): void {
    for (const [rollout, text] of Object.entries(rows)) {
      if (session.pending?.rows.some((row) => row.rollout === rollout)) continue;
      const row = text === '' ? undefined : parseRow(text);
      if (row === undefined) session.record.rows.delete(rollout);
      else {
        session.record.rows = withEntry(session.record.rows, rollout, row);
        if (session.phase === 'live') this.#statuses.adopted(session, rollout, row);
      }
    }
    if (write.release) {
      if (session.phase === 'closed') this.registry.remove(session);
      return;
    }
    if (session.phase !== 'live') return;
    if (
      session.offer !== undefined &&
      (session.pending?.set.offered ?? session.offer.config.hash) === session.offer.config.hash &&
      write.set.offered === session.offer.config.hash
    ) {
      this.desk.offerRecorded(session);
    }
    if (session.offer === undefined) this.#replies.answerOwed(session);
  }

  /** Redis did not take a write: what is owed is answered without the offer, which follows as a push. */
  delayed(session: AgentSession): void {
    if (session.outlet.transport === 'ws') this.#replies.answerOwed(session);
  }

  /** Once a second: health rules, overdue credit, connections that were taken over. */
  tick(): void {
    const now = this.#options.clock.nowMs();
    this.health.tick(now);
    this.#fullState.sweep(now);
    for (const session of this.registry.asking) {
      if (session.phase !== 'live' || !isAsking(session)) {
        this.registry.asking.delete(session);
        continue;
      }
      this.#replies.askAgain(session);
      if (session.awaitingReportUntilMs !== 0 && session.awaitingReportUntilMs <= now) {
        session.awaitingReportUntilMs = 0;
        this.desk.evaluate(session, 'session');
      }
    }
    for (const session of this.#superseded) {
      if (now - session.supersededAtMs < 2 * this.#options.heartbeatIntervalMs) break;
      // Silence: the agent has moved. Its connection is closed unless it carries others.
      this.#superseded.delete(session);
      this.registry.remove(session);
      session.phase = 'closed';
      if (this.registry.allOn(session.outlet).length === 0) session.outlet.close(CLOSE_REASONS.superseded);
    }
  }

  /** Claims every session again: the lease was gone, or the store is another one. */
  reclaimAll(): void {
    for (const session of this.registry.sessions()) {
      // A claim that is under way may have reached Redis before the lease was found to have ended.
      if (session.phase === 'claiming') session.claimAgain = true;
      else if (session.phase === 'live') void this.#claiming.reclaim(session);
    }
  }

  /** Writes everything again that Redis may have lost. */
  rewriteAll(): void {
    for (const session of this.registry.sessions())
      if (session.phase === 'live') rewriteAll(session, { spec: this.#options.spec, desk: this.desk, writer: this.#options.writer });
  }

  /** Operators changed the agent's pin or labels. */
  edited(uid: string, edit: { pin: AgentSession['record']['pin']; labels: Record<string, string> }): void {
    const session = this.registry.owner(uid);
    if (session === undefined || session.phase !== 'live') return;
    const { record } = session;
    if (JSON.stringify(record.pin) === JSON.stringify(edit.pin) && JSON.stringify(record.labels) === JSON.stringify(edit.labels)) return;
    record.pin = edit.pin;
    record.labels = edit.labels;
    this.desk.evaluate(session, 'session');
  }

  /** What the credential of a connection allows has changed. */
  principalChanged(outlet: Outlet): void {
    for (const session of this.registry.allOn(outlet)) {
      if (session.phase !== 'live' || !adoptCredential(session)) continue;
      this.#options.writer.markDirty(session);
      this.desk.evaluate(session, 'session');
    }
  }

  /** The uid of a message; answers BAD_REQUEST and returns undefined when it has none that an agent may use. */
  #identify(outlet: Outlet, decoded: Decoded): string | undefined {
    const identified = identify(decoded);
    if (identified.uid !== undefined) return identified.uid;
    const known = decoded.ok || outlet.transport === 'http' ? [] : this.registry.allOn(outlet);
    this.#refuse(outlet, known.length === 1 && known[0] !== undefined ? known[0].wireUid : identified.wireUid, identified.problem);
    return undefined;
  }

  #refuse(outlet: Outlet, wireUid: Uint8Array, message: string): void {
    this.#options.events.rejected('bad_request', { message, from: outlet.remoteAddress });
    outlet.send(encodeError(wireUid, { kind: 'badRequest', message }));
  }

  /** The record belongs to another credential; nothing of it is touched. */
  #foreign({ outlet, uid, wireUid }: AgentSession): void {
    this.#options.events.rejected('foreign_uid', { uid, from: outlet.remoteAddress, credential: outlet.principal.id });
    outlet.send(encodeError(wireUid, { kind: 'badRequest', message: 'this instance_uid belongs to an agent with another credential' }));
  }

  #unavailable(session: AgentSession, message: string): void {
    session.outlet.send(encodeError(session.wireUid, { kind: 'unavailable', message, retryAfterMs: this.#options.retryAfterMs }));
  }

  async #exchange(outlet: Outlet, uid: string, message: AgentToServer, digest: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const session = new AgentSession(uid, message.instanceUid.slice(), outlet);
      try {
        const former = this.registry.owner(uid);
        const isRefused = former?.phase === 'live' && isForeign(former.record, outlet.principal);
        if (former !== undefined && !isRefused) await this.#claiming.giveUp(former);
        if (isRefused || !(await this.#claiming.load(session))) {
          this.#foreign(session);
          return;
        }
        this.#process(session, message, digest);
        await session.reidentifying;
        await this.#options.writer.settled(session);
        if (!session.wasFenced) {
          if (session.offer !== undefined) this.desk.offerUnsent(session);
          this.#replies.answerOwed(session);
          if (session.pending !== undefined) await this.#options.writer.settled(session);
          return;
        }
      } finally {
        if (session.offer !== undefined) this.desk.offerUnsent(session);
        this.desk.forget(session);
        this.health.forget(session);
        session.phase = 'closed';
      }
      // Another gateway claimed the agent between this claim and its write: load and reconcile again.
      if (attempt === MAX_EXCHANGE_ATTEMPTS) throw new Error(`the record of ${uid} was claimed by others ${attempt} times`);
    }
  }

  /** The heart: one message of an agent whose record is ours. */
  #process(session: AgentSession, message: AgentToServer, digest: string): void {
    if (session.phase !== 'live') return;
    const { record } = session;
    const now = this.#options.clock.nowMs();
    const { writer } = this.#options;

    const sameNumber = record.seq !== undefined && record.seq === message.sequenceNum;
    if (sameNumber && record.seqDigest === digest) {
      // A retry of the same bytes: answered, not processed twice. [OpAMP Retrying Messages] On HTTP the offer that the
      // lost answer carried goes out again.
      this.desk.evaluate(session, 'session');
      this.#replies.replyToRetry(session);
      return;
    }
    const known = record.seq !== undefined;
    const gap = known ? message.sequenceNum !== (record.seq ?? 0n) + 1n : true;
    const complete = isComplete(message, message.capabilities === 0n ? record.capabilities : message.capabilities);
    if (complete) session.fullStateOwed = false;
    else if (gap) session.fullStateOwed = true;
    this.registry.noteAsking(session);
    // The gap outlives this connection: a question that is lost with it is asked again on the next.
    const missed = !complete && (gap || record.gap);
    if (missed !== record.gap) session.write().set.gap = missed ? '1' : '';
    record.gap = missed;
    record.seq = message.sequenceNum;
    record.seqDigest = digest;
    session.numberUnwritten = true;

    const changes = mergeReport(record, message, { nowMs: now, keepEffective: this.#options.keepEffective });
    Object.assign(session.write().set, changes.set);
    if (changes.effective !== undefined) session.write().effective = changes.effective;
    if (changes.status !== undefined) this.#statuses.handle(session, changes.status, gap && complete);
    if (changes.healthChanged) this.health.watch(session);

    const only = Object.keys(changes.set).length === 0 && changes.effective === undefined && changes.status === undefined;
    // A bare heartbeat touches no Redis: its number is written behind, with the next change or on close.
    if (!only || gap || session.outlet.transport === 'http') {
      session.bookNumber();
      writer.markDirty(session, session.outlet.transport === 'http');
    }

    if (message.customMessage !== undefined) {
      const { capability, type, data } = message.customMessage;
      if (this.#options.customCapabilities.includes(capability)) this.#options.onCustomMessage(session.uid, { capability, type, data });
    }

    if (message.agentDisconnect !== undefined) {
      this.#disconnect(session);
      return;
    }
    if ((message.flags & 1n) !== 0n) {
      session.reidentifying = this.#identity.reidentify(session, 'requested');
      return;
    }
    if (changes.status !== undefined) {
      session.awaitingReportUntilMs = 0;
      session.offerQuestion = false;
    }
    const parts = this.#replies.partsFor(session, message);
    if (session.outlet.transport === 'http') {
      this.health.judge(session, now);
      // The answer is composed before an offer beside the question is looked at, and would deny it: the offer waits a poll.
      if (((parts.flags ?? 0n) & REPORT_FULL_STATE) !== 0n) session.awaitingReportUntilMs = now + AWAIT_REPORT_MS;
    }
    this.desk.evaluate(session, 'session');
    this.#replies.reply(session, parts);
  }

  /** The agent's last message on this connection. [OpAMP AgentDisconnect] */
  #disconnect(session: AgentSession): void {
    this.#replies.reply(session, this.#replies.greeting(session));
    this.#replies.answerOwed(session);
    this.#end(session);
  }

  #end(session: AgentSession): void {
    this.#superseded.delete(session);
    if (session.phase === 'live') {
      this.desk.offerUnsent(session);
      session.phase = 'closed';
      this.desk.forget(session);
      this.health.forget(session);
      session.owed = undefined;
      session.write().release = true;
      if (session.outlet.sentAway || this.#options.draining()) session.write().set.moved = '1'; // Not its own doing, nor its config's.
      session.bookNumber();
      this.#options.writer.markDirty(session);
    } else if (session.phase !== 'closed') {
      this.#forget(session);
    }
  }

  #supersede(session: AgentSession): void {
    session.phase = 'superseded';
    session.supersededAtMs = this.#options.clock.nowMs();
    this.desk.forget(session);
    this.health.forget(session);
    this.registry.disown(session);
    this.#superseded.add(session);
  }

  #forget(session: AgentSession): void {
    session.phase = 'closed';
    session.queue = undefined;
    this.desk.forget(session);
    this.health.forget(session);
    this.#superseded.delete(session);
    this.registry.remove(session);
  }
}

/** The message with bytes of its own. */
function copyOf(message: QueuedMessage, bytes: Uint8Array): QueuedMessage {
  const decoded = decodeWebSocketMessage(bytes.slice());
  return decoded.ok ? { ...message, message: decoded.message } : message;
}
