import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import { toError } from '@opamp-gateway/shared/errors';
import { uidToBytes } from '@opamp-gateway/shared/instance-uid';
import type { GatewayEvents } from '../events.ts';
import { encodeReply } from '../protocol/replies.ts';
import type { ReplyParts } from '../protocol/replies.ts';
import type { AgentSession } from './agent-session.ts';
import type { AgentRecords, SessionWriter } from './ports.ts';
import type { ReplyDesk } from './reply-desk.ts';
import type { SessionRegistry } from './session-registry.ts';

/** Messages on a taken-over connection that prove a second live agent when the hosts do not differ. */
const DUPLICATE_MESSAGES = 2;
/** Attributes that tell one host from another. */
const HOST_ATTRIBUTES = ['host.id', 'host.name', 'k8s.pod.uid', 'container.id'];

export interface IdentityOptions {
  events: GatewayEvents;
  records: AgentRecords;
  writer: SessionWriter;
  registry: SessionRegistry;
  replies: ReplyDesk;
  /** Ends a session: its agent is away. */
  end(session: AgentSession): void;
  /** Forgets a session whose agent belongs to another connection. */
  forget(session: AgentSession): void;
  /** Answers UNAVAILABLE. */
  unavailable(session: AgentSession, message: string): void;
}

/** Who an agent is: two live agents with one uid are told apart from one that moved, and uids are handed out. */
export class Identity {
  readonly #options: IdentityOptions;

  constructor(options: IdentityOptions) {
    this.#options = options;
  }

  /** A message on a connection whose agent was taken over: a late one of the agent that moved, or a second live agent. */
  handleSuperseded(session: AgentSession, message: AgentToServer, digest: string): void {
    if (message.agentDisconnect !== undefined) {
      session.outlet.send(encodeReply(session.wireUid));
      this.#options.forget(session);
      return;
    }
    session.messagesAfterTakeover += 1;
    const owner = this.#options.registry.owner(session.uid);
    const otherHost =
      owner?.phase === 'live' &&
      HOST_ATTRIBUTES.some((key) => {
        const mine = session.record.attributes.nonIdentifying[key] ?? session.record.attributes.identifying[key];
        const theirs = owner.record.attributes.nonIdentifying[key] ?? owner.record.attributes.identifying[key];
        return mine !== undefined && theirs !== undefined && mine !== theirs;
      });
    if (otherHost || session.messagesAfterTakeover >= DUPLICATE_MESSAGES) {
      session.record.seq = message.sequenceNum;
      session.record.seqDigest = digest;
      session.reidentifying = this.reidentify(session, 'duplicate');
      return;
    }
    session.outlet.send(encodeReply(session.wireUid));
  }

  /**
   * Gives the agent another uid: because it asked (RequestInstanceUid), or because it shares its uid with a live one. The
   * same uid is handed out again for the same temporary one. No other part goes with it. [OpAMP AgentIdentification]
   */
  async reidentify(session: AgentSession, why: 'requested' | 'duplicate'): Promise<void> {
    const old = session.uid;
    try {
      // A duplicate's former uid goes on belonging to the other agent, so each duplicate gets one of its own.
      const given = session.handedUid ?? (await this.#options.records.newUidFor(why === 'requested' ? old : ''));
      session.handedUid = given;
      if (why === 'duplicate') this.#options.events.duplicateFound(old, given);
      const parts: ReplyParts = {
        ...this.#options.replies.greeting(session),
        agentIdentification: { newInstanceUid: uidToBytes(given) } as ReplyParts['agentIdentification'],
      };
      session.outlet.send(encodeReply(session.wireUid, parts));
      if (why === 'requested' && session.uid !== given) {
        // The uid was temporary: its record goes, so that the agent is not shown twice.
        this.#options.end(session);
        await this.#options.writer.settled(session);
        await this.#options.records.forget(old);
      }
    } catch (thrown) {
      this.#options.events.rejected('store_unavailable', { uid: old, error: toError(thrown).message });
      this.#options.unavailable(session, 'the store is not reachable');
    }
  }
}
