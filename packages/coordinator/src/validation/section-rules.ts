import { entryOf, goKind, goType, isNull, joinPath } from './config-node.ts';
import type { ConfigNode, MapEntry, MapNode } from './config-node.ts';
import type { ComponentDefinition, Section, Sections } from './config-model.ts';
import { quoted } from './finding.ts';
import { COMPONENT_KINDS, KIND_SINGULAR, parseComponentId } from './ids.ts';
import type { ComponentKind } from './ids.ts';
import { isDynamic } from './substitution.ts';
import type { ValidationContext } from './validation-context.ts';

const TOP_KEYS: readonly string[] = [...COMPONENT_KINDS, 'service'];

/** Id of the extension through which a supervisor talks to its collector; only the supervisor may configure it. */
export const RESERVED_EXTENSION = 'opamp';

/** Checks the outermost keys (E_TOP_KEY). `foreign` holds those that are already refused for not being text. */
export function checkTopKeys(root: MapNode, foreign: ReadonlySet<string>, context: ValidationContext): void {
  for (const entry of root.entries.values()) {
    context.sink.step();
    if (TOP_KEYS.includes(entry.key) || foreign.has(entry.key)) continue;
    const holder = entry.key.startsWith('x-')
      ? 'put the anchor inside an allowed section; holders like this one are not known to the collector'
      : undefined;
    context.sink.error('E_TOP_KEY', {
      path: entry.key,
      offset: entry.keyOffset,
      message: `'otelcol.configSettings' has invalid keys: ${entry.key}`,
      suggestion: holder ?? context.suggester.didYouMean(entry.key, TOP_KEYS),
    });
  }
}

/** Reads the five sections; reports their shape, ids and reserved names. */
export function readSections(root: MapNode, context: ValidationContext): Sections {
  const read = (kind: ComponentKind): Section => readSection(kind, entryOf(root, kind), root, context);
  return {
    receivers: read('receivers'),
    processors: read('processors'),
    exporters: read('exporters'),
    connectors: read('connectors'),
    extensions: read('extensions'),
  };
}

function readSection(kind: ComponentKind, entry: MapEntry | undefined, root: MapNode, context: ValidationContext): Section {
  const nothing = { kind, hasEntries: false, definitions: new Map<string, ComponentDefinition>() };
  if (entry === undefined) return { ...nothing, state: 'absent', offset: root.offset };
  const offset = entry.keyOffset;
  if (isNull(entry.value)) {
    if (kind === 'extensions' && context.policy.supervised === true) warnNullExtensions(offset, context);
    return { ...nothing, state: 'null', offset };
  }
  if (entry.value.kind !== 'map') {
    reportSectionShape(kind, entry.value, offset, context);
    return { ...nothing, state: 'unknown', offset };
  }
  const definitions = readDefinitions(kind, entry.value, context);
  return { kind, state: 'map', offset, hasEntries: entry.value.entries.size > 0, definitions };
}

function warnNullExtensions(offset: number, context: ValidationContext): void {
  context.sink.warn('W_NULL_SECTION', {
    path: 'extensions',
    offset,
    message: "merged after the supervisor's own part, an empty `extensions:` replaces that whole map, the opamp extension included",
    suggestion: 'leave the line out, or write `extensions: {}`',
  });
}

function reportSectionShape(kind: ComponentKind, value: ConfigNode, offset: number, context: ValidationContext): void {
  if (isDynamic(value)) {
    context.sink.warn('W_DYNAMIC_REF', {
      path: kind,
      offset: value.offset,
      message: `the ${kind} come from a substitution and are not checked`,
    });
    return;
  }
  context.sink.error('E_SHAPE', { path: kind, offset, message: `'${kind}' expected a map or struct, got "${goKind(value)}"` });
}

