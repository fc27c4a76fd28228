import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findBrickingDefects } from './bricking.ts';
import { validateCollectorConfig } from './collector-config.ts';
import type { ValidationOptions, ValidationReport } from './collector-config.ts';
import { COMPONENT_KINDS } from './ids.ts';
import type { ReportedComponents } from './validation-context.ts';

const FIXTURES = new URL('../../../../test/fixtures/configs/', import.meta.url);

interface Example {
  readonly file: string;
  readonly expect_codes: readonly string[];
  readonly expect_warnings?: readonly string[];
  readonly components?: string;
}

const read = (file: string): string => readFileSync(new URL(file, FIXTURES), 'utf8');

const { examples } = JSON.parse(read('index.json')) as { examples: readonly Example[] };

function reportedComponents(file: string): ReportedComponents {
  const lists = JSON.parse(read(file)) as Record<string, Record<string, string>>;
  return Object.fromEntries(COMPONENT_KINDS.map((kind) => [kind, Object.keys(lists[kind] ?? {})]));
}

function codes(report: ValidationReport, severity: 'error' | 'warning'): string[] {
  return [...new Set(report.findings.filter((finding) => finding.severity === severity).map((finding) => finding.code))].sort();
}

const validate = (text: string, options?: ValidationOptions): ValidationReport => validateCollectorConfig(text, options);

describe('the example configs', () => {
  it.each(examples)('$file gives exactly its codes', (example) => {
    const options = example.components === undefined ? {} : { components: reportedComponents(example.components) };
    const report = validate(read(example.file), options);
    expect(codes(report, 'error')).toEqual([...example.expect_codes].sort());
    expect(codes(report, 'warning')).toEqual([...(example.expect_warnings ?? [])].sort());
    expect(report.ok).toBe(example.expect_codes.length === 0);
  });

  it.each(examples)('$file says where each error is', ({ file }) => {
    const text = read(file);
    const lines = text.split('\n').length;
    for (const finding of validate(text).findings) {
      expect(finding.message).not.toBe('');
      if (finding.code === 'E_EMPTY') {
        expect([finding.line, finding.column]).toEqual([null, null]);
        continue;
      }
      expect(finding.line).toBeGreaterThanOrEqual(1);
      expect(finding.line).toBeLessThanOrEqual(lines);
      expect(finding.column).toBeGreaterThanOrEqual(1);
    }
  });

  it.each([
    ['09-invalid-yaml-syntax.yaml', 'E_YAML', 10],
    ['10-invalid-duplicate-key.yaml', 'E_DUPKEY', 7],
    ['11-invalid-unknown-top-level-key.yaml', 'E_TOP_KEY', 3],
    ['12-invalid-undefined-receiver.yaml', 'E_REF', 10],
    ['16-invalid-no-pipelines.yaml', 'E_NO_PIPELINES', 10],
    ['22-invalid-connector-cycle.yaml', 'E_CYCLE', 14],
    ['33-trap-id-whitespace.yaml', 'E_ID_SPACE', 7],
  ])('%s: %s is at line %i', (file, code, line) => {
    const finding = validate(read(file)).findings.find((candidate) => candidate.code === code);
    expect(finding?.line).toBe(line);
  });

  it('keep valid when their lines end with CRLF or they begin with a byte order mark', () => {
    for (const example of examples.filter(({ expect_codes }) => expect_codes.length === 0)) {
      const text = read(example.file);
      expect(codes(validate(text.replaceAll('\n', '\r\n')), 'error')).toEqual([]);
      expect(codes(validate(`\ufeff${text}`), 'error')).toEqual([]);
    }
  });
});

describe('the collector wording', () => {
  it.each([
    ['10-invalid-duplicate-key.yaml', 'line 7: mapping key "otlp" already defined at line 3'],
    ['11-invalid-unknown-top-level-key.yaml', "'otelcol.configSettings' has invalid keys: x-batch"],
    ['12-invalid-undefined-receiver.yaml', 'service::pipelines::traces: references receiver "otlp" which is not configured'],
    ['14-invalid-undefined-extension.yaml', 'service::extensions: references extension "health_check" which is not configured'],
    ['16-invalid-no-pipelines.yaml', 'service::pipelines: service must have at least one pipeline'],
    ['19-invalid-unknown-signal.yaml', 'in "events/app" id: unknown pipeline signal: "events"'],
    [
      '20-invalid-connector-one-sided.yaml',
      'connector "span_metrics" used as exporter in [traces] pipeline but not used in any supported receiver pipeline',
    ],
    [
      '22-invalid-connector-cycle.yaml',
      'connector "forward/a" (traces to traces) -> connector "forward/b" (traces to traces) -> connector "forward/a" (traces to traces)',
    ],
    ['23-invalid-signal-not-supported.yaml', 'failed to create "zipkin" receiver for data type "metrics": telemetry type is not supported'],
    ['25-invalid-component-body.yaml', "'batchprocessor.Config' has invalid keys: send_batch_sizes"],
    ['27-invalid-duplicate-processor.yaml', 'service::pipelines::traces: references processor "batch" multiple times'],
    ['31-invalid-empty.yaml', 'empty configuration file'],
  ])('%s', (file, words) => {
    const messages = validate(read(file)).findings.map((finding) => finding.message);
    expect(messages.some((message) => message.includes(words))).toBe(true);
  });
});

