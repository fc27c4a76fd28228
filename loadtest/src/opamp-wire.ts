/**
 * The few parts of the OpAMP wire format a swarm needs in bulk, written by hand: a fleet of many thousand agents in
 * one process cannot afford a message object per heartbeat. Nested messages are made with the generated code, once.
 */

/** Field numbers of AgentToServer. */
export const AGENT_FIELD = {
  instanceUid: 1,
  sequenceNum: 2,
  agentDescription: 3,
  capabilities: 4,
  health: 5,
  effectiveConfig: 6,
  remoteConfigStatus: 7,
  packageStatuses: 8,
  agentDisconnect: 9,
  flags: 10,
  customCapabilities: 12,
  availableComponents: 14,
} as const;

const LENGTH_DELIMITED = 2;

/** Thrown for bytes that are no protobuf message. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Number of bytes of a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

function putVarint(target: Uint8Array, offset: number, value: number): number {
  let position = offset;
  let rest = value;
  while (rest >= 0x80) {
    target[position] = (rest % 0x80) | 0x80;
    position += 1;
    rest = Math.floor(rest / 0x80);
  }
  target[position] = rest;
  return position + 1;
}

/** A part of a message that is already encoded: field number and the bytes of the sub-message. */
export interface EncodedField {
  readonly field: number;
  readonly bytes: Uint8Array;
}

/** What every AgentToServer carries. `sequenceNum` and `capabilities` 0 stay off the wire, as proto3 wants it. */
export interface AgentEnvelope {
  readonly instanceUid: Uint8Array;
  readonly sequenceNum: number;
  readonly capabilities: number;
  /** AgentToServerFlags; 0 = none. */
  readonly flags: number;
}

/**
 * Encodes one AgentToServer in field order. `prefixBytes` leaves room in front for a transport's framing; the room is
 * not part of the message and holds zeros.
 */
export function encodeAgentToServer(envelope: AgentEnvelope, fields: readonly EncodedField[], prefixBytes = 0): Buffer {
  const { instanceUid, sequenceNum, capabilities, flags } = envelope;
  let size = prefixBytes + 2 + instanceUid.length;
  if (sequenceNum !== 0) size += 1 + varintLength(sequenceNum);
  if (capabilities !== 0) size += 1 + varintLength(capabilities);
  if (flags !== 0) size += 1 + varintLength(flags);
  for (const { bytes } of fields) size += 1 + varintLength(bytes.length) + bytes.length;

  const out = Buffer.allocUnsafe(size);
  out.fill(0, 0, prefixBytes);
  let at = prefixBytes;
  at = putVarint(out, at, (AGENT_FIELD.instanceUid << 3) | LENGTH_DELIMITED);
  at = putVarint(out, at, instanceUid.length);
  out.set(instanceUid, at);
  at += instanceUid.length;
  const putScalar = (field: number, value: number): void => {
    if (value === 0) return;
    at = putVarint(out, at, field << 3);
    at = putVarint(out, at, value);
  };
  const putFields = (from: number, to: number): void => {
    for (const { field, bytes } of fields) {
      if (field < from || field > to) continue;
      at = putVarint(out, at, (field << 3) | LENGTH_DELIMITED);
      at = putVarint(out, at, bytes.length);
      out.set(bytes, at);
      at += bytes.length;
    }
  };
  putScalar(AGENT_FIELD.sequenceNum, sequenceNum);
  putFields(AGENT_FIELD.agentDescription, AGENT_FIELD.agentDescription);
  putScalar(AGENT_FIELD.capabilities, capabilities);
  putFields(AGENT_FIELD.health, AGENT_FIELD.agentDisconnect);
  putScalar(AGENT_FIELD.flags, flags);
  putFields(AGENT_FIELD.flags + 1, 15);
  return out;
}

/** A ServerToAgent taken apart at its top level; sub-messages stay encoded and point into the input. */
export interface ServerMessage {
  instanceUid: Uint8Array | undefined;
  errorResponse: Uint8Array | undefined;
  remoteConfig: Uint8Array | undefined;
  connectionSettings: Uint8Array | undefined;
  flags: number;
  capabilities: number;
  agentIdentification: Uint8Array | undefined;
  hasCommand: boolean;
}

/** Calls `onField` for each field of a message; `value` for varints, `bytes` for length-delimited fields. */
export function scanFields(data: Uint8Array, onField: (field: number, value: number, bytes: Uint8Array | undefined) => void): void {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = data[at];
      if (byte === undefined) throw new WireError('message ends inside a number');
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new WireError('number longer than 10 bytes');
  };
  while (at < data.length) {
    const tag = readVarint();
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        onField(field, readVarint(), undefined);
        break;
      case 1:
        at += 8;
        break;
      case LENGTH_DELIMITED: {
        const length = readVarint();
        if (at + length > data.length) throw new WireError(`field ${field} is longer than its message`);
        onField(field, 0, data.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new WireError(`field ${field} has an unknown wire type`);
    }
  }
  if (at > data.length) throw new WireError('message ends inside a field');
}

/** Takes a ServerToAgent apart. Throws WireError for malformed bytes. */
export function scanServerToAgent(data: Uint8Array): ServerMessage {
  const message: ServerMessage = {
    instanceUid: undefined,
    errorResponse: undefined,
    remoteConfig: undefined,
    connectionSettings: undefined,
    flags: 0,
    capabilities: 0,
    agentIdentification: undefined,
    hasCommand: false,
  };
  scanFields(data, (field, value, bytes) => {
    switch (field) {
      case 1:
        message.instanceUid = bytes;
        break;
      case 2:
        message.errorResponse = bytes;
        break;
      case 3:
        message.remoteConfig = bytes;
        break;
      case 4:
        message.connectionSettings = bytes;
        break;
      case 6:
        message.flags = value;
        break;
      case 7:
        message.capabilities = value;
        break;
      case 8:
        message.agentIdentification = bytes;
        break;
      case 9:
        message.hasCommand = true;
        break;
      default:
        break;
    }
  });
  return message;
}
