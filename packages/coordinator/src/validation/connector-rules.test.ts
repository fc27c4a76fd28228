import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { ValidationOptions } from './collector-config.ts';
import type { Finding } from './finding.ts';

/** Builds a config from pipelines written as `traces/a: nop, forward -> debug`. */
function config(connectors: readonly string[], ...pipelines: readonly string[]): string {
  const lines = pipelines.map((pipeline) => {
    const [head = '', exporters = ''] = pipeline.split('->');
    const [id = '', receivers = ''] = head.split(': ');
    return `    ${id.trim()}: {receivers: [${receivers.trim()}], exporters: [${exporters.trim()}]}\n`;
  });
  const list = connectors.map((id) => `${id}: `).join(', ');
  return `receivers: {nop: }\nexporters: {debug: }\nconnectors: {${list}}\nservice:\n  pipelines:\n${lines.join('')}`;
}

const errors = (text: string, options?: ValidationOptions): readonly Finding[] =>
  validateCollectorConfig(text, options).findings.filter(({ severity }) => severity === 'error');
const codes = (text: string, options?: ValidationOptions): string[] => errors(text, options).map(({ code }) => code);

describe('a connector with a partner on the other side', () => {
  it.each([
    ['forward', ['forward'], ['traces/1: nop -> forward', 'traces/2: forward -> debug']],
    ['forward with a name', ['forward/a'], ['logs/1: nop -> forward/a', 'logs/2: forward/a -> debug']],
    [
      'forward with several signals',
      ['forward'],
      ['logs/1: nop -> forward', 'logs/2: forward -> debug', 'metrics/1: nop -> forward', 'metrics/2: forward -> debug'],
    ],
    ['span_metrics', ['span_metrics'], ['traces: nop -> span_metrics, debug', 'metrics: span_metrics -> debug']],
    ['spanmetrics', ['spanmetrics'], ['traces: nop -> spanmetrics', 'metrics: spanmetrics -> debug']],
    [
      'count of three signals',
      ['count'],
      ['traces: nop -> count', 'logs: nop -> count', 'metrics/1: nop -> count', 'metrics/2: count -> debug'],
    ],
    ['routing', ['routing'], ['logs/in: nop -> routing', 'logs/a: routing -> debug', 'logs/b: routing -> debug']],
    ['failover', ['failover'], ['metrics/in: nop -> failover', 'metrics/a: failover -> debug', 'metrics/b: failover -> debug']],
    [
      'exceptions to two signals',
      ['exceptions'],
      ['traces: nop -> exceptions', 'metrics: exceptions -> debug', 'logs: exceptions -> debug'],
    ],
    ['otlp_json', ['otlp_json'], ['logs: nop -> otlp_json', 'traces: otlp_json -> debug', 'metrics: otlp_json -> debug']],
    [
      'signaltometrics',
      ['signaltometrics'],
      ['logs: nop -> signaltometrics', 'traces: nop -> signaltometrics', 'metrics: signaltometrics -> debug'],
    ],
    ['datadog to both', ['datadog'], ['traces: nop -> datadog', 'traces/2: datadog -> debug', 'metrics: datadog -> debug']],
    ['an unknown type', ['mystery'], ['traces: nop -> mystery', 'logs: mystery -> debug']],
    [
      'a chain',
      ['forward/a', 'forward/b'],
      ['traces/1: nop -> forward/a', 'traces/2: forward/a -> forward/b', 'traces/3: forward/b -> debug'],
    ],
    [
      'a diamond',
      ['forward/a', 'forward/b'],
      ['traces/1: nop -> forward/a, forward/b', 'traces/2: forward/a -> debug', 'traces/3: forward/b -> debug'],
    ],
    ['an unused one', ['forward'], ['traces: nop -> debug']],
    ['a connector named as a processor type', ['batch'], ['traces: nop -> batch', 'traces/2: batch -> debug']],
  ])('%s is fine', (_name, connectors, pipelines) => {
    expect(errors(config(connectors, ...pipelines))).toEqual([]);
  });
});

