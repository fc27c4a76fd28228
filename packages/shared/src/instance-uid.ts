import { randomFillSync } from 'node:crypto';

/**
 * An agent's `instance_uid` as canonical lower-case UUID text, the one form used in keys, logs and the API.
 * On the wire it is 16 bytes. [OpAMP instance_uid]
 */
export type InstanceUid = string;

/** Number of shards that agents are spread over; fixed for the life of a store. */
export const SHARD_COUNT = 16;

/** The uid that no agent may use and no gateway may hand out. */
export const ZERO_UID: InstanceUid = '00000000-0000-0000-0000-000000000000';

const UID_BYTES = 16;
const ULID_CHARS = 26;
const UID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const DASH = 45;

/** Value of each ASCII code as a Crockford digit; 255 where it is none. */
const CROCKFORD_VALUES = crockfordTable();

/**
 * Reads the `instance_uid` field. 16 bytes are taken as they are (any value is legal); 26 bytes are the text of an old
 * ULID and are decoded to its 16 bytes, upper or lower case. Anything else is `undefined`.
 *
 * A ULID agent compares a reply's uid with its own 26 bytes, so whoever answers must echo the bytes it received.
 */
export function uidFromBytes(bytes: Uint8Array): InstanceUid | undefined {
  if (bytes.length === UID_BYTES) return formatUid(bytes);
  if (bytes.length === ULID_CHARS) {
    const decoded = decodeUlid(bytes);
    return decoded === undefined ? undefined : formatUid(decoded);
  }
  return undefined;
}

/** The 16 bytes of a uid. Throws a RangeError when the text is no canonical uid. */
export function uidToBytes(uid: InstanceUid): Uint8Array {
  if (!isUid(uid)) throw new RangeError(`not an instance uid: ${JSON.stringify(uid)}`);
  return new Uint8Array(Buffer.from(uid.replaceAll('-', ''), 'hex'));
}

/** Writes the 16 bytes of a canonical uid into `target`, which is returned. */
export function writeUid(uid: InstanceUid, target: Uint8Array): Uint8Array {
  let at = 0;
  let high = -1;
  for (let index = 0; index < uid.length; index += 1) {
    const code = uid.charCodeAt(index);
    if (code === DASH) continue;
    const digit = code < 58 ? code - 48 : code - 87;
    if (high < 0) high = digit << 4;
    else {
      target[at] = high | digit;
      at += 1;
      high = -1;
    }
  }
  return target;
}

/** Whether the text is a uid in canonical form (lower case, dashes at the usual places). */
export function isUid(text: string): text is InstanceUid {
  return UID_PATTERN.test(text);
}

/** Reads UUID text that a person or a header gave, in any case; `undefined` when it is none. */
export function parseUid(text: string): InstanceUid | undefined {
  const lower = text.toLowerCase();
  return isUid(lower) ? lower : undefined;
}

/** Whether this is the all-zero uid, which agents refuse and which a gateway must not accept or hand out. */
export function isZeroUid(uid: InstanceUid): boolean {
  return uid === ZERO_UID;
}

/** A fresh UUIDv7: 48 bits of `nowMs` (Unix milliseconds), the rest random. */
export function newUid(nowMs: number = Date.now()): InstanceUid {
  const bytes = randomFillSync(new Uint8Array(UID_BYTES));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(nowMs / 0x1_0000_0000));
  view.setUint32(2, nowMs % 0x1_0000_0000);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x70);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  return formatUid(bytes);
}

/**
 * The shard of an agent: 32-bit FNV-1a over the 16 bytes, stirred by the MurmurHash3 finaliser (FNV alone leaves the low
 * bits of sequential uids uneven), modulo the number of shards. Stored data depends on it: it must never change.
 */
export function shardOf(uid: InstanceUid, shardCount: number = SHARD_COUNT): number {
  let hash = 0x811c9dc5;
  let high = -1;
  for (let index = 0; index < uid.length; index += 1) {
    const code = uid.charCodeAt(index);
    if (code === DASH) continue;
    const digit = code < 58 ? code - 48 : code - 87;
    if (high < 0) {
      high = digit << 4;
      continue;
    }
    hash = Math.imul(hash ^ (high | digit), 0x01000193);
    high = -1;
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return (hash >>> 0) % shardCount;
}

function formatUid(bytes: Uint8Array): InstanceUid {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, UID_BYTES).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** 26 digits of 5 bits are 130 bits; a ULID uses 128, so the first digit is at most 7. */
function decodeUlid(text: Uint8Array): Uint8Array | undefined {
  const bytes = new Uint8Array(UID_BYTES);
  let pending = 0;
  let pendingBits = 0;
  let written = 0;
  for (let index = 0; index < ULID_CHARS; index += 1) {
    const value = CROCKFORD_VALUES[text[index] ?? 0] ?? 255;
    if (value === 255 || (index === 0 && value > 7)) return undefined;
    pending = (pending << 5) | value;
    pendingBits += index === 0 ? 3 : 5;
    if (pendingBits >= 8) {
      pendingBits -= 8;
      bytes[written] = (pending >>> pendingBits) & 0xff;
      written += 1;
      pending &= (1 << pendingBits) - 1;
    }
  }
  return bytes;
}

function crockfordTable(): Uint8Array {
  const table = new Uint8Array(256).fill(255);
  for (let value = 0; value < CROCKFORD.length; value += 1) {
    table[CROCKFORD.charCodeAt(value)] = value;
    table[CROCKFORD.toLowerCase().charCodeAt(value)] = value;
  }
  return table;
}
