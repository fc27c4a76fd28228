import { create, toBinary } from '@bufbuild/protobuf';
import { ServerErrorResponseType, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import { SERVER_CAPABILITIES } from '@opamp-gateway/shared/capabilities';

/** What this server announces: it accepts status and effective config and offers remote config. [OpAMP ServerCapabilities] */
export const OWN_CAPABILITIES: bigint =
  SERVER_CAPABILITIES.AcceptsStatus | SERVER_CAPABILITIES.OffersRemoteConfig | SERVER_CAPABILITIES.AcceptsEffectiveConfig;

/** `ServerToAgentFlags` as masks. */
export const REPORT_FULL_STATE = 1n;
export const REPORT_AVAILABLE_COMPONENTS = 2n;

/** The parts of a ServerToAgent beside instance_uid; absent parts stay unset on the wire. */
export type ReplyParts = Partial<
  Pick<ServerToAgent, 'flags' | 'capabilities' | 'agentIdentification' | 'command' | 'customCapabilities' | 'customMessage'>
>;

const NO_BYTES = new Uint8Array(0);
/** Longest uid that a reply repeats. */
const MAX_UID_BYTES = 64;
const scratch = new Uint8Array(2 + MAX_UID_BYTES);

/** An instance_uid field: tag, length, the bytes the agent used. Valid until the next call. */
function uidField(uid: Uint8Array): Uint8Array {
  scratch[0] = 0x0a;
  scratch[1] = uid.length;
  scratch.set(uid, 2);
  return scratch.subarray(0, 2 + uid.length);
}

/**
 * Encodes a ServerToAgent as protobuf bytes (no header). Protobuf fields may be concatenated, so the instance_uid field is
 * followed by the other parts, and whoever sends it may append the ready bytes of another field. Valid until the next call.
 */
export function encodeReply(uid: Uint8Array, parts?: ReplyParts): Uint8Array {
  const head = uidField(uid);
  if (parts === undefined || Object.keys(parts).length === 0) return head;
  const body = toBinary(ServerToAgentSchema, create(ServerToAgentSchema, parts));
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head, 0);
  bytes.set(body, head.length);
  return bytes;
}

/** A ServerToAgent that holds an error and nothing else. [OpAMP ServerToAgent.error_response] */
export function encodeError(
  uid: Uint8Array,
  error: { kind: 'badRequest' | 'unavailable'; message: string; retryAfterMs?: number },
): Uint8Array {
  const reply = create(ServerToAgentSchema, {
    errorResponse: {
      type:
        error.kind === 'badRequest'
          ? ServerErrorResponseType.ServerErrorResponseType_BadRequest
          : ServerErrorResponseType.ServerErrorResponseType_Unavailable,
      errorMessage: error.message,
      ...(error.retryAfterMs === undefined
        ? {}
        : { Details: { case: 'retryInfo' as const, value: { retryAfterNanoseconds: BigInt(error.retryAfterMs) * 1_000_000n } } }),
    },
  });
  const body = toBinary(ServerToAgentSchema, reply);
  const head = uid.length === 0 ? NO_BYTES : uidField(uid);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head, 0);
  bytes.set(body, head.length);
  return bytes;
}

/** Wraps an encoded AgentRemoteConfig as field 3 of ServerToAgent, once per config hash. */
export function remoteConfigField(encoded: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = encoded.length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      length.push(rest);
      break;
    }
    length.push((rest % 128) | 0x80);
  }
  const field = new Uint8Array(1 + length.length + encoded.length);
  field[0] = 0x1a;
  field.set(length, 1);
  field.set(encoded, 1 + length.length);
  return field;
}
