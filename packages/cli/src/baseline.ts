import { isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, YAMLMap, YAMLSeq } from 'yaml';
import { CliError } from './cli-error.ts';

/** A config made from what one agent runs. */
export interface Baseline {
  text: string;
  /** Paths whose values are secret: they were replaced before they left the coordinator, or by the collector itself. */
  secrets: string[];
  /** What was left out, and what to look at. */
  remarks: string[];
}

const HIDDEN = new Set(['[redacted]', '[REDACTED]']);

/** The extension by which the collector talks to its supervisor; every agent has its own. */
const SUPERVISOR = 'opamp';

/** Attributes that a supervisor finds out for each agent. */
const OWN_ATTRIBUTE = /^(?:service\.(?:instance\.id|name|version)|(?:host|os)\..+)$/;

/**
 * Drafts a config from the files of an effective config: without the parts that a supervisor adds by itself, and without what
 * belongs to one agent only. Throws a CliError when there is nothing to read.
 */
export function draftBaseline(files: Readonly<Record<string, { body: string }>>, origin: string): Baseline {
  const names = Object.keys(files).filter((name) => name !== 'raw' || Object.keys(files).length === 1);
  const [name] = names;
  if (name === undefined || names.length > 1)
    throw new CliError(
      `the effective config has ${names.length} files${names.length === 0 ? '' : `: ${names.join(', ')}`}; only a single one can be imported`,
    );
  const document = parseDocument(files[name]?.body ?? '', { uniqueKeys: false });
  if (document.errors.length > 0 || !isMap(document.contents)) throw new CliError('the effective config is no YAML map');
  const remarks = [...dropSupervisor(document), ...dropOwnAttributes(document), ...dropUnset(document)];
  const secrets = findHidden(document);
  if (secrets.length > 0) remarks.push(`secret values are not known here: ${secrets.join(', ')}`);
  document.commentBefore = [
    ` Drafted from ${origin}.`,
    ' Defaults that the collector filled in stand here too: what is not meant can go.',
    ...secrets.map((path) => ` Fill in: ${path}`),
  ].join('\n');
  return { text: document.toString({ lineWidth: 0 }), secrets, remarks };
}

function dropSupervisor(document: Document): string[] {
  const dropped: string[] = [];
  if (document.hasIn(['extensions', SUPERVISOR])) {
    document.deleteIn(['extensions', SUPERVISOR]);
    dropped.push(`extensions::${SUPERVISOR}`);
    const rest = document.getIn(['extensions']);
    if (isMap(rest) && rest.items.length === 0) document.deleteIn(['extensions']);
  }
  const used = document.getIn(['service', 'extensions']);
  if (isSeq(used)) {
    const kept = used.items.filter((item) => !(isScalar(item) && item.value === SUPERVISOR));
    if (kept.length < used.items.length) dropped.push(`service::extensions (${SUPERVISOR})`);
    used.items = kept;
    if (kept.length === 0) document.deleteIn(['service', 'extensions']);
  }
  return dropped.length === 0 ? [] : [`left out what the supervisor adds by itself: ${dropped.join(', ')}`];
}

function dropOwnAttributes(document: Document): string[] {
  const path = ['service', 'telemetry', 'resource'];
  const dropped: string[] = [];
  const isOwn = (name: unknown): boolean => {
    const own = typeof name === 'string' && OWN_ATTRIBUTE.test(name);
    if (own) dropped.push(name);
    return own;
  };
  const resource = document.getIn(path);
  if (!isMap(resource)) return [];
  resource.items = resource.items.filter(({ key }) => !isOwn(isScalar(key) ? key.value : key));
  const listed = resource.get('attributes');
  if (isSeq(listed)) {
    listed.items = listed.items.filter((item) => !(isMap(item) && isOwn(item.get('name'))));
    if (listed.items.length === 0) resource.delete('attributes');
  }
  if (resource.items.length === 0) document.deleteIn(path);
  return dropped.length === 0 ? [] : [`left out what belongs to that agent only: ${[...new Set(dropped)].join(', ')}`];
}

/** Sections whose entries are components. */
const SECTIONS = ['receivers', 'processors', 'exporters', 'connectors', 'extensions'];

/**
 * A collector shows its settings with all defaults. Some of them cannot be read back: what is not set (`null`), and types that have no
 * text (`{}`). Both go; a default takes their place.
 */
function dropUnset(document: Document): string[] {
  if (!document.hasIn(['service', 'telemetry', 'logs', 'encoding'])) return [];
  for (const section of SECTIONS) {
    const components = document.getIn([section]);
    if (!isMap(components)) continue;
    if (components.items.length === 0) document.deleteIn([section]);
    for (const { value } of components.items) if (isMap(value)) prune(value, document);
  }
  const telemetry = document.getIn(['service', 'telemetry']);
  if (isMap(telemetry)) prune(telemetry, document);
  return ['left out settings that are not set, or that the collector cannot show: compare with what the agent was configured with'];
}

function prune(map: YAMLMap, document: Document): void {
  map.items = map.items.filter((pair) => {
    const { value } = pair;
    if (isSeq(value) && isScalar(pair.key) && pair.key.value === 'headers') pair.value = toPairs(value, document);
    if (isMap(value)) prune(value, document);
    return !(isMap(value) || isSeq(value) ? value.items.length === 0 : isScalar(value) && value.value === null);
  });
}

/** Headers that are shown as a list of names and values; every release reads them as a map. */
function toPairs(list: YAMLSeq, document: Document): unknown {
  const pairs = list.items.map((item) => (isMap(item) ? ([item.get('name'), item.get('value')] as const) : undefined));
  if (pairs.some((pair) => typeof pair?.[0] !== 'string')) return list;
  return document.createNode(Object.fromEntries(pairs as [string, unknown][]));
}

function findHidden(document: Document): string[] {
  const found: string[] = [];
  visit(document, {
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string' || ![...HIDDEN].some((word) => String(node.value).includes(word))) return;
      const keys = ancestors.flatMap((ancestor, index) => {
        if (typeof ancestor === 'object' && 'key' in ancestor && isScalar(ancestor.key)) return [String(ancestor.key.value)];
        const next = ancestors[index + 1] ?? node;
        return isSeq(ancestor) ? [String(ancestor.items.indexOf(next))] : [];
      });
      found.push(keys.join('::'));
    },
  });
  return found;
}
