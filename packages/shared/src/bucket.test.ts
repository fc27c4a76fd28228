import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUCKET_SPACE, hash48 } from './bucket.ts';

describe('hash48', () => {
  it('never changes: boundaries in the fleet spec are compared with it', () => {
    expect(hash48('salt', '01563e3a-b5d3-d676-4c61-efb99302bd5b')).toBe(244_081_436_292_457);
    expect(hash48('', '')).toBe(254_726_046_639_758);
  });

  it('is the first 48 bits of SHA-256', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (salt, bucket) => {
        const expected = createHash('sha256').update(`${salt}:${bucket}`).digest().readUIntBE(0, 6);
        expect(hash48(salt, bucket)).toBe(expected);
        expect(Number.isSafeInteger(expected) && expected < BUCKET_SPACE).toBe(true);
      }),
    );
  });

  it('admits about the fraction that a boundary names', () => {
    let inside = 0;
    for (let index = 0; index < 10_000; index += 1) if (hash48('r1', String(index)) < BUCKET_SPACE / 10) inside += 1;
    expect(inside).toBeGreaterThan(880);
    expect(inside).toBeLessThan(1120);
  });
});
