import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { describe, it } from 'vitest';
import { decodeEffectiveConfig, EffectiveConfigEncoder } from './effective-config.ts';

type Files = Record<string, { body: Uint8Array; contentType: string }>;

function files(text: string, over: Files = {}): Files {
  return { '': { body: Buffer.from(text), contentType: 'text/yaml' }, ...over };
}

describe('EffectiveConfigEncoder', () => {
  it('compresses once what several agents report in one second, and dates it to the second', () => {
    const encoder = new EffectiveConfigEncoder();
    const first = encoder.encode(files('receivers: {}'), 5_100);
    encoder.encode(files('receivers: {}'), 5_200);
    const third = encoder.encode(files('receivers: {}'), 5_999);
    equal(encoder.encode(files('receivers: {}'), 5_001), third);
    deepEqual(third, first);
    deepEqual(decodeEffectiveConfig(third), {
      atMs: 5_000,
      files: { '': { body: 'receivers: {}', contentType: 'text/yaml' } },
      truncated: false,
    });
    equal(decodeEffectiveConfig(encoder.encode(files('receivers: {}'), 6_000)).atMs, 6_000);
  });

  it('keeps its own copy of what it was given', () => {
    const encoder = new EffectiveConfigEncoder();
    const message = Buffer.from('exporters: {}');
    const own = { '': { body: message, contentType: 'text/yaml' } };
    for (let i = 0; i < 3; i += 1) encoder.encode(own, 1_000);
    message.fill('x');
    equal(decodeEffectiveConfig(encoder.encode(files('exporters: {}'), 9_000)).files['']?.body, 'exporters: {}');
    equal(decodeEffectiveConfig(encoder.encode(own, 9_000)).files['']?.body, 'x'.repeat(13));
  });

  it('takes no other config for the one that it keeps', () => {
    const encoder = new EffectiveConfigEncoder();
    const kept = files('a: 1');
    for (let i = 0; i < 3; i += 1) encoder.encode(kept, 1_000);
    const others: Files[] = [
      files('a: 2'),
      { other: { body: Buffer.from('a: 1'), contentType: 'text/yaml' } },
      { '': { body: Buffer.from('a: 1'), contentType: 'text/plain' } },
      // The same checksum as `kept`, which goes over the concatenated names and bodies.
      { a: { body: Buffer.from(': 1'), contentType: 'text/yaml' } },
      files('a: 1', { more: { body: Buffer.from(''), contentType: '' } }),
    ];
    for (const other of others) {
      for (let i = 0; i < 3; i += 1) {
        const expected = Object.entries(other).map(([name, { body, contentType }]) => [
          name,
          { body: Buffer.from(body).toString(), contentType },
        ]);
        deepEqual(decodeEffectiveConfig(encoder.encode(other, 1_000)).files, Object.fromEntries(expected));
      }
    }
  });

  it('keeps nothing that is large, and a bounded number of configs', () => {
    const encoder = new EffectiveConfigEncoder();
    const large = files('x'.repeat(100_000));
    encoder.encode(large, 1_000);
    encoder.encode(large, 1_000);
    notEqual(encoder.encode(large, 1_000), encoder.encode(large, 1_000));

    const kept = encodeTwice(encoder, 'kept: 0');
    equal(encoder.encode(files('kept: 0'), 1_000), kept);
    for (let i = 1; i <= 64; i += 1) encodeTwice(encoder, `kept: ${i}`);
    notEqual(encoder.encode(files('kept: 0'), 1_000), kept);
  });
});

function encodeTwice(encoder: EffectiveConfigEncoder, text: string): Buffer {
  encoder.encode(files(text), 1_000);
  return encoder.encode(files(text), 1_000);
}
