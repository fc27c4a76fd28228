import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';

const PIPELINES = 'service: {pipelines: {traces: {receivers: [r], processors: [p], exporters: [e]}}}\n';

function warnings(parts: { receiver?: string; processor?: string; exporter?: string }): readonly Finding[] {
  const text = `receivers: {r: ${parts.receiver ?? ''}}\nprocessors: {p: ${parts.processor ?? ''}}\nexporters: {e: ${parts.exporter ?? ''}}\n${PIPELINES}`;
  return validateCollectorConfig(text).findings.filter(({ severity }) => severity === 'warning');
}

const codes = (parts: Parameters<typeof warnings>[0]): string[] => warnings(parts).map(({ code }) => code);

describe('W_DURATION_UNIT', () => {
  it.each([
    '{timeout: 5}',
    '{a: {collection_interval: 30}}',
    '{check_interval: 1.5}',
    '{list: [{flush_interval: 10}]}',
    '{max_elapsed_time: 300}',
    '{initial_delay: 1}',
  ])('%s', (body) => {
    expect(warnings({ processor: body })).toMatchObject([{ code: 'W_DURATION_UNIT', line: 2 }]);
  });

  it('suggests seconds', () => {
    expect(warnings({ exporter: '{timeout: 5}' })[0]?.suggestion).toBe('did you mean `5s`?');
  });

  it.each([
    '{timeout: 5s}',
    '{timeout: 0}',
    '{timeout: "5"}',
    '{timeout: "${env:T}"}',
    '{timeout_count: 5}',
    '{intervals: 5}',
    '{timeout: true}',
    '{timeout: }',
  ])('not for %s', (body) => {
    expect(codes({ processor: body })).toEqual([]);
  });

  it('not outside of components', () => {
    const text = `receivers: {nop: }\nexporters: {debug: }\nservice: {telemetry: {metrics: {readers: [{periodic: {interval: 30000, exporter: {console: {}}}}]}}, pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n`;
    expect(validateCollectorConfig(text).findings).toEqual([]);
  });
});

describe('W_LISTEN_ALL', () => {
  it.each(['0.0.0.0:4317', ':4317', '[::]:4317', 'tcp://0.0.0.0:1'])('%s', (endpoint) => {
    expect(warnings({ receiver: `{protocols: {grpc: {endpoint: "${endpoint}"}}}` })).toMatchObject([{ code: 'W_LISTEN_ALL', line: 1 }]);
  });

  it.each(['127.0.0.1:4317', 'localhost:0', '[::1]:4317', '${env:HOST}:4317', '10.0.0.0:1', 'host', '0.0.0.0'])(
    'not for %s',
    (endpoint) => {
      expect(codes({ receiver: `{endpoint: "${endpoint}"}` })).toEqual([]);
    },
  );

  it('not for what a component connects to', () => {
    expect(codes({ exporter: '{endpoint: "0.0.0.0:4317"}' })).toEqual([]);
    expect(codes({ receiver: '{target: "0.0.0.0:4317"}' })).toEqual([]);
  });
});

describe('W_SECRET', () => {
  it.each([
    '{password: hunter2}',
    '{auth: {client_secret: abc}}',
    '{api_key: abc}',
    '{apikey: abc}',
    '{headers: {Authorization: Bearer abc}}',
    '{headers: {x-api-key: abc}}',
    '{token: abc}',
    '{tls: {key_pem: abc}}',
    '{dsn: "postgres://user:hunter2@db/x"}',
    '{secret_access_key: abc}',
  ])('%s', (body) => {
    const found = warnings({ exporter: body });
    expect(found).toMatchObject([{ code: 'W_SECRET', line: 3 }]);
    expect(JSON.stringify(found)).not.toMatch(/hunter2|abc/);
  });

  it.each([
    '{password: "${env:PASSWORD}"}',
    '{headers: {authorization: "Bearer ${env:TOKEN}"}}',
    '{password: ""}',
    '{password: }',
    '{password_file: /run/secret}',
    '{token_url: "https://a/token"}',
    '{tls: {key_file: /a}}',
    '{tokenizer: abc}',
    '{url: "https://user@host/"}',
    '{url: "https://user:${env:P}@host/"}',
  ])('not for %s', (body) => {
    expect(codes({ exporter: body })).toEqual([]);
  });
});

describe('the order of processors', () => {
  const order = (processors: string): string[] =>
    validateCollectorConfig(
      `receivers: {nop: }\nprocessors: {memory_limiter: {check_interval: 1s, limit_mib: 100}, batch: , batch/2: , filter: }\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop], processors: [${processors}], exporters: [debug]}}}\n`,
    )
      .findings.map(({ code }) => code)
      .filter((code) => code !== 'W_UNUSED');

  it.each([
    ['memory_limiter, filter, batch', []],
    ['filter', []],
    ['batch, batch/2', []],
    ['memory_limiter, batch, batch/2', []],
    ['filter, memory_limiter', ['W_MEMORY_LIMITER_ORDER']],
    ['batch, filter', ['W_BATCH_ORDER']],
    ['batch, batch/2, filter', ['W_BATCH_ORDER', 'W_BATCH_ORDER']],
    ['batch, batch, filter', ['W_BATCH_ORDER', 'E_PROC_DUP']],
    ['filter, memory_limiter, memory_limiter', ['W_MEMORY_LIMITER_ORDER', 'E_PROC_DUP']],
    ['batch, memory_limiter', ['W_BATCH_ORDER', 'W_MEMORY_LIMITER_ORDER']],
  ])('%s', (processors, expected) => {
    expect(order(processors)).toEqual(expected);
  });
});

describe('advice', () => {
  it('is left out where the collector could not read the text', () => {
    const text = 'receivers: {r: {endpoint: ":1"}, r: {password: x}}\n';
    expect(validateCollectorConfig(text).findings.filter(({ severity }) => severity === 'warning')).toEqual([]);
  });

  it('never refuses a config', () => {
    const text = `receivers: {r: {endpoint: ":1", timeout: 5, password: x}}\nprocessors: {p: }\nexporters: {e: }\n${PIPELINES}`;
    const report = validateCollectorConfig(text);
    expect(report.ok).toBe(true);
    expect(report.findings).toHaveLength(3);
  });
});
