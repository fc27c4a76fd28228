import { parseRecord } from '@opamp-gateway/shared/agent-record';
import { reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { Clock } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import { CLOSE_REASONS } from '../close-reasons.ts';
import type { GatewayEvents } from '../events.ts';
import { AgentSession, phaseOf } from './agent-session.ts';
import type { QueuedMessage } from './agent-session.ts';
import { adoptCredential, isForeign } from './credential.ts';
import type { HealthWatch } from './health-watch.ts';
import { interned } from './interning.ts';
import type { OfferDesk } from './offer-desk.ts';
import type { AgentRecords, Outlet, SessionWriter, SpecSource } from './ports.ts';
import type { ReplyDesk } from './reply-desk.ts';
import { rewriteAll } from './rewrite.ts';
import type { SessionRegistry } from './session-registry.ts';

/** Most messages (and bytes) that wait for one agent's claim. */
const MAX_QUEUED_MESSAGES = 64;
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;
/** After a claim with an unanswered offer, how long the agent may take to report before offers go on. */
export const AWAIT_REPORT_MS = 30_000;
/** Pause before a failed claim is tried again. */
const CLAIM_RETRY_MS = 1_000;

export interface ClaimingOptions {
  clock: Clock;
  events: GatewayEvents;
  spec: SpecSource;
  records: AgentRecords;
  writer: SessionWriter;
  registry: SessionRegistry;
  desk: OfferDesk;
  health: HealthWatch;
  replies: ReplyDesk;
  /** Handles a message of a live session. */
  process(session: AgentSession, message: QueuedMessage): void;
  /** Ends a session: its agent is away. */
  end(session: AgentSession): void;
  /** Forgets a session whose agent belongs to another connection. */
  forget(session: AgentSession): void;
  /** Another session has the agent; the connection is watched for a while. */
  supersede(session: AgentSession): void;
  /** Answers UNAVAILABLE. */
  unavailable(session: AgentSession, message: string): void;
  /** Answers that the record belongs to another credential. */
  foreign(session: AgentSession): void;
}

/** Makes sessions live: takes the agent's record over, from whoever has it, and keeps what the agent says meanwhile. */
export class Claiming {
  readonly #options: ClaimingOptions;
  #underWay = 0;

  constructor(options: ClaimingOptions) {
    this.#options = options;
  }

  /** Agents on connections whose records are being loaded. */
  get underWay(): number {
    return this.#underWay;
  }

  /** The first message of an agent on a connection: makes a session and claims the record. */
  open(outlet: Outlet, uid: string, first: QueuedMessage): void {
    const { registry } = this.#options;
    const session = new AgentSession(uid, first.message.instanceUid, outlet);
    const former = registry.owner(uid);
    if (former?.phase === 'live' && isForeign(former.record, outlet.principal)) {
      this.#options.foreign(session);
      return;
    }
    registry.add(session);
    this.enqueue(session, first);
    this.#underWay += 1;
    void this.#claim(session, former).finally(() => {
      this.#underWay -= 1;
    });
  }

  /** A message of an agent whose record is being loaded: it waits. */
  enqueue(session: AgentSession, queued: QueuedMessage): void {
    const queue = (session.queue ??= []);
    if (queue.length >= MAX_QUEUED_MESSAGES || session.queuedBytes + queued.bytes > MAX_QUEUED_BYTES) {
      this.#options.events.rejected('claim_queue_full', { uid: session.uid });
      this.#options.unavailable(session, 'the agent is still being loaded');
      return;
    }
    queue.push(queued);
    session.queuedBytes += queued.bytes;
  }

  /** A connection of ours that held the agent: its state is written before the new one claims. */
  async giveUp(former: AgentSession): Promise<void> {
    const { desk, replies, writer } = this.#options;
    if (former.phase === 'live') {
      desk.offerUnsent(former);
      replies.answerOwed(former);
      former.bookNumber();
      await writer.settled(former);
      if (former.phase === 'live') this.#options.supersede(former);
    } else if (former.phase === 'claiming') {
      for (const _ of former.queue ?? []) this.#options.unavailable(former, 'the agent has moved to another connection');
      this.#options.forget(former);
    } else if (former.phase === 'closed') {
      await writer.settled(former);
    }
  }

  /** Claims the record and makes the session live; false when it belongs to another credential. Rejects when Redis is away. */
  async load(session: AgentSession): Promise<boolean> {
    const { records, registry } = this.#options;
    const { transport, principal } = session.outlet;
    const claim = await records.claim(session.uid, transport, principal);
    if (claim.kind === 'foreign') return false;
    if (claim.kind === 'alias') {
      // The agent was given another uid and came back with the old one.
      session.handedUid = claim.uid;
      const former = registry.owner(claim.uid);
      if (former !== undefined && former !== session) await this.giveUp(former);
      const again = await records.claim(claim.uid, transport, principal);
      if (again.kind === 'foreign') return false;
      if (session.phase !== 'claiming') return true;
      if (again.kind === 'alias') throw new Error(`instance uid ${claim.uid} leads to another alias`);
      if (transport === 'ws') {
        registry.remove(session);
        session.uid = again.uid;
        registry.add(session);
      } else session.uid = again.uid;
      this.#adopt(session, again.epoch, again.fields);
      return true;
    }
    if (session.phase === 'claiming') this.#adopt(session, claim.epoch, claim.fields);
    return true;
  }

  /** Claims the record of a live session again: the lease was gone, or the store is another one. Never rejects. */
  async reclaim(session: AgentSession): Promise<void> {
    if (session.phase !== 'live') return;
    const { desk, records, spec, writer } = this.#options;
    try {
      const claim = await records.reclaim(session.uid, session.epoch, session.outlet.principal);
      const phase = phaseOf(session);
      if (claim.kind === 'ok' && phase === 'closed') {
        // Its connection ended meanwhile; the release that was written then had the old epoch.
        session.epoch = claim.epoch;
        session.write().release = true;
        writer.markDirty(session);
      }
      if (phase !== 'live' || claim.kind === 'alias') return;
      if (claim.kind === 'owned' || claim.kind === 'foreign') {
        // While this gateway was away the agent moved; a message on this connection would prove a second one.
        this.#options.supersede(session);
        return;
      }
      session.epoch = claim.epoch;
      const stored = parseRecord(session.uid, claim.fields);
      const { record } = session;
      record.rows = stored.rows;
      for (const change of session.pending?.rows ?? []) desk.noteRow(session, change);
      record.pin = stored.pin;
      record.labels = stored.labels;
      session.takesConfig = undefined;
      session.facetText = '';
      rewriteAll(session, { spec, desk, writer });
      // A record without attributes is one the store has lost: nothing of the agent is known there.
      if (claim.fields['attributes'] === undefined) session.fullStateOwed = true;
      this.#options.registry.noteAsking(session);
      desk.evaluate(session, 'session');
    } catch (thrown) {
      this.#options.events.rejected('store_unavailable', { uid: session.uid, error: toError(thrown).message });
      await this.#options.clock.sleep(CLAIM_RETRY_MS);
      await this.reclaim(session);
    }
  }

  async #claim(session: AgentSession, former: AgentSession | undefined): Promise<void> {
    const { events } = this.#options;
    for (;;) {
      try {
        if (former !== undefined) {
          await this.giveUp(former);
          events.takenOver('connection');
        }
        if (session.phase !== 'claiming') return;
        if (!(await this.load(session))) {
          for (const _ of session.queue ?? []) this.#options.foreign(session);
          this.#options.forget(session);
          return;
        }
        break;
      } catch (thrown) {
        events.rejected('store_unavailable', { uid: session.uid, error: toError(thrown).message });
        // Refused messages do not advance the sequence number, so the next one shows a gap.
        for (const _ of session.queue ?? []) this.#options.unavailable(session, 'the store is not reachable');
        session.queue = undefined;
        session.queuedBytes = 0;
        if (session.outletEnded) this.#options.forget(session);
        else await this.#options.clock.sleep(CLAIM_RETRY_MS);
        if (session.phase !== 'claiming') return;
      }
    }
    const queue = session.queue ?? [];
    session.queue = undefined;
    session.queuedBytes = 0;
    try {
      for (const queued of queue) this.#options.process(session, queued);
    } catch (thrown) {
      const error = toError(thrown);
      events.logger.error({ uid: session.uid, error: error.message, stack: error.stack }, 'message could not be handled');
      session.outlet.close(CLOSE_REASONS.internal);
    }
    if (session.outletEnded) this.#options.end(session);
    else if (session.claimAgain) await this.reclaim(session);
  }

  #adopt(session: AgentSession, epoch: string, fields: Record<string, string>): void {
    const { clock, desk, health, writer } = this.#options;
    const now = clock.nowMs();
    session.epoch = epoch;
    session.record = parseRecord(session.uid, fields);
    if (adoptCredential(session)) writer.markDirty(session);
    interned.record(session.record);
    session.takesConfig = fields['takes'] === undefined ? undefined : fields['takes'] === '1';
    session.facetText = interned.text('facets', fields['facets'] ?? '');
    session.phase = 'live';
    const { record } = session;
    if (record.transport !== session.outlet.transport || fields['transport'] === undefined) {
      record.transport = session.outlet.transport;
      session.write().set.transport = record.transport;
      writer.markDirty(session);
    }
    const unanswered = record.offered !== '' && !record.offerAnswered && record.reportedHash !== record.offered;
    if (unanswered && reportsRemoteConfig(record.capabilities)) {
      const asked = record.asked?.hash === record.offered ? record.asked : undefined;
      // On a WebSocket it is asked anew: the question may have been lost with the connection before.
      session.offerQuestion = asked === undefined || session.outlet.transport === 'ws';
      session.awaitingReportUntilMs = Math.min(now, asked?.atMs ?? now) + AWAIT_REPORT_MS;
    }
    if (record.gap) session.fullStateOwed = true;
    this.#options.registry.noteAsking(session);
    if (session.outlet.transport === 'ws') desk.holdAgain(session);
    if (record.healthy === false) health.watch(session);
  }
}
