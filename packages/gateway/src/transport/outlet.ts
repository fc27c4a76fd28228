import type { CloseReason } from '../close-reasons.ts';
import type { Principal } from '../principal.ts';

/** A connection or exchange as the layers above see it. */
export interface TransportOutlet {
  readonly transport: 'ws' | 'http';
  readonly remoteAddress: string;
  /** Whose connection it is; what the credential allows may change while it is open. */
  readonly principal: Principal;
  /** Whether this server has ended it to send the agent elsewhere. */
  readonly sentAway: boolean;
  /** A place for whoever is told of messages; nothing here reads it. */
  attachment: unknown;
  /** `tail` follows `message` in the same message. Both are copied or written before this returns. */
  send(message: Uint8Array, tail?: Uint8Array): boolean;
  close(reason: CloseReason): void;
}
