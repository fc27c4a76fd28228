import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { ValidationOptions } from './collector-config.ts';
import type { Finding } from './finding.ts';

const REST = 'exporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n';
const VALID = `receivers: {nop: }\n${REST}`;

const findings = (text: string, options?: ValidationOptions): readonly Finding[] => validateCollectorConfig(text, options).findings;
const errors = (text: string, options?: ValidationOptions): string[] => [
  ...new Set(
    findings(text, options)
      .filter(({ severity }) => severity === 'error')
      .map(({ code }) => code),
  ),
];

describe('E_TOP_KEY', () => {
  it.each(['x-anchors', 'receiver', 'Receivers', 'version', 'processor', 'service ', 'otlp', '__proto__', 'constructor', ''])(
    '"%s"',
    (key) => {
      expect(findings(`${VALID}"${key}": {}\n`)).toMatchObject([{ code: 'E_TOP_KEY', line: 4, column: 1, path: key }]);
    },
  );

  it('comes with a suggestion', () => {
    expect(findings(`${VALID}extension: {}\n`)[0]?.suggestion).toBe('did you mean `extensions`?');
    expect(findings(`${VALID}x-batch: {}\n`)[0]?.suggestion).toContain('anchor');
  });

  it('also inside a merge', () => {
    expect(errors(`${VALID}<<: {other: 1}\n`)).toEqual(['E_TOP_KEY']);
  });
});

describe('E_SHAPE of sections', () => {
  it.each([
    ['a list', '[nop]', 'slice'],
    ['a text', 'nop', 'string'],
    ['an empty text', '""', 'string'],
    ['a number', '1', 'int'],
    ['a boolean', 'true', 'bool'],
  ])('%s', (_name, value, kind) => {
    expect(findings(`receivers: ${value}\n${REST}`)).toMatchObject([
      { code: 'E_SHAPE', line: 1, path: 'receivers', message: `'receivers' expected a map or struct, got "${kind}"` },
    ]);
  });

  it('of every section at once, without complaints about what may be in them', () => {
    const text =
      'receivers: []\nprocessors: []\nexporters: []\nconnectors: []\nextensions: []\nservice: {extensions: [a], pipelines: {traces: {receivers: [b], processors: [c], exporters: [d]}}}\n';
    expect(findings(text).map(({ code }) => code)).toEqual(Array.from({ length: 5 }, () => 'E_SHAPE'));
  });

  it('not of a null section', () => {
    expect(errors(`processors:\nconnectors: ~\nextensions: null\n${VALID}`)).toEqual([]);
  });
});

describe('E_SHAPE of component bodies', () => {
  it.each([
    ['a list', '[]', '[]interface {}'],
    ['a text', 'basic', 'string'],
    ['an empty text', "''", 'string'],
    ['a number', '1', 'int'],
    ['a boolean', 'false', 'bool'],
  ])('%s', (_name, body, type) => {
    const text = VALID.replace('{debug: }', `{debug: ${body}}`);
    expect(findings(text)).toMatchObject([
      { code: 'E_SHAPE', line: 2, message: `'exporters[debug]' expected type 'map[string]interface {}', got unconvertible type '${type}'` },
    ]);
  });

  it('not of null, which means the defaults', () => {
    expect(errors(VALID.replace('{debug: }', '{debug: ~}'))).toEqual([]);
    expect(errors(VALID.replace('{debug: }', '{debug: {}}'))).toEqual([]);
  });
});

describe('E_ID', () => {
  it.each([
    ['', 'id must not be empty'],
    ['  ', 'id must not be empty'],
    ['/x', 'in "/x" id: the part before / should not be empty'],
    ['/', 'in "/" id: the part before / should not be empty'],
    ['nop/', 'in "nop/" id: the part after / should not be empty'],
    ['nop/  ', 'in "nop/  " id: the part after / should not be empty'],
    ['my-nop', 'in "my-nop" id: invalid character(s) in type "my-nop"'],
    ['1nop', 'in "1nop" id: invalid character(s) in type "1nop"'],
    ['nöp', 'in "nöp" id: invalid character(s) in type "nöp"'],
    ['no.p/a', 'in "no.p/a" id: invalid character(s) in type "no.p"'],
    [`n${'o'.repeat(63)}`, `invalid character(s) in type "n${'o'.repeat(63)}"`],
    ['nop/with space', 'in "with space" id: invalid character(s) in name "with space"'],
    ['nop/a+b', 'in "a+b" id: invalid character(s) in name "a+b"'],
    ['nop/a=b', 'in "a=b" id: invalid character(s) in name "a=b"'],
    ['nop/$a', 'in "$a" id: invalid character(s) in name "$a"'],
    ['nop/a<b', 'in "a<b" id: invalid character(s) in name "a<b"'],
    ['nop/a\u00a0b', 'invalid character(s) in name'],
    ['nop/a\u200bb', 'invalid character(s) in name'],
    ['nop/🚀', 'invalid character(s) in name "🚀"'],
    [`nop/${'é'.repeat(513)}`, 'is longer than 1024 characters (1026 characters)'],
  ])('"%s"', (id, message) => {
    const found = findings(`receivers:\n  nop:\n  ${JSON.stringify(id)}:\n${REST}`);
    expect(found).toMatchObject([{ code: 'E_ID', line: 3, column: 3 }]);
    expect(found[0]?.message).toContain(message);
  });

  it.each([
    'nop/a',
    'nop/a/b',
    'nop/a.b-c',
    'nop/2',
    'nop/Ünïcode',
    'nop/日本',
    'NOP2',
    'n',
    'a_b/c_d',
    'nop/a:b',
    'nop/(x)',
    `n${'o'.repeat(62)}`,
    `nop/${'x'.repeat(1000)}`,
  ])('not of "%s"', (id) => {
    expect(errors(`receivers:\n  nop:\n  ${JSON.stringify(id)}:\n${REST}`)).toEqual([]);
  });

  it('of keys that are not text, in the form in which the collector sees them', () => {
    expect(errors(`receivers: {nop: , 1: }\n${REST}`)).toEqual(['E_ID']);
    expect(errors(`receivers: {nop: , true: }\n${REST}`)).toEqual([]);
  });

  it('of references, without a second complaint that they are undefined', () => {
    expect(errors(VALID.replace('[nop]', '[nop, "nop/", my-nop]'))).toEqual(['E_ID']);
  });

  it('suggests a legal id', () => {
    expect(findings(`receivers: {nop: , my-nop/a b: }\n${REST}`)[0]?.suggestion).toBe('did you mean `my_nop/a_b`?');
  });

  it('of substitutions in keys, which are never substituted', () => {
    expect(errors(`receivers: {nop: , "nop/\${env:A}": }\n${REST}`)).toEqual(['E_ID']);
  });
});