describe('E_CONN_EXPORTER and E_CONN_RECEIVER', () => {
  it.each([
    ['only an exporter', ['forward'], ['traces: nop -> forward, debug'], ['E_CONN_EXPORTER']],
    ['only a receiver', ['forward'], ['traces: nop, forward -> debug'], ['E_CONN_RECEIVER']],
    ['an unknown type on one side', ['mystery'], ['traces: nop -> mystery, debug'], ['E_CONN_EXPORTER']],
    ['another signal', ['forward'], ['traces: nop -> forward', 'logs: forward -> debug'], ['E_CONN_EXPORTER', 'E_CONN_RECEIVER']],
    [
      'the wrong way round',
      ['span_metrics'],
      ['metrics: nop -> span_metrics', 'traces: span_metrics -> debug'],
      ['E_CONN_EXPORTER', 'E_CONN_RECEIVER'],
    ],
    [
      'a signal it cannot give',
      ['span_metrics'],
      ['traces: nop -> span_metrics', 'metrics: span_metrics -> debug', 'logs: span_metrics -> debug'],
      ['E_CONN_RECEIVER'],
    ],
    [
      'a signal it cannot take',
      ['exceptions'],
      ['traces: nop -> exceptions', 'logs/in: nop -> exceptions', 'logs: exceptions -> debug'],
      ['E_CONN_EXPORTER'],
    ],
    [
      'one of two signals without partner',
      ['forward'],
      ['traces/1: nop -> forward', 'traces/2: forward -> debug', 'logs: nop -> forward, debug'],
      ['E_CONN_EXPORTER'],
    ],
    ['count to logs', ['count'], ['traces: nop -> count', 'logs: count -> debug'], ['E_CONN_EXPORTER', 'E_CONN_RECEIVER']],
    [
      'two connectors',
      ['forward/a', 'forward/b'],
      ['traces: nop -> forward/a, debug', 'logs: nop, forward/b -> debug'],
      ['E_CONN_EXPORTER', 'E_CONN_RECEIVER'],
    ],
  ])('%s', (_name, connectors, pipelines, expected) => {
    expect(codes(config(connectors, ...pipelines))).toEqual(expected);
  });

  it('name all pipelines of the signal and point at the first', () => {
    const found = errors(config(['span_metrics'], 'traces: nop -> debug, span_metrics', 'traces/b: nop -> span_metrics'));
    expect(found).toMatchObject([
      {
        code: 'E_CONN_EXPORTER',
        line: 6,
        path: 'service::pipelines::traces::exporters[1]',
        message: 'connector "span_metrics" used as exporter in [traces traces/b] pipeline but not used in any supported receiver pipeline',
        suggestion: 'name it among the receivers of a metrics pipeline',
      },
    ]);
    expect(errors(config(['forward'], 'logs: nop, forward -> debug'))[0]?.message).toBe(
      'connector "forward" used as receiver in [logs] pipeline but not used in any supported exporter pipeline',
    );
  });

  it.each([
    ['a substitution', config(['forward'], 'traces: nop -> forward', 'traces/2: "${env:R}" -> debug'), []],
    ['a pipeline whose signal is misspelt', config(['forward'], 'traces: nop -> forward', 'trace/2: forward -> debug'), ['E_SIGNAL']],
    [
      'a list that is no list',
      config(['forward'], 'traces: nop -> forward').concat('    traces/2: {receivers: forward, exporters: [debug]}\n'),
      ['E_SHAPE'],
    ],
    ['an id that is refused', config(['forward'], 'traces: nop -> forward', 'traces/2: forward/ -> debug'), ['E_ID']],
  ])('are not guessed when the partner may be in %s', (_name, text, expected) => {
    expect(codes(text)).toEqual(expected);
  });

  it('follow a table given by the caller', () => {
    const text = config(['mystery'], 'traces: nop -> mystery', 'logs: mystery -> debug');
    const signals = { receivers: {}, processors: {}, exporters: {}, connectors: { mystery: ['traces>metrics' as const] } };
    expect(codes(text, { signals })).toEqual(['E_CONN_EXPORTER', 'E_CONN_RECEIVER']);
  });

  it.each(['constructor', 'toString', 'hasOwnProperty'])('do not take the type %s for a known one', (type) => {
    expect(codes(config([type], `traces: nop -> ${type}`, `logs: ${type} -> debug`))).toEqual([]);
  });
});

