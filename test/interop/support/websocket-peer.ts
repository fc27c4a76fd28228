import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { FrameReader, OPCODE } from './frame-reader.ts';
import type { WebSocketMessage } from './frame-reader.ts';

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What a client does, as seen by the scripted server. */
export interface WebSocketPeerEvents {
  onMessage(payload: Buffer): void;
  onClosed(): void;
}

/** Server side of one WebSocket: enough of RFC 6455 for a test server (no extensions, no limits). */
export class WebSocketPeer {
  readonly #socket: Duplex;
  readonly #events: WebSocketPeerEvents;

  private constructor(socket: Duplex, events: WebSocketPeerEvents) {
    this.#socket = socket;
    this.#events = events;
    const reader = new FrameReader((message) => this.#handle(message));
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => events.onClosed());
  }

  /** Answers the handshake of an `upgrade` event. */
  static accept(request: IncomingMessage, socket: Duplex, events: WebSocketPeerEvents): WebSocketPeer {
    const key = request.headers['sec-websocket-key'] ?? '';
    const accept = createHash('sha1')
      .update(key + ACCEPT_GUID)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    return new WebSocketPeer(socket, events);
  }

  send(payload: Uint8Array): void {
    this.#write(OPCODE.binary, payload);
  }

  /** Sends a Close frame and ends the connection. */
  close(code: number): void {
    const body = Buffer.alloc(2);
    body.writeUInt16BE(code);
    this.#write(OPCODE.close, body);
    this.#socket.end();
  }

  /** Ends the connection without a Close frame. */
  destroy(): void {
    this.#socket.destroy();
  }

  #handle({ opcode, payload }: WebSocketMessage): void {
    if (opcode === OPCODE.ping) {
      this.#write(OPCODE.pong, payload);
    } else if (opcode === OPCODE.close) {
      this.#write(OPCODE.close, payload.subarray(0, 2));
      this.#socket.end();
    } else if (opcode === OPCODE.binary) {
      this.#events.onMessage(payload);
    }
  }

  #write(opcode: number, payload: Uint8Array): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      return;
    }
    this.#socket.write(Buffer.concat([frameHead(opcode, payload.length), payload]));
  }
}

/** Head of an unmasked final frame. */
function frameHead(opcode: number, length: number): Buffer {
  if (length < 126) {
    return Buffer.from([0x80 | opcode, length]);
  }
  const head = Buffer.alloc(length < 0x1_00_00 ? 4 : 10);
  head.writeUInt8(0x80 | opcode, 0);
  if (head.length === 4) {
    head.writeUInt8(126, 1);
    head.writeUInt16BE(length, 2);
  } else {
    head.writeUInt8(127, 1);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return head;
}