describe('E_ID_DUP and E_ID_SPACE', () => {
  it('keys that become equal', () => {
    expect(errors(`receivers: {nop: , "nop ": }\n${REST}`)).toEqual(['E_ID_DUP', 'E_ID_SPACE']);
    expect(errors(`receivers: {nop/a: , "nop / a": }\n${REST.replace('[nop]', '[nop/a]')}`)).toEqual(['E_ID_DUP', 'E_ID_SPACE']);
  });

  it.each(['debug ', ' debug', 'debug / a', 'debug/ a', 'debug /a', '\tdebug', 'debug/a\u00a0'])(
    'a key that differs from its id: "%s"',
    (key) => {
      const found = findings(
        `receivers: {nop: }\nexporters: {nop: , ${JSON.stringify(key)}: {verbosity: detailed}}\nservice: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n`,
      );
      expect(found.filter(({ severity }) => severity === 'error')).toMatchObject([{ code: 'E_ID_SPACE', line: 2 }]);
    },
  );

  it('a reference finds the trimmed id, and may have blanks itself', () => {
    expect(
      errors(
        `receivers: {nop: }\nexporters: {"debug / a": }\nservice: {pipelines: {traces: {receivers: [nop], exporters: ["debug/ a"]}}}\n`,
      ),
    ).toEqual(['E_ID_SPACE']);
  });
});

describe('E_RESERVED', () => {
  it.each(['opamp: {}', 'opamp: ', '"opamp": {server: {}}'])('extensions: {%s}', (entry) => {
    expect(findings(`extensions: {${entry}}\n${VALID}`).map(({ code, line }) => `${line} ${code}`)).toContain('1 E_RESERVED');
  });

  it('also by another spelling', () => {
    expect(errors(`extensions::opamp: {}\n${VALID}`)).toEqual(['E_RESERVED']);
    expect(errors(`extensions: {" opamp": {}}\n${VALID}`)).toEqual(['E_ID_SPACE', 'E_RESERVED']);
    expect(errors(`extensions: {<<: {opamp: {}}}\n${VALID}`)).toEqual(['E_RESERVED']);
  });

  it('not elsewhere', () => {
    expect(errors(`extensions: {opamp/mine: {}}\n${VALID}`)).toEqual([]);
    expect(errors(`processors: {opamp: {}}\n${VALID}`)).toEqual([]);
    expect(errors(`${VALID.replace('service: {', 'service: {extensions: [opamp], ')}`)).toEqual([]);
  });
});

describe('E_NO_RECEIVERS, E_NO_EXPORTERS', () => {
  it('points at the section, or at the first line without one', () => {
    expect(
      findings('exporters: {debug: }\nreceivers:\nservice: {pipelines: {traces: {receivers: [a], exporters: [debug]}}}').map(
        ({ line, code }) => `${line} ${code}`,
      ),
    ).toEqual(['2 E_NO_RECEIVERS', '3 E_REF']);
    expect(
      findings('\nreceivers: {nop: }\nservice: {pipelines: {traces: {receivers: [nop]}}}').map(({ line, code }) => `${line} ${code}`),
    ).toEqual(['2 E_NO_EXPORTERS', '3 E_PIPE_EXPORTERS']);
  });

  it('connectors are no substitute', () => {
    expect(errors('connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [forward], exporters: [forward]}}}')).toEqual([
      'E_NO_EXPORTERS',
      'E_NO_RECEIVERS',
      'E_CYCLE',
    ]);
  });
});

describe('W_DYNAMIC_REF', () => {
  it.each([
    ['a section', '${file:receivers.yaml}'],
    ['a component', '{nop: , otlp: "${env:OTLP}"}'],
  ])('%s from a substitution is not judged', (_name, receivers) => {
    const found = findings(`receivers: ${receivers}\n${REST}`);
    expect(found.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(found.map(({ code }) => code)).toContain('W_DYNAMIC_REF');
  });

  it('an escaped one is a text', () => {
    expect(errors(`receivers: {nop: "$\${env:A}"}\n${REST}`)).toEqual(['E_SHAPE']);
  });
});