function readDefinitions(kind: ComponentKind, section: MapNode, context: ValidationContext): Map<string, ComponentDefinition> {
  const { sink } = context;
  const definitions = new Map<string, ComponentDefinition>();
  for (const entry of section.entries.values()) {
    sink.step(1 + entry.key.length);
    const path = joinPath(kind, entry.key);
    const place = { path, offset: entry.keyOffset };
    checkBodyShape(kind, entry, path, context);
    const parsed = parseComponentId(entry.key);
    if (!parsed.ok) {
      sink.error('E_ID', { ...place, message: `'${kind}' ${parsed.message}`, suggestion: idSuggestion(entry.key) });
      continue;
    }
    const { id, type } = parsed;
    if (definitions.has(id)) {
      sink.error('E_ID_DUP', { ...place, message: `'${kind}' duplicate name ${quoted(entry.key)} after unmarshaling ${id}` });
    }
    if (entry.key !== id) {
      sink.error('E_ID_SPACE', {
        ...place,
        message: `${quoted(entry.key)} is read as ${quoted(id)}, but then its settings are not found and silently replaced by the defaults`,
        suggestion: `write \`${id}\``,
      });
    }
    if (kind === 'extensions' && id === RESERVED_EXTENSION) reportReserved(place.offset, path, context);
    if (!definitions.has(id)) definitions.set(id, { kind, id, type, keyOffset: entry.keyOffset, path, body: entry.value });
  }
  return definitions;
}

function reportReserved(offset: number, path: string, context: ValidationContext): void {
  context.sink.error('E_RESERVED', {
    path,
    offset,
    message: 'extensions::opamp belongs to the supervisor; a pushed config that sets it can cut the collector off',
    suggestion: 'leave it out',
  });
}

function checkBodyShape(kind: ComponentKind, entry: MapEntry, path: string, context: ValidationContext): void {
  const { value } = entry;
  if (value.kind === 'map' || isNull(value)) return;
  if (isDynamic(value)) {
    context.sink.warn('W_DYNAMIC_REF', {
      path,
      offset: value.offset,
      message: `the settings of this ${KIND_SINGULAR[kind]} come from a substitution and are not checked`,
    });
    return;
  }
  context.sink.error('E_SHAPE', {
    path,
    offset: entry.keyOffset,
    message: `'${kind}[${entry.key}]' expected type 'map[string]interface {}', got unconvertible type '${goType(value)}'`,
  });
}

/** A legal spelling of an id with dashes, blanks or symbols, when one is near. */
function idSuggestion(key: string): string | undefined {
  if (key.length > 200) return undefined;
  const slash = key.indexOf('/');
  const type = (slash === -1 ? key : key.slice(0, slash)).trim().replace(/[^0-9a-zA-Z_]+/g, '_');
  const name =
    slash === -1
      ? ''
      : key
          .slice(slash + 1)
          .trim()
          .replace(/[\p{Z}\p{C}\p{S}]+/gu, '_');
  const repaired = name === '' ? type : `${type}/${name}`;
  return repaired !== key && parseComponentId(repaired).ok ? `did you mean \`${repaired}\`?` : undefined;
}

/** Reports a config that lacks receivers or exporters, or defines nothing at all. Returns false for the latter (E_EMPTY). */
export function checkSectionsPresent(root: MapNode, sections: Sections, context: ValidationContext): boolean {
  const { sink, policy } = context;
  const nothing = COMPONENT_KINDS.every((kind) => !sections[kind].hasEntries && sections[kind].state !== 'unknown');
  const hasService = !isNull(entryOf(root, 'service')?.value);
  if (nothing && !(policy.allowFragments === true && hasService)) {
    sink.error('E_EMPTY', { path: '', offset: null, message: 'empty configuration file' });
    return false;
  }
  if (policy.allowNoPipelines === true || policy.allowFragments === true) return true;
  for (const [kind, code] of [
    ['receivers', 'E_NO_RECEIVERS'],
    ['exporters', 'E_NO_EXPORTERS'],
  ] as const) {
    const section = sections[kind];
    if (section.hasEntries || section.state === 'unknown') continue;
    const message = `no ${KIND_SINGULAR[kind]} configuration specified in config`;
    sink.error(code, { path: kind, offset: section.offset, message });
  }
  return true;
}
