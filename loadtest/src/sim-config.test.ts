import { create, toBinary } from '@bufbuild/protobuf';
import { AgentRemoteConfigSchema } from '@opamp-gateway/proto/opamp';
import { describe, expect, it } from 'vitest';
import { findMergeError, SimConfigStore } from './sim-config.ts';

function encoded(files: Record<string, string>, hash: string): Uint8Array {
  const configMap = Object.fromEntries(
    Object.entries(files).map(([name, body]) => [name, { body: Buffer.from(body), contentType: 'text/yaml' }]),
  );
  return toBinary(
    AgentRemoteConfigSchema,
    create(AgentRemoteConfigSchema, { config: { configMap }, configHash: Buffer.from(hash, 'hex') }),
  );
}

describe('SimConfigStore', () => {
  it('gives equal bytes one object and other bytes under the same hash another', () => {
    const store = new SimConfigStore();
    const first = store.intern(encoded({ '': 'a: 1' }, '01'));
    expect(store.intern(encoded({ '': 'a: 1' }, '01'))).toBe(first);
    const other = store.intern(encoded({ '': 'a: 2' }, '01'));
    expect(other).not.toBe(first);
    expect(first.hashHex).toBe('01');
  });

  it('merges by name, the empty name last, and sees equal text behind another hash', () => {
    const store = new SimConfigStore();
    const config = store.intern(encoded({ '': 'c: 3', b: 'b: 2', a: 'a: 1' }, '02'));
    expect(config.mergedText).toBe('a: 1\nb: 2\nc: 3');
    expect(store.intern(encoded({ '': 'c: 3', b: 'b: 2', a: 'a: 1' }, '03')).mergedKey).toBe(config.mergedKey);
  });

  it('tells an empty map from an empty body', () => {
    const store = new SimConfigStore();
    expect(store.intern(encoded({}, '04')).isEmptyMap).toBe(true);
    expect(store.intern(encoded({ '': '' }, '05')).isEmptyMap).toBe(false);
  });

  it('tells what has nothing to do', () => {
    const store = new SimConfigStore();
    const isNop = (files: Record<string, string>, hash: string): boolean => store.intern(encoded(files, hash)).isNop;
    const nop = 'receivers:\n  nop:\nservice:\n  pipelines:\n    traces:\n      receivers: [nop]\n      exporters: [nop]\n';
    expect([isNop({}, '06'), isNop({ '': nop }, '07'), isNop({ '': '' }, '08')]).toEqual([true, true, false]);
    expect(isNop({ '': `${nop}    logs:\n      receivers: [otlp]\n` }, '09')).toBe(false);
  });
});

describe('findMergeError', () => {
  it.each(['a:\n  b: 1\n', '# note\n---\nreceivers:\n  otlp:\n', '{ "a": 1 }', 'x: |\n  text\n  - more\n', ''])('takes %j', (text) => {
    expect(findMergeError(text)).toBeUndefined();
  });

  it.each(['- a\n- b\n', 'just words\n', 'a:\n\tb: 1\n', 'a: 1\na: 2\n'])('refuses %j', (text) => {
    expect(findMergeError(text)).toBeDefined();
  });
});
