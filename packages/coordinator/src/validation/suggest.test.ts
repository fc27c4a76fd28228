import { describe, expect, it } from 'vitest';
import { FindingSink } from './finding.ts';
import { editDistance, Suggester } from './suggest.ts';

const suggester = (): Suggester => new Suggester(new FindingSink(''));

describe('editDistance', () => {
  it.each([
    ['', '', 0],
    ['batch', 'batch', 0],
    ['batch', 'bach', 1],
    ['batch', 'batchs', 1],
    ['batch', 'butch', 1],
    ['batch', 'bacth', 1],
    ['otlp', 'debug', 5],
    ['', 'abc', 3],
  ])('%s, %s', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe('Suggester', () => {
  it.each([
    ['otlp/primry', ['otlp/backup', 'otlp/primary'], 'otlp/primary'],
    ['otlp', ['debug', 'otlp/primary'], 'otlp/primary'],
    ['Batch', ['batch', 'match'], 'batch'],
    ['tcp', ['udp', 'file'], 'udp'],
    ['kafka', ['otlp', 'nop'], undefined],
    ['x', [], undefined],
    ['a'.repeat(100), ['a'.repeat(99)], undefined],
  ])('%s among %o', (word, candidates, expected) => {
    expect(suggester().closest(word, candidates)).toBe(expected);
  });

  it('makes a sentence', () => {
    expect(suggester().didYouMean('recievers', ['receivers', 'exporters'])).toBe('did you mean `receivers`?');
  });

  it('stops when its budget is used up', () => {
    const limited = suggester();
    const many = Array.from({ length: 5000 }, (_, index) => `component_type_${1000 + index}`);
    for (let round = 0; round < 10; round += 1) limited.closest('compxnent_tipe_abcd', many);
    expect(limited.closest('batc', ['batch'])).toBeUndefined();
  });
});
