import { isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
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

/** Attributes that differ from agent to agent. */
const OWN_ATTRIBUTES = ['service.instance.id', 'host.name', 'host.id'];

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
  const remarks = [...dropSupervisor(document), ...dropOwnAttributes(document)];
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
  const dropped: string[] = [];
  const path = ['service', 'telemetry', 'resource'];
  for (const attribute of OWN_ATTRIBUTES) {
    if (document.hasIn([...path, attribute])) {
      document.deleteIn([...path, attribute]);
      dropped.push(attribute);
    }
  }
  const listed = document.getIn([...path, 'attributes']);
  if (isSeq(listed)) {
    const nameOf = (item: unknown): unknown => (isMap(item) ? item.get('name') : undefined);
    dropped.push(...listed.items.map(nameOf).filter((value): value is string => OWN_ATTRIBUTES.includes(String(value))));
    listed.items = listed.items.filter((item) => !OWN_ATTRIBUTES.includes(String(nameOf(item))));
    if (listed.items.length === 0) document.deleteIn([...path, 'attributes']);
  }
  const rest = document.getIn(path);
  if (isMap(rest) && rest.items.length === 0) document.deleteIn(path);
  return dropped.length === 0 ? [] : [`left out what belongs to that agent only: ${[...new Set(dropped)].join(', ')}`];
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
