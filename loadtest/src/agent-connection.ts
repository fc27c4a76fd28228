/** The seam between an agent and its transport. */

/** What a connection needs from the agent it serves. */
export interface ConnectionOwner {
  readonly index: number;
  /** UUID text for the `OpAMP-Instance-UID` header. */
  uidText(): string;
  /**
   * The next AgentToServer with everything that is pending, or undefined when nothing is. `force` makes a bare message
   * rather than none. A call spends one sequence number. `prefixBytes` zeros are left in front for framing.
   */
  nextMessage(force: boolean, prefixBytes: number): Buffer | undefined;
  /** The last message of a clean stop, with `agent_disconnect`. */
  goodbyeMessage(prefixBytes: number): Buffer;
  /** One ServerToAgent; the bytes are valid during the call only. */
  handleMessage(data: Uint8Array): void;
  handleConnected(server: string): void;
  /** The connection has ended; `lost` when neither the agent nor its operator wanted that. */
  handleDisconnected(lost: boolean): void;
}

/** One agent's way to the servers, with its reconnect policy. Every method may be called in any state. */
export interface AgentConnection {
  /** Begins to connect, and keeps at it. */
  start(): void;
  /** Says that the agent has something to send; sends now or as soon as the transport allows. */
  notify(): void;
  /** Time of silence until a heartbeat, or between polls, in milliseconds; 0 = no heartbeats (WebSocket only). */
  setHeartbeatMs(heartbeatMs: number): void;
  /** Stops reading from the socket, for good. */
  pauseReading(): void;
  /** Cuts the connection without a word; the policy then reconnects. */
  drop(): void;
  /** Cuts the connection without a word and does not come back. */
  destroy(): void;
  /** Says goodbye and closes; the promise ends when the socket is gone, after 5 s at most. */
  stop(goodbye: boolean): Promise<void>;
}
