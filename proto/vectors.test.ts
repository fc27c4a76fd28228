import { readFileSync } from 'node:fs';
import { create, fromBinary, fromJson, toBinary, toJson, type JsonObject } from '@bufbuild/protobuf';
import {
  AgentCapabilities,
  AgentToServerSchema,
  ComponentHealthSchema,
  OpAMPConnectionSettingsSchema,
  OtherConnectionSettingsSchema,
  RemoteConfigStatuses,
  ServerToAgentSchema,
  TelemetryConnectionSettingsSchema,
} from '@opamp-gateway/proto/opamp';
import { describe, expect, it } from 'vitest';

interface Vector {
  readonly name: string;
  readonly type: 'AgentToServer' | 'ServerToAgent';
  /** Header byte 00 and the message. */
  readonly webSocketHex: string;
  /** The message in proto3 JSON. */
  readonly expected: JsonObject;
}

const SCHEMAS = { AgentToServer: AgentToServerSchema, ServerToAgent: ServerToAgentSchema };

const { vectors } = JSON.parse(readFileSync(new URL('../test/fixtures/opamp-vectors.json', import.meta.url), 'utf8')) as {
  readonly vectors: readonly Vector[];
};

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

function hexOf(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** The message without the WebSocket header, which has to be the single byte 00. */
function body({ name, webSocketHex }: Vector): Uint8Array {
  const frame = bytes(webSocketHex);
  if (frame[0] !== 0) throw new Error(`vector "${name}" does not start with the header 00`);
  return frame.subarray(1);
}

function vectorNamed(name: string): Vector {
  const vector = vectors.find((candidate) => candidate.name === name);
  if (vector === undefined) throw new Error(`no vector "${name}"`);
  return vector;
}

describe('byte vectors', () => {
  it('are all there', () => {
    expect(vectors.length).toBe(14);
    expect(new Set(vectors.map(({ name }) => name)).size).toBe(vectors.length);
  });

  it.each(vectors)('$type: $name decodes to the expected values', (vector) => {
    const schema = SCHEMAS[vector.type];
    const message = fromBinary(schema, body(vector));
    expect(toJson(schema, message)).toEqual(vector.expected);
    expect(message.$unknown).toBeUndefined();
  });

  it.each(vectors)('$type: $name encodes to the same bytes again', (vector) => {
    const schema = SCHEMAS[vector.type];
    expect(hexOf(toBinary(schema, fromBinary(schema, body(vector))))).toBe(hexOf(body(vector)));
    expect(hexOf(toBinary(schema, fromJson(schema, vector.expected)))).toBe(hexOf(body(vector)));
  });

  it('reads a heartbeat into bigints and bytes', () => {
    const heartbeat = fromBinary(AgentToServerSchema, body(vectorNamed('heartbeat')));
    expect(heartbeat.instanceUid).toEqual(bytes('0190f0000000700080000000000000aa'));
    expect(heartbeat.sequenceNum).toBe(5n);
    expect(heartbeat.capabilities).toBe(
      BigInt(AgentCapabilities.AgentCapabilities_ReportsStatus | AgentCapabilities.AgentCapabilities_ReportsHeartbeat),
    );
  });

  it('reads the retry delay out of the oneof', () => {
    const { errorResponse } = fromBinary(ServerToAgentSchema, body(vectorNamed('unavailable with a retry delay of 30 s')));
    expect(errorResponse?.Details).toMatchObject({ case: 'retryInfo', value: { retryAfterNanoseconds: 30_000_000_000n } });
  });

  it('tells an empty sub-message from an absent one', () => {
    const restart = fromBinary(ServerToAgentSchema, body(vectorNamed('restart command')));
    const plain = fromBinary(ServerToAgentSchema, body(vectorNamed('plain acknowledgement')));
    expect(restart.command).toBeDefined();
    expect(plain.command).toBeUndefined();
  });
});

describe('hand-written bytes', () => {
  it('place tls and proxy by message', () => {
    // Field 4, 5 or 6, length 0.
    const telemetry = fromBinary(TelemetryConnectionSettingsSchema, bytes('22002a00'));
    expect(telemetry.tls).toBeDefined();
    expect(telemetry.proxy).toBeDefined();
    for (const schema of [OpAMPConnectionSettingsSchema, OtherConnectionSettingsSchema]) {
      const message = fromBinary(schema, bytes('2a003200'));
      expect(message.tls).toBeDefined();
      expect(message.proxy).toBeDefined();
    }
  });

  it('keep 64-bit values above 2^53 exact', () => {
    const health = fromBinary(ComponentHealthSchema, bytes('11ffffffffffffffff'));
    expect(health.startTimeUnixNano).toBe(18_446_744_073_709_551_615n);
    const agent = fromBinary(AgentToServerSchema, bytes('10ffffffffffffffffff01'));
    expect(agent.sequenceNum).toBe(18_446_744_073_709_551_615n);
  });

  it('ignore an unknown field, and carry it along unless told otherwise', () => {
    // sequence_num 5, field 100 varint 7; inside health: healthy, field 100 varint 8.
    const input = bytes('1005' + 'a00607' + '2a05' + '0801' + 'a00608');
    const message = fromBinary(AgentToServerSchema, input);
    expect(message.sequenceNum).toBe(5n);
    expect(message.health?.healthy).toBe(true);
    expect(message.$unknown?.map(({ no }) => no)).toEqual([100]);
    expect(message.health?.$unknown?.map(({ no }) => no)).toEqual([100]);
    expect(hexOf(toBinary(AgentToServerSchema, message))).toBe('1005' + '2a05' + '0801' + 'a00608' + 'a00607');

    const stripped = fromBinary(AgentToServerSchema, input, { readUnknownFields: false });
    expect(hexOf(toBinary(AgentToServerSchema, stripped))).toBe('1005' + '2a02' + '0801');
  });

  it('keep an enum number nobody knows yet', () => {
    const input = bytes('3a021063');
    const message = fromBinary(AgentToServerSchema, input);
    expect(message.remoteConfigStatus?.status).toBe(99);
    expect(RemoteConfigStatuses[message.remoteConfigStatus?.status ?? 0]).toBeUndefined();
    expect(hexOf(toBinary(AgentToServerSchema, message))).toBe(hexOf(input));
  });

  it('carry the 26-character instance uid of older clients in the bytes field', () => {
    const message = create(AgentToServerSchema, { instanceUid: new TextEncoder().encode('01ARZ3NDEKTSV4RRFFQ69G5FAV') });
    const decoded = fromBinary(AgentToServerSchema, toBinary(AgentToServerSchema, message));
    expect(decoded.instanceUid.length).toBe(26);
  });

  it('reject a message that is cut off', () => {
    const whole = body(vectorNamed('heartbeat'));
    expect(() => fromBinary(AgentToServerSchema, whole.subarray(0, whole.length - 1))).toThrow();
  });
});
