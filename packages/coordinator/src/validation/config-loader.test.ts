import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';

const TAIL = 'receivers: {nop: }\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n';

const findings = (text: string): readonly Finding[] => validateCollectorConfig(text).findings;
const errors = (text: string): string[] => [
  ...new Set(
    findings(text)
      .filter(({ severity }) => severity === 'error')
      .map(({ code }) => code),
  ),
];
const warnings = (text: string): string[] => [
  ...new Set(
    findings(text)
      .filter(({ severity }) => severity === 'warning')
      .map(({ code }) => code),
  ),
];

describe('E_YAML', () => {
  it.each([
    ['an unclosed quote', 'a: "b\nc: 1'],
    ['an unclosed list', 'receivers: [otlp\nexporters:\n'],
    ['a second colon', 'a: b: c'],
    ['a map under a scalar', 'a: b\n  c: d'],
    ['a tab in front of a key', 'receivers:\n\totlp:\n'],
    ['a tab on a blank line', `${TAIL}processors:\n  batch:\n\t\nconnectors:\n`],
    ['a tab in front of a comment', `\t# comment\n${TAIL}`],
    ['a tab after a dash', 'receivers:\n-\t{a: b}\n'],
    ['a reserved character', 'a: @b'],
    ['an unknown escape', 'a: "\\q"'],
    ['an unknown anchor', 'receivers: *nothing\n'],
    ['an anchor inside itself', 'receivers: &a\n  otlp: *a\n'],
    ['an anchor name with a slash', 'receivers: {nop: &a/b {}}\n'],
    ['a merge of something else than a map', 'receivers: {<<: 1}\n'],
    ['a merge of a list with a text', 'receivers: {<<: [a]}\n'],
    ['a map as key', 'receivers: {{a: b}: c}\n'],
    ['a template left over', 'receivers: {{ .Values.receivers }}\n'],
    ['a list as key', '? [a]\n: b\n'],
    ['a tag that the text contradicts', 'a: !!int x'],
    ['a tag that the key contradicts', 'receivers: {!!int nop: }'],
    ['a colon without blank in a flow map', 'service: {pipelines:{traces: }}\n'],
    ['a question mark in a flow list', 'a: [http://x/?q=1]\n'],
    ['a leading colon in a flow list', 'a: [:b]\n'],
    ['a colon without key in a flow list', 'a: [b, : c]\n'],
    ['a colon without key', 'receivers:\n  :\nexporters:\n'],
    ['a key and its colon on two lines', 'a: {b\n: c}\n'],
    ['a tag that touches a bracket', 'a: [!b]\n'],
    ['a control character', 'a: "\u0001"'],
    ['a NUL', 'a: b\u0000'],
    ['half a character', 'a: "\ud800"'],
    ['a lone carriage return', 'a: 1\rb: 2'],
    ['a line separator', 'a: "x\u2028y"'],
    ['YAML 1.2 declared', `%YAML 1.2\n---\n${TAIL}`],
    ['text after a flow map', `{a: 1}\nb`],
    ['invalid base64', 'a: !!binary "?"'],
  ])('%s', (_name, text) => {
    expect(errors(text)).toEqual(['E_YAML']);
    for (const finding of findings(text)) expect(finding.line).toBeGreaterThanOrEqual(1);
  });

  it.each([
    ['YAML 1.1 declared', `%YAML 1.1\n---\n${TAIL}`],
    ['a document start', `---\n${TAIL}`],
    ['a document end', `${TAIL}...\n`],
    ['tabs between tokens', `receivers:\t{nop: }\t# comment\n${TAIL.slice(TAIL.indexOf('\n') + 1)}`],
    ['tabs inside a list', TAIL.replace('[nop]', '["nop",\tnop\t]')],
    ['quoted keys', TAIL.replace('receivers: {nop: }', '"receivers": {\'nop\': }')],
    [
      'json',
      JSON.stringify({
        receivers: { nop: null },
        exporters: { debug: {} },
        service: { pipelines: { traces: { receivers: ['nop'], exporters: ['debug'] } } },
      }),
    ],
    ['comments everywhere', TAIL.replaceAll('\n', ' # comment\n\n# more\n')],
    ['no newline at the end', TAIL.trimEnd()],
    ['an explicit key', TAIL.replace('receivers: {nop: }', '? receivers\n: {nop: }')],
    ['a tagged text', TAIL.replace('{nop: }', '{!!str nop: }')],
  ])('not for %s', (_name, text) => {
    expect(errors(text)).toEqual([]);
  });

  it('names the line, as the collector would', () => {
    expect(findings('a: 1\nb: c: d\n')[0]).toMatchObject({
      line: 2,
      message: 'contents are not valid YAML: yaml: line 2: mapping values are not allowed in this context',
    });
  });

  it('does not count the byte order mark as a column', () => {
    expect(findings('\ufefffoo: 1')[1]).toMatchObject({ code: 'E_TOP_KEY', line: 1, column: 1 });
  });
});

