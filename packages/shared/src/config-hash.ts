import { createHash } from 'node:crypto';

/** One file of a remote config: `AgentConfigFile` on the wire. [OpAMP AgentConfigFile] */
export type ConfigFile = { readonly body: Uint8Array; readonly contentType: string };

/** The files of a remote config by name; a single file usually has the empty name. [OpAMP AgentConfigMap] */
export type ConfigMap = ReadonlyMap<string, ConfigFile>;

/** Bytes of a config hash. */
export const CONFIG_HASH_BYTES = 32;

const HASH_PATTERN = /^[0-9a-f]{64}$/;
const HEX_PATTERN = /^(?:[0-9a-fA-F]{2})*$/;

/**
 * The content hash of a config: SHA-256 over its files in byte order of their names, and of each file its name, content
 * type and body, each behind its length as 4 bytes big-endian. The lengths keep ("ab", "c") and ("a", "bc") apart, and the
 * order of the map does not matter. Stored data depends on it: it must never change.
 */
export function configHash(files: ConfigMap): Uint8Array {
  const entries = Array.from(files, ([name, file]) => ({ name: Buffer.from(name, 'utf8'), file }));
  entries.sort((left, right) => Buffer.compare(left.name, right.name));
  const hash = createHash('sha256');
  const length = Buffer.alloc(4);
  const add = (part: Uint8Array): void => {
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  };
  for (const { name, file } of entries) {
    add(name);
    add(Buffer.from(file.contentType, 'utf8'));
    add(file.body);
  }
  return new Uint8Array(hash.digest());
}

/** Bytes as lower-case hex; the text form of hashes in keys, documents and the API. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Hex text of either case as bytes. Throws a RangeError on anything else. */
export function fromHex(text: string): Uint8Array {
  if (!HEX_PATTERN.test(text)) throw new RangeError(`not hexadecimal: ${JSON.stringify(text.slice(0, 80))}`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** Whether the text is a config hash as `toHex(configHash(…))` writes it. */
export function isConfigHash(text: string): boolean {
  return HASH_PATTERN.test(text);
}
