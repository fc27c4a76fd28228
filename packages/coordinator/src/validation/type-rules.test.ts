import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';
import type { ReportedComponents } from './validation-context.ts';

const BUILD: ReportedComponents = {
  receivers: ['otlp', 'nop'],
  processors: ['batch'],
  exporters: ['debug', 'nop', 'otlp'],
  extensions: ['opamp'],
  connectors: ['forward'],
};

function findings(receiver: string, exporter: string, components?: ReportedComponents): readonly Finding[] {
  const text = `receivers: {${receiver}: {x: "\${env:X}"}}\nexporters: {${exporter}: {endpoint: "\${env:X}"}}\nservice: {pipelines: {traces: {receivers: [${receiver}], exporters: [${exporter}]}}}\n`;
  const all = validateCollectorConfig(text, components === undefined ? {} : { components }).findings;
  return all.filter(({ code }) => code === 'E_TYPE_UNKNOWN' || code === 'W_DEPRECATED_TYPE');
}

describe('E_TYPE_UNKNOWN', () => {
  it('a type that the build does not list', () => {
    expect(findings('kafka/a', 'debug', BUILD)).toMatchObject([
      {
        code: 'E_TYPE_UNKNOWN',
        line: 1,
        path: 'receivers::kafka/a',
        message: '\'receivers\' unknown type: "kafka" for id: "kafka/a" (valid values: [otlp nop])',
      },
    ]);
  });

  it('nothing is unknown without a list', () => {
    expect(findings('kafka', 'never_heard_of')).toEqual([]);
  });

  it('a kind that the build does not list has no types', () => {
    expect(findings('nop', 'debug', { receivers: ['nop'] })).toMatchObject([{ code: 'E_TYPE_UNKNOWN', path: 'exporters::debug' }]);
  });

  it('counts unused components too', () => {
    const text =
      'receivers: {nop: }\nexporters: {debug: }\nextensions: {zpages: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n';
    expect(validateCollectorConfig(text, { components: BUILD }).findings.map(({ code }) => code)).toEqual(['E_TYPE_UNKNOWN', 'W_UNUSED']);
  });

  it('never takes an alias that is not listed, but names it', () => {
    expect(findings('otlp', 'otlp_grpc', BUILD)).toMatchObject([
      { code: 'E_TYPE_UNKNOWN', suggestion: 'write `otlp`: this build knows the exporter by that name' },
    ]);
    expect(findings('filelog', 'debug', { ...BUILD, receivers: ['file_log'] })[0]?.suggestion).toContain('write `file_log`');
  });

  it('suggests a listed type that is spelt alike', () => {
    expect(findings('oltp', 'debug', BUILD)[0]?.suggestion).toBe('did you mean `otlp`?');
  });

  it('shortens a long list', () => {
    const receivers = Array.from({ length: 100 }, (_, index) => `type${index}`);
    expect(findings('kafka', 'debug', { ...BUILD, receivers })[0]?.message).toContain('and 80 more');
  });

  it.each(['constructor', 'toString', '__proto__'])('the type %s is nothing special', (type) => {
    expect(findings('nop', type === '__proto__' ? 'proto__' : type, BUILD)).toHaveLength(1);
  });
});

describe('the logging exporter', () => {
  it('is refused even when the build is not known', () => {
    expect(findings('nop', 'logging')).toMatchObject([
      {
        code: 'E_TYPE_UNKNOWN',
        message: "'exporters' the logging exporter has been deprecated, use the debug exporter instead",
        suggestion: 'use `debug`',
      },
    ]);
    expect(findings('nop', 'logging/a', BUILD)).toMatchObject([{ code: 'E_TYPE_UNKNOWN' }]);
  });

  it('is only advised against when the build has it', () => {
    expect(findings('nop', 'logging', { ...BUILD, exporters: ['logging', 'debug'] })).toMatchObject([{ code: 'W_DEPRECATED_TYPE' }]);
  });

  it('a receiver of that name is no concern', () => {
    expect(findings('logging', 'debug')).toEqual([]);
  });
});

describe('W_DEPRECATED_TYPE', () => {
  it.each([
    ['nop', 'otlp', 'otlp_grpc'],
    ['nop', 'otlphttp', 'otlp_http'],
    ['filelog', 'debug', 'file_log'],
  ])('%s, %s', (receiver, exporter, current) => {
    expect(findings(receiver, exporter)).toMatchObject([
      { code: 'W_DEPRECATED_TYPE', severity: 'warning', suggestion: `write \`${current}\`` },
    ]);
  });

  it('only when the build has the new name', () => {
    expect(findings('nop', 'otlp', BUILD)).toEqual([]);
    expect(findings('nop', 'otlp', { ...BUILD, exporters: ['otlp', 'otlp_grpc'] })).toMatchObject([{ code: 'W_DEPRECATED_TYPE' }]);
  });

  it('not for new names, nor for a type of another kind', () => {
    expect(findings('otlp', 'otlp_grpc')).toEqual([]);
    expect(findings('file_log', 'otlp_http')).toEqual([]);
  });
});
