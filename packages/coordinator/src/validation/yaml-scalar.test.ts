import { describe, expect, it } from 'vitest';
import { numberValue, resolveScalar } from './yaml-scalar.ts';

const INT = 'tag:yaml.org,2002:int';

describe('resolveScalar', () => {
  it.each([
    ['', 'null'],
    ['~', 'null'],
    ['null', 'null'],
    ['Null', 'null'],
    ['nULL', 'string'],
    ['true', 'bool'],
    ['FALSE', 'bool'],
    ['yes', 'string'],
    ['on', 'string'],
    ['0', 'int'],
    ['-12', 'int'],
    ['+3', 'int'],
    ['010', 'int'],
    ['0o17', 'int'],
    ['0x1F', 'int'],
    ['0b101', 'int'],
    ['1_000', 'int'],
    ['08', 'float'],
    ['1.5', 'float'],
    ['.5', 'float'],
    ['1e3', 'float'],
    ['-.inf', 'float'],
    ['.NaN', 'float'],
    ['1.2.3', 'string'],
    ['1s', 'string'],
    ['0.0.0.0:1', 'string'],
    ['-', 'string'],
    ['2020-01-02', 'timestamp'],
    ['2020-1-2', 'timestamp'],
    ['2020-01-02T03:04:05Z', 'timestamp'],
    ['2020-01-02 03:04:05.5', 'timestamp'],
    ['2020-01-02T03:04:05', 'string'],
    ['2020-13-02', 'string'],
    ['20-01-02', 'string'],
    ['hello', 'string'],
  ])('plain %s is %s', (text, type) => {
    expect(resolveScalar(text, true, undefined)).toMatchObject({ type, contradicts: null });
    expect(resolveScalar(text, false, undefined).type).toBe('string');
  });

  it.each([
    ['010', 'octal'],
    ['1_0', 'underscore'],
    ['2020-01-01', 'date'],
    ['10', null],
    ['0x_ff', 'underscore'],
    ['a_b', null],
  ])('%s is ambiguous: %s', (text, ambiguous) => {
    expect(resolveScalar(text, true, undefined).ambiguous).toBe(ambiguous);
  });

  it('follows tags, and sees when the text contradicts them', () => {
    expect(resolveScalar('5', false, INT)).toMatchObject({ type: 'int', contradicts: null });
    expect(resolveScalar('5', true, 'tag:yaml.org,2002:str')).toMatchObject({ type: 'string', contradicts: null });
    expect(resolveScalar('5', true, 'tag:yaml.org,2002:float')).toMatchObject({ type: 'float', contradicts: null });
    expect(resolveScalar('x', true, INT).contradicts).toBe('cannot decode !!str `x` as a !!int');
    expect(resolveScalar('aGk=', true, 'tag:yaml.org,2002:binary').contradicts).toBeNull();
    expect(resolveScalar('a', true, 'tag:yaml.org,2002:binary').contradicts).toContain('base64');
    expect(resolveScalar('5', true, '!local')).toMatchObject({ type: 'string', contradicts: null });
  });
});

describe('numberValue', () => {
  it.each([
    ['10', 10],
    ['010', 8],
    ['-010', -8],
    ['0x10', 16],
    ['0b11', 3],
    ['0o17', 15],
    ['1_000', 1000],
    ['1.5', 1.5],
    ['-3', -3],
    ['+3', 3],
    ['1e3', 1000],
    ['x', Number.NaN],
  ])('%s', (text, value) => {
    expect(numberValue(text)).toBe(value);
  });
});
