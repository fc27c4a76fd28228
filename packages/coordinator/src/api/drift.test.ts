import type { EffectiveConfigDocument } from '@opamp-gateway/shared/effective-config';
import { describe, expect, it } from 'vitest';
import { compareConfigs, MAX_DIFFERENCES } from './drift.ts';

function compare(desired: string | Record<string, string>, effective: string | Record<string, string>, truncated = false) {
  const named = (texts: string | Record<string, string>): Record<string, { body: string; contentType: string }> =>
    Object.fromEntries(
      Object.entries(typeof texts === 'string' ? { '': texts } : texts).map(([name, body]) => [name, { body, contentType: 'text/yaml' }]),
    );
  const document: EffectiveConfigDocument = { atMs: 0, files: named(effective), truncated };
  return compareConfigs(named(desired), document);
}

/** Pushed to collector 0.149 under a supervisor, and an extract of what that reported. */
const PUSHED = `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:0
      http:
        endpoint: \${env:HOSTX:-127.0.0.1}:0
processors:
  batch:
    timeout: 90s
    send_batch_size: 0x200
  batch/null:
exporters:
  debug:
    verbosity: basic
  otlp/a:
    endpoint: localhost:4317
    timeout: 1500ms
    headers: {authorization: Bearer x, x-tenant: "007"}
    sending_queue: {enabled: true, queue_size: 10}
    retry_on_failure: {initial_interval: 1m}
service:
  extensions: [health_check]
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch, batch/null]
      exporters: [debug, otlp/a]
`;
const REPORTED = `connectors: {}
exporters:
    debug:
        output_paths: []
        sampling_initial: 2
        sending_queue: null
    otlp/a:
        balancer_name: round_robin
        endpoint: localhost:4317
        headers:
            - name: authorization
              value: '[REDACTED]'
            - name: x-tenant
              value: '[REDACTED]'
        retry_on_failure:
            enabled: true
            initial_interval: 1m0s
            max_interval: 30s
        sending_queue:
            batch: null
            queue_size: 10
            sizer: {}
        timeout: 1.5s
extensions:
    opamp:
        instance_uid: 01a21e43-bdce-77a5-9db1-edfdaf3bf3e1
processors:
    batch:
        metadata_keys: []
        send_batch_size: 512
        timeout: 1m30s
    batch/null:
        send_batch_size: 8192
        timeout: 200ms
receivers:
    otlp:
        protocols:
            grpc:
                endpoint: 127.0.0.1:0
                transport: tcp
            http:
                cors: null
                endpoint: 127.0.0.1:0
service:
    extensions:
        - opamp
        - health_check
    pipelines:
        traces:
            exporters:
                - debug
                - otlp/a
            processors:
                - batch
                - batch/null
            receivers:
                - otlp
    telemetry:
        logs:
            encoding: json
        metrics:
            level: None
`;

