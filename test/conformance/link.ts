import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import type { Transport } from './check.ts';

/** How a server reacted to bytes: with a message, a status code, the end of the connection, or not at all. */
export type Reaction =
  | { readonly kind: 'message'; readonly message: ServerToAgent; readonly status?: number }
  | { readonly kind: 'status'; readonly status: number; readonly bodyBytes: number }
  | { readonly kind: 'closed'; readonly code: number }
  | { readonly kind: 'undecodable'; readonly error: string }
  | { readonly kind: 'silence' };

/** A reaction in words, for reports. */
export const describeReaction = (reaction: Reaction): string => {
  switch (reaction.kind) {
    case 'message': {
      const error = reaction.message.errorResponse;
      const status = reaction.status === undefined ? '' : ` with status ${reaction.status}`;
      return error === undefined
        ? `a ServerToAgent without error_response${status}`
        : `error_response of type ${error.type} ("${error.errorMessage}")${status}`;
    }
    case 'status':
      return `status ${reaction.status} with ${reaction.bodyBytes} body bytes`;
    case 'closed':
      return `the connection closed with code ${reaction.code}`;
    case 'undecodable':
      return `bytes that are not a ServerToAgent (${reaction.error})`;
    case 'silence':
      return 'nothing before the deadline';
  }
};

/**
 * One connection to a server, seen as a path for OpAMP messages of any number of agents. Both transports look alike, so
 * that a scenario is written once.
 */
export interface Link {
  readonly transport: Transport;
  /** The connection is over and no message can be sent on this link any more. */
  readonly isEnded: boolean;
  /** Sends protobuf bytes and waits for the reply to that uid. Rejects when there is none, or it cannot be decoded. */
  exchange(uid: Uint8Array, body: Uint8Array): Promise<ServerToAgent>;
  /**
   * Sends bytes as they are (on WebSocket the caller has put the header before them) and reports whatever comes next on
   * this connection.
   */
  provoke(bytes: Uint8Array): Promise<Reaction>;
  /** All ServerToAgent for that uid that no exchange has taken, in order of arrival; empties the list. */
  drainInbox(uid: Uint8Array): ServerToAgent[];
  /** The next message for that uid that no exchange has taken. Only WebSocket servers can send one unasked. */
  nextPush(uid: Uint8Array): Promise<ServerToAgent>;
  /** Says goodbye the way the transport does and waits for the end. */
  close(): Promise<void>;
  /** Breaks the TCP connection. */
  abort(): void;
}
