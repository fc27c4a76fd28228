import { describe, expect, it } from 'vitest';
import { encodeClientFrame, FrameError, FrameReader, OPCODE } from './ws-frames.ts';

interface Seen {
  readonly opcode: number;
  readonly text: string;
}

function collect(chunks: readonly Buffer[]): Seen[] {
  const seen: Seen[] = [];
  const reader = new FrameReader();
  const note = (opcode: number, payload: Buffer): void => {
    seen.push({ opcode, text: payload.toString() });
  };
  for (const chunk of chunks) reader.push(chunk, { onMessage: note, onControl: note });
  return seen;
}

function frame(first: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([first, text.length]), Buffer.from(text)]);
}

describe('encodeClientFrame', () => {
  it.each([
    [5, 2],
    [126, 4],
    [70_000, 10],
  ])('masks %i bytes behind a header of %i', (length, headerLength) => {
    const payload = Buffer.alloc(length, 0x41);
    const encoded = encodeClientFrame(OPCODE.binary, payload, 0x01020304);
    expect(encoded.length).toBe(headerLength + 4 + length);
    expect(encoded.readUInt32BE(headerLength)).toBe(0x01020304);
    expect([...encoded.subarray(headerLength + 4, headerLength + 8)]).toEqual([0x40, 0x43, 0x42, 0x45]);
    expect(payload.every((byte) => byte === 0x41)).toBe(true);
  });
});

describe('FrameReader', () => {
  it('reads the same whether the bytes come at once or one by one', () => {
    const stream = Buffer.concat([frame(0x82, 'hello'), frame(0x89, 'p'), frame(0x82, 'x')]);
    const expected = [
      { opcode: 2, text: 'hello' },
      { opcode: 9, text: 'p' },
      { opcode: 2, text: 'x' },
    ];
    expect(collect([stream])).toEqual(expected);
    expect(collect([...stream].map((byte) => Buffer.from([byte])))).toEqual(expected);
  });

  it('joins fragments around a ping', () => {
    const stream = Buffer.concat([frame(0x02, 'ab'), frame(0x89, ''), frame(0x00, 'cd'), frame(0x80, 'ef')]);
    expect(collect([stream])).toEqual([
      { opcode: 9, text: '' },
      { opcode: 2, text: 'abcdef' },
    ]);
  });

  it('reads a length of 16 bits', () => {
    const body = 'y'.repeat(300);
    const stream = Buffer.concat([Buffer.from([0x82, 126, 1, 44]), Buffer.from(body)]);
    expect(collect([stream])).toEqual([{ opcode: 2, text: body }]);
  });

  it('refuses masked frames and continuations of nothing', () => {
    expect(() => collect([Buffer.from([0x82, 0x80, 0, 0, 0, 0])])).toThrow(FrameError);
    expect(() => collect([frame(0x80, 'x')])).toThrow(FrameError);
  });
});
