import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { Finding } from './finding.ts';
import { hasSubstitution } from './substitution.ts';
import type { ValidationPolicy } from './validation-context.ts';

/** Findings about a value; everything else in the config is fine. */
function findings(value: string, policy: ValidationPolicy = {}): readonly Finding[] {
  const text = `receivers: {nop: }\nexporters:\n  kafka:\n    topic: ${JSON.stringify(value)}\nservice: {pipelines: {traces: {receivers: [nop], exporters: [kafka]}}}\n`;
  return validateCollectorConfig(text, { policy }).findings;
}

const codes = (value: string, policy?: ValidationPolicy): string[] => findings(value, policy).map(({ code }) => code);

describe('substitutions that the collector makes', () => {
  it.each([
    '${env:NAME}',
    '${env:NAME:-default}',
    '${env:NAME:-}',
    '${env:NAME:-a:b:-c}',
    '${NAME}',
    '${_name1}',
    '${env:A}:${env:B:-4317}',
    'Bearer ${env:TOKEN}',
    '${env:A:-${env:B}}',
    '${env:${env:NAME}}',
    '${env:A_${env:B}}',
    '${env:A:-${env:B:-${C}}}',
    '${${env:SCHEME}:x}',
  ])('%s', (value) => {
    expect(findings(value)).toEqual([]);
    expect(hasSubstitution(value)).toBe(true);
  });
});

describe('text that the collector leaves alone', () => {
  it.each([
    'costs $5',
    'costs $$5',
    '$NAME',
    '$${env:NAME}',
    '$${env:BAD-NAME}',
    '$$$${vault:x}',
    '${env:NAME',
    '${',
    '}',
    '{env:NAME}',
    '$ {env:NAME}',
    'a } b ${',
    '',
    '$${env:A} ${vault:after-an-escaped-one}',
    '${env:A:-$${B}}',
  ])('%s', (value) => {
    expect(findings(value)).toEqual([]);
    expect(hasSubstitution(value)).toBe(false);
  });
});

describe('E_SUBST_NAME', () => {
  it.each([
    ['${env:OTLP-HOST}', 'OTLP-HOST'],
    ['${OTLP-HOST}', 'OTLP-HOST'],
    ['${env:1A}', '1A'],
    ['${1}', '1'],
    ['${env:}', ''],
    ['${}', ''],
    ['${env: A}', ' A'],
    ['${env:A B}', 'A B'],
    ['${env:A.B:-x}', 'A.B'],
    ['${env:ÄB}', 'ÄB'],
    ['a ${env:B-} c', 'B-'],
    ['$$${env:B-}', 'B-'],
    ['${env:A:-${env:B-}}', 'B-'],
    ['${env:A-:-${env:B}}', 'A-'],
  ])('%s', (value, name) => {
    expect(findings(value)).toMatchObject([
      {
        code: 'E_SUBST_NAME',
        line: 4,
        path: 'exporters::kafka::topic',
        message: `environment variable ${JSON.stringify(name)} has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$`,
      },
    ]);
  });
});

describe('E_SUBST_SCHEME', () => {
  it.each([
    ['${vault:secret/a}', 'vault', 'vault:secret/a'],
    ['${ENV:A}', 'ENV', 'ENV:A'],
    ['${s3:bucket/a}', 's3', 's3:bucket/a'],
    ['${NAME:-default}', 'NAME', 'NAME:-default'],
    ['x ${foo+bar:1}', 'foo+bar', 'foo+bar:1'],
    ['${vault:${env:A}}', 'vault', 'vault:…'],
  ])('%s', (value, scheme, uri) => {
    expect(findings(value)).toMatchObject([
      { code: 'E_SUBST_SCHEME', message: `scheme ${JSON.stringify(scheme)} is not supported for uri ${JSON.stringify(uri)}` },
    ]);
  });

  it('suggests env when only the scheme was forgotten', () => {
    expect(findings('${HOST:-localhost}')[0]?.suggestion).toBe('did you mean `${env:HOST:-localhost}`?');
  });

  it('not for schemes that the build has', () => {
    expect(codes('${vault:secret/a}', { schemes: ['env', 'vault'] })).toEqual([]);
    expect(codes('${file:/a}', { schemes: ['env'] })).toEqual(['E_SUBST_SCHEME']);
  });
});

describe('E_SUBST', () => {
  it.each([
    ['${env:$NAME}', 'the uri "env:$NAME" contains unsupported characters (\'$\')'],
    ['${env:A:-$5}', 'the uri "env:A:-$5" contains unsupported characters (\'$\')'],
    ['${$NAME}', 'the uri "env:$NAME" contains unsupported characters (\'$\')'],
    ['${a:b}', 'invalid uri: "a:b"'],
    ['${:NAME}', 'invalid uri: ":NAME"'],
    ['${1env:NAME}', 'invalid uri: "1env:NAME"'],
    ['${ env:NAME}', 'invalid uri: " env:NAME"'],
  ])('%s', (value, message) => {
    expect(findings(value)).toMatchObject([{ code: 'E_SUBST', message }]);
  });
});

describe('several in one value', () => {
  it('are all reported, equal ones once', () => {
    expect(codes('${env:A-} ${vault:x} ${env:A-} ${a:b}')).toEqual(['E_SUBST', 'E_SUBST_NAME', 'E_SUBST_SCHEME']);
  });
});

describe('providers that read files or fetch documents', () => {
  it.each([
    ['${file:/etc/passwd}', 'read a file of its host'],
    ['${http://169.254.169.254/}', 'fetch a document from the network'],
    ['${https://example.com/a.yaml}', 'fetch a document from the network'],
    ['${yaml:a: 1}', 'insert YAML that is not checked here'],
    ['${env:A:-${file:/b}}', 'read a file of its host'],
  ])('%s', (value, words) => {
    const found = findings(value);
    expect(found).toMatchObject([{ code: 'W_PROVIDER', severity: 'warning', line: 4 }]);
    expect(found[0]?.message).toContain(words);
    expect(codes(value, { allowProviders: false })).toEqual(['E_PROVIDER']);
    expect(codes(value, { allowProviders: true })).toEqual([]);
  });

  it('not env', () => {
    expect(codes('${env:A}', { allowProviders: false })).toEqual([]);
  });
});

describe('places', () => {
  const base = 'receivers: {nop: }\nexporters: {debug: }\n';

  it('in lists, in service and in blocks of text', () => {
    const text = `${base}service:\n  telemetry: {resource: {a: "\${env:A-}"}}\n  pipelines: {traces: {receivers: [nop], exporters: [debug]}}\nprocessors:\n  filter:\n    logs:\n      log_record:\n        - |\n          \${vault:x}\n`;
    const found = validateCollectorConfig(text).findings.filter(({ severity }) => severity === 'error');
    expect(found.map(({ line, code }) => `${line} ${code}`)).toEqual(['4 E_SUBST_NAME', '10 E_SUBST_SCHEME']);
  });

  it('not in keys and comments', () => {
    const text = `# \${vault:x}\n${base}service: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\nprocessors: {groupbyattrs: {"\${vault:x}": 1}}\n`;
    expect(validateCollectorConfig(text).findings.map(({ code }) => code)).toEqual(['W_UNUSED']);
  });

  it('a shared value is reported once', () => {
    const text = `receivers: {nop: }\nexporters: {kafka: &a {topic: "\${vault:x}"}, kafka/b: *a}\nservice: {pipelines: {traces: {receivers: [nop], exporters: [kafka, kafka/b]}}}\n`;
    expect(validateCollectorConfig(text).findings.map(({ code }) => code)).toEqual(['E_SUBST_SCHEME']);
  });
});
