import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { ConfigRef, Desired, FailedHash } from '@opamp-gateway/shared/fleet-spec';
import type { ReplyParts } from '../protocol/replies.ts';
import { emptyWrite } from '../pending-write.ts';
import type { PendingWrite } from '../pending-write.ts';
import type { Outlet } from './ports.ts';

/** An offer whose record is being written; its bytes leave when Redis has acknowledged it. */
export interface PendingOffer {
  config: ConfigRef;
  bytes: Uint8Array;
  /** What `offered` said before, restored when the bytes cannot be written. */
  prior: { offered: string; offerAnswered: boolean; offeredFor: FailedHash | undefined; offeredHere: boolean };
  kind: 'rollout' | 'back' | 'takeBack' | 'trailing';
  /** Rollout it belongs to, '' outside rollouts. */
  rolloutId: string;
}

/** A message that waits for the session's claim. */
export interface QueuedMessage {
  message: AgentToServer;
  digest: string;
  bytes: number;
}

/**
 * One agent on one connection (or one HTTP exchange).
 * claiming: its record is being loaded, messages wait. live: the record is ours. superseded: another connection has taken
 * the agent over; the socket is kept for a while to tell a move from a second live agent. closed: nothing is awaited.
 */
export type SessionPhase = 'claiming' | 'live' | 'superseded' | 'closed';

/** State of one session. Plain data: the flow stands in `session-manager.ts` and the modules it uses. */
export class AgentSession {
  /** UUID text. Changes when the agent switches to a uid it was given. */
  uid: string;
  /** instance_uid exactly as the agent sent it. [OpAMP ServerToAgent.instance_uid] */
  wireUid: Uint8Array;
  readonly outlet: Outlet;
  phase: SessionPhase = 'claiming';
  /** Fencing token of the claim. */
  epoch = '0';
  /** Set once claimed. */
  record!: AgentRecord;
  /** Flat attributes with labels, for selectors. */
  attributes: Record<string, string> = {};
  desired: Desired | undefined;
  /** AcceptsRemoteConfig as it stands in the members entry. */
  takesConfig: boolean | undefined;
  /** Facets as they were last written, to write only changes. */
  facetText = '';

  /** The connection ended while the record was being loaded. */
  outletEnded = false;
  /** The lease was lost while the record was being loaded: it is claimed once more. */
  claimAgain = false;
  queue: QueuedMessage[] = [];
  queuedBytes = 0;

  pending: PendingWrite | undefined;
  /** Set while a write is on its way to Redis. */
  writing: PendingWrite | undefined;
  /** Order in which sessions became dirty, for barriers. */
  dirtySince = 0;

  offer: PendingOffer | undefined;
  /** Replies held back until the offer that answers them is recorded. */
  owed: ReplyParts[] = [];

  /** capabilities and custom_capabilities were sent on this connection. */
  greeted = false;
  /** A gap was seen and no full state has come or been asked for since. */
  fullStateOwed = false;
  /** An offer of before the claim has no answer, and the agent has not been asked about it yet. */
  offerQuestion = false;
  /** No remote_config_status has been read on this connection yet. */
  statusSeen = false;
  /** An offer was made on this connection: a report that names another hash was composed before it arrived. */
  offeredHere = false;
  /** An offer of before the claim has no answer: nothing is offered until the agent reports, or until this time (ms). */
  awaitingReportUntilMs = 0;
  /** The agent comes into effect as applied at this time if it is healthy then. */
  lateApplied: { rollout: string; dueMs: number } | undefined;
  /** Why an offer waits: rollout id, or '' for one outside rollouts; undefined when none waits. */
  waiting: string | undefined;
  /** Cause under which the waiting offer was planned. */
  waitingCause: 'spec' | 'session' = 'session';
  /** Bytes held of the credit window for an offer that has no answer yet. */
  creditBytes = 0;
  creditSinceMs = 0;
  appliedAtMs = 0;
  /** Time at which a soft failure counts as one, unless the agent is healthy then; 0 = none. */
  softUntilMs = 0;
  /** A write was refused because somebody else claimed the agent. */
  wasFenced = false;

  supersededAtMs = 0;
  /** Messages read after the takeover. */
  messagesAfterTakeover = 0;
  /** uid handed out on this connection that the agent has not used yet. */
  handedUid: string | undefined;
  /** A new uid is being handed out; an HTTP exchange waits for it. */
  reidentifying: Promise<void> | undefined;

  constructor(uid: string, wireUid: Uint8Array, outlet: Outlet) {
    this.uid = uid;
    this.wireUid = wireUid;
    this.outlet = outlet;
  }

  /** The write that collects changes. */
  write(): PendingWrite {
    this.pending ??= emptyWrite();
    return this.pending;
  }
}

/** The phase as it is now: what was known of it before an await no longer holds. */
export function phaseOf(session: AgentSession): SessionPhase {
  return session.phase;
}
