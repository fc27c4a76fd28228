import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findBrickingDefects } from './bricking.ts';
import { validateCollectorConfig } from './collector-config.ts';
import { MAX_FINDINGS } from './finding.ts';
import type { Finding } from './finding.ts';

const FIXTURES = new URL('../../../../test/fixtures/configs/', import.meta.url);
const CONFIGS = readdirSync(FIXTURES)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => readFileSync(new URL(file, FIXTURES), 'utf8'));

const FRAGMENTS = [
  '\t',
  '\n',
  '\r\n',
  ': ',
  '- ',
  '? ',
  '&a ',
  '*a',
  '<<: *a',
  '<<: 1',
  '!!int ',
  '!x ',
  '[',
  ']',
  '{',
  '}',
  ',',
  '"',
  "'",
  '#',
  '|',
  '>',
  '%',
  '@',
  '---\n',
  '...\n',
  '%YAML 1.2\n---\n',
  '\u0000',
  '\u0085',
  '\ufeff',
  '😀',
  '\ud800',
  '${env:A}',
  '${',
  '}',
  '$$',
  '::',
  'a::b: 1\n',
  '{{ x }}',
  '1_000',
  '010',
  '2020-01-01',
  '~',
  'null',
  '__proto__: 1\n',
  'constructor',
  'toString:\n',
  'opamp:\n',
  'receivers:\n',
  'service:\n',
  '  ',
  '/',
  'forward',
] as const;

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat({ max: 12 }),
  insert: fc.constantFrom('', ...FRAGMENTS),
});

const mutated = fc.tuple(fc.constantFrom(...CONFIGS), fc.array(edit, { minLength: 1, maxLength: 5 })).map(([config, edits]) =>
  edits.reduce((text, { at, remove, insert }) => {
    const offset = Math.floor(at * text.length);
    return text.slice(0, offset) + insert + text.slice(offset + remove);
  }, config),
);

const soup = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 30 }).map((parts) => parts.join(''));

const anyText = fc.oneof({ weight: 6, arbitrary: mutated }, { weight: 2, arbitrary: soup }, fc.string({ unit: 'binary', maxLength: 400 }));

function place(finding: Finding): readonly [number, number, string] {
  return [finding.line ?? 0, finding.column ?? 0, finding.code];
}

function inOrder(findings: readonly Finding[]): boolean {
  return findings.every((finding, index) => {
    const before = findings[index - 1];
    if (before === undefined) return true;
    const [a, b] = [place(before), place(finding)];
    return a[0] !== b[0] ? a[0] < b[0] : a[1] !== b[1] ? a[1] < b[1] : a[2] <= b[2];
  });
}

describe('any text', () => {
  it('gives a report and no exception, with findings in order and inside the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const report = validateCollectorConfig(text);
        const lines = text.split('\n').length;
        expect(inOrder(report.findings)).toBe(true);
        expect(report.findings.length).toBeLessThanOrEqual(MAX_FINDINGS);
        expect(report.ok).toBe(report.findings.every((finding) => finding.severity === 'warning'));
        for (const finding of report.findings) {
          expect(finding.severity).toBe(finding.code.startsWith('E_') ? 'error' : 'warning');
          if (finding.line === null) expect(finding.code).toBe('E_EMPTY');
          else expect(finding.line).toBeLessThanOrEqual(lines);
        }
      }),
      { numRuns: 1500 },
    );
  });

  it('bricks only when it is refused, and as findBrickingDefects says', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const report = validateCollectorConfig(text);
        const defects = findBrickingDefects(text);
        expect(report.bricks).toBe(defects.length > 0);
        expect(defects.every((finding) => finding.severity === 'error')).toBe(true);
        if (report.bricks) expect(report.ok).toBe(false);
        const codes = new Set(report.findings.map((finding) => finding.code));
        if (report.omitted === 0) for (const defect of defects) expect(codes).toContain(defect.code);
      }),
      { numRuns: 600 },
    );
  });

  it('is judged alike with other line ends', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CONFIGS), (text) => {
        const codes = (variant: string): string[] => validateCollectorConfig(variant).findings.map(({ line, code }) => `${line} ${code}`);
        expect(codes(text.replaceAll('\n', '\r\n'))).toEqual(codes(text));
      }),
    );
  });
});

