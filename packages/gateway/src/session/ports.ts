import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { CloseReason } from '../close-reasons.ts';
import type { Principal } from '../principal.ts';
import type { AgentSession } from './agent-session.ts';

/** Where answers to one agent go: a WebSocket connection, or one HTTP exchange. */
export interface Outlet {
  readonly transport: 'ws' | 'http';
  readonly remoteAddress: string;
  /** True once this server has ended the connection for reasons of its own: not the agent's doing, nor that of its config. */
  readonly sentAway: boolean;
  /** Whose connection it is; what the credential allows may change while it is open. */
  readonly principal: Principal;
  /** Place of the session registry. */
  attachment: unknown;
  /**
   * Hands over protobuf bytes of a ServerToAgent (no header), in one or two parts; the caller may reuse both afterwards. False: it
   * could not be written and never will be.
   */
  send(message: Uint8Array, tail?: Uint8Array): boolean;
  /** Ends the connection with a Close frame. Idempotent. */
  close(reason: CloseReason): void;
}

/** Durable writes of sessions; at least once, newest state wins, fenced by the session's epoch. */
export interface SessionWriter {
  /** The session has something to write; idempotent. `urgent` does not wait for the batch interval. */
  markDirty(session: AgentSession, urgent?: boolean): void;
  /** Resolves when everything that is dirty for this session now has been acknowledged, or rejects when Redis refused it. */
  settled(session: AgentSession): Promise<void>;
}

/** Outcome of taking over an agent's record. */
export type Claim =
  | { kind: 'ok'; uid: string; epoch: string; formerOwner: string; fields: Record<string, string> }
  | { kind: 'foreign' }
  | { kind: 'alias'; uid: string };

/** Records in the store; a claim is atomic, and afterwards nobody with an older epoch can write. */
export interface AgentRecords {
  /**
   * Takes the agent over, asking a live gateway that holds it to flush and release first; `foreign` when the record is bound to
   * another credential. Rejects when Redis is away.
   */
  claim(uid: string, transport: 'ws' | 'http', principal: Principal): Promise<Claim>;
  /**
   * Takes the agent over again unless another gateway has claimed it after `epoch`, the last claim from here (`owned`). Rejects when
   * Redis is away.
   */
  reclaim(uid: string, epoch: string, principal: Principal): Promise<Claim | { kind: 'owned' }>;
  /** The uid handed out for `uid`: the same one every time ('' = one that belongs to nobody yet). Rejects when Redis is away. */
  newUidFor(uid: string): Promise<string>;
  /** Removes the record of a temporary uid that is away and has no open row. */
  forget(uid: string): Promise<void>;
}

/** The replica of the fleet spec. */
export interface SpecSource {
  readonly spec: FleetSpec;
  /** Bytes of ServerToAgent field 3 for a config hash; undefined while they are being loaded (see `onBlob`). */
  remoteConfig(hash: string): Uint8Array | undefined;
}

/** Component lists of builds, shared by hash. */
export interface ComponentStore {
  /** True when this agent should be asked for its full list: nobody knows the hash and nobody else is being asked. */
  shouldAsk(hash: string): boolean;
  /** Keeps a full list. */
  put(hash: string, components: unknown): void;
}
