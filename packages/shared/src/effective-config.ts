import { deflateRawSync, inflateRawSync } from 'node:zlib';
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

/** Compresses the files an agent reported; bodies beyond the limit are cut and marked. */
export function encodeEffectiveConfig(files: Readonly<Record<string, { body: Uint8Array; contentType: string }>>, atMs: number): Buffer {
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
