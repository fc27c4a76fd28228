import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MATCH_ALL,
  MAX_SELECTOR_BYTES,
  MAX_SELECTOR_REQUIREMENTS,
  type Requirement,
  type Selector,
  SelectorError,
  formatSelector,
  matches,
  parseSelector,
} from './selector.ts';

const test = (text: string, attributes: Record<string, string>) => matches(parseSelector(text), attributes);

function failure(text: string): SelectorError {
  try {
    parseSelector(text);
  } catch (error) {
    if (error instanceof SelectorError) return error;
    throw error;
  }
  throw new Error(`no error for ${text}`);
}

describe('parseSelector', () => {
  it('reads every form', () => {
    const text = 'env=prod, region != eu ,service.name in (otelcol, "a b") ,host.name notin(x),k8s.io/zone-a,!gone,label.team=core';
    expect(parseSelector(text).requirements).toEqual([
      { key: 'env', operator: 'eq', values: ['prod'] },
      { key: 'region', operator: 'neq', values: ['eu'] },
      { key: 'service.name', operator: 'in', values: ['otelcol', 'a b'] },
      { key: 'host.name', operator: 'notin', values: ['x'] },
      { key: 'k8s.io/zone-a', operator: 'exists', values: [] },
      { key: 'gone', operator: 'absent', values: [] },
      { key: 'label.team', operator: 'eq', values: ['core'] },
    ]);
  });

  it('reads quoted words with any character', () => {
    expect(parseSelector(String.raw`"odd key"="a,(b)=\"c\" \\"`).requirements).toEqual([
      { key: 'odd key', operator: 'eq', values: [String.raw`a,(b)="c" \ `.trim()] },
    ]);
    expect(parseSelector('k=""').requirements[0]?.values).toEqual(['']);
  });

  it('lets keys be called like operators', () => {
    expect(parseSelector('in in (in),notin,!in').requirements).toEqual([
      { key: 'in', operator: 'in', values: ['in'] },
      { key: 'notin', operator: 'exists', values: [] },
      { key: 'in', operator: 'absent', values: [] },
    ]);
  });

  it('has a reason beside its message, for where it is clear what cannot be read', () => {
    expect(() => parseSelector('k=')).toThrow(/^selector: at position 2: /);
    expect(() => parseSelector('k=')).toThrow(expect.objectContaining({ reason: expect.stringMatching(/^at position 2: /) }));
  });

  it('takes blank text for everything', () => {
    expect(parseSelector('')).toBe(MATCH_ALL);
    expect(parseSelector(' \t\n')).toBe(MATCH_ALL);
  });

  it.each([
    ['=v', 0, "a key or '!'"],
    [',a', 0, "a key or '!'"],
    ['a,', 2, "a key or '!'"],
    ['a,,b', 2, "a key or '!'"],
    ['!', 1, 'a key'],
    ['!!a', 1, 'a key'],
    ['!a=b', 2, "',' or the end"],
    ['k=', 2, 'a value'],
    ['k==v', 2, 'a value'],
    ['k=a b', 4, "',' or the end"],
    ['k v', 2, "'=', '!=', 'in', 'notin', ',' or the end"],
    ['k (a)', 2, "'='"],
    ['k in a', 5, "'('"],
    ['k in ()', 6, 'a value'],
    ['k in (a', 7, "',' or ')'"],
    ['k in (a,)', 8, 'a value'],
    ['k in (a) b', 9, "',' or the end"],
    ['k="a', 4, 'a closing'],
    [String.raw`k="\n"`, 4, 'after the backslash'],
    ['k=a"b"', 3, "',' or the end"],
  ])('names position and expectation of %j', (text, position, expected) => {
    const error = failure(text);
    expect(error.position).toBe(position);
    expect(error.expected).toContain(expected);
    expect(error.message).toContain(`position ${position}`);
  });

  it('has limits', () => {
    const many = Array.from({ length: MAX_SELECTOR_REQUIREMENTS }, (_, index) => `k${index}`);
    expect(parseSelector(many.join(',')).requirements).toHaveLength(MAX_SELECTOR_REQUIREMENTS);
    expect(failure([...many, 'one'].join(',')).expected).toContain('64 requirements');
    expect(failure(`k=${'x'.repeat(MAX_SELECTOR_BYTES)}`).expected).toContain('4096 bytes');
    expect(failure(`k=${'ä'.repeat(MAX_SELECTOR_BYTES / 2)}`).expected).toContain('4096 bytes');
  });

  it('refuses text whose canonical form is over the limit, so that canonical text can always be read again', () => {
    const set = (size: number) => `k in(${'x'.repeat(size)},y)`;
    const largest = MAX_SELECTOR_BYTES - 'k in (,y)'.length;
    expect(formatSelector(parseSelector(set(largest)))).toHaveLength(MAX_SELECTOR_BYTES);
    expect(failure(set(largest + 1)).expected).toContain('4096 bytes');
  });
});

