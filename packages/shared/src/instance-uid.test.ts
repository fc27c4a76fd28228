import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SHARD_COUNT, ZERO_UID, isUid, isZeroUid, newUid, parseUid, shardOf, uidFromBytes, uidToBytes } from './instance-uid.ts';

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const ascii = (text: string) => new TextEncoder().encode(text);

describe('instance uid', () => {
  it('survives the way from bytes to text and back', () => {
    fc.assert(
      fc.property(bytes16, (bytes) => {
        const uid = uidFromBytes(bytes);
        expect(uid).toBeDefined();
        expect(isUid(uid ?? '')).toBe(true);
        expect(uidToBytes(uid ?? '')).toEqual(bytes);
      }),
    );
  });

  it('reads the 16 bytes of a view that does not start at its buffer', () => {
    const buffer = Uint8Array.from({ length: 20 }, (_, index) => index);
    expect(uidFromBytes(buffer.subarray(3, 19))).toBe('03040506-0708-090a-0b0c-0d0e0f101112');
  });

  it('decodes ULID text in either case', () => {
    expect(uidFromBytes(ascii('01ARZ3NDEKTSV4RRFFQ69G5FAV'))).toBe('01563e3a-b5d3-d676-4c61-efb99302bd5b');
    expect(uidFromBytes(ascii('01arz3ndektsv4rrffq69g5fav'))).toBe('01563e3a-b5d3-d676-4c61-efb99302bd5b');
    expect(uidFromBytes(ascii('00000000000000000000000000'))).toBe(ZERO_UID);
    expect(uidFromBytes(ascii('7ZZZZZZZZZZZZZZZZZZZZZZZZZ'))).toBe('ffffffff-ffff-ffff-ffff-ffffffffffff');
  });

  it('refuses ULID text that does not fit 128 bits or has foreign characters, and every other length', () => {
    expect(uidFromBytes(ascii('8ZZZZZZZZZZZZZZZZZZZZZZZZZ'))).toBeUndefined();
    expect(uidFromBytes(ascii('01ARZ3NDEKTSV4RRFFQ69G5FAU'))).toBeUndefined();
    expect(uidFromBytes(ascii('01ARZ3NDEKTSV4RRFFQ69G5FA-'))).toBeUndefined();
    for (const length of [0, 1, 15, 17, 25, 27, 36]) expect(uidFromBytes(new Uint8Array(length))).toBeUndefined();
  });

  it('parses text of any case and nothing else', () => {
    expect(parseUid('01563E3A-B5D3-D676-4C61-EFB99302BD5B')).toBe('01563e3a-b5d3-d676-4c61-efb99302bd5b');
    expect(parseUid('01563e3ab5d3d6764c61efb99302bd5b')).toBeUndefined();
    expect(parseUid('')).toBeUndefined();
    expect(isUid('01563E3A-B5D3-D676-4C61-EFB99302BD5B')).toBe(false);
    expect(() => uidToBytes('nonsense')).toThrow('not an instance uid');
    expect(isZeroUid(ZERO_UID)).toBe(true);
    expect(isZeroUid(newUid())).toBe(false);
  });

  it('makes version 7 uids that carry the time', () => {
    const uid = newUid(0x0123_4567_89ab);
    expect(uid).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new Set(Array.from({ length: 1000 }, () => newUid())).size).toBe(1000);
  });
});

describe('shardOf', () => {
  it('never changes: stored keys depend on it', () => {
    expect(shardOf(ZERO_UID, 0x1_0000_0000)).toBe(3_252_299_835);
    expect(shardOf('01563e3a-b5d3-d676-4c61-efb99302bd5b', 0x1_0000_0000)).toBe(3_671_420_400);
    expect(shardOf('ffffffff-ffff-ffff-ffff-ffffffffffff', 0x1_0000_0000)).toBe(1_155_200_646);
  });

  it('spreads sequential and random uids evenly', () => {
    const rounds = 16_000;
    const sources = [(index: number) => `01890000-0000-7000-8000-${index.toString(16).padStart(12, '0')}`, () => newUid()];
    for (const source of sources) {
      const counts = new Array<number>(SHARD_COUNT).fill(0);
      for (let index = 0; index < rounds; index += 1) {
        const shard = shardOf(source(index));
        counts[shard] = (counts[shard] ?? 0) + 1;
      }
      expect(Math.min(...counts)).toBeGreaterThan(800);
      expect(Math.max(...counts)).toBeLessThan(1200);
    }
  });
});
