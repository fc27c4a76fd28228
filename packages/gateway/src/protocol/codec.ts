import { fromBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema } from '@opamp-gateway/proto/opamp';
import type { AgentToServer } from '@opamp-gateway/proto/opamp';

/** A decoded AgentToServer, or why the bytes are malformed (text for `ServerErrorResponse.error_message`). */
export type Decoded = { ok: true; message: AgentToServer } | { ok: false; problem: string };

/** Longest varint of a uint64. */
const MAX_VARINT_BYTES = 10;

/**
 * Decodes one WebSocket message: varint header 0, then protobuf to the end. [OpAMP WebSocket Message Format]
 * A non-minimal zero (`80 00`) counts as zero. A first byte 0x0a is a message of a client from before the header
 * existed and is decoded whole.
 */
export function decodeWebSocketMessage(bytes: Uint8Array): Decoded {
  if (bytes.length === 0) return { ok: false, problem: 'empty WebSocket message: the header byte is missing' };
  if (bytes[0] === 0x0a) return decodeBody(bytes);
  for (let i = 0; i < Math.min(bytes.length, MAX_VARINT_BYTES); i += 1) {
    const byte = bytes[i] ?? 0;
    if ((byte & 0x7f) !== 0) return { ok: false, problem: 'the message header is not 0' };
    if ((byte & 0x80) === 0) return decodeBody(bytes.subarray(i + 1));
  }
  return { ok: false, problem: 'the message header is not a varint' };
}

/** Decodes the protobuf bytes of an AgentToServer; unknown fields are ignored. [OpAMP Ignorable Extensions] */
export function decodeBody(bytes: Uint8Array): Decoded {
  try {
    return { ok: true, message: fromBinary(AgentToServerSchema, bytes, { readUnknownFields: false }) };
  } catch (error) {
    return { ok: false, problem: `not an AgentToServer message: ${error instanceof Error ? error.message : String(error)}` };
  }
}