const VALID = read('01-valid-minimal.yaml');

describe('a report', () => {
  it('holds all findings at once, in the order of lines, columns and codes', () => {
    const { findings, ok } = validate(`
receivers:
  otlp/: {}
  my-otlp:
exporters:
  debug:
    verbosty: basic
service:
  pipeline: {}
  pipelines:
    events: {receivers: [otlp], exporters: [debug]}
    traces: {receivers: [nothing], exporters: []}
foo: 1
`);
    expect(ok).toBe(false);
    expect(findings.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual([
      '3:3 E_ID',
      '4:3 E_ID',
      '6:3 W_UNUSED',
      '7:5 E_BODY_KEY',
      '9:3 E_SVC_KEY',
      '11:5 E_SIGNAL',
      '11:26 E_REF',
      '12:26 E_REF',
      '12:36 E_PIPE_EXPORTERS',
      '13:1 E_TOP_KEY',
    ]);
  });

  it('is the same for the same text', () => {
    expect(validate(VALID)).toEqual(validate(VALID));
  });

  it('lists the component types that the config defines, unused ones too', () => {
    const { components } = validate('receivers: {otlp/a: , otlp/b: , kafka: }\nexporters: {debug: }\nextensions: {zpages: }');
    expect(components).toEqual([
      { kind: 'receivers', type: 'kafka' },
      { kind: 'receivers', type: 'otlp' },
      { kind: 'exporters', type: 'debug' },
      { kind: 'extensions', type: 'zpages' },
    ]);
  });

  it('says whose settings were not checked', () => {
    const { unchecked } = validate(
      'receivers: {kafka/a: {brokers: []}, otlp: "${file:otlp.yaml}", nop: }\nexporters: {debug: , otherwise: }',
    );
    expect(unchecked).toEqual(['receivers::kafka/a', 'receivers::otlp', 'exporters::otherwise']);
  });

  it('counts what exceeds its size, errors before warnings', () => {
    const receivers = Array.from({ length: 1500 }, (_, index) => `  nop/${index}:`).join('\n');
    const report = validate(
      `receivers:\n${receivers}\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop/0], exporters: [nothing]}}}\n`,
    );
    expect(report.findings).toHaveLength(1000);
    expect(report.omitted).toBe(1499 + 1 + 1 - 1000);
    expect(codes(report, 'error')).toEqual(['E_REF']);
    expect(report.ok).toBe(false);
  });

  it('cuts long names in messages and paths', () => {
    const report = validate(`receivers: {"${'x'.repeat(100_000)}": {}}`);
    for (const finding of report.findings) expect(finding.message.length + finding.path.length).toBeLessThan(3000);
  });

  it('bricks exactly when findBrickingDefects finds something', () => {
    const texts = examples.map(({ file }) => read(file));
    texts.push(
      'extensions: {opamp: {}}',
      'a: 1\n---\nb: 2',
      '[1]',
      '%YAML 1.2\n---\na: 1',
      'service: {pipelines: }',
      'receivers:\nservice:\n',
    );
    for (const text of texts) expect(validate(text).bricks).toBe(findBrickingDefects(text).length > 0);
  });
});

describe('a policy', () => {
  it('allowNoPipelines accepts a config that moves no data', () => {
    const options = { policy: { allowNoPipelines: true } };
    expect(codes(validate('processors: {batch: }', options), 'error')).toEqual([]);
    expect(codes(validate(read('16-invalid-no-pipelines.yaml'), options), 'error')).toEqual([]);
    expect(codes(validate('', options), 'error')).toEqual(['E_EMPTY']);
  });

  it('allowFragments accepts what other parts may complete, and no more', () => {
    const fragment = (text: string): string[] => codes(validate(text, { policy: { allowFragments: true } }), 'error');
    expect(fragment('service: {pipelines: {traces: {exporters: [otlp_grpc/eu]}}}')).toEqual([]);
    expect(fragment('exporters: {otlp_grpc/eu: {endpoint: "eu:4317"}}')).toEqual([]);
    expect(fragment('connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [forward]}}}')).toEqual([]);
    expect(fragment('service: {pipelines: {traces: {receiver: [otlp]}}}')).toEqual(['E_PIPE_KEY']);
    expect(fragment('# nothing')).toEqual(['E_EMPTY']);
    expect(fragment('receivers:\n')).toEqual(['E_EMPTY']);
  });

  it('profilesSupport opens the gate', () => {
    const text = read('28-invalid-profiles-gate.yaml');
    expect(codes(validate(text, { policy: { profilesSupport: true } }), 'error')).toEqual([]);
    expect(codes(validate(text), 'error')).toEqual(['E_PROFILES_GATE']);
  });

  it('supervised warns of a null that removes the supervisor extension', () => {
    const text = `extensions:\n${VALID}`;
    expect(codes(validate(text, { policy: { supervised: true } }), 'warning')).toEqual(['W_NULL_SECTION']);
    expect(codes(validate(text), 'warning')).toEqual([]);
  });
});