describe('E_DUPKEY', () => {
  it.each([
    ['at the top', 'receivers:\nreceivers:\n', 2],
    ['deep inside', 'receivers:\n  otlp:\n    protocols:\n      grpc:\n      grpc:\n', 5],
    ['in a flow map', 'receivers: {nop: , nop: }', 1],
    ['with and without quotes', 'receivers:\n  nop:\n  "nop":\n', 3],
    ['in pipelines', 'service:\n  pipelines:\n    traces: {}\n    traces: {}\n', 4],
    ['of merge keys', 'receivers:\n  nop: &a {x: 1}\n  nop/b:\n    <<: *a\n    <<: *a\n', 5],
    ['of numbers written alike', 'receivers: {nop: {1: a, "1": b}}', 1],
  ])('%s', (_name, text, line) => {
    const found = findings(text).filter(({ code }) => code === 'E_DUPKEY');
    expect(found.map((finding) => finding.line)).toEqual([line]);
  });

  it.each([
    ['a merged key that is set again', `${TAIL}connectors: {forward: &a {}, forward/b: {<<: *a}}\n`],
    ['keys of different maps', 'receivers: {nop: }\nexporters: {nop: }'],
    ['ids that differ in case', 'receivers: {nop/a: , nop/A: }'],
  ])('not for %s', (_name, text) => {
    expect(errors(text)).not.toContain('E_DUPKEY');
  });

  it('does not hide what else is wrong, and sees both values', () => {
    const text =
      'receivers:\n  nop: {a: 1}\n  nop: {b: 1}\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [nope]}}}\n';
    expect(findings(text).map(({ line, code }) => `${line} ${code}`)).toEqual(['2 E_BODY_KEY', '3 E_DUPKEY', '3 E_BODY_KEY', '5 E_REF']);
  });
});

describe('E_NOT_MAP', () => {
  it.each([
    ['a list', '- a\n', '[]interface {}'],
    ['a text', 'hello', 'string'],
    ['a substitution', '${file:config.yaml}', 'string'],
    ['a number', '42', 'int'],
    ['a block of text', '|\n  receivers:\n', 'string'],
  ])('%s', (_name, text, type) => {
    expect(findings(text)).toMatchObject([
      { code: 'E_NOT_MAP', line: 1, message: `retrieved value (type=${type}) cannot be used as a Conf` },
    ]);
  });

  it.each(['1', 'true', '~', '2020-01-01', '0x1', '1.5', '!x a'])('the outermost key %s, which is not text', (key) => {
    expect(errors(`${TAIL}${key}: {}\n`)).toEqual(['E_NOT_MAP']);
  });

  it('not for words that only look like other types', () => {
    expect(errors(`${TAIL}yes: {}\n`)).toEqual(['E_TOP_KEY']);
    expect(errors(`${TAIL}"1": {}\n`)).toEqual(['E_TOP_KEY']);
  });
});

describe('E_MULTIDOC', () => {
  it.each([
    ['another config', `${TAIL}---\n${TAIL}`, 5],
    ['a comment and a text', `${TAIL}---\n# more\nx\n`, 6],
    ['text that is no YAML', `${TAIL}---\n[\n`, 5],
    ['a document after a document end', `${TAIL}...\n---\na: 1\n`, 6],
  ])('%s', (_name, text, line) => {
    expect(findings(text)).toMatchObject([{ code: 'E_MULTIDOC', line }]);
  });

  it('beside what is wrong with the first document', () => {
    expect(errors(`---\n---\n${TAIL}`)).toEqual(['E_EMPTY', 'E_MULTIDOC']);
    expect(errors(`a: 1\n---\n${TAIL}`)).toContain('E_MULTIDOC');
  });

  it('not for a document without content', () => {
    expect(errors(`${TAIL}---\n`)).toEqual([]);
    expect(errors(`${TAIL}---\n# only a comment\n`)).toEqual([]);
  });
});

describe('E_EMPTY', () => {
  it.each([
    ['nothing', ''],
    ['blanks', ' \n\n'],
    ['a comment', '# later\n'],
    ['a document start', '---\n'],
    ['null', 'null\n'],
    ['a tilde', '~'],
    ['an empty map', '{}'],
    ['a byte order mark', '\ufeff'],
    ['empty sections', 'receivers:\nprocessors: {}\nexporters:\nextensions:\nservice:\n'],
    ['only a service', 'service: {telemetry: {logs: {level: debug}}}'],
  ])('%s', (_name, text) => {
    expect(findings(text)).toMatchObject([{ code: 'E_EMPTY', line: null, column: null }]);
  });
});

