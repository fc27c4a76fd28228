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

/** An instance_uid field: tag, length, the bytes the agent used. */
function uidField(uid: Uint8Array): Uint8Array {
  const field = new Uint8Array(2 + uid.length);
  field[0] = 0x0a;
  field[1] = uid.length;
  field.set(uid, 2);
  return field;
}

/**
 * Encodes a ServerToAgent as protobuf bytes (no header). Protobuf fields may be concatenated, so the instance_uid field
 * is followed by the other parts and by `remoteConfig`, the ready bytes of field 3 that all agents share.
 */
export function encodeReply(uid: Uint8Array, parts: ReplyParts, remoteConfig?: Uint8Array): Uint8Array {
  const head = uidField(uid);
  const body = Object.keys(parts).length === 0 ? undefined : toBinary(ServerToAgentSchema, create(ServerToAgentSchema, parts));
  const bytes = new Uint8Array(head.length + (body?.length ?? 0) + (remoteConfig?.length ?? 0));
  bytes.set(head, 0);
  if (body !== undefined) bytes.set(body, head.length);
  if (remoteConfig !== undefined) bytes.set(remoteConfig, head.length + (body?.length ?? 0));
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
  const head = uid.length === 0 ? new Uint8Array(0) : uidField(uid);
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
