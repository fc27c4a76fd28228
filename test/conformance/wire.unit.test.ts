import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeAgentMessage,
  decodeReply,
  decodeWebSocketReply,
  encodeMessage,
  newUid,
  padTo,
  presentParts,
  replyBytes,
  uidText,
  varint,
  withHeader,
} from './wire.ts';

const UID = Buffer.from('0190f0000000700080000000000000aa', 'hex');

test('a beat has the bytes that a client sends', () => {
  const body = encodeMessage({ instanceUid: UID, sequenceNum: 5n, capabilities: 0x2001n });
  expect(Buffer.from(withHeader(body)).toString('hex')).toBe('000a100190f0000000700080000000000000aa1005208140');
});

test('a reply is decoded from WebSocket bytes and keeps them', () => {
  const bytes = Buffer.from('000a100190f0000000700080000000000000aa120708011203626164', 'hex');
  const reply = decodeWebSocketReply(bytes);
  expect(reply.errorResponse?.errorMessage).toBe('bad');
  expect(presentParts(reply)).toEqual(['error_response']);
  expect(Buffer.from(replyBytes(reply))).toEqual(bytes.subarray(1));
});

test.each([
  ['an empty message', ''],
  ['another header', '010a00'],
  ['a header of two bytes', '80000a00'],
])('%s is no WebSocket reply', (_what, hex) => {
  expect(() => decodeWebSocketReply(Buffer.from(hex, 'hex'))).toThrow('header');
});

test('64-bit numbers survive', () => {
  const decoded = decodeAgentMessage(encodeMessage({ sequenceNum: 2n ** 64n - 1n, capabilities: 0xffffffff00000001n }));
  expect(decoded.sequenceNum).toBe(18446744073709551615n);
  expect(decoded.capabilities).toBe(0xffffffff00000001n);
});

test.each([
  [0n, '00'],
  [127n, '7f'],
  [128n, '8001'],
  [2n ** 64n - 1n, 'ffffffffffffffffff01'],
])('varint %s', (value, hex) => {
  expect(Buffer.from(varint(value)).toString('hex')).toBe(hex);
});

test('padding reaches every reachable length and changes nothing else', () => {
  const body = encodeMessage({ instanceUid: UID, sequenceNum: 1n });
  // Two bytes of tag and at least one of length are needed; where the length itself grows, one total cannot be made.
  const unreachable = new Set([body.length + 3 + 128, body.length + 4 + 16_384]);
  fc.assert(
    fc.property(fc.integer({ min: body.length + 3, max: 40_000 }), (total) => {
      fc.pre(!unreachable.has(total));
      const padded = padTo(body, total);
      expect(padded).toHaveLength(total);
      expect(decodeAgentMessage(padded).sequenceNum).toBe(1n);
    }),
  );
  expect(() => padTo(body, body.length + 1)).toThrow(RangeError);
});

test('new uids are UUIDv7 and differ', () => {
  const texts = Array.from({ length: 100 }, () => uidText(newUid()));
  expect(new Set(texts).size).toBe(100);
  for (const text of texts) expect(text).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
});

test('bytes that are no message are refused', () => {
  expect(() => decodeReply(Buffer.from('ff', 'hex'))).toThrow();
});
