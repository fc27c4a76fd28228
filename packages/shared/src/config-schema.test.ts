import { describe, expect, it } from 'vitest';
import {
  booleanOption,
  bytesOption,
  choiceOption,
  durationOption,
  formatBytes,
  integerOption,
  isServiceLink,
  listOption,
  parseBytes,
  parseSettings,
  portOption,
  renderOptionTable,
  textOption,
} from './config-schema.ts';
import { ConfigurationError } from './errors.ts';

const text = { readBy: ['test'], sentence: 'A setting.' };
const CATALOGUE = {
  X_COUNT: integerOption({ ...text, default: 3, min: 1, max: 10 }),
  X_LIMIT: integerOption({ ...text, default: undefined }),
  X_WAIT_MS: durationOption({ ...text, default: 100 }),
  X_PORT: portOption({ ...text, default: 4320 }),
  X_SIZE: bytesOption({ ...text, default: 64 * 2 ** 20, min: 1024 }),
  X_ON: booleanOption({ ...text, default: true }),
  X_MODE: choiceOption({ ...text, default: 'none', choices: ['none', 'token'] }),
  X_NAME: textOption({ ...text, default: undefined, check: (value) => (value.includes('{') ? 'no braces' : undefined) }),
  X_LIST: listOption({ ...text, default: [] }),
  X_TOKEN: textOption({ ...text, default: undefined, secret: true, check: (value) => (value.length < 3 ? 'a longer token' : undefined) }),
};
const NAMES = Object.keys(CATALOGUE) as (keyof typeof CATALOGUE)[];

const parse = (environment: Record<string, string | undefined>) => parseSettings(CATALOGUE, NAMES, environment, 'X_');

function problems(environment: Record<string, string | undefined>): readonly string[] {
  try {
    parse(environment);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseSettings', () => {
  it('takes defaults for unset, empty and blank variables and freezes the result', () => {
    const values = parse({ X_COUNT: '', X_PORT: '  ', X_NAME: undefined, OTHER: 'x' });
    expect(values).toEqual({
      X_COUNT: 3,
      X_LIMIT: undefined,
      X_WAIT_MS: 100,
      X_PORT: 4320,
      X_SIZE: 67_108_864,
      X_ON: true,
      X_MODE: 'none',
      X_NAME: undefined,
      X_LIST: [],
      X_TOKEN: undefined,
    });
    expect(Object.isFrozen(values)).toBe(true);
  });

  it('parses every kind', () => {
    expect(
      parse({
        X_COUNT: ' 10 ',
        X_LIMIT: '0',
        X_WAIT_MS: '250',
        X_PORT: '0',
        X_SIZE: '4MB',
        X_ON: '0',
        X_MODE: 'token',
        X_NAME: 'a b',
        X_LIST: 'a, b,,c ',
        X_TOKEN: 'abc',
      }),
    ).toEqual({
      X_COUNT: 10,
      X_LIMIT: 0,
      X_WAIT_MS: 250,
      X_PORT: 0,
      X_SIZE: 4_000_000,
      X_ON: false,
      X_MODE: 'token',
      X_NAME: 'a b',
      X_LIST: ['a', 'b', 'c'],
      X_TOKEN: 'abc',
    });
  });

  it.each([
    ['X_COUNT', '11', 'from 1 to 10'],
    ['X_COUNT', '0', 'from 1 to 10'],
    ['X_COUNT', '1.5', 'from 1 to 10'],
    ['X_COUNT', '3a', 'from 1 to 10'],
    ['X_COUNT', '0x5', 'from 1 to 10'],
    ['X_COUNT', '1e1', 'from 1 to 10'],
    ['X_LIMIT', '-1', 'at least 0'],
    ['X_WAIT_MS', '5s', 'ms'],
    ['X_WAIT_MS', '2147483648', 'ms'],
    ['X_PORT', '65536', 'from 0 to 65535'],
    ['X_SIZE', '64 megabytes', '64MiB'],
    ['X_SIZE', '5', '1 KiB'],
    ['X_ON', 'yes', 'true or false'],
    ['X_MODE', 'Token', 'one of none, token'],
    ['X_NAME', '{x}', 'no braces'],
  ])('names %s=%s and what was expected', (name, value, expected) => {
    const found = problems({ [name]: value });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(name);
    expect(found[0]).toContain(value);
    expect(found[0]).toContain(expected);
  });

  it('reports all problems at once and hides secrets', () => {
    const found = problems({ X_COUNT: 'x', X_ON: 'maybe', X_CUONT: '1', X_SOMETHING_ELSE: 'v', X_TOKEN: 'ab' });
    expect(found).toHaveLength(5);
    expect(found.find((problem) => problem.startsWith('X_CUONT'))).toContain('did you mean X_COUNT?');
    expect(found.find((problem) => problem.startsWith('X_SOMETHING_ELSE'))).not.toContain('did you mean');
    expect(found.find((problem) => problem.startsWith('X_TOKEN'))).not.toContain('"ab"');
  });

  it('knows names of the catalogue that it was not asked for', () => {
    expect(parseSettings(CATALOGUE, ['X_COUNT'], { X_PORT: 'malformed', X_COUNT: '2' }, 'X_')).toEqual({ X_COUNT: 2 });
  });

  it('ignores what Kubernetes injects for a Service', () => {
    const links = {
      X_PORT: 'tcp://10.0.0.1:4320',
      X_SERVICE_HOST: '10.0.0.1',
      X_SERVICE_PORT: '4320',
      X_SERVICE_PORT_OPAMP: '4320',
      X_PORT_4320_TCP: 'tcp://10.0.0.1:4320',
      X_PORT_4320_TCP_ADDR: '10.0.0.1',
      X_PORT_4320_TCP_PORT: '4320',
      X_PORT_4320_TCP_PROTO: 'tcp',
    };
    expect(parse(links).X_PORT).toBe(4320);
    for (const [name, value] of Object.entries(links)) expect(isServiceLink(name, value), name).toBe(true);
    expect(isServiceLink('X_PORT', '4320')).toBe(false);
    expect(isServiceLink('X_SERVICE', 'a')).toBe(false);
  });
});

describe('byte sizes', () => {
  it.each([
    ['0', 0],
    ['65536', 65_536],
    ['64MiB', 67_108_864],
    ['64 MiB', 67_108_864],
    ['4MB', 4_000_000],
    ['1.5KiB', 1536],
    ['2kB', 2000],
    ['1GiB', 2 ** 30],
    ['10B', 10],
    ['0.3B', undefined],
    ['-1', undefined],
    ['MiB', undefined],
    ['4mb', undefined],
    ['', undefined],
    ['999999999999999GiB', undefined],
  ])('%j is %s', (size, expected) => {
    expect(parseBytes(size)).toBe(expected);
  });

  it('are written in the largest unit that fits', () => {
    expect([0, 1000, 1024, 64 * 2 ** 20, 2 ** 30, 1536].map(formatBytes)).toEqual(['0 B', '1000 B', '1 KiB', '64 MiB', '1 GiB', '1536 B']);
  });
});

describe('renderOptionTable', () => {
  it('shows name, kind, default and sentence', () => {
    expect(renderOptionTable([['X_SIZE', CATALOGUE.X_SIZE]])).toContain('| `X_SIZE` | byte size | 64 MiB | A setting. |');
    expect(renderOptionTable([['X_WAIT_MS', CATALOGUE.X_WAIT_MS]])).toContain('| `X_WAIT_MS` | integer (ms) | `100` |');
    expect(renderOptionTable([['X_NAME', CATALOGUE.X_NAME]])).toContain('| none |');
  });
});
