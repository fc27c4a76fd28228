import { randomBytes } from 'node:crypto';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { AgentToServerSchema, ServerToAgentSchema, type AgentToServer, type ServerToAgent } from '@opamp-gateway/proto/opamp';

/** AgentToServer.capabilities bits, spelled out here so that the suite does not share constants with a server under test. */
export const AGENT = {
  reportsStatus: 0x1n,
  acceptsRemoteConfig: 0x2n,
  reportsEffectiveConfig: 0x4n,
  acceptsPackages: 0x8n,
  reportsPackageStatuses: 0x10n,
  reportsOwnTraces: 0x20n,
  reportsOwnMetrics: 0x40n,
  reportsOwnLogs: 0x80n,
  acceptsOpampConnectionSettings: 0x100n,
  acceptsOtherConnectionSettings: 0x200n,
  acceptsRestartCommand: 0x400n,
  reportsHealth: 0x800n,
  reportsRemoteConfig: 0x1000n,
  reportsHeartbeat: 0x2000n,
  reportsAvailableComponents: 0x4000n,
  reportsConnectionSettingsStatus: 0x8000n,
} as const;

/** What the test agents can do unless a check says otherwise. */
export const DEFAULT_CAPABILITIES =
  AGENT.reportsStatus |
  AGENT.acceptsRemoteConfig |
  AGENT.reportsEffectiveConfig |
  AGENT.reportsHealth |
  AGENT.reportsRemoteConfig |
  AGENT.reportsHeartbeat;

/** ServerToAgent.capabilities bits. */
export const SERVER = {
  acceptsStatus: 0x1n,
  offersRemoteConfig: 0x2n,
  acceptsEffectiveConfig: 0x4n,
  offersPackages: 0x8n,
  acceptsPackagesStatus: 0x10n,
  offersConnectionSettings: 0x20n,
  acceptsConnectionSettingsRequest: 0x40n,
  known: 0x7fn,
} as const;

/** AgentToServer.flags. */
export const REQUEST_INSTANCE_UID = 0x1n;
/** ServerToAgent.flags. */
export const REPORT_FULL_STATE = 0x1n;
export const REPORT_AVAILABLE_COMPONENTS = 0x2n;

/** RemoteConfigStatuses. */
export const CONFIG_STATUS = { unset: 0, applied: 1, applying: 2, failed: 3 } as const;

/** ServerErrorResponseType. */
export const ERROR_TYPE = { unknown: 0, badRequest: 1, unavailable: 2 } as const;

/** A partial AgentToServer, as `create` takes it. */
export type AgentMessage = Exclude<MessageInitShape<typeof AgentToServerSchema>, AgentToServer>;

/** A fresh UUIDv7. */
export const newUid = (): Uint8Array => {
  const uid = randomBytes(16);
  uid.writeUIntBE(Date.now(), 0, 6);
  uid[6] = 0x70 | ((uid[6] ?? 0) & 0x0f);
  uid[8] = 0x80 | ((uid[8] ?? 0) & 0x3f);
  return uid;
};

/** The canonical text of a 16-byte uid; other lengths come out as plain hex. */
export const uidText = (uid: Uint8Array): string => {
  const hex = Buffer.from(uid).toString('hex');
  return uid.length === 16 ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : hex;
};

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const isSameBytes = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

/** Protobuf bytes of an AgentToServer (the plain HTTP form). */
export const encodeMessage = (message: AgentMessage): Uint8Array => toBinary(AgentToServerSchema, create(AgentToServerSchema, message));

/** Decodes an AgentToServer; only the suite's own test servers need it. */
export const decodeAgentMessage = (bytes: Uint8Array): AgentToServer => fromBinary(AgentToServerSchema, bytes);

const REPLY_BYTES = new WeakMap<ServerToAgent, Uint8Array>();

