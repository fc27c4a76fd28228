import { formatDuration, parseDuration } from './duration.ts';
import type { FieldProblem } from './service.ts';

/**
 * Reads the members of one JSON object, collecting every problem with its path instead of stopping at the first.
 * A member that is absent gives the fallback; one that is wrong gives the fallback too, and a problem.
 */
export class FieldReader {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #problems: FieldProblem[];
  readonly #read = new Set<string>();

  constructor(value: unknown, path: string, problems: FieldProblem[]) {
    this.#path = path;
    this.#problems = problems;
    if (isObject(value)) {
      this.#value = value;
    } else {
      this.#value = {};
      this.#problems.push({ path, message: `must be an object, is ${describe(value)}` });
    }
  }

  /** Path of one member. */
  at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  /** Whether the member is present; `undefined` counts as absent. */
  has(name: string): boolean {
    return this.#value[name] !== undefined;
  }

  /** The member as it is; counts as read. */
  raw(name: string): unknown {
    this.#read.add(name);
    return this.#value[name];
  }

  problem(name: string, message: string): void {
    this.#problems.push({ path: this.at(name), message });
  }

  /** Text of 1 to `maxLength` characters. */
  text(name: string, options: { fallback: string; maxLength: number; required?: boolean }): string {
    const value = this.raw(name);
    if (value === undefined) {
      if (options.required === true) this.problem(name, 'is required');
      return options.fallback;
    }
    if (typeof value !== 'string') return this.#wrong(name, 'a text', value, options.fallback);
    if (value === '' && options.required === true) return this.#wrong(name, 'a text that is not empty', value, options.fallback);
    if (value.length > options.maxLength) return this.#wrong(name, `at most ${options.maxLength} characters long`, value, options.fallback);
    return value;
  }

  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    if (choices.includes(value as T)) return value as T;
    return this.#wrong(name, `one of ${choices.join(', ')}`, value, fallback);
  }

  integer(name: string, options: { fallback: number; min: number; max: number }): number {
    const value = this.raw(name);
    if (value === undefined) return options.fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= options.min && value <= options.max) return value;
    return this.#wrong(name, `a whole number from ${options.min} to ${options.max}`, value, options.fallback);
  }

  /** As {@link FieldReader.integer}; null stands for "no limit". */
  integerOrNull(name: string, options: { fallback: number | null; min: number; max: number }): number | null {
    if (this.#value[name] === null) {
      this.#read.add(name);
      return null;
    }
    return this.has(name) ? this.integer(name, { ...options, fallback: options.min }) : options.fallback;
  }

  /** A number with `min <= n <= max`, or `min < n` with `aboveMin`. */
  number(name: string, options: { fallback: number; min: number; max: number; aboveMin?: boolean }): number {
    const value = this.raw(name);
    if (value === undefined) return options.fallback;
    const tooLow = (n: number): boolean => (options.aboveMin === true ? n <= options.min : n < options.min);
    if (typeof value === 'number' && Number.isFinite(value) && !tooLow(value) && value <= options.max) return value;
    const range = options.aboveMin === true ? `above ${options.min} and at most ${options.max}` : `from ${options.min} to ${options.max}`;
    return this.#wrong(name, `a number ${range}`, value, options.fallback);
  }

  numberOrNull(name: string, options: { fallback: number | null; min: number; max: number }): number | null {
    if (this.#value[name] === null) {
      this.#read.add(name);
      return null;
    }
    return this.has(name) ? this.number(name, { ...options, fallback: options.min }) : options.fallback;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    return typeof value === 'boolean' ? value : this.#wrong(name, 'true or false', value, fallback);
  }

  /** A duration text as milliseconds. */
  duration(name: string, options: { fallbackMs: number; minMs: number; maxMs: number }): number {
    const value = this.raw(name);
    if (value === undefined) return options.fallbackMs;
    const durationMs = typeof value === 'string' ? parseDuration(value) : undefined;
    if (durationMs === undefined) return this.#wrong(name, 'a duration such as "90s" or "10m"', value, options.fallbackMs);
    if (durationMs < options.minMs || durationMs > options.maxMs) {
      return this.#wrong(name, `from ${formatDuration(options.minMs)} to ${formatDuration(options.maxMs)}`, value, options.fallbackMs);
    }
    return durationMs;
  }

  /** A list of `minItems` to `maxItems`; undefined when absent or wrong. */
  list(name: string, options: { minItems: number; maxItems: number }): unknown[] | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.length >= options.minItems && value.length <= options.maxItems) return value;
    const shown = Array.isArray(value) ? `a list of ${value.length}` : value;
    this.#wrong(name, `a list of ${options.minItems} to ${options.maxItems} entries`, shown, undefined);
    return undefined;
  }

  /** A nested object; undefined when absent. */
  object(name: string): FieldReader | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : new FieldReader(value, this.at(name), this.#problems);
  }

  /** An entry of a list of objects; `name` as in `windows[2]`. */
  item(value: unknown, name: string): FieldReader {
    return new FieldReader(value, this.at(name), this.#problems);
  }

  /** Reports every member that nobody read. */
  rejectUnknown(message = 'is not a known field'): void {
    for (const name of Object.keys(this.#value)) {
      if (!this.#read.has(name) && this.#value[name] !== undefined) this.problem(name, message);
    }
  }

  /** Whether any member is given. */
  get isEmpty(): boolean {
    return Object.values(this.#value).every((value) => value === undefined);
  }

  #wrong<T>(name: string, wanted: string, value: unknown, fallback: T): T {
    this.problem(name, `must be ${wanted}, is ${describe(value)}`);
    return fallback;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === undefined) return 'absent';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'string' && value.startsWith('a list of ')) return value;
  return JSON.stringify(value)?.slice(0, 80) ?? typeof value;
}