/** Texts that grow with n, each of them hard for some part of the check. */
const GROWING: Readonly<Record<string, (n: number) => string>> = {
  pipelines: (n) =>
    `receivers: {nop: }\nexporters: {debug: }\nservice:\n  pipelines:\n${repeat(n, (i) => `    traces/${i}: {receivers: [nop], exporters: [debug]}\n`)}`,
  'undefined references': (n) =>
    `receivers:\n${repeat(n, (i) => `  nop/${i}:\n`)}service: {pipelines: {traces: {receivers: [${repeat(n, (i) => `nop/x${i},`)}]}}}\n`,
  'a ring of connectors': (n) =>
    `connectors:\n${repeat(n, (i) => `  forward/${i}:\n`)}service:\n  pipelines:\n${repeat(n, (i) => `    logs/${i}: {receivers: [forward/${i}], exporters: [forward/${(i + 1) % n}]}\n`)}`,
  'connectors of one pipeline': (n) =>
    `connectors:\n${repeat(n, (i) => `  forward/${i}:\n`)}service: {pipelines: {logs: {receivers: [${repeat(n, (i) => `forward/${i},`)}], exporters: [${repeat(n, (i) => `forward/${i},`)}]}}}\n`,
  'one-sided connectors': (n) =>
    `connectors:\n${repeat(n, (i) => `  forward/${i}:\n`)}service: {pipelines: {logs: {exporters: [${repeat(n, (i) => `forward/${i},`)}]}}}\n`,
  'duplicate keys': (n) => repeat(n, () => 'receivers: {nop: }\n'),
  'keys with separators': (n) => repeat(n, (i) => `receivers::nop/${i}: {}\n`),
  'repeated processors': (n) => `processors: {batch: }\nservice: {pipelines: {logs: {processors: [${repeat(n, () => 'batch,')}]}}}\n`,
  substitutions: (n) => `receivers: {nop: {a: "${repeat(n, () => '${env:A-B}')}"}}\n`,
  'nested substitutions': (n) => `receivers: {nop: {a: "${repeat(n, () => '${env:')}${repeat(n, () => '}')}"}}\n`,
  'unknown settings': (n) => `processors:\n  batch:\n${repeat(n, (i) => `    send_batch_size${i}: 1\n`)}`,
  'merge keys': (n) => `receivers:\n  nop/a: &a {x: 1, y: 2}\n${repeat(n, (i) => `  nop/${i}: {<<: *a, z: 3}\n`)}`,
  documents: (n) => repeat(n, () => 'a: 1\n---\n'),
  'open brackets': (n) => '['.repeat(n),
  'syntax errors': (n) => `[${','.repeat(n)}`,
  tabs: (n) => `a:\n${repeat(n, () => '\t\n')}`,
};

function repeat(n: number, line: (index: number) => string): string {
  return Array.from({ length: n }, (_, index) => line(index)).join('');
}

describe('the work', () => {
  it.each(Object.entries(GROWING))('grows linearly with %s', (_name, make) => {
    const base = 1000;
    const small = validateCollectorConfig(make(base));
    const smallLength = make(base).length;
    const large = validateCollectorConfig(make(8 * base));
    const largeLength = make(8 * base).length;
    // Suggestions have a fixed budget per report, so a longer text costs at most as much per character.
    expect(large.steps / largeLength).toBeLessThanOrEqual((small.steps / smallLength) * 1.25);
  });

  it('is counted', () => {
    expect(validateCollectorConfig(CONFIGS[0] ?? '').steps).toBeGreaterThan(100);
  });
});
