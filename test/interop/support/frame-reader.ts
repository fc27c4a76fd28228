import { constants, inflateRawSync } from 'node:zlib';

/** RFC 6455 section 5.2. */
export const OPCODE = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

/** RFC 7692 section 7.2.2: what the sender cut off the end of each compressed message. */
const DEFLATE_TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** What comes out of a byte stream of WebSocket frames: whole data messages, and control frames as they stand. */
export interface WebSocketMessage {
  readonly opcode: number;
  readonly payload: Buffer;
}

/**
 * Puts WebSocket messages together from one direction of a connection, masked or not. Compressed messages are
 * inflated one by one, so the connection must not keep a compression context from message to message.
 */
export class FrameReader {
  readonly #onMessage: (message: WebSocketMessage) => void;
  #buffered = Buffer.alloc(0);
  #fragments: Buffer[] = [];
  #opcode = 0;
  #isCompressed = false;

  constructor(onMessage: (message: WebSocketMessage) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes the next bytes of the stream and hands over every message that they complete. */
  push(chunk: Buffer): void {
    this.#buffered = Buffer.concat([this.#buffered, chunk]);
    while (this.#readFrame()) {
      // Every complete frame that has arrived is handled.
    }
  }

  #readFrame(): boolean {
    const buffer = this.#buffered;
    if (buffer.length < 2) {
      return false;
    }
    const first = buffer.readUInt8(0);
    const second = buffer.readUInt8(1);
    const shortLength = second & 0x7f;
    let offset = shortLength === 126 ? 4 : shortLength === 127 ? 10 : 2;
    if (buffer.length < offset) {
      return false;
    }
    const length = shortLength === 126 ? buffer.readUInt16BE(2) : shortLength === 127 ? Number(buffer.readBigUInt64BE(2)) : shortLength;
    const isMasked = (second & 0x80) !== 0;
    const maskAt = offset;
    offset += isMasked ? 4 : 0;
    if (buffer.length < offset + length) {
      return false;
    }
    const payload = Buffer.from(buffer.subarray(offset, offset + length));
    if (isMasked) {
      for (let i = 0; i < payload.length; i++) {
        payload.writeUInt8(payload.readUInt8(i) ^ buffer.readUInt8(maskAt + (i % 4)), i);
      }
    }
    this.#buffered = buffer.subarray(offset + length);
    this.#handle(first, payload);
    return true;
  }

  #handle(first: number, payload: Buffer): void {
    const opcode = first & 0x0f;
    if (opcode >= OPCODE.close) {
      this.#onMessage({ opcode, payload });
      return;
    }
    if (opcode !== OPCODE.continuation) {
      this.#opcode = opcode;
      this.#isCompressed = (first & 0x40) !== 0;
    }
    this.#fragments.push(payload);
    if ((first & 0x80) === 0) {
      return;
    }
    const whole = Buffer.concat(this.#fragments);
    this.#fragments = [];
    const message = this.#isCompressed
      ? inflateRawSync(Buffer.concat([whole, DEFLATE_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })
      : whole;
    this.#onMessage({ opcode: this.#opcode, payload: message });
  }
}
