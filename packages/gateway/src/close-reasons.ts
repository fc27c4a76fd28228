/** Why this server ends a connection. Codes are RFC 6455's; texts fit its limit of 123 bytes. */
export interface CloseReason {
  code: number;
  text: string;
}

/** Every way in which this server ends a WebSocket. */
export const CLOSE_REASONS = {
  goingAway: { code: 1001, text: 'server is shutting down' },
  notBinary: { code: 1003, text: 'OpAMP messages are binary' },
  superseded: { code: 1008, text: 'the agent has moved to another connection' },
  notIdentified: { code: 1008, text: 'no OpAMP message in time' },
  credentialEnded: { code: 1008, text: 'credential revoked or expired' },
  tooBig: { code: 1009, text: 'message over the size limit' },
  internal: { code: 1011, text: 'internal error' },
  draining: { code: 1012, text: 'server is draining, reconnect' },
  agentGone: { code: 1000, text: 'goodbye' },
} as const satisfies Record<string, CloseReason>;
