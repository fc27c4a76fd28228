import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { ByteStream } from './byte-stream.ts';
import { connectSocket, type Endpoint } from './endpoint.ts';
import { encodeFrame, FrameParser, OPCODE, type Frame, type FrameInit } from './frame.ts';
import { encodeRequestHead, parseResponseHead, type HeaderList, type ResponseHead } from './http-head.ts';
import { Mailbox } from './mailbox.ts';

/** What arrives on an open WebSocket. */
export type WebSocketEvent =
  | {
      readonly type: 'message';
      readonly opcode: number;
      readonly payload: Buffer;
      readonly compressed: boolean;
    }
  | { readonly type: 'pong'; readonly payload: Buffer }
  /** A Close frame; `code` is 1005 when it carried none. */
  | { readonly type: 'close'; readonly code: number; readonly reason: string }
  /** TCP ended; `clean` when a Close frame came before. */
  | { readonly type: 'ended'; readonly clean: boolean; readonly error?: string };

/** The server answered the upgrade with something other than 101. */
export class UpgradeRefusedError extends Error {
  override name = 'UpgradeRefusedError';
  readonly response: ResponseHead;

  constructor(response: ResponseHead) {
    super(`the WebSocket upgrade was answered with ${response.status} ${response.statusText}`);
    this.response = response;
  }
}

/** The connection ended while something was awaited from it. */
export class WebSocketEndedError extends Error {
  override name = 'WebSocketEndedError';
}

/** How to open a WebSocket. */
export interface OpenOptions {
  readonly headers?: HeaderList;
  /** Offer permessage-deflate without context takeover on either side, as opamp-go does. */
  readonly offerDeflate?: boolean;
  readonly insecure?: boolean;
}

const HANDSHAKE_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const DEFLATE_OFFER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const DEFLATE_TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** Compresses a message the permessage-deflate way. */
export const deflateMessage = (payload: Uint8Array): Buffer => {
  const flushed = deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH });
  return flushed.subarray(0, flushed.length - DEFLATE_TAIL.length);
};

