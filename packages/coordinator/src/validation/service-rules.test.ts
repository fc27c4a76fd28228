import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';

const HEAD =
  'receivers: {nop: , nop/2: }\nprocessors: {batch: , batch/2: }\nexporters: {debug: , debug/2: }\nextensions: {zpages: }\nconnectors: {forward: }\n';

const withService = (service: string): readonly Finding[] => validateCollectorConfig(`${HEAD}service: ${service}\n`).findings;
const errorsOf = (found: readonly Finding[]): readonly Finding[] => found.filter(({ severity }) => severity === 'error');
const codes = (service: string): string[] => errorsOf(withService(service)).map(({ code }) => code);
const withPipeline = (pipeline: string): string[] => codes(`{pipelines: {traces: ${pipeline}}}`);

const PIPES = 'pipelines: {traces: {receivers: [nop], exporters: [debug]}}';

describe('E_SVC_KEY', () => {
  it.each(['pipeline', 'Pipelines', 'extension', 'logs', 'telemetries', 'x-a'])('%s', (key) => {
    const found = errorsOf(withService(`{${PIPES}, ${key}: {}}`));
    expect(found).toMatchObject([{ code: 'E_SVC_KEY', line: 6, path: `service::${key}`, message: `'service' has invalid keys: ${key}` }]);
  });

  it('suggests the key', () => {
    expect(errorsOf(withService(`{${PIPES}, extension: []}`))[0]?.suggestion).toBe('did you mean `extensions`?');
  });
});

describe('E_NO_PIPELINES', () => {
  it.each([
    ['no pipelines', '{telemetry: {logs: {level: info}}}'],
    ['null pipelines', '{pipelines: }'],
    ['empty pipelines', '{pipelines: {}}'],
    ['null service', ''],
    ['an empty service', '{}'],
  ])('%s', (_name, service) => {
    expect(errorsOf(withService(service))).toMatchObject([{ code: 'E_NO_PIPELINES', line: 6 }]);
  });

  it('without a service it points at the first line with content', () => {
    expect(errorsOf(validateCollectorConfig(`# comment\n${HEAD}`).findings)).toMatchObject([{ code: 'E_NO_PIPELINES', line: 2 }]);
  });
});

describe('E_SHAPE in service', () => {
  it.each([
    ['service: a list', '[]'],
    ['service: a text', 'pipelines'],
    ['pipelines: a list', '{pipelines: [traces]}'],
    ['pipelines: a text', '{pipelines: traces}'],
    ['a pipeline: a list', '{pipelines: {traces: [nop]}}'],
    ['a pipeline: a text', '{pipelines: {traces: nop}}'],
    ['receivers: a map', '{pipelines: {traces: {receivers: {nop: }, exporters: [debug]}}}'],
    ['receivers: a text', '{pipelines: {traces: {receivers: nop, exporters: [debug]}}}'],
    ['processors: a map', '{pipelines: {traces: {receivers: [nop], processors: {batch: }, exporters: [debug]}}}'],
    ['exporters: a number', '{pipelines: {traces: {receivers: [nop], exporters: 1}}}'],
    ['a number in a list', '{pipelines: {traces: {receivers: [nop, 1], exporters: [debug]}}}'],
    ['a map in a list', '{pipelines: {traces: {receivers: [nop, {nop/2: }], exporters: [debug]}}}'],
    ['null in a list', '{pipelines: {traces: {receivers: [nop, ~], exporters: [debug]}}}'],
    ['a list in a list', '{pipelines: {traces: {receivers: [[nop]], exporters: [debug]}}}'],
    ['extensions: a text', `{extensions: zpages, ${PIPES}}`],
    ['extensions: a map', `{extensions: {zpages: }, ${PIPES}}`],
  ])('%s', (_name, service) => {
    expect(codes(service)).toEqual(['E_SHAPE']);
  });

  it('says what to write instead of a single text', () => {
    expect(errorsOf(withService('{pipelines: {traces: {receivers: [nop], exporters: debug}}}'))).toMatchObject([
      {
        message: "'service::pipelines::traces::exporters' source data must be an array or slice, got string",
        suggestion: 'write `[debug]`',
      },
    ]);
  });
});