describe('limits', () => {
  it('refuses more than 1 MiB, counted in bytes', () => {
    expect(errors(`${TAIL}#${'x'.repeat(1024 * 1024)}`)).toEqual(['E_TOO_LARGE']);
    expect(errors(`${TAIL}#${'é'.repeat(524_300)}`)).toEqual(['E_TOO_LARGE']);
    expect(errors(`${TAIL}#${'x'.repeat(1024 * 1024 - TAIL.length - 1)}`)).toEqual([]);
    expect(findings('x'.repeat(2 ** 21))[0]).toMatchObject({ line: 1, column: 1 });
  });

  it.each([
    ['flow lists', '['.repeat(100_000)],
    ['flow maps', '{a: '.repeat(50_000)],
    ['dashes', '- '.repeat(100_000)],
    ['block maps', Array.from({ length: 150 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join('')],
  ])('refuses deep nesting of %s', (_name, text) => {
    expect(errors(text)).toEqual(['E_TOO_DEEP']);
  });

  it('refuses alias bombs', () => {
    const levels = Array.from({ length: 9 }, (_, level) => {
      const items = level === 0 ? '"lol"' : `*l${level - 1}`;
      return `l${level}: &l${level} [${Array.from({ length: 9 }, () => items).join(', ')}]\n`;
    });
    expect(errors(levels.join(''))).toEqual(['E_ALIAS_BOMB']);
    const maps = Array.from(
      { length: 20 },
      (_, level) => `m${level}: &m${level} {a: ${level === 0 ? 1 : `*m${level - 1}`}, b: ${level === 0 ? 1 : `*m${level - 1}`}}\n`,
    );
    expect(errors(maps.join(''))).toEqual(['E_ALIAS_BOMB']);
  });

  it('allows many uses of a small anchor', () => {
    const uses = Array.from({ length: 400 }, (_, index) => `  nop/${index}: *a\n`).join('');
    expect(errors(`receivers:\n  nop: &a {}\n${uses}${TAIL.slice(TAIL.indexOf('\n') + 1).replace('[nop]', '[nop/1]')}`)).toEqual([]);
  });
});

describe('aliases, merges and keys with separators', () => {
  it('are followed to what they stand for', () => {
    const text = `
receivers:
  otlp/a: {protocols: {grpc: &grpc {endpoint: "localhost:1", max_recv_msg_size_mib: 16}}}
  otlp/b: {protocols: {grpc: {<<: *grpc, endpoint: "localhost:2"}}}
  otlp/c: {protocols: {http: {<<: [{endpoint: "localhost:3"}, *grpc]}}}
exporters: {debug: }
service:
  pipelines:
    traces: &pipe {receivers: [otlp/a, otlp/b, otlp/c], exporters: [debug]}
    logs: *pipe
`;
    expect(findings(text)).toMatchObject([
      { code: 'E_BODY_KEY', path: 'receivers::otlp/c::protocols::http::max_recv_msg_size_mib', line: 3 },
    ]);
  });

  it('report at the anchor and name the place of use', () => {
    const text = `receivers: {nop: }\nexporters: {debug: }\nservice:\n  pipelines:\n    traces: &pipe {receivers: [nop], exporters: [nope]}\n    logs: *pipe\n`;
    const found = findings(text).filter(({ code }) => code === 'E_REF');
    expect(found.map(({ line, path }) => `${line} ${path}`)).toEqual([
      '5 service::pipelines::logs::exporters[0]',
      '5 service::pipelines::traces::exporters[0]',
    ]);
  });

  it('allow an anchor on a key', () => {
    expect(errors(TAIL.replace('{nop: }', '{&id nop: }').replace('[nop]', '[*id]'))).toEqual([]);
  });

  it('use the latest anchor of a name', () => {
    expect(errors(`${TAIL}connectors: {forward: &a {}, forward/b: *a}\nextensions: {zpages: &a {endpoint: x}, zpages/b: *a}\n`)).toEqual(
      [],
    );
  });

  it('split keys at `::` as the collector does', () => {
    const text =
      'receivers::nop: {}\nexporters::debug::verbosity: basic\nservice::pipelines::traces: {receivers: [nop], exporters: [debug]}\n';
    expect(errors(text)).toEqual([]);
    expect(warnings(text)).toEqual(['W_KEY_SEPARATOR']);
    expect(errors(text.replace('basic', 'loud'))).toEqual(['E_BODY']);
  });

  it('join split keys with written ones', () => {
    const text = `${TAIL}exporters::debug::verbosity: detailed\nexporters::nop: {}\n`;
    expect(errors(text)).toEqual([]);
    expect(warnings(text)).toEqual(['W_KEY_SEPARATOR', 'W_UNUSED']);
  });
});

describe('W_SCALAR', () => {
  it.each(['010', '-07', '1_000', '1_0.5', '2020-01-01', '2020-01-01T10:00:00Z'])('%s', (scalar) => {
    expect(warnings(`${TAIL}processors: {foo: {a: ${scalar}}}`)).toContain('W_SCALAR');
    expect(warnings(`${TAIL}processors: {foo: {a: "${scalar}"}}`)).not.toContain('W_SCALAR');
  });

  it.each(['0', '10', '0x10', '1.5', 'yes', 'a_b', '_1', '2020-13-01', '127.0.0.1', '1e3'])('not for %s', (scalar) => {
    expect(warnings(`${TAIL}processors: {foo: {a: ${scalar}}}`)).not.toContain('W_SCALAR');
  });
});