/** Undoes {@link deflateMessage}. */
export const inflateMessage = (payload: Uint8Array): Buffer =>
  inflateRawSync(Buffer.concat([payload, DEFLATE_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH });

/** A WebSocket client without a library: every frame can be made wrong on purpose, and every event is seen as it came. */
export class RawWebSocket {
  readonly #socket: Socket;
  readonly #parser = new FrameParser();
  readonly #events = new Mailbox<WebSocketEvent>();
  readonly #deadlineMs: number;
  readonly #fragments: Frame[] = [];
  #sawClose = false;
  /** Called for each event instead of queueing it. */
  #listener: ((event: WebSocketEvent) => void) | undefined;
  /** Value of Sec-WebSocket-Extensions in the 101 response; undefined when no extension was accepted. */
  readonly extensions: string | undefined;

  private constructor(socket: Socket, head: ResponseHead, deadlineMs: number) {
    this.#socket = socket;
    this.#deadlineMs = deadlineMs;
    this.extensions = head.headers.get('sec-websocket-extensions');
  }

  /**
   * Connects and upgrades. Rejects with {@link UpgradeRefusedError} for any status but 101, and with an Error when the
   * 101 response breaks RFC 6455 (wrong accept value, something accepted that was not offered).
   */
  static async open(endpoint: Endpoint, deadlineMs: number, options: OpenOptions = {}): Promise<RawWebSocket> {
    const { headers = [], offerDeflate = false, insecure = false } = options;
    const socket = await connectSocket(endpoint, deadlineMs, insecure);
    try {
      const key = randomBytes(16).toString('base64');
      const stream = new ByteStream(socket);
      socket.write(
        encodeRequestHead('GET', endpoint.path, [
          ['Host', endpoint.authority],
          ['Upgrade', 'websocket'],
          ['Connection', 'Upgrade'],
          ['Sec-WebSocket-Key', key],
          ['Sec-WebSocket-Version', '13'],
          ...(offerDeflate ? ([['Sec-WebSocket-Extensions', DEFLATE_OFFER]] as const) : []),
          ...headers,
        ]),
      );
      const head = parseResponseHead(await stream.readThrough('\r\n\r\n', deadlineMs));
      checkUpgrade(head, key, offerDeflate);
      const client = new RawWebSocket(socket, head, deadlineMs);
      client.#start(stream);
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Sends all further events to `listener` instead of {@link next}; queued ones first. */
  listen(listener: (event: WebSocketEvent) => void): void {
    this.#listener = listener;
    for (let event = this.#events.poll(); event !== undefined; event = this.#events.poll()) {
      listener(event);
    }
  }

  /** The next event that fits; others stay queued. */
  next(what: string, accept?: (event: WebSocketEvent) => boolean, deadlineMs = this.#deadlineMs): Promise<WebSocketEvent> {
    return this.#events.take(what, deadlineMs, accept);
  }

  /** Sends one frame exactly as described, masked with a random key unless one is given. */
  sendFrame(frame: FrameInit): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(encodeFrame({ maskKey: randomBytes(4), ...frame }));
  }

  sendBinary(payload: Uint8Array): void {
    this.sendFrame({ opcode: OPCODE.binary, payload });
  }

  sendText(text: string): void {
    this.sendFrame({ opcode: OPCODE.text, payload: Buffer.from(text, 'utf8') });
  }

  /** Sends a binary message compressed; only after the server has accepted permessage-deflate. */
  sendDeflated(payload: Uint8Array): void {
    this.sendFrame({ opcode: OPCODE.binary, payload: deflateMessage(payload), rsv1: true });
  }

  sendPing(payload: Uint8Array): void {
    this.sendFrame({ opcode: OPCODE.ping, payload });
  }

  sendClose(code: number, reason = ''): void {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code, 0);
    payload.write(reason, 2, 'utf8');
    this.sendFrame({ opcode: OPCODE.close, payload });
  }

  /** Breaks TCP off without a Close frame. */
  abort(): void {
    this.#socket.destroy();
  }

  /** Stops (or goes on) reading from the socket, to play a client whose receive window is full. */
  setReading(isReading: boolean): void {
    if (isReading) this.#socket.resume();
    else this.#socket.pause();
  }

  #start(stream: ByteStream): void {
    const pump = async (): Promise<void> => {
      try {
        for (;;) this.#receive(await stream.readSome(2 ** 31 - 1));
      } catch (error) {
        this.#emit({
          type: 'ended',
          clean: this.#sawClose,
          error: error instanceof Error ? error.message : String(error),
        });
        this.#events.end(new WebSocketEndedError('the WebSocket connection has ended'));
        this.#socket.destroy();
      }
    };
    void pump();
  }

  #receive(chunk: Uint8Array): void {
    for (const frame of this.#parser.push(chunk)) this.#handleFrame(frame);
  }

  #handleFrame(frame: Frame): void {
    if (frame.masked) throw new Error('the server sent a masked frame');
    switch (frame.opcode) {
      case OPCODE.ping:
        this.sendFrame({ opcode: OPCODE.pong, payload: frame.payload });
        return;
      case OPCODE.pong:
        this.#emit({ type: 'pong', payload: frame.payload });
        return;
      case OPCODE.close: {
        this.#sawClose = true;
        const hasCode = frame.payload.length >= 2;
        this.#emit({
          type: 'close',
          code: hasCode ? frame.payload.readUInt16BE(0) : 1005,
          reason: frame.payload.subarray(2).toString('utf8'),
        });
        this.sendFrame({ opcode: OPCODE.close, payload: frame.payload.subarray(0, 2) });
        return;
      }
      default:
        this.#handleDataFrame(frame);
    }
  }

  #handleDataFrame(frame: Frame): void {
    const isContinuation = frame.opcode === OPCODE.continuation;
    if (isContinuation === (this.#fragments.length === 0)) {
      throw new Error('the server sent a continuation frame out of place, or left a message unfinished');
    }
    this.#fragments.push(frame);
    if (!frame.fin) return;
    const frames = this.#fragments.splice(0);
    const first = frames[0] ?? frame;
    const joined = Buffer.concat(frames.map((part) => part.payload));
    if (first.rsv1 && this.extensions === undefined) {
      throw new Error('the server sent a compressed message without a negotiated extension');
    }
    this.#emit({
      type: 'message',
      opcode: first.opcode,
      payload: first.rsv1 ? inflateMessage(joined) : joined,
      compressed: first.rsv1,
    });
  }

  #emit(event: WebSocketEvent): void {
    if (this.#listener === undefined) this.#events.push(event);
    else this.#listener(event);
  }
}

const checkUpgrade = (head: ResponseHead, key: string, offerDeflate: boolean): void => {
  if (head.status !== 101) throw new UpgradeRefusedError(head);
  const expected = createHash('sha1').update(`${key}${HANDSHAKE_GUID}`).digest('base64');
  if (head.headers.get('sec-websocket-accept') !== expected) {
    throw new Error('the 101 response has a wrong Sec-WebSocket-Accept');
  }
  const protocol = head.headers.get('sec-websocket-protocol');
  if (protocol !== undefined) throw new Error(`a subprotocol was chosen, none was offered: ${protocol}`);
  const extensions = head.headers.get('sec-websocket-extensions');
  if (extensions === undefined || extensions === '') return;
  const [name, ...parameters] = extensions.split(';').map((part) => part.trim().toLowerCase());
  if (!offerDeflate || name !== 'permessage-deflate') {
    throw new Error(`an extension was accepted that was not offered: ${extensions}`);
  }
  if (!parameters.includes('server_no_context_takeover')) {
    throw new Error(`permessage-deflate was accepted without the demanded server_no_context_takeover: ${extensions}`);
  }
};
