import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import { AGENT_CAPABILITIES, hasCapability } from '@opamp-gateway/shared/capabilities';
import type { Clock } from '@opamp-gateway/shared/clock';
import { uidFromBytes, uidToBytes } from '@opamp-gateway/shared/instance-uid';
import type { GatewayEvents } from '../events.ts';
import { encodeReply, OWN_CAPABILITIES, REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE } from '../protocol/replies.ts';
import type { ReplyParts } from '../protocol/replies.ts';
import type { AgentSession } from './agent-session.ts';
import type { FullStateLimiter } from './full-state.ts';
import type { ComponentStore, SessionWriter, SpecSource } from './ports.ts';

export interface ReplyDeskOptions {
  clock: Clock;
  events: GatewayEvents;
  spec: SpecSource;
  components: ComponentStore;
  writer: SessionWriter;
  fullState: FullStateLimiter;
  customCapabilities: readonly string[];
  /** Limit of a message, header included. */
  maxMessageBytes: number;
}

/**
 * Answers agents: one ServerToAgent for each AgentToServer, in order. The answer to a message that brought an offer about
 * is held back until the offer is recorded, so that the offer is in the response. [OpAMP Configuration: MUST include in the response]
 */
export class ReplyDesk {
  readonly #options: ReplyDeskOptions;

  constructor(options: ReplyDeskOptions) {
    this.#options = options;
  }

  /** What the first answer on a connection carries: capabilities, and custom ones if there are any. */
  greeting(session: AgentSession): ReplyParts {
    if (session.greeted) return {};
    session.greeted = true;
    const parts: ReplyParts = { capabilities: OWN_CAPABILITIES };
    if (this.#options.customCapabilities.length > 0) {
      parts.customCapabilities = { capabilities: [...this.#options.customCapabilities] } as ReplyParts['customCapabilities'];
    }
    return parts;
  }

  /** Everything but an offer that the answer to this message carries. */
  partsFor(session: AgentSession, message: AgentToServer): ReplyParts {
    const parts = this.greeting(session);
    let flags = 0n;
    if (session.handedUid !== undefined && session.handedUid === session.uid && uidFromBytes(session.wireUid) !== session.uid) {
      parts.agentIdentification = { newInstanceUid: uidToBytes(session.uid) } as ReplyParts['agentIdentification'];
    } else flags |= this.#question(session);
    const components = message.availableComponents;
    if (components !== undefined && components.hash.length > 0) {
      const hash = session.record.componentsHash;
      if (Object.keys(components.components).length > 0) this.#options.components.put(hash, components.components);
      else if (
        hasCapability(session.record.capabilities, AGENT_CAPABILITIES.ReportsAvailableComponents) &&
        this.#options.components.shouldAsk(hash)
      )
        flags |= REPORT_AVAILABLE_COMPONENTS;
    }
    if (flags !== 0n) parts.flags = flags;
    return parts;
  }

  /** Remembers, beyond this connection, when the agent was first asked about its unanswered offer: offers wait from then on. */
  #noteQuestion(session: AgentSession): void {
    const { record } = session;
    if (record.asked?.hash === record.offered) return;
    record.asked = { hash: record.offered, atMs: this.#options.clock.nowMs() };
    session.write().set.asked = `${record.asked.hash}:${record.asked.atMs}`;
    this.#options.writer.markDirty(session, session.outlet.transport === 'http');
  }

  /** Asks, without being spoken to, for the full state that is still owed: the limits allow it later than the last answer. */
  askAgain(session: AgentSession): void {
    if (!session.fullStateOwed && !session.offerQuestion) return;
    if (session.outlet.transport !== 'ws' || !session.greeted || session.offer !== undefined) return;
    const flags = this.#question(session);
    if (flags !== 0n) session.outlet.send(encodeReply(session.wireUid, { flags }));
  }

  /** REPORT_FULL_STATE if it is owed and may go out now; it then counts as asked. */
  #question(session: AgentSession): bigint {
    const owed = session.fullStateOwed || session.offerQuestion;
    if (!owed || !this.#options.fullState.take(session, this.#options.clock.nowMs())) return 0n;
    if (session.offerQuestion) this.#noteQuestion(session);
    session.fullStateOwed = false;
    session.offerQuestion = false;
    this.#options.events.fullStateRequested();
    return REPORT_FULL_STATE;
  }

  /** Answers now, or holds the answer back until the offer that belongs into it is recorded. */
  reply(session: AgentSession, parts: ReplyParts): void {
    const isHeld = session.offer !== undefined && session.offer.bytes.length > 0;
    if (isHeld || session.outlet.transport === 'http') (session.owed ??= []).push(parts);
    else session.outlet.send(encodeReply(session.wireUid, parts));
  }

  /** A retry of the same bytes. On HTTP the offer that the lost answer carried goes out again. [OpAMP Retrying Messages] */
  replyToRetry(session: AgentSession): void {
    const { record } = session;
    const parts = this.greeting(session);
    const again = session.offer === undefined && session.outlet.transport === 'http' && record.offered !== '' && !record.offerAnswered;
    const bytes = again && record.reportedHash !== record.offered ? this.#options.spec.remoteConfig(record.offered) : undefined;
    if (bytes === undefined) this.reply(session, parts);
    else session.outlet.send(encodeReply(session.wireUid, parts), bytes);
  }

  /** Answers what was held back, without an offer. */
  answerOwed(session: AgentSession): void {
    const owed = session.owed ?? [];
    session.owed = undefined;
    for (const parts of owed) session.outlet.send(encodeReply(session.wireUid, parts));
  }

  /** Sends what is owed, the offer riding on the last answer; a push of its own when nothing is owed. */
  sendOwed(session: AgentSession, remoteConfig: Uint8Array): boolean {
    const owed = session.owed ?? [];
    session.owed = undefined;
    const last = owed.pop();
    for (const parts of owed) session.outlet.send(encodeReply(session.wireUid, parts));
    const reply = encodeReply(session.wireUid, last);
    if (reply.length + remoteConfig.length < this.#options.maxMessageBytes) return session.outlet.send(reply, remoteConfig);
    // The config fits by itself only: over HTTP, where there is one answer, it waits for the next poll.
    session.outlet.send(reply);
    return session.outlet.transport === 'ws' && session.outlet.send(encodeReply(session.wireUid), remoteConfig);
  }
}
