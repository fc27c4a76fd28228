import type { ConfigNode } from '../config-node.ts';

/** What a setting may be. null (an omitted value) is allowed everywhere. */
export type Schema =
  | { readonly kind: 'any' }
  | { readonly kind: 'text'; readonly oneOf?: readonly string[]; readonly ignoreCase?: boolean; readonly orNumber?: boolean }
  | { readonly kind: 'bool' }
  | { readonly kind: 'int'; readonly unsigned?: boolean }
  | { readonly kind: 'float' }
  | { readonly kind: 'duration' }
  | { readonly kind: 'size' }
  | { readonly kind: 'list'; readonly item: Schema }
  | { readonly kind: 'map'; readonly value: Schema }
  | { readonly kind: 'headers' }
  | ObjectSchema;

/** A map with known keys. */
export interface ObjectSchema {
  readonly kind: 'object';
  /** Go's name of the struct, for messages about unknown keys. */
  readonly goName: string;
  readonly fields: Readonly<Record<string, Schema>>;
  /** False where the list of keys differs much between builds: then only likely misspellings are errors. */
  readonly closed: boolean;
  /** True where collectors take unknown keys without a word; they are never errors then. */
  readonly lenient?: boolean;
  /** Rules between settings; runs also for an omitted body, with null. */
  readonly check?: BodyRule;
}

/** Reports what is wrong between the settings of one object. */
export type BodyRule = (body: BodyView) => void;

/**
 * How a rule reads an object and reports about it. A setting that is written without a value (null) becomes Go's zero value (an
 * empty text, 0, false) and not the default, which is for settings that are missing.
 */
export interface BodyView {
  /** The value of a setting; undefined when it is missing or null. */
  get(...keys: readonly string[]): ConfigNode | undefined;
  /** True when a key is written, also without a value. */
  has(key: string): boolean;
  /** A text; null when it is a substitution or of another type. */
  text(key: string, whenMissing?: string): string | null;
  /** A number; null when it is a substitution or of another type. */
  number(key: string, whenMissing: number): number | null;
  /** A duration in nanoseconds; null when it is a substitution or not readable. */
  duration(key: string, whenMissing: number): number | null;
  /** True or false; null when it is a substitution or of another type. */
  flag(key: string, whenMissing: boolean): boolean | null;
  /** Reports E_BODY at a setting, or at the object when the key is missing or null. */
  fail(key: string | null, message: string): void;
}

export const ANY: Schema = { kind: 'any' };
export const TEXT: Schema = { kind: 'text' };
export const BOOL: Schema = { kind: 'bool' };
export const INT: Schema = { kind: 'int' };
export const UINT: Schema = { kind: 'int', unsigned: true };
export const FLOAT: Schema = { kind: 'float' };
export const DURATION: Schema = { kind: 'duration' };
/** A number of bytes, also written like `16kib`. */
export const SIZE: Schema = { kind: 'size' };
export const HEADERS: Schema = { kind: 'headers' };
export const TEXTS: Schema = { kind: 'list', item: TEXT };

export function oneOf(...values: readonly string[]): Schema {
  return { kind: 'text', oneOf: values };
}

export function list(item: Schema): Schema {
  return { kind: 'list', item };
}

export function mapOf(value: Schema): Schema {
  return { kind: 'map', value };
}

/** A map whose keys are all known. */
export function object(goName: string, fields: Readonly<Record<string, Schema>>, check?: BodyRule): ObjectSchema {
  return check === undefined ? { kind: 'object', goName, fields, closed: true } : { kind: 'object', goName, fields, closed: true, check };
}

/** A map of which only the usual keys are known. */
export function openObject(goName: string, fields: Readonly<Record<string, Schema>>, check?: BodyRule): ObjectSchema {
  return { ...object(goName, fields, check), closed: false };
}