/** Decodes a ServerToAgent from its protobuf bytes. Throws when they are not one. */
export const decodeReply = (bytes: Uint8Array): ServerToAgent => {
  const reply = fromBinary(ServerToAgentSchema, bytes);
  REPLY_BYTES.set(reply, bytes);
  return reply;
};

/** The bytes that {@link decodeReply} made this message from, for what decoding hides (repeated map keys). */
export const replyBytes = (reply: ServerToAgent): Uint8Array => REPLY_BYTES.get(reply) ?? toBinary(ServerToAgentSchema, reply);

/** Puts the WebSocket header (varint 0) before protobuf bytes. */
export const withHeader = (body: Uint8Array, header: Uint8Array = new Uint8Array([0])): Uint8Array => Buffer.concat([header, body]);

/**
 * Decodes a ServerToAgent from a WebSocket message: a header that is the number 0 in its one-byte form, then protobuf.
 * Throws when either is wrong.
 */
export const decodeWebSocketReply = (payload: Uint8Array): ServerToAgent => {
  if (payload[0] !== 0) {
    throw new Error(`the message does not begin with the header 00 but with ${toHex(payload.subarray(0, 4))}`);
  }
  return decodeReply(payload.subarray(1));
};

/** A varint, shortest form. */
export const varint = (value: bigint): Uint8Array => {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return new Uint8Array(bytes);
};

/** A length-delimited protobuf field. */
export const lengthDelimitedField = (number: number, payload: Uint8Array): Uint8Array =>
  Buffer.concat([varint((BigInt(number) << 3n) | 2n), varint(BigInt(payload.length)), payload]);

/** A varint protobuf field. */
export const varintField = (number: number, value: bigint): Uint8Array => Buffer.concat([varint(BigInt(number) << 3n), varint(value)]);

/** Field number that no OpAMP message uses; bytes put there must be ignored. */
export const UNKNOWN_FIELD = 1000;

/**
 * Lengthens protobuf bytes to exactly `totalBytes` with one unknown field of zeros, so that a message of any size keeps
 * its meaning. Throws a RangeError when that length cannot be reached.
 */
export const padTo = (body: Uint8Array, totalBytes: number): Uint8Array => {
  const tagLength = varint((BigInt(UNKNOWN_FIELD) << 3n) | 2n).length;
  const space = totalBytes - body.length - tagLength;
  for (let lengthBytes = 1; lengthBytes <= 5; lengthBytes++) {
    const payloadLength = space - lengthBytes;
    if (payloadLength >= 0 && varint(BigInt(payloadLength)).length === lengthBytes) {
      return Buffer.concat([body, lengthDelimitedField(UNKNOWN_FIELD, Buffer.alloc(payloadLength))]);
    }
  }
  throw new RangeError(`cannot pad ${body.length} bytes to ${totalBytes}`);
};

/** The names of the parts that are present in a reply besides its uid. Scalars count when they are not zero. */
export const presentParts = (reply: ServerToAgent): string[] => {
  const parts: string[] = [];
  if (reply.errorResponse !== undefined) parts.push('error_response');
  if (reply.remoteConfig !== undefined) parts.push('remote_config');
  if (reply.connectionSettings !== undefined) parts.push('connection_settings');
  if (reply.packagesAvailable !== undefined) parts.push('packages_available');
  if (reply.flags !== 0n) parts.push('flags');
  if (reply.capabilities !== 0n) parts.push('capabilities');
  if (reply.agentIdentification !== undefined) parts.push('agent_identification');
  if (reply.command !== undefined) parts.push('command');
  if (reply.customCapabilities !== undefined) parts.push('custom_capabilities');
  if (reply.customMessage !== undefined) parts.push('custom_message');
  return parts;
};

export const asksFullState = (reply: ServerToAgent): boolean => (reply.flags & REPORT_FULL_STATE) !== 0n;

export const asksComponents = (reply: ServerToAgent): boolean => (reply.flags & REPORT_AVAILABLE_COMPONENTS) !== 0n;
