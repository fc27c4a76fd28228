import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Keys for what is stored encrypted. The first encrypts; all decrypt, so that one can replace another. They show in no log: a KeyObject prints nothing. */
export interface EncryptionKeys {
  readonly writer: { readonly id: string; readonly key: KeyObject };
  readonly all: ReadonlyMap<string, KeyObject>;
}

/** Sealed bytes cannot be read; the message says why, in words for operators, and holds no secret. */
export class SealError extends Error {
  override name = 'SealError';
}

/**
 * First byte of sealed bytes. Both bits of a deflate block's type are set in it, which RFC 1951 (3.2.3) reserves: no deflated text begins
 * like that, so that sealed and plain ones are told apart.
 */
const MARK = 0xfe;
const FORMAT = 1;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Mark, format, length of the id. */
const HEAD_BYTES = 3;

/** Reads `<id>:<64 hex>`, several separated by commas. Throws an Error that says what was expected and repeats nothing of the text. */
export function parseEncryptionKeys(text: string): EncryptionKeys {
  const keys = new Map<string, KeyObject>();
  let writer: EncryptionKeys['writer'] | undefined;
  for (const [index, entry] of text.split(',').entries()) {
    const match = /^([A-Za-z0-9._-]{1,32}):([0-9a-fA-F]{64})$/.exec(entry.trim());
    const [, id, hex] = match ?? [];
    if (id === undefined || hex === undefined)
      throw new Error(
        `expected <id>:<64 hexadecimal digits>, several separated by commas, ids of 1 to 32 letters, digits, dots, dashes or underscores (entry ${index + 1} is none)`,
      );
    if (keys.has(id)) throw new Error(`expected a different id for each key (entry ${index + 1} has one that was there before)`);
    const key = createSecretKey(Buffer.from(hex, 'hex'));
    keys.set(id, key);
    writer ??= { id, key };
  }
  if (writer === undefined) throw new Error('expected at least one key');
  return { writer, all: keys };
}

/**
 * Encrypts bytes with the first key: AES-256-GCM under a random nonce. What they belong to (`subject`: an agent's uid) is authenticated with
 * them, so that nobody can put one agent's bytes in another's place.
 */
export function seal(plain: Uint8Array, keys: EncryptionKeys, subject: string): Buffer {
  const { id, key } = keys.writer;
  const head = Buffer.from([MARK, FORMAT, id.length, ...Buffer.from(id, 'latin1')]);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(additional(head, subject));
  return Buffer.concat([head, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Whether bytes were sealed; deflated ones never look like that. */
export function isSealed(bytes: Uint8Array): boolean {
  return bytes[0] === MARK;
}

/** Decrypts what {@link seal} wrote for this subject. Throws a {@link SealError}. */
export function unseal(bytes: Uint8Array, keys: EncryptionKeys | undefined, subject: string): Buffer {
  const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const idEnd = HEAD_BYTES + (sealed[2] ?? 0);
  if (sealed[0] !== MARK || sealed.length < idEnd + NONCE_BYTES + TAG_BYTES) throw new SealError('the stored bytes are damaged');
  if (sealed[1] !== FORMAT) throw new SealError(`it is encrypted in a way that this release does not know (${sealed[1]})`);
  const id = sealed.toString('latin1', HEAD_BYTES, idEnd);
  const key = keys?.all.get(id);
  if (key === undefined)
    throw new SealError(`it is encrypted with a key that this process does not have: ${JSON.stringify(id)} (OPAMP_ENCRYPTION_KEYS)`);
  const bodyStart = idEnd + NONCE_BYTES;
  const bodyEnd = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(idEnd, bodyStart), { authTagLength: TAG_BYTES });
  decipher.setAAD(additional(sealed.subarray(0, idEnd), subject));
  decipher.setAuthTag(sealed.subarray(bodyEnd));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(bodyStart, bodyEnd)), decipher.final()]);
  } catch (error) {
    throw new SealError(
      `it cannot be decrypted with the key ${JSON.stringify(id)}: that is another key by the same id, or the stored bytes were changed`,
      { cause: error },
    );
  }
}

function additional(head: Uint8Array, subject: string): Buffer {
  return Buffer.concat([head, Buffer.from(subject, 'utf8')]);
}
