import { inspect } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeEffectiveConfig, encodeEffectiveConfig, readEffectiveConfig } from './effective-config.ts';
import { isSealed, parseEncryptionKeys, seal, SealError, unseal } from './encryption.ts';

const OLD = `old:${'0a'.repeat(32)}`;
const NEW = `new:${'b1'.repeat(32)}`;
const BODY = 'exporters: {otlp: {headers: {authorization: planted}}}';
const PLAIN = encodeEffectiveConfig({ '': { body: Buffer.from(BODY), contentType: 'text/yaml' } }, 7);

describe('keys', () => {
  it('are read in their order, the first to write', () => {
    const keys = parseEncryptionKeys(` ${NEW}, ${OLD.toUpperCase().replace('OLD', 'old')} `);
    expect([keys.writer.id, [...keys.all.keys()]]).toEqual(['new', ['new', 'old']]);
  });

  it.each([
    ['', 'entry 1'],
    [`${OLD},`, 'entry 2'],
    ['0a'.repeat(32), 'entry 1'],
    [`a b:${'0a'.repeat(32)}`, 'entry 1'],
    [`${OLD},new:${'b1'.repeat(31)}`, 'entry 2'],
    [`${OLD},old:${'b1'.repeat(32)}`, 'different id'],
  ])('%j is refused without being repeated', (text, expected) => {
    let message = '';
    try {
      parseEncryptionKeys(text);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(expected);
    expect(message).not.toMatch(/0a0a|b1b1/);
  });

  it('show in nothing that is printed', () => {
    const keys = parseEncryptionKeys(`${OLD},${NEW}`);
    expect(inspect(keys, { depth: 9, showHidden: true }) + JSON.stringify({ keys, all: [...keys.all] })).not.toMatch(/0a0a|b1b1/);
  });
});

describe('sealed bytes', () => {
  const keys = parseEncryptionKeys(OLD);

  it('come back for their subject only', () => {
    const sealed = seal(PLAIN, keys, 'uid-1');
    expect(isSealed(sealed)).toBe(true);
    expect(unseal(sealed, keys, 'uid-1')).toEqual(PLAIN);
    expect(() => unseal(sealed, keys, 'uid-2')).toThrow(/cannot be decrypted with the key "old"/);
  });

  it('are different every time', () => {
    const nonces = new Set(Array.from({ length: 200 }, () => seal(PLAIN, keys, 'u').toString('hex', 6, 18)));
    expect(nonces.size).toBe(200);
  });

  it('are read after another key has taken over, and not once theirs is gone', () => {
    const before = seal(PLAIN, keys, 'u');
    const both = parseEncryptionKeys(`${NEW},${OLD}`);
    const after = seal(PLAIN, both, 'u');
    for (const sealed of [before, after]) expect(unseal(sealed, both, 'u')).toEqual(PLAIN);
    const only = parseEncryptionKeys(NEW);
    expect(unseal(after, only, 'u')).toEqual(PLAIN);
    for (const none of [only, undefined])
      expect(() => unseal(before, none, 'u')).toThrow(/encrypted with a key that this process does not have: "old"/);
  });

  it('are refused with another key of the same id, with any bit changed, and cut anywhere', () => {
    const sealed = seal(PLAIN, keys, 'u');
    expect(() => unseal(sealed, parseEncryptionKeys(`old:${'cc'.repeat(32)}`), 'u')).toThrow(/another key by the same id/);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => unseal(changed, keys, 'u'), `byte ${at}`).toThrow(SealError);
      expect(() => unseal(sealed.subarray(0, at), keys, 'u'), `cut at ${at}`).toThrow(SealError);
    }
  });

  it('look like nothing that deflate writes', () => {
    for (const text of ['', 'x', BODY, BODY.repeat(5_000)])
      for (const level of [0, 3, 9]) expect(isSealed(deflateRawSync(text, { level }))).toBe(false);
  });
});

describe('an effective config', () => {
  const keys = parseEncryptionKeys(OLD);
  const body = (read: ReturnType<typeof readEffectiveConfig>): string | undefined =>
    'unreadable' in read ? read.unreadable : read.files['']?.body;

  it('is read plain and sealed, with and without a key', () => {
    expect(body(readEffectiveConfig(PLAIN, { keys: undefined, uid: 'u' }))).toBe(BODY);
    expect(body(readEffectiveConfig(PLAIN, { keys, uid: 'u' }))).toBe(BODY);
    const sealed = seal(PLAIN, keys, 'u');
    expect(sealed.includes('planted')).toBe(false);
    expect(body(readEffectiveConfig(sealed, { keys, uid: 'u' }))).toBe(BODY);
  });

  it('says why it cannot be read, and is never empty instead', () => {
    expect(body(readEffectiveConfig(seal(PLAIN, keys, 'u'), { keys: undefined, uid: 'u' }))).toContain(
      'encrypted with a key that this process does not have',
    );
    for (const bytes of [Buffer.alloc(0), Buffer.from('nonsense'), PLAIN.subarray(0, 9), deflateRawSync('null'), deflateRawSync('{}')])
      expect(body(readEffectiveConfig(bytes, { keys, uid: 'u' }))).toBe('the stored bytes are damaged');
    expect(() => decodeEffectiveConfig(Buffer.from('nonsense'))).toThrow();
  });
});
