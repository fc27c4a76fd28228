import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { isSealed, SealError, unseal } from './encryption.ts';
import type { EncryptionKeys } from './encryption.ts';

/** One file of an effective config as an agent reported it. */
export interface EffectiveFile {
  body: string;
  contentType: string;
}

/** What `opamp:{ss}:effective:<uid>` holds, deflated, and sealed where there is a key. */
export interface EffectiveConfigDocument {
  atMs: number;
  files: Record<string, EffectiveFile>;
  /** True when bodies were cut at {@link MAX_EFFECTIVE_BYTES}. */
  truncated: boolean;
}

/** What is stored cannot be read: why, in words for operators. */
export interface UnreadableEffectiveConfig {
  unreadable: string;
}

/** Most bytes of bodies kept per agent, before compression. */
export const MAX_EFFECTIVE_BYTES = 1024 * 1024;

/** Most documents are small: less memory and half the time for each, for a few bytes more. */
const SMALL_CHARS = 16 * 1024;
const SMALL_DEFLATE = { level: 3, windowBits: 12, memLevel: 5 };

type ReportedFiles = Readonly<Record<string, { body: Uint8Array; contentType: string }>>;

/** Compresses the files an agent reported; bodies beyond the limit are cut and marked. */
export function encodeEffectiveConfig(files: ReportedFiles, atMs: number): Buffer {
  const document: EffectiveConfigDocument = { atMs, files: {}, truncated: false };
  let left = MAX_EFFECTIVE_BYTES;
  for (const name of Object.keys(files).toSorted()) {
    const file = files[name];
    if (file === undefined) continue;
    const body = file.body.length > left ? file.body.subarray(0, left) : file.body;
    if (body.length < file.body.length) document.truncated = true;
    left -= body.length;
    document.files[name.slice(0, 1024)] = {
      body: Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'),
      contentType: file.contentType.slice(0, 256),
    };
  }
  const text = JSON.stringify(document);
  const packed = deflateRawSync(text, text.length <= SMALL_CHARS ? SMALL_DEFLATE : {});
  // What comes back is the front of 16 KiB, all of which would be kept.
  const exact = Buffer.allocUnsafeSlow(packed.length);
  packed.copy(exact);
  return exact;
}

const SECOND_MS = 1_000;
/** Most different configs that are kept, and most bytes of each: 4 MB in all. */
const MAX_KEPT = 64;
const MAX_KEPT_BYTES = 64 * 1024;
/** Most checksums of configs that were met once. */
const MAX_MET = 4_096;

interface KeptConfig {
  files: ReportedFiles;
  atMs: number;
  packed: Buffer;
}

/**
 * Compresses what agents report, and once only what several of them report in the same second: agents without anything of their
 * own in their config all report the same in a wave. Reports are dated to the second. A config is kept from its second report on.
 */
export class EffectiveConfigEncoder {
  readonly #met = new Set<number>();
  readonly #kept = new Map<number, KeptConfig>();

  /** As {@link encodeEffectiveConfig}; the result is shared and must not be changed. */
  encode(files: ReportedFiles, atMs: number): Buffer {
    const secondMs = Math.floor(atMs / SECOND_MS) * SECOND_MS;
    const sum = checksum(files);
    if (sum === undefined) return encodeEffectiveConfig(files, secondMs);
    const kept = this.#kept.get(sum);
    if (kept !== undefined && isSame(kept.files, files)) {
      if (kept.atMs !== secondMs) {
        kept.packed = encodeEffectiveConfig(kept.files, secondMs);
        kept.atMs = secondMs;
      }
      return kept.packed;
    }
    const packed = encodeEffectiveConfig(files, secondMs);
    if (this.#met.has(sum)) {
      for (const oldest of this.#kept.keys()) {
        if (this.#kept.size < MAX_KEPT) break;
        this.#kept.delete(oldest);
      }
      this.#kept.set(sum, { files: copyOf(files), atMs: secondMs, packed });
    } else {
      if (this.#met.size >= MAX_MET) this.#met.clear();
      this.#met.add(sum);
    }
    return packed;
  }
}

/** Undefined for files that are too large to keep. */
function checksum(files: ReportedFiles): number | undefined {
  let sum = 0;
  let bytes = 0;
  for (const [name, { body, contentType }] of Object.entries(files)) {
    bytes += name.length + contentType.length + body.length;
    if (bytes > MAX_KEPT_BYTES) return undefined;
    sum = crc32(body, crc32(name, sum));
  }
  return sum;
}

function isSame(kept: ReportedFiles, files: ReportedFiles): boolean {
  const names = Object.keys(files);
  return (
    names.length === Object.keys(kept).length &&
    names.every((name) => {
      const [mine, theirs] = [kept[name], files[name]];
      return (
        mine !== undefined &&
        theirs !== undefined &&
        mine.contentType === theirs.contentType &&
        Buffer.compare(mine.body, theirs.body) === 0
      );
    })
  );
}

/** Files with bytes of their own: those of a message are gone after it. */
function copyOf(files: ReportedFiles): ReportedFiles {
  return Object.fromEntries(Object.entries(files).map(([name, { body, contentType }]) => [name, { body: Buffer.from(body), contentType }]));
}

/** Reads what {@link encodeEffectiveConfig} wrote. Throws on anything else. */
export function decodeEffectiveConfig(bytes: Uint8Array): EffectiveConfigDocument {
  return JSON.parse(inflateRawSync(bytes, { maxOutputLength: 8 * MAX_EFFECTIVE_BYTES }).toString('utf8')) as EffectiveConfigDocument;
}

/** Reads what is stored for an agent, encrypted or not. Never throws: what cannot be read comes back as the reason. */
export function readEffectiveConfig(
  bytes: Uint8Array,
  { keys, uid }: { keys: EncryptionKeys | undefined; uid: string },
): EffectiveConfigDocument | UnreadableEffectiveConfig {
  try {
    const document = decodeEffectiveConfig(isSealed(bytes) ? unseal(bytes, keys, uid) : bytes) as EffectiveConfigDocument | null;
    if (typeof document?.files === 'object' && typeof document.atMs === 'number') return document;
  } catch (error) {
    if (error instanceof SealError) return { unreadable: error.message };
  }
  return { unreadable: 'the stored bytes are damaged' };
}
