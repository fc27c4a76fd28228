import { entryOf, goKind, goType, isNull, joinPath, valueAt } from '../config-node.ts';
import type { ConfigNode, MapNode, ScalarNode } from '../config-node.ts';
import { quoted } from '../finding.ts';
import { isDynamic } from '../substitution.ts';
import type { ValidationContext } from '../validation-context.ts';
import { numberValue } from '../yaml-scalar.ts';
import { isByteSize, parseGoDuration } from './go-values.ts';
import { object, TEXT } from './schema.ts';
import type { BodyView, ObjectSchema, Schema } from './schema.ts';

/** Where an object stands; `offset` is used for what is missing in it. */
interface Place {
  readonly path: string;
  readonly offset: number;
  /** How the collector names the place in decode errors, relative to the component. */
  readonly label: string;
}

/**
 * Checks the settings of one component: unknown keys (E_BODY_KEY, W_BODY_KEY where keys differ between builds), values of the wrong
 * type and rules between settings (E_BODY). Values that are substitutions are not judged.
 */
export function checkBody(
  schema: ObjectSchema,
  body: ConfigNode,
  place: { path: string; offset: number },
  context: ValidationContext,
): void {
  checkObject(schema, body, { ...place, label: '' }, context);
}

/** Headers are a map, or a list of names and values. */
const HEADER_ITEM: ObjectSchema = object('configopaque.MapList', { name: TEXT, value: TEXT });

function checkValue(schema: Schema, node: ConfigNode, place: Place, context: ValidationContext): void {
  context.sink.step();
  if (schema.kind === 'any' || isDynamic(node)) return;
  if (schema.kind === 'object') {
    checkObject(schema, node, place, context);
    return;
  }
  if (isNull(node)) return;
  switch (schema.kind) {
    case 'list':
      checkList(schema.item, node, place, context);
      return;
    case 'map':
      checkMap(schema.value, node, place, context);
      return;
    case 'headers':
      if (node.kind === 'list') checkList(HEADER_ITEM, node, place, context);
      else checkMap(TEXT, node, place, context);
      return;
    case 'text':
    case 'bool':
    case 'int':
    case 'float':
    case 'duration':
    case 'size':
      checkScalar(schema, node, place, context);
      return;
    default: {
      const never: never = schema;
      throw new TypeError(`unknown schema ${String(never)}`);
    }
  }
}

function checkObject(schema: ObjectSchema, node: ConfigNode, place: Place, context: ValidationContext): void {
  if (node.kind !== 'map' && !isNull(node)) {
    if (place.label !== '') fail(place, `'${place.label}' expected a map or struct, got "${goKind(node)}"`, context);
    return;
  }
  if (node.kind === 'map') checkFields(schema, node, place, context);
  schema.check?.(createView(node, place, context));
}

function checkFields(schema: ObjectSchema, node: MapNode, place: Place, context: ValidationContext): void {
  const known = Object.keys(schema.fields);
  for (const entry of node.entries.values()) {
    context.sink.step();
    const path = joinPath(place.path, entry.key);
    const field = Object.hasOwn(schema.fields, entry.key) ? schema.fields[entry.key] : undefined;
    if (field !== undefined) {
      const label = place.label === '' ? entry.key : `${place.label}.${entry.key}`;
      const offset = entry.value.kind === 'scalar' && !isNull(entry.value) ? entry.value.offset : entry.keyOffset;
      checkValue(field, entry.value, { path, offset, label }, context);
      continue;
    }
    const likely = context.suggester.closest(entry.key, known);
    const finding = {
      path,
      offset: entry.keyOffset,
      message: `'${schema.goName}' has invalid keys: ${entry.key}`,
      suggestion: likely === undefined ? undefined : `did you mean \`${likely}\`?`,
    };
    if (schema.lenient !== true && (schema.closed || likely !== undefined)) context.sink.error('E_BODY_KEY', finding);
    else
      context.sink.warn('W_BODY_KEY', {
        ...finding,
        message: `${quoted(entry.key)} is not known to this check of '${schema.goName}'; ${schema.lenient === true ? 'a collector ignores it' : 'a collector refuses unknown keys'}`,
      });
  }
}

function checkList(item: Schema, node: ConfigNode, place: Place, context: ValidationContext): void {
  if (node.kind === 'list') {
    for (const [index, value] of node.items.entries()) {
      checkValue(item, value, { path: `${place.path}[${index}]`, offset: value.offset, label: `${place.label}[${index}]` }, context);
    }
    return;
  }
  // The collector splits a single text at commas where it wants a list of texts.
  if (item.kind === 'text' && node.kind === 'scalar' && node.type === 'string') return;
  fail(place, `'${place.label}' source data must be an array or slice, got ${goKind(node)}`, context);
}

