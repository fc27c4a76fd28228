import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';

const findings = (telemetry: string): readonly Finding[] =>
  validateCollectorConfig(
    `receivers: {nop: }\nexporters: {debug: }\nservice:\n  telemetry: ${telemetry}\n  pipelines: {traces: {receivers: [nop], exporters: [debug]}}\n`,
  ).findings;
const codes = (telemetry: string): string[] => findings(telemetry).map(({ code }) => code);

describe('E_TEL_KEY', () => {
  it.each([
    ['{metric: {}}', "'service.telemetry' has invalid keys: metric"],
    ['{metrics: {address: "localhost:8888"}}', "'migration.MetricsConfigV030' has invalid keys: address"],
    ['{metrics: {reader: []}}', "'migration.MetricsConfigV030' has invalid keys: reader"],
    ['{logs: {levl: debug}}', "'migration.LogsConfigV030' has invalid keys: levl"],
    ['{traces: {procesors: []}}', "'migration.TracesConfigV030' has invalid keys: procesors"],
    ['{metrics: {readers: [{push: {}}]}}', "'service.telemetry.metrics.readers[0]' has invalid keys: push"],
    ['{pipelines: {}}', "'service.telemetry' has invalid keys: pipelines"],
  ])('%s', (telemetry, message) => {
    expect(findings(telemetry)).toMatchObject([{ code: 'E_TEL_KEY', line: 4, message }]);
  });

  it('explains where the address went', () => {
    expect(findings('{metrics: {address: ":8888"}}')[0]?.suggestion).toContain('readers');
  });

  it.each([
    '',
    '{}',
    '{logs: , metrics: , traces: , resource: }',
    '{logs: {level: debug, development: true, encoding: json, disable_caller: true, disable_stacktrace: true, sampling: {enabled: false}, output_paths: [stderr], error_output_paths: [stderr], initial_fields: {a: 1}, processors: []}}',
    '{traces: {level: none, propagators: [b3], processors: [], sampler: {}}}',
    '{resource: {service.name: a, service.version: }}',
    '{resource: {attributes: [{name: a, value: b}]}}',
    '"${file:telemetry.yaml}"',
    '{metrics: "${env:METRICS}"}',
  ])('not for %s', (telemetry) => {
    expect(codes(telemetry).filter((code) => code.startsWith('E_'))).toEqual([]);
  });
});

describe('E_SHAPE', () => {
  it.each([
    '[]',
    'info',
    '{logs: []}',
    '{metrics: none}',
    '{traces: 1}',
    '{metrics: {readers: {pull: {}}}}',
    '{metrics: {readers: [pull]}}',
    '{metrics: {level: detailed, views: {}}}',
  ])('%s', (telemetry) => {
    expect(codes(telemetry)).toEqual(['E_SHAPE']);
  });
});

describe('E_TEL', () => {
  it.each([
    ['{metrics: {readers: []}}', 'service::telemetry: collector telemetry metrics reader should exist when metric level is not none'],
    ['{metrics: {level: basic, readers: []}}', 'collector telemetry metrics reader should exist when metric level is not none'],
    ['{metrics: {views: [{}]}}', 'service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed'],
    ['{metrics: {level: normal, views: []}}', 'views can only be set when'],
    ['{metrics: {level: none, views: [{}]}}', 'views can only be set when'],
    ['{metrics: {level: high}}', 'unknown metrics level "high"'],
    ['{metrics: {level: off}}', 'unknown metrics level "off"'],
    ['{metrics: {level: false}}', "'level' expected type 'string', got unconvertible type 'bool'"],
    ['{traces: {level: full}}', 'unknown metrics level "full"'],
    ['{logs: {level: verbose}}', 'unrecognized level: "verbose"'],
    ['{logs: {level: [info]}}', "'level' expected type 'string', got unconvertible type '[]interface {}'"],
  ])('%s', (telemetry, words) => {
    const found = findings(telemetry);
    expect(found).toMatchObject([{ code: 'E_TEL', line: 4 }]);
    expect(found[0]?.message).toContain(words);
  });

  it('both rules at once', () => {
    expect(codes('{metrics: {level: basic, readers: [], views: []}}')).toEqual(['E_TEL', 'E_TEL']);
  });

  it.each([
    '{metrics: {level: none, readers: []}}',
    '{metrics: {level: None, readers: []}}',
    '{metrics: {readers: }}',
    '{metrics: {views: }}',
    '{metrics: {level: Detailed, views: [{selector: {instrument_name: a}}]}}',
    '{metrics: {level: "${env:LEVEL}", readers: [], views: []}}',
    '{metrics: {readers: "${file:readers.yaml}"}}',
    '{logs: {level: WARN}}',
    '{logs: {level: "${env:LEVEL:-info}"}}',
    '{logs: {level: -1}}',
  ])('not for %s', (telemetry) => {
    expect(codes(telemetry).filter((code) => code.startsWith('E_'))).toEqual([]);
  });
});

describe('W_TELEMETRY_PORT', () => {
  it('for the default port, written down', () => {
    const reader = (port: string): string => `{metrics: {readers: [{pull: {exporter: {prometheus: {host: localhost, port: ${port}}}}}]}}`;
    expect(findings(reader('8888'))).toMatchObject([
      { code: 'W_TELEMETRY_PORT', path: 'service::telemetry::metrics::readers[0]::pull::exporter::prometheus::port' },
    ]);
    expect(codes(reader('8889'))).toEqual([]);
    expect(codes(reader('"${env:PORT}"'))).toEqual([]);
  });
});