describe('E_CONN_AMBIGUOUS', () => {
  it.each([
    ['exporter', 'receivers: {nop: }\nexporters: {datadog: , debug: }\nconnectors: {datadog: }\n'],
    ['receiver', 'receivers: {nop: , datadog: }\nexporters: {debug: }\nconnectors: {datadog: }\n'],
  ])('an id that is also an %s', (kind, head) => {
    const text = `${head}service: {pipelines: {traces: {receivers: [nop], exporters: [datadog, debug]}, metrics: {receivers: [datadog], exporters: [debug]}}}\n`;
    const found = errors(text);
    expect(found).toMatchObject([
      { code: 'E_CONN_AMBIGUOUS', line: 3, path: 'connectors::datadog', suggestion: 'rename the connector to `datadog/connector`' },
    ]);
    expect(found[0]?.message).toBe(
      `connectors::datadog: ambiguous ID: Found both "datadog" ${kind} and "datadog" connector. Change one of the components' IDs to eliminate ambiguity (e.g. rename "datadog" connector to "datadog/connector")`,
    );
  });

  it('not for the same type by another name, nor for a processor', () => {
    expect(
      codes(
        'receivers: {nop: }\nexporters: {datadog: , debug: }\nconnectors: {datadog/connector: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [datadog, datadog/connector]}, metrics: {receivers: [datadog/connector], exporters: [debug]}}}\n',
      ),
    ).toEqual([]);
    expect(
      codes(
        'receivers: {nop: }\nexporters: {debug: }\nprocessors: {forward: }\nconnectors: {forward: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n',
      ),
    ).toEqual([]);
  });
});

describe('E_CYCLE', () => {
  it.each([
    ['one pipeline', ['forward'], ['traces: nop, forward -> forward, debug'], 1],
    [
      'two pipelines and two connectors',
      ['forward/a', 'forward/b'],
      ['traces/1: nop, forward/b -> forward/a', 'traces/2: forward/a -> forward/b, debug'],
      1,
    ],
    ['one connector between two pipelines', ['forward'], ['traces/1: nop, forward -> forward', 'traces/2: forward -> debug'], 1],
    [
      'three pipelines',
      ['forward/a', 'forward/b', 'forward/c'],
      ['logs/1: nop, forward/c -> forward/a', 'logs/2: forward/a -> forward/b', 'logs/3: forward/b -> forward/c, debug'],
      1,
    ],
    ['across signals', ['count', 'mystery_back', 'forward'], ['metrics/1: nop, count -> count, debug'], 1],
    [
      'two separate cycles',
      ['forward/a', 'forward/b'],
      ['traces: nop, forward/a -> forward/a, debug', 'logs: nop, forward/b -> forward/b, debug'],
      2,
    ],
    [
      'one connector with a cycle in each of two signals',
      ['forward'],
      ['traces: nop, forward -> forward, debug', 'logs: nop, forward -> forward, debug'],
      2,
    ],
    [
      'a cycle behind a chain',
      ['forward/a', 'forward/b'],
      ['logs/0: nop -> forward/a', 'logs/1: forward/a, forward/b -> forward/b, debug'],
      1,
    ],
  ])('%s', (_name, connectors, pipelines, count) => {
    expect(codes(config(connectors, ...pipelines))).toEqual(Array.from({ length: count }, () => 'E_CYCLE'));
  });

  it('names the way round, back to where it began', () => {
    const found = errors(
      config(
        ['forward/a', 'forward/b', 'forward/c'],
        'logs/1: nop, forward/c -> forward/a',
        'logs/2: forward/a -> forward/b',
        'logs/3: forward/b -> forward/c, debug',
      ),
    );
    expect(found[0]?.message).toBe(
      'cycle detected: connector "forward/a" (logs to logs) -> connector "forward/b" (logs to logs) -> connector "forward/c" (logs to logs) -> connector "forward/a" (logs to logs)',
    );
    expect(found[0]?.line).toBe(6);
  });

  it.each([
    ['pairs that the type does not connect', ['span_metrics'], ['traces: nop -> span_metrics', 'metrics: span_metrics -> debug']],
    [
      'the same connector in two signals',
      ['forward'],
      ['traces/1: nop -> forward', 'traces/2: forward -> debug', 'logs/1: nop -> forward', 'logs/2: forward -> debug'],
    ],
    ['unknown types', ['mystery'], ['traces: nop, mystery -> mystery, debug']],
  ])('not for %s', (_name, connectors, pipelines) => {
    expect(codes(config(connectors, ...pipelines))).toEqual([]);
  });
});

