/** Where the 16 bytes of the uid stand in a message that begins with its header and its uid. */
const UID_FROM = 3;
const UID_TO = 19;
const SEQUENCE_TAG = 0x10;
const CAPABILITIES_TAG = 0x20;
/** Varints of more bytes are left to the decoder: these fit a number exactly. */
const MAX_VARINT_BYTES = 7;

/** A message that says nothing but "I am here". */
export interface Heartbeat {
  /** Points into the message. */
  uid: Uint8Array;
  sequenceNum: number;
  /** 0 = not repeated in this message. */
  capabilities: number;
}

/**
 * Reads a WebSocket message that holds instance_uid, sequence_num and perhaps capabilities, in this order, and nothing else: most
 * of all messages do. Undefined for any other, which the decoder reads. [OpAMP AgentToServer]
 */
export function readHeartbeat(bytes: Uint8Array): Heartbeat | undefined {
  if (bytes.length <= UID_TO || bytes[0] !== 0 || bytes[1] !== 0x0a || bytes[2] !== UID_TO - UID_FROM || bytes[UID_TO] !== SEQUENCE_TAG) {
    return undefined;
  }
  const sequence = varint(bytes, UID_TO + 1);
  if (sequence === undefined) return undefined;
  const beat: Heartbeat = { uid: bytes.subarray(UID_FROM, UID_TO), sequenceNum: sequence.value, capabilities: 0 };
  if (sequence.end === bytes.length) return beat;
  if (bytes[sequence.end] !== CAPABILITIES_TAG) return undefined;
  const capabilities = varint(bytes, sequence.end + 1);
  if (capabilities?.end !== bytes.length) return undefined;
  beat.capabilities = capabilities.value;
  return beat;
}

function varint(bytes: Uint8Array, from: number): { value: number; end: number } | undefined {
  let value = 0;
  let factor = 1;
  for (let at = from; at < bytes.length && at < from + MAX_VARINT_BYTES; at += 1) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: at + 1 };
    factor *= 128;
  }
  return undefined;
}
