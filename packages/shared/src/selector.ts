import { CodedError } from './errors.ts';

/** How one requirement compares an attribute. `neq`, `notin` and `absent` hold for an agent that lacks the key. */
export type SelectorOperator = 'eq' | 'neq' | 'in' | 'notin' | 'exists' | 'absent';

/** One condition on one attribute. `values` has one entry for eq and neq, at least one for in and notin, else none. */
export interface Requirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  readonly values: readonly string[];
}

/** A parsed selector: all requirements must hold; none at all matches every agent. Plain data. */
export interface Selector {
  readonly requirements: readonly Requirement[];
}

/** Attributes that are looked up one by one, such as a map. */
export interface AttributeLookup {
  get(name: string): string | undefined;
}

/** An agent's attributes as text; server-side labels stand under `label.<name>`. */
export type SelectorAttributes = Readonly<Record<string, string>> | AttributeLookup;

/** Longest selector, in bytes of UTF-8; holds for the text as given and for its canonical form. */
export const MAX_SELECTOR_BYTES = 4096;

/** Most requirements in one selector. */
export const MAX_SELECTOR_REQUIREMENTS = 64;

/** Selector text that cannot be read; says where (UTF-16 offset from 0) and what would have been right there. */
export class SelectorError extends CodedError {
  override name = 'SelectorError';
  readonly position: number;
  readonly expected: string;
  /** The message without saying that it is about a selector, for where that is said already. */
  readonly reason: string;

  constructor(position: number, expected: string, found: string) {
    const reason = `at position ${position}: expected ${expected}, found ${found}`;
    super('invalid', `selector: ${reason}`);
    this.reason = reason;
    this.position = position;
    this.expected = expected;
  }
}

/** The selector that matches every agent. */
export const MATCH_ALL: Selector = Object.freeze({ requirements: Object.freeze([]) });

/**
 * Reads `k=v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`, joined by commas that mean "and". Keys and values that
 * hold spaces or any of `, ( ) " = !` are written in double quotes, in which `\"` and `\\` stand for themselves.
 * Blank text matches everything. Throws a SelectorError.
 */
export function parseSelector(text: string): Selector {
  if (Buffer.byteLength(text) > MAX_SELECTOR_BYTES) throw tooLong(text);
  const selector = new Parser(text).parse();
  if (Buffer.byteLength(formatSelector(selector)) > MAX_SELECTOR_BYTES) throw tooLong(text);
  return selector;
}

/** Whether the attributes fulfil every requirement. */
export function matches(selector: Selector, attributes: SelectorAttributes): boolean {
  for (const requirement of selector.requirements) {
    if (!holds(requirement, attributeOf(attributes, requirement.key))) return false;
  }
  return true;
}

/**
 * The canonical text: requirements and the values of a set are sorted and each written once, a set of one value becomes
 * `=` or `!=`, quotes stand only where they are needed. Two selectors with the same text match the same agents.
 */
export function formatSelector(selector: Selector): string {
  return [...new Set(selector.requirements.map(formatRequirement))].toSorted(compareText).join(',');
}

function holds(requirement: Requirement, value: string | undefined): boolean {
  switch (requirement.operator) {
    case 'eq':
    case 'in':
      return value !== undefined && requirement.values.includes(value);
    case 'neq':
    case 'notin':
      return value === undefined || !requirement.values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
  }
}

/** The value of one attribute. */
export function attributeOf(attributes: SelectorAttributes, key: string): string | undefined {
  if (isLookup(attributes)) return attributes.get(key);
  return Object.hasOwn(attributes, key) ? attributes[key] : undefined;
}

function isLookup(attributes: SelectorAttributes): attributes is AttributeLookup {
  return typeof attributes['get'] === 'function';
}

function formatRequirement({ key, operator, values }: Requirement): string {
  const name = quote(key);
  const list = [...new Set(values)].toSorted(compareText).map(quote);
  switch (operator) {
    case 'exists':
      return name;
    case 'absent':
      return `!${name}`;
    case 'eq':
    case 'in':
      return list.length === 1 ? `${name}=${list[0]}` : `${name} in (${list.join(',')})`;
    case 'neq':
    case 'notin':
      return list.length === 1 ? `${name}!=${list[0]}` : `${name} notin (${list.join(',')})`;
  }
}

