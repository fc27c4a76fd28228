import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeFrame, FrameParser, OPCODE } from './frame.ts';

test('frames come out as they went in, however the stream is cut', () => {
  const frame = fc.record({
    opcode: fc.constantFrom(OPCODE.binary, OPCODE.text, OPCODE.continuation, OPCODE.ping),
    payload: fc.uint8Array({ maxLength: 300 }),
    fin: fc.boolean(),
    rsv1: fc.boolean(),
    maskKey: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 6 }), fc.integer({ min: 1, max: 50 }), (frames, chunkBytes) => {
      const bytes = Buffer.concat(frames.map((init) => encodeFrame(init)));
      const parser = new FrameParser();
      const parsed = [];
      for (let at = 0; at < bytes.length; at += chunkBytes) parsed.push(...parser.push(bytes.subarray(at, at + chunkBytes)));
      expect(parsed.map(({ opcode, fin, rsv1, payload }) => ({ opcode, fin, rsv1, payload: [...payload] }))).toEqual(
        frames.map(({ opcode, fin, rsv1, payload }) => ({ opcode, fin, rsv1, payload: [...payload] })),
      );
      expect(parsed.every(({ masked }) => masked)).toBe(true);
    }),
  );
});

test.each([
  [125, 2],
  [126, 4],
  [65_535, 4],
  [65_536, 10],
])('a payload of %i bytes has a head of %i bytes', (length, headBytes) => {
  const bytes = encodeFrame({ opcode: OPCODE.binary, payload: Buffer.alloc(length) });
  expect(bytes).toHaveLength(headBytes + length);
  expect(new FrameParser().push(bytes)[0]?.payload).toHaveLength(length);
});

test('a masked frame hides its payload', () => {
  const bytes = encodeFrame({ opcode: OPCODE.text, payload: Buffer.from('Hello'), maskKey: Buffer.from('37fa213d', 'hex') });
  // The example of RFC 6455, 5.7.
  expect(bytes.toString('hex')).toBe('818537fa213d7f9f4d5158');
});

test('reserved bits are refused', () => {
  expect(() => new FrameParser().push(Buffer.from([0xa2, 0x00]))).toThrow('RSV');
});
