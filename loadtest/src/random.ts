/** Seeded randomness: the same seed gives the same swarm, whatever else the process does. */
import { createHash } from 'node:crypto';

/** FNV-1a with a final mix: spreads short keys such as `7:12` over all 32 bits. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash ^= text.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A number in [0, 1) that depends on the text alone. */
export function unitHash(text: string): number {
  return hash32(text) / 0x1_0000_0000;
}

/** A stream of numbers in [0, 1) (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** 16 bytes in UUIDv7 form, fixed by seed and index: the time part is constant, so that uids repeat from run to run. */
export function seededInstanceUid(seed: number, index: number): Uint8Array {
  const digest = createHash('sha256').update(`${seed}:${index}`).digest();
  const uid = new Uint8Array(16);
  uid.set([0x01, 0x90, 0xf0, 0x00, 0x00, 0x00]);
  uid.set(digest.subarray(0, 10), 6);
  uid[6] = 0x70 | ((uid[6] ?? 0) & 0x0f);
  uid[8] = 0x80 | ((uid[8] ?? 0) & 0x3f);
  return uid;
}

/** Canonical UUID text of 16 bytes. */
export function uuidText(uid: Uint8Array): string {
  const hex = Buffer.from(uid.buffer, uid.byteOffset, uid.byteLength).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