describe('pipeline ids', () => {
  it.each(['trace', 'events', 'Traces', 'metric/a', 'span'])('E_SIGNAL: %s', (id) => {
    expect(errorsOf(withService(`{pipelines: {${id}: {receivers: [nop], exporters: [debug]}}}`))).toMatchObject([
      { code: 'E_SIGNAL', line: 6, message: `'service.pipelines' in "${id}" id: unknown pipeline signal: "${id.split('/')[0]}"` },
    ]);
  });

  it('suggests the signal', () => {
    expect(errorsOf(withService('{pipelines: {trace: {receivers: [nop], exporters: [debug]}}}'))[0]?.suggestion).toBe(
      'did you mean `traces`?',
    );
  });

  it.each([
    ['traces/', 'E_ID'],
    ['/a', 'E_ID'],
    ['', 'E_ID'],
    ['traces/a b', 'E_ID'],
    ['profiles', 'E_PROFILES_GATE'],
    ['profiles/a', 'E_PROFILES_GATE'],
  ])('"%s": %s', (id, code) => {
    expect(codes(`{pipelines: {"${id}": {receivers: [nop], exporters: [debug]}}}`)).toEqual([code]);
  });

  it.each(['traces', 'metrics', 'logs', 'traces/a', 'metrics/a/b', 'logs/1', 'logs/ü'])('not for %s', (id) => {
    expect(codes(`{pipelines: {${id}: {receivers: [nop], exporters: [debug]}}}`)).toEqual([]);
  });

  it('E_ID_DUP: equal after trimming', () => {
    expect(
      codes('{pipelines: {traces: {receivers: [nop], exporters: [debug]}, " traces": {receivers: [nop], exporters: [debug]}}}'),
    ).toEqual(['E_ID_DUP']);
  });

  it('blanks around a single one do no harm', () => {
    expect(codes('{pipelines: {"traces / a": {receivers: [nop], exporters: [debug]}}}')).toEqual([]);
  });
});

describe('pipelines', () => {
  it.each(['receiver', 'processor', 'exporter', 'batch', 'Receivers'])('E_PIPE_KEY: %s', (key) => {
    expect(withPipeline(`{receivers: [nop], exporters: [debug], ${key}: [x]}`)).toEqual(['E_PIPE_KEY']);
  });

  it('E_PIPE_KEY has the words of the collector', () => {
    expect(errorsOf(withService('{pipelines: {traces: {receivers: [nop], exporters: [debug], exporter: [debug]}}}'))).toMatchObject([
      { message: "'service.pipelines[traces]' has invalid keys: exporter", suggestion: 'did you mean `exporters`?' },
    ]);
  });

  it.each([
    ['no receivers', '{exporters: [debug]}', ['E_PIPE_RECEIVERS']],
    ['null receivers', '{receivers: , exporters: [debug]}', ['E_PIPE_RECEIVERS']],
    ['empty receivers', '{receivers: [], exporters: [debug]}', ['E_PIPE_RECEIVERS']],
    ['no exporters', '{receivers: [nop]}', ['E_PIPE_EXPORTERS']],
    ['empty exporters', '{receivers: [nop], exporters: []}', ['E_PIPE_EXPORTERS']],
    ['neither', '{processors: [batch]}', ['E_PIPE_EXPORTERS', 'E_PIPE_RECEIVERS']],
    ['a null pipeline', '', ['E_PIPE_EXPORTERS', 'E_PIPE_RECEIVERS']],
    ['an empty pipeline', '{}', ['E_PIPE_EXPORTERS', 'E_PIPE_RECEIVERS']],
  ])('%s', (_name, pipeline, expected) => {
    expect(withPipeline(pipeline).sort()).toEqual(expected);
  });

  it.each([
    ['twice', '[batch, batch]', 1],
    ['three times', '[batch, batch, batch]', 2],
    ['with another between', '[batch, batch/2, batch]', 1],
    ['by another spelling', '[batch, " batch"]', 1],
  ])('E_PROC_DUP: %s', (_name, processors, count) => {
    expect(withPipeline(`{receivers: [nop], processors: ${processors}, exporters: [debug]}`)).toEqual(
      Array.from({ length: count }, () => 'E_PROC_DUP'),
    );
  });

  it.each([
    ['the same type by other names', '{receivers: [nop], processors: [batch, batch/2], exporters: [debug]}'],
    ['a receiver twice', '{receivers: [nop, nop], exporters: [debug, debug]}'],
    ['null processors', '{receivers: [nop], processors: , exporters: [debug]}'],
    ['empty processors', '{receivers: [nop], processors: [], exporters: [debug]}'],
  ])('not for %s', (_name, pipeline) => {
    expect(withPipeline(pipeline)).toEqual([]);
  });

  it('the same processor in two pipelines is fine', () => {
    expect(
      codes(
        '{pipelines: {traces: {receivers: [nop], processors: [batch], exporters: [debug]}, logs: {receivers: [nop], processors: [batch], exporters: [debug]}}}',
      ),
    ).toEqual([]);
  });
});