describe('compareConfigs', () => {
  it('agrees with a collector that runs what was pushed, and sees what does not fit', () => {
    expect(compare(PUSHED, REPORTED)).toMatchObject({ state: 'none', differences: [] });
    const pathsOf = (pushed: string): string[] => compare(pushed, REPORTED).differences.map(({ path }) => path);
    expect(pathsOf(PUSHED.replace('90s', '91s'))).toEqual(['processors::batch::timeout']);
    expect(pathsOf(PUSHED.replace('[debug, otlp/a]', '[debug]'))).toEqual(['service::pipelines::traces::exporters']);
    expect(pathsOf(PUSHED.replace('  batch/null:', '  batch/other:'))).toEqual(['processors::batch/other']);
    expect(pathsOf(PUSHED.replace('queue_size: 10', 'queue_size: 11'))).toEqual(['exporters::otlp/a::sending_queue::queue_size']);
  });

  it.each([
    ['the same text', 'a: 1', 'a: 1'],
    ['another order, comments and defaults', '# x\na: {b: 1}\nc: [x]', 'c:\n  - x\na:\n  more: 2\n  b: 1'],
    ['anchors and merge keys', 'a: &a {x: 1}\nb: {<<: *a, y: 2}', 'a: {x: 1}\nb: {x: 1, y: 2}'],
    ['keys written with ::', 'a::b: 1', 'a: {b: 1}'],
    ['another way to write a duration', 'a: 60s\nb: 1500ms\nc: 90m', 'a: 1m0s\nb: 1.5s\nc: 1h30m0s'],
    ['another way to write a number', 'a: 0x10\nb: "4317"\nc: 1.50', 'a: 16\nb: 4317\nc: 1.5'],
    ['a word in the spelling of the collector', 'verbosity: basic', 'verbosity: Basic'],
    ['nothing where defaults are', 'receivers: {otlp: {protocols: {grpc: null}}}', 'receivers: {otlp: {protocols: {grpc: {endpoint: x}}}}'],
    ['an empty map that became null', 'a: {}', 'a: null'],
    ['a resolved reference', 'a: ${env:HOST}:4317', 'a: h1:4317'],
    ['an opaque value', 'headers: {authorization: Bearer x}', 'headers: {authorization: "[REDACTED]"}'],
    ['one item in the place of a list of it', 'a: x', 'a: [x]'],
    [
      'headers as a list',
      'exporters: {a: {headers: {x: "1", y: "2"}}}',
      'exporters: {a: {headers: [{name: x, value: 1}, {name: y, value: "[REDACTED]"}]}}',
    ],
    ['a key that a collector cannot show', 'exporters: {debug: {verbosity: basic}}', 'exporters: {debug: {use_internal_logger: true}}'],
    ['a value that a collector cannot show', 'exporters: {a: {q: {sizer: items}}}', 'exporters: {a: {more: 1, q: {sizer: {}}}}'],
    ['the extension of the supervisor', 'service: {extensions: [health_check]}', 'service: {extensions: [opamp, health_check]}'],
  ])('takes %s as no drift', (_what, desired, effective) => {
    expect(compare(desired, effective)).toEqual({ state: 'none', reason: '', differences: [], truncated: false });
  });

  it.each([
    ['a missing key', 'a: {b: 1, c: 2}', 'a: {b: 1}', { path: 'a::c', change: 'missing', desired: '2', effective: null }],
    ['a missing component', 'receivers: {otlp: null}', 'receivers: {}', { path: 'receivers::otlp', change: 'missing' }],
    ['a missing key of settings without defaults', 'exporters: {a: {x: 1, y: 2}}', 'exporters: {a: {x: 1}}', { path: 'exporters::a::y' }],
    [
      'another header',
      'exporters: {a: {headers: {x: "1"}}}',
      'exporters: {a: {headers: [{name: x, value: "2"}]}}',
      { desired: '1', effective: '2' },
    ],
    [
      'another value among defaults',
      'exporters: {a: {x: 1}}',
      'exporters: {a: {x: 2, y: 1}}',
      { path: 'exporters::a::x', change: 'changed' },
    ],
    ['another value', 'a: {b: 1s}', 'a: {b: 2s}', { path: 'a::b', change: 'changed', desired: '1s', effective: '2s' }],
    ['another item of a list', 'a: [x, y]', 'a: [z, y]', { path: 'a::0', desired: 'x', effective: 'z' }],
    ['a shorter list', 'a: [x, y]', 'a: [x]', { path: 'a', desired: '[x, y]', effective: '[x]' }],
    ['a map in the place of a value', 'a: 1', 'a: {b: 1}', { path: 'a', desired: '1', effective: '{1 keys}' }],
    [
      'a lacking extension',
      'service: {extensions: [a]}',
      'service: {extensions: [opamp]}',
      { path: 'service::extensions::0', change: 'missing' },
    ],
    ['a value inside a list', 'a: [{b: 1}]', 'a: [{b: 2, c: 3}]', { path: 'a::0::b', desired: '1', effective: '2' }],
  ])('finds %s', (_what, desired, effective, difference) => {
    expect(compare(desired, effective)).toMatchObject({ state: 'drifted', differences: [difference] });
  });

  it('merges several files as a supervisor does, the empty name last', () => {
    const files = { '': 'a: {b: 3}', '10': 'a: {b: 1, c: 1}', '20': 'a: {b: 2}' };
    expect(compare(files, 'a: {b: 3, c: 1}').state).toBe('none');
    expect(compare(files, 'a: {b: 1, c: 1}')).toMatchObject({ state: 'drifted', differences: [{ path: 'a::b', desired: '3' }] });
  });

  it('shows no secrets', () => {
    const drift = compare(
      'exporters: {x: {headers: {api_key: hunter2}, endpoint: "https://me:hunter2@h"}}',
      'exporters: {x: {headers: {api_key: hunter3}, endpoint: "https://me:hunter3@h"}}',
    );
    expect(drift.differences).toHaveLength(2);
    expect(JSON.stringify(drift)).not.toContain('hunter');
  });

  it.each([
    ['a text that was cut', 'a: 1', 'a: 1', true],
    ['an unreadable effective config', 'a: 1', 'a: [', false],
    ['an effective config without anything', 'a: 1', {}, false],
    ['an unreadable desired config', '- a', 'a: 1', false],
  ])('does not know about %s', (_what, desired, effective, truncated) => {
    const drift = compare(desired, effective, truncated);
    expect(drift).toMatchObject({ state: 'unknown', differences: [] });
    expect(drift.reason).not.toBe('');
  });

  it('is bounded in what it lists and in what it looks at', () => {
    const keys = (value: number): string => Array.from({ length: 80 }, (_, index) => `k${index}: ${value}`).join('\n');
    const many = compare(keys(1), keys(2));
    expect(many.differences).toHaveLength(MAX_DIFFERENCES);
    expect(many.truncated).toBe(true);
    // Nine levels of ten aliases each are a thousand million leaves.
    const levels = Array.from({ length: 9 }, (_, n) => `l${n + 1}: &l${n + 1} [${`*l${n}, `.repeat(10)}]`).join('\n');
    expect(['none', 'unknown']).toContain(compare(`l0: &l0 x\n${levels}`, `l0: &l0 x\n${levels}`).state);
  });
});