describe('matches', () => {
  const attributes = { env: 'prod', 'service.name': 'otelcol', empty: '' };

  it.each([
    ['', true],
    ['env=prod', true],
    ['env=PROD', false],
    ['env!=prod', false],
    ['env!=dev', true],
    ['absent!=x', true],
    ['absent=x', false],
    ['absent=""', false],
    ['env in (dev,prod)', true],
    ['env in (dev)', false],
    ['absent in (a)', false],
    ['env notin (dev,prod)', false],
    ['env notin (dev)', true],
    ['absent notin (a)', true],
    ['env', true],
    ['empty', true],
    ['empty=""', true],
    ['absent', false],
    ['!absent', true],
    ['!env', false],
    ['env=prod,service.name=otelcol', true],
    ['env=prod,service.name=other', false],
    ['constructor', false],
    ['!__proto__', true],
  ])('%j -> %s', (text, expected) => {
    expect(test(text, attributes)).toBe(expected);
    expect(matches(parseSelector(text), new Map(Object.entries(attributes)))).toBe(expected);
  });
});

describe('formatSelector', () => {
  it('is canonical', () => {
    expect(formatSelector(parseSelector(' b , a in (y,x,y), c in (z), d notin ("q"),b , "e f"="" '))).toBe(
      '"e f"="",a in (x,y),b,c=z,d!=q',
    );
    expect(formatSelector(MATCH_ALL)).toBe('');
  });

  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ maxLength: 6, unit: 'binary' }),
    fc.constantFrom('in', 'notin', 'a', 'b', '"', '\\'),
  );
  const values = fc.array(word, { minLength: 1, maxLength: 4 });
  const requirement: fc.Arbitrary<Requirement> = fc.oneof(
    fc.record({ key: word, operator: fc.constantFrom('exists' as const, 'absent' as const), values: fc.constant([]) }),
    fc.record({ key: word, operator: fc.constantFrom('eq' as const, 'neq' as const), values: word.map((value) => [value]) }),
    fc.record({ key: word, operator: fc.constantFrom('in' as const, 'notin' as const), values }),
  );
  const selectors: fc.Arbitrary<Selector> = fc.record({ requirements: fc.array(requirement, { maxLength: 6 }) });
  const attributes = fc.array(fc.tuple(word, word), { maxLength: 6 }).map((entries) => new Map(entries));

  it('is read back to the same text and the same verdicts', () => {
    fc.assert(
      fc.property(selectors, attributes, (selector, agent) => {
        const text = formatSelector(selector);
        const again = parseSelector(text);
        expect(formatSelector(again)).toBe(text);
        expect(matches(again, agent)).toBe(matches(selector, agent));
        for (const { key, values: listed } of selector.requirements) {
          const one = new Map([[key, listed[0] ?? 'x']]);
          expect(matches(again, one)).toBe(matches(selector, one));
        }
      }),
    );
  });

  it('never throws anything but SelectorError on arbitrary text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-c=!,()" \\in]{0,30}$/)), (text) => {
        try {
          const selector = parseSelector(text);
          expect(formatSelector(parseSelector(formatSelector(selector)))).toBe(formatSelector(selector));
        } catch (error) {
          expect(error).toBeInstanceOf(SelectorError);
        }
      }),
    );
  });
});
