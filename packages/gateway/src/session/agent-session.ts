import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import { RecordAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { ConfigRef, Desired, DesiredInput, FailedHash } from '@opamp-gateway/shared/fleet-spec';
import { writeUid } from '@opamp-gateway/shared/instance-uid';
import type { ReplyParts } from '../protocol/replies.ts';
import { wasOffered } from '../reconciler/reconcile.ts';
import { emptyWrite } from '../pending-write.ts';
import type { PendingWrite } from '../pending-write.ts';
import type { Outlet } from './ports.ts';

const UID_BYTES = 16;
const SCRATCH = new Uint8Array(UID_BYTES);

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

/** What an agent's facets follow from. */
export interface FacetSource {
  group: string;
  sync: string;
  healthy: boolean | undefined;
  status: AgentRecord['reportedStatus'];
  hash: string;
  attributes: AgentRecord['attributes'];
  componentsHash: string;
  capabilities: bigint;
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
  /** The uid of its messages as text; another one than `uid` while the agent does not use the uid that it was given. */
  readonly wireText: string;
  /** instance_uid as the agent sent it, when it is not the 16 bytes of `wireText`. */
  readonly #wireBytes: Uint8Array | undefined;
  readonly outlet: Outlet;
  phase: SessionPhase = 'claiming';
  /** Fencing token of the claim. */
  epoch = '0';
  /** Set once claimed. */
  record!: AgentRecord;
  desired: Desired | undefined;
  /** Shape of the spec that `desired` was worked out from. */
  shape = '';
  /** AcceptsRemoteConfig as it stands in the members entry. */
  takesConfig: boolean | undefined;
  /** Facets as they were last written, to write only changes. */
  facetText = '';
  /** What they were made of; undefined = not made here yet. */
  facetSource: FacetSource | undefined;

  /** The connection ended while the record was being loaded. */
  outletEnded = false;
  /** The lease was lost while the record was being loaded: it is claimed once more. */
  claimAgain = false;
  /** Messages that wait for the claim; undefined = none. */
  queue: QueuedMessage[] | undefined;
  queuedBytes = 0;

  /** Number and digest of the last message are not in `pending` yet: a heartbeat alone is no reason to write. */
  numberUnwritten = false;
  pending: PendingWrite | undefined;
  /** Set while a write is on its way to Redis. */
  writing: PendingWrite | undefined;
  /** Order in which sessions became dirty, for barriers. */
  dirtySince = 0;

  offer: PendingOffer | undefined;
  /** Replies held back until the offer that answers them is recorded. */
  owed: ReplyParts[] | undefined;

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

  /** `wireUid` is copied where it has to be kept. */
  constructor(uid: string, wireUid: Uint8Array, outlet: Outlet) {
    this.uid = uid;
    this.wireText = uid;
    this.#wireBytes = wireUid.length === UID_BYTES ? undefined : wireUid.slice();
    this.outlet = outlet;
  }

  /** instance_uid exactly as the agent sent it; valid until it is asked for again, by any session. [OpAMP ServerToAgent.instance_uid] */
  get wireUid(): Uint8Array {
    return this.#wireBytes ?? writeUid(this.wireText, SCRATCH);
  }

  /** Whether this is the uid of the session's messages, byte for byte. */
  isWireUid(bytes: Uint8Array): boolean {
    const mine = this.wireUid;
    if (bytes.length !== mine.length) return false;
    for (let at = 0; at < mine.length; at += 1) if (bytes[at] !== mine[at]) return false;
    return true;
  }

  /** Attributes with labels, for selectors. */
  get attributes(): RecordAttributes {
    return new RecordAttributes(this.record);
  }

  /** What its desired config follows from. */
  get desiredInput(): DesiredInput {
    const { record } = this;
    return {
      origin: record.origin,
      attributes: this.attributes,
      scope: record.tokenGroups,
      pin: record.pin,
      failed: record.failed,
      componentsHash: record.componentsHash,
      absence: { fromMs: record.lastSeenMs, toMs: record.connectedAtMs },
      wasOffered: (id) => wasOffered(record.rows, id),
    };
  }

  /** Puts the number of the last message into the write. */
  bookNumber(): void {
    if (!this.numberUnwritten || this.record.seq === undefined) return;
    this.numberUnwritten = false;
    const { set } = this.write();
    set.seq = String(this.record.seq);
    set.seqDigest = this.record.seqDigest;
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
