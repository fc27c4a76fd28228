/** RFC 6455 frames from a client's side. */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const MASK_BYTES = 4;
const FIN = 0x80;
const MASKED = 0x80;

/** Thrown when a server breaks the framing rules. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** One masked frame. `mask` 0 leaves the payload as it is: legal, and cheap. The payload is not changed. */
export function encodeClientFrame(opcode: number, payload: Uint8Array, mask: number): Buffer {
  const { length } = payload;
  let headerLength = 2;
  if (length > 0xffff) headerLength = 10;
  else if (length > 125) headerLength = 4;
  const frame = Buffer.allocUnsafe(headerLength + MASK_BYTES + length);
  frame[0] = FIN | opcode;
  if (headerLength === 2) {
    frame[1] = MASKED | length;
  } else if (headerLength === 4) {
    frame[1] = MASKED | 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = MASKED | 127;
    frame.writeUInt32BE(Math.floor(length / 0x1_0000_0000), 2);
    frame.writeUInt32BE(length >>> 0, 6);
  }
  frame.writeUInt32BE(mask >>> 0, headerLength);
  const start = headerLength + MASK_BYTES;
  frame.set(payload, start);
  if (mask !== 0) {
    for (let index = 0; index < length; index += 1) {
      frame[start + index] = (frame[start + index] ?? 0) ^ ((mask >>> (24 - 8 * (index & 3))) & 0xff);
    }
  }
  return frame;
}

/** What a frame reader found. The payloads are valid during the call only. */
export interface FrameHandlers {
  /** A whole data message, put together from its fragments. */
  onMessage(opcode: number, payload: Buffer): void;
  /** Ping, pong or close. */
  onControl(opcode: number, payload: Buffer): void;
}

/** Reads unmasked frames from a byte stream. Keeps a copy only of what is incomplete. */
export class FrameReader {
  #rest: Buffer | undefined;
  #fragments: Buffer[] | undefined;
  #fragmentOpcode = 0;

  /** Takes the next bytes of the stream. Throws FrameError when they are no server frames. */
  push(chunk: Buffer, handlers: FrameHandlers): void {
    let data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    while (data.length > 0) {
      const used = this.#readFrame(data, handlers);
      if (used === 0) {
        this.#rest = Buffer.from(data);
        return;
      }
      data = data.subarray(used);
    }
  }

  #readFrame(data: Buffer, handlers: FrameHandlers): number {
    if (data.length < 2) return 0;
    const first = data.readUInt8(0);
    const second = data.readUInt8(1);
    if ((first & 0x70) !== 0) throw new FrameError('reserved bits are set');
    if ((second & MASKED) !== 0) throw new FrameError('a server must not mask');
    let length = second & 0x7f;
    let start = 2;
    if (length === 126) {
      if (data.length < 4) return 0;
      length = data.readUInt16BE(2);
      start = 4;
    } else if (length === 127) {
      if (data.length < 10) return 0;
      length = Number(data.readBigUInt64BE(2));
      start = 10;
    }
    const end = start + length;
    if (data.length < end) return 0;
    this.#handleFrame((first & FIN) !== 0, first & 0x0f, data.subarray(start, end), handlers);
    return end;
  }

  #handleFrame(isLast: boolean, opcode: number, payload: Buffer, handlers: FrameHandlers): void {
    if (opcode >= OPCODE.close) {
      if (!isLast || payload.length > 125) throw new FrameError('control frames are short and whole');
      handlers.onControl(opcode, payload);
      return;
    }
    if (opcode === OPCODE.continuation) {
      if (this.#fragments === undefined) throw new FrameError('continuation of nothing');
      this.#fragments.push(Buffer.from(payload));
      if (!isLast) return;
      const whole = Buffer.concat(this.#fragments);
      this.#fragments = undefined;
      handlers.onMessage(this.#fragmentOpcode, whole);
      return;
    }
    if (this.#fragments !== undefined) throw new FrameError('a new message inside a fragmented one');
    if (isLast) {
      handlers.onMessage(opcode, payload);
      return;
    }
    this.#fragments = [Buffer.from(payload)];
    this.#fragmentOpcode = opcode;
  }
}
