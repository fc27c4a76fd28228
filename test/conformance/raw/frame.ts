/** WebSocket opcodes of RFC 6455. */
export const OPCODE = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

/** One WebSocket frame. */
export interface Frame {
  readonly fin: boolean;
  /** Set on the first frame of a message compressed by permessage-deflate. */
  readonly rsv1: boolean;
  readonly opcode: number;
  readonly masked: boolean;
  readonly payload: Buffer;
}

/** What {@link encodeFrame} needs; `maskKey` undefined = not masked (only servers may do that). */
export interface FrameInit {
  readonly opcode: number;
  readonly payload?: Uint8Array;
  readonly fin?: boolean;
  readonly rsv1?: boolean;
  readonly maskKey?: Uint8Array;
}

const applyMask = (payload: Uint8Array, maskKey: Uint8Array): Buffer => {
  const out = Buffer.from(payload);
  for (let index = 0; index < out.length; index++) {
    out[index] = (out[index] ?? 0) ^ (maskKey[index & 3] ?? 0);
  }
  return out;
};

/** Encodes one frame with the shortest length form. */
export const encodeFrame = (init: FrameInit): Buffer => {
  const { opcode, payload = new Uint8Array(), fin = true, rsv1 = false, maskKey } = init;
  const head = Buffer.alloc(10);
  head[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  let headLength = 2;
  const maskBit = maskKey === undefined ? 0 : 0x80;
  if (payload.length < 126) {
    head[1] = maskBit | payload.length;
  } else if (payload.length < 0x1_0000) {
    head[1] = maskBit | 126;
    head.writeUInt16BE(payload.length, 2);
    headLength = 4;
  } else {
    head[1] = maskBit | 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
    headLength = 10;
  }
  const parts: Uint8Array[] = [head.subarray(0, headLength)];
  if (maskKey === undefined) parts.push(payload);
  else parts.push(maskKey, applyMask(payload, maskKey));
  return Buffer.concat(parts);
};

/** Cuts a byte stream into frames. */
export class FrameParser {
  #buffer: Buffer = Buffer.alloc(0);

  /** Takes the next bytes; returns the frames that are complete now. Throws on a set RSV2 or RSV3 bit. */
  push(chunk: Uint8Array): Frame[] {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    const buffer = this.#buffer;
    if (buffer.length < 2) return undefined;
    const first = buffer[0] ?? 0;
    const second = buffer[1] ?? 0;
    if ((first & 0x30) !== 0) throw new Error('a frame has RSV2 or RSV3 set');
    let offset = 2;
    let length = second & 0x7f;
    if (length === 126) {
      if (buffer.length < 4) return undefined;
      length = buffer.readUInt16BE(2);
      offset = 4;
    } else if (length === 127) {
      if (buffer.length < 10) return undefined;
      length = Number(buffer.readBigUInt64BE(2));
      offset = 10;
    }
    const masked = (second & 0x80) !== 0;
    const bodyAt = offset + (masked ? 4 : 0);
    if (buffer.length < bodyAt + length) return undefined;
    const body = buffer.subarray(bodyAt, bodyAt + length);
    this.#buffer = buffer.subarray(bodyAt + length);
    return {
      fin: (first & 0x80) !== 0,
      rsv1: (first & 0x40) !== 0,
      opcode: first & 0x0f,
      masked,
      payload: masked ? applyMask(body, buffer.subarray(offset, bodyAt)) : Buffer.from(body),
    };
  }
}