function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

const BARE_WORD = /[^\s,()"=!]+/y;
const SPACE = /\s*/y;

function quote(word: string): string {
  BARE_WORD.lastIndex = 0;
  if (BARE_WORD.exec(word)?.[0].length === word.length) return word;
  return `"${word.replaceAll(/["\\]/g, '\\$&')}"`;
}

function tooLong(text: string): SelectorError {
  return new SelectorError(text.length, `at most ${MAX_SELECTOR_BYTES} bytes`, `${Buffer.byteLength(text)} bytes`);
}

class Parser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Selector {
    this.#skipSpace();
    if (this.#atEnd()) return MATCH_ALL;
    const requirements: Requirement[] = [];
    for (;;) {
      if (requirements.length === MAX_SELECTOR_REQUIREMENTS) throw this.#expected(`at most ${MAX_SELECTOR_REQUIREMENTS} requirements`);
      requirements.push(this.#requirement());
      if (this.#atEnd()) return { requirements };
      if (!this.#take(',')) throw this.#expected("',' or the end");
    }
  }

  #requirement(): Requirement {
    if (this.#take('!')) return { key: this.#word('a key'), operator: 'absent', values: [] };
    const key = this.#word("a key or '!'");
    if (this.#take('!=')) return { key, operator: 'neq', values: [this.#word('a value (an empty one is written "")')] };
    if (this.#take('=')) return { key, operator: 'eq', values: [this.#word('a value (an empty one is written "")')] };
    if (this.#atEnd() || this.#text[this.#position] === ',') return { key, operator: 'exists', values: [] };
    const start = this.#position;
    const operator = this.#bareWord();
    if (operator === 'in' || operator === 'notin') return { key, operator, values: this.#set() };
    this.#position = start;
    throw this.#expected("'=', '!=', 'in', 'notin', ',' or the end");
  }

  #set(): string[] {
    if (!this.#take('(')) throw this.#expected("'('");
    const values: string[] = [];
    do values.push(this.#word('a value (an empty one is written "")'));
    while (this.#take(','));
    if (!this.#take(')')) throw this.#expected("',' or ')'");
    return values;
  }

  /** A bare or quoted word, and the space after it. */
  #word(expected: string): string {
    const word = this.#text[this.#position] === '"' ? this.#quotedWord() : this.#bareWord();
    if (word === undefined) throw this.#expected(expected);
    return word;
  }

  #bareWord(): string | undefined {
    BARE_WORD.lastIndex = this.#position;
    const word = BARE_WORD.exec(this.#text)?.[0];
    if (word === undefined) return undefined;
    this.#position += word.length;
    this.#skipSpace();
    return word;
  }

  #quotedWord(): string {
    let word = '';
    for (let index = this.#position + 1; index < this.#text.length; index += 1) {
      const char = this.#text.charAt(index);
      if (char === '"') {
        this.#position = index + 1;
        this.#skipSpace();
        return word;
      }
      if (char === '\\') {
        index += 1;
        const escaped = this.#text.charAt(index);
        if (escaped !== '"' && escaped !== '\\') {
          this.#position = index;
          throw this.#expected("'\"' or '\\' after the backslash");
        }
        word += escaped;
      } else {
        word += char;
      }
    }
    this.#position = this.#text.length;
    throw this.#expected("a closing '\"'");
  }

  #take(symbol: string): boolean {
    if (!this.#text.startsWith(symbol, this.#position)) return false;
    this.#position += symbol.length;
    this.#skipSpace();
    return true;
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#position;
    this.#position += SPACE.exec(this.#text)?.[0].length ?? 0;
  }

  #atEnd(): boolean {
    return this.#position >= this.#text.length;
  }

  #expected(expected: string): SelectorError {
    const rest = this.#text.slice(this.#position, this.#position + 20);
    return new SelectorError(this.#position, expected, rest === '' ? 'the end' : `'${rest}'`);
  }
}