describe('E_SIGNAL_UNSUPPORTED', () => {
  const text = (signal: string, parts: { receiver?: string; processor?: string; exporter?: string }): string =>
    `receivers: {${parts.receiver ?? 'nop'}: {x: 1}}\nprocessors: {${parts.processor ?? 'unknown'}: }\nexporters: {${parts.exporter ?? 'unknown'}: }\nservice: {pipelines: {${signal}: {receivers: [${parts.receiver ?? 'nop'}], processors: [${parts.processor ?? 'unknown'}], exporters: [${parts.exporter ?? 'unknown'}]}}}\n`;
  const unsupported = (signal: string, parts: Parameters<typeof text>[1]): readonly Finding[] =>
    errors(text(signal, parts), { policy: { profilesSupport: true } }).filter(({ code }) => code === 'E_SIGNAL_UNSUPPORTED');

  it.each([
    ['metrics', { receiver: 'zipkin' }, 'failed to create "zipkin" receiver for data type "metrics": telemetry type is not supported'],
    [
      'traces',
      { receiver: 'hostmetrics' },
      'failed to create "hostmetrics" receiver for data type "traces": telemetry type is not supported',
    ],
    [
      'traces/a',
      { receiver: 'filelog/b' },
      'failed to create "filelog/b" receiver for data type "traces": telemetry type is not supported',
    ],
    ['metrics', { receiver: 'file_log' }, 'failed to create "file_log" receiver for data type "metrics": telemetry type is not supported'],
    ['logs', { receiver: 'prometheus' }, 'failed to create "prometheus" receiver for data type "logs": telemetry type is not supported'],
    ['profiles', { processor: 'batch' }, 'failed to create "batch" processor, in pipeline "profiles": telemetry type is not supported'],
    [
      'logs',
      { processor: 'tail_sampling' },
      'failed to create "tail_sampling" processor, in pipeline "logs": telemetry type is not supported',
    ],
    ['logs', { exporter: 'prometheus' }, 'failed to create "prometheus" exporter for data type "logs": telemetry type is not supported'],
    ['profiles', { exporter: 'datadog' }, 'failed to create "datadog" exporter for data type "profiles": telemetry type is not supported'],
  ])('%s %o', (signal, parts, message) => {
    expect(unsupported(signal, parts)).toMatchObject([{ line: 4, message }]);
  });

  it.each([
    ['traces', { receiver: 'zipkin' }],
    ['profiles', { receiver: 'otlp', exporter: 'otlp_grpc' }],
    ['logs', { receiver: 'kafka', processor: 'resource', exporter: 'datadog' }],
    ['logs', { receiver: 'never_heard_of' }],
    ['logs', { receiver: 'constructor', processor: 'toString' }],
  ])('not for %s %o', (signal, parts) => {
    expect(unsupported(signal, parts)).toEqual([]);
  });
});
