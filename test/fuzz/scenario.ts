import fc from 'fast-check';
import { encodeMessage } from '../conformance/wire.ts';
import type { AgentMessage } from '../conformance/wire.ts';

/** One thing a hostile or broken client does on a connection. */
export type Step =
  | { readonly do: 'frame'; readonly opcode: number; readonly fin: boolean; readonly rsv1: boolean; readonly payload: Uint8Array }
  | { readonly do: 'raw'; readonly bytes: Uint8Array }
  | { readonly do: 'abort' };

/** A connection (or request) with what is done on it. */
export type Scenario =
  | { readonly kind: 'websocket'; readonly steps: readonly Step[] }
  | {
      readonly kind: 'http';
      readonly headers: readonly (readonly [string, string])[];
      readonly body: Uint8Array;
      readonly chunked: boolean;
    }
  /** Two connections of one uid whose messages interleave: `true` = the first one speaks. */
  | {
      readonly kind: 'pair';
      readonly uid: Uint8Array;
      readonly turns: readonly { readonly first: boolean; readonly message: AgentMessage }[];
    };

const uint64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const int32 = fc.oneof(fc.constantFrom(0, 1, 2, 3, 99, 2 ** 31 - 1, -1), fc.integer());
const text = fc.oneof(
  fc.string({ maxLength: 60, unit: 'grapheme' }),
  fc.constantFrom('', '\n', '|', ':', ',', '\0', '__proto__', 'constructor', 'a'.repeat(5000)),
);
const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(0)), fc.constant(new Uint8Array(3000)));
const uid = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.uint8Array({ maxLength: 40 }),
  fc.constant(new Uint8Array(Buffer.from('01ARZ3NDEKTSV4RRFFQ69G5FAV'))),
);

const value = fc.oneof(
  text.map((stringValue) => ({ value: { case: 'stringValue' as const, value: stringValue } })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((int) => ({ value: { case: 'intValue' as const, value: int } })),
  fc.double().map((double) => ({ value: { case: 'doubleValue' as const, value: double } })),
  bytes.map((raw) => ({ value: { case: 'bytesValue' as const, value: raw } })),
  fc.constant({ value: { case: 'arrayValue' as const, value: { values: [{}, { value: { case: 'boolValue' as const, value: true } }] } } }),
  fc.constant({}),
);
const attributes = fc.array(fc.record({ key: text, value }), { maxLength: 8 });
const health: fc.Arbitrary<object> = fc.record(
  {
    healthy: fc.boolean(),
    startTimeUnixNano: uint64,
    lastError: text,
    status: text,
    statusTimeUnixNano: uint64,
    componentHealthMap: fc.dictionary(text, fc.record({ healthy: fc.boolean(), status: text, lastError: text }), { maxKeys: 4 }),
    attributes,
  },
  { requiredKeys: [] },
);
const files = fc.dictionary(text, fc.record({ body: bytes, contentType: text }), { maxKeys: 4 });

/** An AgentToServer with any of its fields at any value, its extremes above all. */
export const agentMessage: fc.Arbitrary<AgentMessage> = fc.record(
  {
    instanceUid: uid,
    sequenceNum: uint64,
    agentDescription: fc.record({ identifyingAttributes: attributes, nonIdentifyingAttributes: attributes }),
    capabilities: uint64,
    health,
    effectiveConfig: fc.record({ configMap: fc.record({ configMap: files }, { requiredKeys: [] }) }, { requiredKeys: [] }),
    remoteConfigStatus: fc.record({ lastRemoteConfigHash: bytes, status: int32, errorMessage: text }),
    packageStatuses: fc.record({ errorMessage: text, serverProvidedAllPackagesHash: bytes }),
    agentDisconnect: fc.constant({}),
    flags: fc.oneof(fc.constantFrom(0n, 1n), uint64),
    connectionSettingsRequest: fc.constant({}),
    customCapabilities: fc.record({ capabilities: fc.array(text, { maxLength: 5 }) }),
    customMessage: fc.record({ capability: text, type: text, data: bytes }),
    availableComponents: fc.record({
      hash: bytes,
      components: fc.dictionary(text, fc.constant({ metadata: [], subComponentMap: {} }), { maxKeys: 3 }),
    }),
    connectionSettingsStatus: fc.record({ lastConnectionSettingsHash: bytes, status: int32, errorMessage: text }),
  },
  { requiredKeys: ['instanceUid'] },
) as fc.Arbitrary<AgentMessage>;

const encoded = agentMessage.map((message) => encodeMessage(message));

/** Bytes of a message: right, cut off, with flipped bits, with a wrong header, or nothing like one. */
const messageBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: encoded.map((body) => Buffer.concat([Buffer.of(0), body])) },
  encoded,
  fc.tuple(encoded, fc.nat({ max: 4000 })).map(([body, at]) => Buffer.concat([Buffer.of(0), body.subarray(0, at % (body.length + 1))])),
  fc.tuple(encoded, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 6 })).map(([body, flips]) => {
    const copy = Buffer.concat([Buffer.of(0), body]);
    for (const [at, mask] of flips) copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ mask;
    return copy;
  }),
  fc.tuple(fc.uint8Array({ maxLength: 12 }), encoded).map(([header, body]) => Buffer.concat([header, body])),
  fc.uint8Array({ maxLength: 300 }),
  fc.constant(new Uint8Array(70_000)),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: messageBytes.map((payload) => ({ do: 'frame' as const, opcode: 2, fin: true, rsv1: false, payload })) },
  fc.record({
    do: fc.constant('frame' as const),
    opcode: fc.constantFrom(0, 1, 2, 3, 8, 9, 10, 15),
    fin: fc.boolean(),
    rsv1: fc.boolean(),
    payload: fc.oneof(messageBytes, fc.uint8Array({ maxLength: 130 })),
  }),
  fc.uint8Array({ minLength: 1, maxLength: 60 }).map((raw) => ({ do: 'raw' as const, bytes: raw })),
  { weight: 1, arbitrary: fc.constant({ do: 'abort' as const }) },
);

const header = fc.constantFrom<readonly [string, string]>(
  ['Content-Type', 'application/x-protobuf'],
  ['Content-Type', 'APPLICATION/X-PROTOBUF; x=1'],
  ['Content-Type', 'text/plain'],
  ['Content-Encoding', 'gzip'],
  ['Content-Encoding', 'br'],
  ['Accept-Encoding', 'gzip;q=0.5'],
  ['OpAMP-Instance-UID', 'not a uid'],
  ['Authorization', 'Bearer x'],
);

/** Everything that is tried. */
export const scenario: fc.Arbitrary<Scenario> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('websocket' as const), steps: fc.array(step, { minLength: 1, maxLength: 12 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('http' as const),
      headers: fc.array(header, { maxLength: 4 }),
      body: fc.oneof(encoded, messageBytes),
      chunked: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('pair' as const),
      uid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      turns: fc.array(fc.record({ first: fc.boolean(), message: agentMessage }), { minLength: 2, maxLength: 12 }),
    }),
  },
);
