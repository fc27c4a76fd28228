import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { validateCollectorConfig, validateConfigFiles } from './collector-config.ts';
import { openConfigText } from './config-loader.ts';
import type { ConfigNode, MapNode } from './config-node.ts';
import { inMergeOrder, mergeTrees } from './merge-trees.ts';

const EXAMPLE = new URL('../../../../test/fixtures/configs/merge-example/', import.meta.url);
const FIXTURES = new URL('../../../../test/fixtures/configs/', import.meta.url);

function load(text: string): MapNode {
  const { loaded } = openConfigText(text);
  if (loaded === null) throw new Error(`this is no config: ${text}`);
  return loaded.root;
}

function toValue(node: ConfigNode): unknown {
  if (node.kind === 'list') return node.items.map(toValue);
  if (node.kind === 'map') return Object.fromEntries([...node.entries].map(([key, { value }]) => [key, toValue(value)]));
  return node.type === 'null' ? null : node.text;
}

const merge = (...texts: string[]): unknown => toValue(mergeTrees(texts.map(load), () => undefined));
const codes = (files: Record<string, string>): string[] =>
  validateConfigFiles(files).findings.map(({ code, path, line }) => `${code} ${path} ${line}`);

describe('merging', () => {
  it('gives what a supervisor makes of the example', () => {
    const [mapFile = '', expectedFile = ''] = ['json', 'yaml'].map((end) => readdirSync(EXAMPLE).find((name) => name.endsWith(end)) ?? '');
    const { _comment, ...files } = JSON.parse(readFileSync(new URL(mapFile, EXAMPLE), 'utf8')) as Record<string, string>;
    const names = inMergeOrder(Object.keys(files));
    expect(names).toEqual(['10-base', '20-region', '']);
    expect(merge(...names.map((name) => files[name] ?? ''))).toEqual(
      JSON.parse(JSON.stringify(parse(readFileSync(new URL(expectedFile, EXAMPLE), 'utf8')))),
    );
  });

  it('orders names by their bytes, the empty one last', () => {
    expect(inMergeOrder(['', 'b', 'a.yaml', 'B', 'é', '\u{1f600}', '\uffff'])).toEqual([
      'B',
      'a.yaml',
      'b',
      'é',
      '\uffff',
      '\u{1f600}',
      '',
    ]);
  });

  it('adds up extensions and joins resource attributes by name, and replaces every other list', () => {
    const service = (text: string): string => `service: {${text}}`;
    expect(merge(service('extensions: [a, b]'), service('extensions: [b, c]'))).toEqual({ service: { extensions: ['a', 'b', 'c'] } });
    const attributes = (text: string): string => service(`telemetry: {resource: {attributes: [${text}]}}`);
    expect(merge(attributes('{name: a, value: x}, {name: b, value: x}'), attributes('{name: b, value: y}, {name: c, value: z}'))).toEqual({
      service: {
        telemetry: {
          resource: {
            attributes: [
              { name: 'a', value: 'x' },
              { name: 'b', value: 'y' },
              { name: 'c', value: 'z' },
            ],
          },
        },
      },
    });
    expect(merge('receivers: {a: {list: [x]}}', 'receivers: {a: {list: [y]}}')).toEqual({ receivers: { a: { list: ['y'] } } });
  });
});

const BASE = 'receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\n';
const PIPELINES = 'service:\n  pipelines:\n    traces:\n      receivers: [otlp]\n      exporters: [debug]\n';

describe('a config of several files', () => {
  it('is judged as it is when merged', () => {
    expect(codes({ 'a.yaml': BASE, 'b.yaml': PIPELINES })).toEqual([]);
    expect(validateConfigFiles({ 'a.yaml': BASE, 'b.yaml': PIPELINES })).toMatchObject({ ok: true, bricks: false });
  });

  it('names the file and the line in it', () => {
    const wrong = PIPELINES.replace('[debug]', '[debog]');
    expect(codes({ 'a.yaml': `\n\n${BASE}`, 'b.yaml': wrong })).toEqual([
      'W_UNUSED a.yaml#exporters::debug 4',
      'E_REF b.yaml#service::pipelines::traces::exporters[0] 5',
    ]);
    // What only comes of the merge: a later file takes the exporters away.
    expect(codes({ 'a.yaml': BASE + PIPELINES, 'z.yaml': '# later\nexporters:\n' })).toEqual([
      'E_REF a.yaml#service::pipelines::traces::exporters[0] 7',
      'E_NO_EXPORTERS z.yaml#exporters 2',
    ]);
  });

  it.each([
    ['E_YAML', 'a: b: c'],
    ['E_NOT_MAP', '- a'],
    ['E_DUPKEY', 'receivers: {}\nreceivers: {}\n'],
    ['E_MULTIDOC', `${BASE}---\na: 1\n`],
    ['E_EMPTY', '# nothing\n'],
    ['E_RESERVED', 'extensions: {opamp: {}}\n'],
  ])('cannot be forced with %s in any of its files', (code, bad) => {
    for (const name of ['a.yaml', 'm.yaml', '']) {
      const report = validateConfigFiles({ 'b.yaml': BASE + PIPELINES, [name]: bad });
      expect(report).toMatchObject({ ok: false, bricks: true });
      if (code !== 'E_RESERVED') expect(report.findings.map((finding) => finding.code)).toContain(code);
    }
  });

  it('is checked without throwing whatever stands in its files, and one file like a text', () => {
    const texts = readdirSync(FIXTURES)
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => readFileSync(new URL(file, FIXTURES), 'utf8'));
    const text = fc.oneof(
      fc.constantFrom(...texts),
      fc.string(),
      fc.constantFrom('\ufeffa: 1', 'a: &a {b: 1}\nc: *a', 'service: {extensions: [a]}'),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('', 'a', 'b#c', '10'), text, { maxKeys: 4 }), (files) => {
        const report = validateConfigFiles(files);
        const lines = Math.max(1, ...Object.values(files).map((body) => body.split('\n').length));
        for (const { line, column } of report.findings) {
          expect(line ?? 1).toBeGreaterThanOrEqual(1);
          expect(line ?? 1).toBeLessThanOrEqual(lines);
          expect(column ?? 1).toBeGreaterThanOrEqual(1);
        }
        expect(report.ok).toBe(!report.findings.some(({ severity }) => severity === 'error'));
      }),
      { numRuns: 300 },
    );
    for (const only of texts) expect(validateConfigFiles({ x: only })).toEqual(validateCollectorConfig(only));
  });

  it('costs work that grows linearly with all of its text', () => {
    const files = (n: number): Record<string, string> =>
      Object.fromEntries(
        Array.from({ length: 4 }, (_, file) => [
          `f${file}`,
          `receivers:\n${Array.from({ length: n }, (_each, index) => `  otlp/${index}: {protocols: {grpc: {}}}\n`).join('')}`,
        ]),
      );
    const cost = (n: number): number => validateConfigFiles(files(n)).steps / Object.values(files(n)).join('').length;
    expect(cost(2000)).toBeLessThanOrEqual(cost(250) * 1.25);
  });
});
