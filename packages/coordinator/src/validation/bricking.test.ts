import { describe, expect, it } from 'vitest';
import { findBrickingDefects } from './bricking.ts';

const codes = (text: string): string[] => findBrickingDefects(text).map(({ code }) => code);

describe('findBrickingDefects', () => {
  it.each([
    ['invalid YAML', 'a: b: c', ['E_YAML']],
    ['a list', '[]', ['E_NOT_MAP']],
    ['a text', 'x', ['E_NOT_MAP']],
    ['an outermost key that is not text', 'receivers: {nop: }\n1: 2', ['E_NOT_MAP']],
    ['a duplicate key', 'receivers: {nop: , nop: }', ['E_DUPKEY']],
    ['two documents', 'receivers: {nop: }\n---\nreceivers: {nop: }\n', ['E_MULTIDOC']],
    ['nothing', '', ['E_EMPTY']],
    ['a comment', '# a template rendered to nothing\n', ['E_EMPTY']],
    ['a map without content', '{}', ['E_EMPTY']],
    ['empty sections', 'receivers:\nexporters: {}\n', ['E_EMPTY']],
    ['the extension of the supervisor', 'extensions: {opamp: {}}', ['E_RESERVED']],
    ['the same, spelt differently', 'extensions::opamp::server: {}', ['E_RESERVED']],
    ['an alias bomb', bomb(), ['E_ALIAS_BOMB']],
    ['deep nesting', '['.repeat(1000), ['E_TOO_DEEP']],
    ['too much text', '#'.repeat(2 ** 20 + 1), ['E_TOO_LARGE']],
  ])('%s', (_name, text, expected) => {
    expect(codes(text)).toEqual(expected);
  });

  it('finds several', () => {
    expect(codes('extensions:\n  opamp:\n  opamp:\n---\na: 1\n')).toEqual(['E_DUPKEY', 'E_RESERVED', 'E_MULTIDOC']);
  });

  it.each([
    ['an undefined reference', 'service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}'],
    ['an unknown key', 'receiver: {nop: }\nreceivers: {nop: }'],
    ['no pipelines', 'receivers: {nop: }'],
    ['a wrong shape', 'receivers: [nop]'],
    ['advice', 'receivers: {nop: {a: 010}}\n'],
    ['a substitution', 'receivers: "${file:receivers.yaml}"'],
  ])('lets %s be forced', (_name, text) => {
    expect(findBrickingDefects(text)).toEqual([]);
  });

  it('says where', () => {
    expect(findBrickingDefects('receivers:\nextensions:\n  opamp:\n')).toMatchObject([
      { code: 'E_RESERVED', severity: 'error', line: 3, column: 3, path: 'extensions::opamp' },
    ]);
  });
});

function bomb(): string {
  return Array.from(
    { length: 20 },
    (_, level) => `a${level}: &a${level} [${level === 0 ? 'x, x' : `*a${level - 1}, *a${level - 1}`}]\n`,
  ).join('');
}
