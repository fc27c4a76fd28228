import { create } from '@bufbuild/protobuf';
import { type AnyValue, AnyValueSchema, type KeyValue, KeyValueSchema } from '@opamp-gateway/proto/anyvalue';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES, flattenDescription, valueText } from './key-value.ts';

const any = (value: AnyValue['value']) => create(AnyValueSchema, { value });
const text = (value: string) => any({ case: 'stringValue', value });
const pair = (key: string, value: AnyValue | string): KeyValue =>
  create(KeyValueSchema, { key, value: typeof value === 'string' ? text(value) : value });
const list = (...values: AnyValue[]) => create(AnyValueSchema, { value: { case: 'arrayValue', value: { values } } });
const map = (...values: KeyValue[]) => create(AnyValueSchema, { value: { case: 'kvlistValue', value: { values } } });
const bytes = (value: string) => Buffer.byteLength(value);

describe('valueText', () => {
  it.each([
    [text('otelcol'), 'otelcol'],
    [any({ case: 'boolValue', value: true }), 'true'],
    [any({ case: 'boolValue', value: false }), 'false'],
    [any({ case: 'intValue', value: 9_223_372_036_854_775_807n }), '9223372036854775807'],
    [any({ case: 'doubleValue', value: 1.5 }), '1.5'],
    [any({ case: 'doubleValue', value: Number.NaN }), 'NaN'],
    [any({ case: 'bytesValue', value: Uint8Array.of(1, 2, 255) }), 'AQL/'],
    [any({ case: undefined }), ''],
    [undefined, ''],
    [list(), '[]'],
    [map(), '{}'],
    [
      list(text('a"'), any({ case: 'intValue', value: 9_007_199_254_740_993n }), any({ case: undefined })),
      String.raw`["a\"",9007199254740993,null]`,
    ],
    [
      map(pair('k', list(any({ case: 'doubleValue', value: 0.5 }))), pair('n', any({ case: 'doubleValue', value: Infinity }))),
      '{"k":[0.5],"n":"Infinity"}',
    ],
  ])('case %#', (value, expected) => {
    expect(valueText(value)).toBe(expected);
  });

  it('cuts at a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 300, maxLength: 1400 }), (value) => {
        const cut = valueText(text(value));
        expect(bytes(cut)).toBeLessThanOrEqual(MAX_ATTRIBUTE_BYTES);
        expect(value.startsWith(cut)).toBe(true);
        if (cut !== value) expect(bytes(cut)).toBeGreaterThan(MAX_ATTRIBUTE_BYTES - 4);
      }),
    );
    expect(valueText(text('x'.repeat(MAX_ATTRIBUTE_BYTES)))).toHaveLength(MAX_ATTRIBUTE_BYTES);
    expect(valueText(text('x'.repeat(MAX_ATTRIBUTE_BYTES + 1)))).toHaveLength(MAX_ATTRIBUTE_BYTES);
  });

  it('bounds nested values in length and depth', () => {
    const wide = list(...Array.from({ length: 100_000 }, () => text('x'.repeat(50))));
    expect(bytes(valueText(wide))).toBeLessThanOrEqual(MAX_ATTRIBUTE_BYTES);
    let deep = text('bottom');
    for (let depth = 0; depth < 90; depth += 1) deep = list(deep);
    expect(JSON.parse(valueText(deep))).toBeDefined();
    expect(valueText(any({ case: 'bytesValue', value: new Uint8Array(1_000_000) }))).toHaveLength(MAX_ATTRIBUTE_BYTES);
  });
});

describe('flattenDescription', () => {
  it('joins both lists; identifying wins, then the first', () => {
    const record = flattenDescription({
      identifyingAttributes: [pair('service.name', 'otelcol'), pair('service.name', 'second')],
      nonIdentifyingAttributes: [
        pair('service.name', 'other'),
        pair('os.type', 'linux'),
        pair('', 'nameless'),
        create(KeyValueSchema, { key: 'no.value' }),
      ],
    });
    expect({ ...record }).toEqual({ 'service.name': 'otelcol', 'os.type': 'linux', 'no.value': '' });
  });

  it('keeps keys that an object inherits', () => {
    const record = flattenDescription({
      identifyingAttributes: [pair('__proto__', 'a'), pair('constructor', 'b')],
      nonIdentifyingAttributes: [],
    });
    expect(Object.entries(record)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
  });

  it('keeps at most 128, identifying ones first, and cuts keys', () => {
    const numbered = (prefix: string) => Array.from({ length: 100 }, (_, index) => pair(`${prefix}${index}`, 'v'));
    const record = flattenDescription({ identifyingAttributes: numbered('i'), nonIdentifyingAttributes: numbered('n') });
    expect(Object.keys(record)).toHaveLength(MAX_ATTRIBUTES);
    expect(record['i99']).toBe('v');
    expect(record['n27']).toBe('v');
    expect(record['n28']).toBeUndefined();
    const cut = flattenDescription({ identifyingAttributes: [pair('k'.repeat(5000), 'v')], nonIdentifyingAttributes: [] });
    expect(Object.keys(cut)[0]).toHaveLength(MAX_ATTRIBUTE_BYTES);
  });
});