describe('E_REF', () => {
  it.each([
    ['a receiver', '{receivers: [otlp], exporters: [debug]}', 'receiver "otlp"'],
    ['a processor', '{receivers: [nop], processors: [filter], exporters: [debug]}', 'processor "filter"'],
    ['an exporter', '{receivers: [nop], exporters: [otlp/x]}', 'exporter "otlp/x"'],
    ['an exporter as receiver', '{receivers: [debug], exporters: [debug]}', 'receiver "debug"'],
    ['a connector as processor', '{receivers: [nop], processors: [forward], exporters: [debug]}', 'processor "forward"'],
    ['an extension as receiver', '{receivers: [zpages], exporters: [debug]}', 'receiver "zpages"'],
    ['by another case', '{receivers: [NOP], exporters: [debug]}', 'receiver "NOP"'],
    ['by another name', '{receivers: [nop/3], exporters: [debug]}', 'receiver "nop/3"'],
  ])('%s', (_name, pipeline, words) => {
    expect(errorsOf(withService(`{pipelines: {logs: ${pipeline}}}`))).toMatchObject([
      { code: 'E_REF', line: 6, message: `service::pipelines::logs: references ${words} which is not configured` },
    ]);
  });

  it('is reported once for each place', () => {
    expect(
      codes('{pipelines: {traces: {receivers: [a, b], processors: [c], exporters: [d]}, logs: {receivers: [a], exporters: [debug]}}}'),
    ).toEqual(Array.from({ length: 5 }, () => 'E_REF'));
  });

  it('of extensions', () => {
    expect(errorsOf(withService(`{extensions: [zpages, health_check], ${PIPES}}`))).toMatchObject([
      {
        code: 'E_REF',
        path: 'service::extensions[1]',
        message: 'service::extensions: references extension "health_check" which is not configured',
      },
    ]);
    expect(codes(`{extensions: [nop], ${PIPES}}`)).toEqual(['E_REF']);
  });

  it.each([
    ['nop/22', 'did you mean `nop/2`?'],
    ['nopp', 'did you mean `nop`?'],
    ['debug', '`debug` is defined as exporter'],
    ['zpages', '`zpages` is defined as extension'],
    ['forwrd', 'did you mean `forward`?'],
  ])('suggests for %s', (id, suggestion) => {
    expect(errorsOf(withService(`{pipelines: {traces: {receivers: [${id}], exporters: [debug]}}}`))[0]?.suggestion).toBe(suggestion);
  });

  it('proposes an id of the same type', () => {
    const text =
      'receivers: {nop: }\nexporters: {otlp/primary: {endpoint: "a:1"}}\nservice: {pipelines: {traces: {receivers: [nop], exporters: [otlp]}}}\n';
    expect(errorsOf(validateCollectorConfig(text).findings)[0]?.suggestion).toBe('did you mean `otlp/primary`?');
  });

  it('also in pipelines whose id is refused', () => {
    expect(codes('{pipelines: {events: {receivers: [nothing], exporters: [debug]}}}')).toEqual(['E_SIGNAL', 'E_REF']);
  });
});

describe('substitutions in service', () => {
  it.each([
    ['a service', '${file:service.yaml}'],
    ['pipelines', '{pipelines: "${file:pipelines.yaml}"}'],
    ['a pipeline', '{pipelines: {traces: "${env:TRACES}"}}'],
    ['a list', '{pipelines: {traces: {receivers: "${env:RECEIVERS}", exporters: [debug]}}}'],
    ['an item', '{pipelines: {traces: {receivers: ["${env:RECEIVER}"], exporters: [debug]}}}'],
    ['a part of an item', '{pipelines: {traces: {receivers: ["nop/${env:NAME}"], exporters: [debug]}}}'],
    ['extensions', `{extensions: ["\${env:EXTENSION}"], ${PIPES}}`],
  ])('%s: W_DYNAMIC_REF and no error', (_name, service) => {
    const found = withService(service);
    expect(errorsOf(found)).toEqual([]);
    expect(found.map(({ code }) => code)).toContain('W_DYNAMIC_REF');
  });

  it('keep unused components of that kind from being reported', () => {
    const unused = (service: string): string[] =>
      withService(service)
        .filter(({ code }) => code === 'W_UNUSED')
        .map(({ path }) => path);
    expect(unused('{pipelines: {traces: {receivers: ["${env:A}"], exporters: [debug]}}}')).toEqual([
      'processors::batch',
      'processors::batch/2',
      'exporters::debug/2',
      'extensions::zpages',
    ]);
    expect(unused('{pipelines: "${env:A}"}')).toEqual([]);
  });
});

describe('W_UNUSED', () => {
  it('of every kind', () => {
    expect(withService(`{${PIPES}}`).map(({ line, code, path }) => `${line} ${code} ${path}`)).toEqual([
      '1 W_UNUSED receivers::nop/2',
      '2 W_UNUSED processors::batch',
      '2 W_UNUSED processors::batch/2',
      '3 W_UNUSED exporters::debug/2',
      '4 W_UNUSED extensions::zpages',
      '5 W_UNUSED connectors::forward',
    ]);
  });

  it('not of a component that several pipelines share', () => {
    const text =
      'receivers: {nop: }\nexporters: {debug: }\nconnectors: {forward: }\nextensions: {zpages: }\nservice: {extensions: [zpages], pipelines: {traces: {receivers: [nop], exporters: [forward]}, traces/2: {receivers: [forward], exporters: [debug]}}}\n';
    expect(validateCollectorConfig(text).findings).toEqual([]);
  });
});
