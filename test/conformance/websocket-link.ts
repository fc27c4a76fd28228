import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import type { Link, Reaction } from './link.ts';
import { DeadlineError } from './raw/deadline.ts';
import { OPCODE } from './raw/frame.ts';
import { Mailbox } from './raw/mailbox.ts';
import type { RawWebSocket, WebSocketEvent } from './raw/websocket-client.ts';
import { decodeWebSocketReply, isSameBytes, withHeader } from './wire.ts';

/** A {@link Link} over one WebSocket. */
export class WebSocketLink implements Link {
  readonly transport = 'ws';
  /** The connection itself, for checks that need frames. Its events all pass through this link. */
  readonly socket: RawWebSocket;
  readonly #deadlineMs: number;
  readonly #arrivals = new Mailbox<Reaction>();
  readonly #pongs = new Mailbox<Buffer>();
  readonly #ends = new Mailbox<number>();
  #endCode: number | undefined;

  constructor(socket: RawWebSocket, deadlineMs: number) {
    this.socket = socket;
    this.#deadlineMs = deadlineMs;
    socket.listen((event) => this.#handleEvent(event));
  }

  /** Close code received, 1006 when TCP ended without one, undefined while the connection is open. */
  get endCode(): number | undefined {
    return this.#endCode;
  }

  get isEnded(): boolean {
    return this.#endCode !== undefined;
  }

  async exchange(uid: Uint8Array, body: Uint8Array): Promise<ServerToAgent> {
    this.socket.sendBinary(withHeader(body));
    return this.nextPush(uid);
  }

  async nextPush(uid: Uint8Array): Promise<ServerToAgent> {
    const reaction = await this.#arrivals.take(
      'a ServerToAgent for this agent',
      this.#deadlineMs,
      (arrival) => arrival.kind !== 'message' || isSameBytes(arrival.message.instanceUid, uid),
    );
    if (reaction.kind === 'message') return reaction.message;
    if (reaction.kind === 'undecodable') throw new Error(`cannot decode a reply: ${reaction.error}`);
    // Put it back for the next reader: the end stays the end.
    this.#arrivals.push(reaction);
    throw new Error(`the connection ended (code ${this.#endCode ?? 1006}) instead of a reply`);
  }

  async provoke(bytes: Uint8Array): Promise<Reaction> {
    this.socket.sendBinary(bytes);
    return this.nextReaction();
  }

  /** Whatever comes next on this connection. */
  async nextReaction(): Promise<Reaction> {
    try {
      const reaction = await this.#arrivals.take('any reaction', this.#deadlineMs);
      if (reaction.kind === 'closed') this.#arrivals.push(reaction);
      return reaction;
    } catch (error) {
      if (error instanceof DeadlineError) return { kind: 'silence' };
      throw error;
    }
  }

  drainInbox(uid: Uint8Array): ServerToAgent[] {
    const drained: ServerToAgent[] = [];
    for (;;) {
      const arrival = this.#arrivals.poll((candidate) => candidate.kind === 'message' && isSameBytes(candidate.message.instanceUid, uid));
      if (arrival?.kind !== 'message') return drained;
      drained.push(arrival.message);
    }
  }

  /** Sends a ping and waits for a pong with the same bytes. */
  async ping(payload: Uint8Array): Promise<void> {
    this.socket.sendPing(payload);
    await this.#pongs.take('the pong', this.#deadlineMs, (pong) => isSameBytes(pong, payload));
  }

  /** Waits for the end of the connection; resolves with its close code. */
  async untilEnd(deadlineMs = this.#deadlineMs): Promise<number> {
    if (this.#endCode !== undefined) return this.#endCode;
    return this.#ends.take('the end of the connection', deadlineMs);
  }

  async close(): Promise<void> {
    if (this.#endCode !== undefined) return;
    this.socket.sendClose(1000, 'done');
    await this.untilEnd();
    this.socket.abort();
  }

  abort(): void {
    this.socket.abort();
  }

  #handleEvent(event: WebSocketEvent): void {
    switch (event.type) {
      case 'message':
        this.#arrivals.push(toReaction(event.opcode, event.payload));
        break;
      case 'pong':
        this.#pongs.push(event.payload);
        break;
      case 'close':
        this.#handleEnd(event.code);
        break;
      case 'ended':
        this.#handleEnd(1006);
        break;
    }
  }

  #handleEnd(code: number): void {
    if (this.#endCode !== undefined) return;
    this.#endCode = code;
    this.#ends.push(code);
    this.#arrivals.push({ kind: 'closed', code });
    this.#pongs.end(new Error('the connection has ended'));
  }
}

const toReaction = (opcode: number, payload: Uint8Array): Reaction => {
  if (opcode !== OPCODE.binary) {
    return { kind: 'undecodable', error: `opcode ${opcode} instead of binary` };
  }
  try {
    return { kind: 'message', message: decodeWebSocketReply(payload) };
  } catch (error) {
    return { kind: 'undecodable', error: error instanceof Error ? error.message : String(error) };
  }
};