function checkMap(value: Schema, node: ConfigNode, place: Place, context: ValidationContext): void {
  if (node.kind !== 'map') {
    fail(place, `'${place.label}' expected a map, got '${goKind(node)}'`, context);
    return;
  }
  for (const entry of node.entries.values()) {
    const offset = isNull(entry.value) ? entry.keyOffset : entry.value.offset;
    checkValue(value, entry.value, { path: joinPath(place.path, entry.key), offset, label: `${place.label}[${entry.key}]` }, context);
  }
}

type ScalarSchema = Extract<Schema, { kind: 'text' | 'bool' | 'int' | 'float' | 'duration' | 'size' }>;

const GO_TYPES = {
  text: 'string',
  bool: 'bool',
  int: 'int',
  float: 'float64',
  duration: 'time.Duration',
  size: 'helper.ByteSize',
} as const;

function checkScalar(schema: ScalarSchema, node: ConfigNode, place: Place, context: ValidationContext): void {
  const problem = node.kind === 'scalar' ? scalarProblem(schema, node) : 'type';
  if (problem === null) return;
  const goName = schema.kind === 'int' && schema.unsigned === true ? 'uint32' : GO_TYPES[schema.kind];
  const typeMessage = `'${place.label}' expected type '${goName}', got unconvertible type '${goType(node)}'`;
  fail(place, problem === 'type' ? typeMessage : `'${place.label}' ${problem}`, context);
}

/** null when a scalar fits, `type` when its type does not, else what is wrong with its value. */
function scalarProblem(schema: ScalarSchema, node: ScalarNode): string | null {
  const isNumber = node.type === 'int' || node.type === 'float';
  switch (schema.kind) {
    case 'text': {
      if (isNumber && schema.orNumber === true) return null;
      if (node.type !== 'string') return 'type';
      const { oneOf, ignoreCase } = schema;
      const text = ignoreCase === true ? node.text.toLowerCase() : node.text;
      return oneOf === undefined || oneOf.includes(text)
        ? null
        : `has the unsupported value ${quoted(node.text)}, expected one of ${oneOf.filter((value) => value !== '').join(', ')}`;
    }
    case 'bool':
      return node.type === 'bool' ? null : 'type';
    case 'float':
      return isNumber ? null : 'type';
    case 'int':
      if (!isNumber) return 'type';
      return schema.unsigned === true && numberValue(node.text) < 0 ? `cannot parse value as 'uint32': ${node.text} overflows uint` : null;
    case 'duration': {
      if (isNumber) return null;
      if (node.type !== 'string') return 'type';
      const parsed = parseGoDuration(node.text);
      return parsed.ok ? null : parsed.message;
    }
    case 'size':
      if (isNumber) return null;
      return node.type === 'string' && isByteSize(node.text) ? null : 'type';
    default: {
      const never: never = schema;
      throw new TypeError(`unknown schema ${String(never)}`);
    }
  }
}

function fail(place: Place, message: string, context: ValidationContext): void {
  context.sink.error('E_BODY', { path: place.path, offset: place.offset, message });
}

function createView(node: ConfigNode, place: Place, context: ValidationContext): BodyView {
  const get = (...keys: readonly string[]): ConfigNode | undefined => {
    const value = valueAt(node, ...keys);
    return isNull(value) ? undefined : value;
  };
  const scalar = (key: string): ScalarNode | null | undefined => {
    const value = entryOf(node, key)?.value;
    if (value === undefined) return undefined;
    return value.kind === 'scalar' && !isDynamic(value) ? value : null;
  };
  return {
    get,
    has: (key) => entryOf(node, key) !== undefined,
    text: (key, whenMissing = '') => {
      const value = scalar(key);
      if (value === undefined) return whenMissing;
      if (value?.type === 'null') return '';
      return value?.type === 'string' ? value.text : null;
    },
    number: (key, whenMissing) => {
      const value = scalar(key);
      return value === undefined ? whenMissing : numberOf(value);
    },
    duration: (key, whenMissing) => {
      const value = scalar(key);
      if (value === undefined) return whenMissing;
      if (value?.type !== 'string') return numberOf(value);
      const parsed = parseGoDuration(value.text);
      return parsed.ok ? parsed.nanoseconds : null;
    },
    flag: (key, whenMissing) => {
      const value = scalar(key);
      if (value === undefined) return whenMissing;
      if (value?.type === 'null') return false;
      return value?.type === 'bool' ? value.text.toLowerCase() === 'true' : null;
    },
    fail: (key, message) => {
      const entry = key === null ? undefined : entryOf(node, key);
      const offset = entry === undefined ? place.offset : isNull(entry.value) ? entry.keyOffset : entry.value.offset;
      context.sink.error('E_BODY', { path: key === null ? place.path : joinPath(place.path, key), offset, message });
    },
  };
}

function numberOf(value: ScalarNode | null): number | null {
  if (value?.type === 'null') return 0;
  return value?.type === 'int' || value?.type === 'float' ? numberValue(value.text) : null;
}
