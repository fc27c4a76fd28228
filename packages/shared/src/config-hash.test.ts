import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CONFIG_HASH_BYTES, type ConfigFile, type ConfigMap, configHash, fromHex, isConfigHash, toHex } from './config-hash.ts';

const file = (body: string, contentType = 'text/yaml'): ConfigFile => ({ body: Buffer.from(body), contentType });
const hex = (files: ConfigMap) => toHex(configHash(files));

describe('configHash', () => {
  it('never changes: stored blobs are named by it', () => {
    expect(hex(new Map())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(hex(new Map([['', file('receivers: {}\n')]]))).toBe('f81cf871eb965d48f1e6aaa2cded96d7703fcd46b74e098b443c9a92051f41b6');
    expect(
      hex(
        new Map([
          ['a.yaml', file('a: 1\n')],
          ['b.yaml', file('b: 2\n', '')],
        ]),
      ),
    ).toBe('3b27c44bf9b2c182cdb9928e810dd9f52fabb05971a1888426805d692e9b3e41');
  });

  it('does not depend on the order of the files', () => {
    const entry = fc.tuple(fc.string(), fc.uint8Array({ maxLength: 20 }), fc.constantFrom('', 'text/yaml'));
    fc.assert(
      fc.property(fc.uniqueArray(entry, { selector: ([name]) => name, maxLength: 6 }), (entries) => {
        const pairs = entries.map(([name, body, contentType]) => [name, { body, contentType }] as const);
        expect(hex(new Map(pairs))).toBe(hex(new Map(pairs.toReversed())));
      }),
    );
  });

  it('sorts names by their bytes, not by UTF-16 units', () => {
    const emoji = '\u{1F600}';
    const privateUse = '\uE000';
    const manual = [privateUse, emoji];
    const parts: Buffer[] = [];
    for (const name of manual) {
      for (const part of [Buffer.from(name), Buffer.from(''), Buffer.from('x')]) {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(part.length);
        parts.push(length, part);
      }
    }
    const files = new Map([
      [emoji, file('x', '')],
      [privateUse, file('x', '')],
    ]);
    return crypto.subtle.digest('SHA-256', Buffer.concat(parts)).then((expected) => {
      expect(hex(files)).toBe(Buffer.from(expected).toString('hex'));
    });
  });

  it('keeps name, content type and body apart', () => {
    const hashes = [
      hex(new Map([['ab', file('c', '')]])),
      hex(new Map([['a', file('bc', '')]])),
      hex(new Map([['a', file('c', 'b')]])),
      hex(new Map([['', file('abc', '')]])),
      hex(new Map([['abc', file('', '')]])),
      hex(
        new Map([
          ['a', file('', '')],
          ['b', file('c', '')],
        ]),
      ),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('hex', () => {
  it('goes both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromHex(toHex(bytes))).toEqual(bytes);
      }),
    );
    expect(fromHex('0aFF')).toEqual(Uint8Array.of(10, 255));
    expect(toHex(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe('0203');
  });

  it('refuses odd lengths and foreign characters', () => {
    for (const text of ['0', 'zz', '0x00', '00 ']) expect(() => fromHex(text)).toThrow(RangeError);
  });

  it('recognises a config hash', () => {
    const text = hex(new Map());
    expect(fromHex(text)).toHaveLength(CONFIG_HASH_BYTES);
    expect(isConfigHash(text)).toBe(true);
    expect(isConfigHash(text.toUpperCase())).toBe(false);
    expect(isConfigHash(text.slice(1))).toBe(false);
  });
});
