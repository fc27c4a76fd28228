import { entryOf } from './config-node.ts';
import type { ConfigNode, ListNode, MapEntry, MapNode } from './config-node.ts';

/** Where lists are not replaced: the one is concatenated without duplicates, the other joined by the name of each item. */
const EXTENSIONS_PATH = 'service::extensions';
const ATTRIBUTES_PATH = 'service::telemetry::resource::attributes';
/** Deeper than this there is no path that matters any more. */
const PATH_DEPTH = 4;

/**
 * File names in the order in which an agent merges them: non-empty ones by their bytes, then the empty one; a later file wins.
 */
export function inMergeOrder(names: Iterable<string>): string[] {
  return [...names].sort((a, b) => {
    if (a === '' || b === '') return a === b ? 0 : a === '' ? 1 : -1;
    return Buffer.compare(Buffer.from(a), Buffer.from(b));
  });
}

/**
 * Joins the parts of a config as an agent does: maps deeply, everything else is replaced by the later part, also a map by
 * `null`; `service::extensions` are added up and `service::telemetry::resource::attributes` joined by `name`. Pure; `step` is
 * called once for each entry looked at.
 */
export function mergeTrees(parts: readonly MapNode[], step: (count: number) => void): MapNode {
  const [first, ...later] = parts;
  if (first === undefined) throw new RangeError('nothing to merge');
  return later.reduce((merged, part) => mergeMaps(merged, part, '', 0, step), first);
}

function mergeMaps(before: MapNode, after: MapNode, path: string, depth: number, step: (count: number) => void): MapNode {
  const entries = new Map(before.entries);
  step(before.entries.size + after.entries.size);
  for (const entry of after.entries.values()) {
    const earlier = entries.get(entry.key);
    entries.set(entry.key, earlier === undefined ? entry : mergeEntries(earlier, entry, path, depth, step));
  }
  return { kind: 'map', offset: after.offset, entries };
}

function mergeEntries(before: MapEntry, after: MapEntry, path: string, depth: number, step: (count: number) => void): MapEntry {
  const inner = depth < PATH_DEPTH ? (path === '' ? after.key : `${path}::${after.key}`) : path;
  if (before.value.kind === 'map' && after.value.kind === 'map') {
    return { ...after, value: mergeMaps(before.value, after.value, inner, depth + 1, step) };
  }
  if (before.value.kind === 'list' && after.value.kind === 'list' && depth < PATH_DEPTH) {
    if (inner === EXTENSIONS_PATH) return { ...after, value: concatenate(before.value, after.value, step) };
    if (inner === ATTRIBUTES_PATH) return { ...after, value: joinByName(before.value, after.value, step) };
  }
  return after;
}

function concatenate(before: ListNode, after: ListNode, step: (count: number) => void): ListNode {
  const items: ConfigNode[] = [];
  const seen = new Set<string>();
  step(before.items.length + after.items.length);
  for (const item of [...before.items, ...after.items]) {
    if (item.kind === 'scalar') {
      if (seen.has(item.text)) continue;
      seen.add(item.text);
    }
    items.push(item);
  }
  return { ...after, items };
}

function joinByName(before: ListNode, after: ListNode, step: (count: number) => void): ListNode {
  step(before.items.length + after.items.length);
  const nameOf = (item: ConfigNode): string | undefined => {
    const name = entryOf(item, 'name')?.value;
    return name?.kind === 'scalar' ? name.text : undefined;
  };
  const replaced = new Map(after.items.map((item) => [nameOf(item), item] as const));
  const kept = before.items.map((item) => {
    const name = nameOf(item);
    const instead = name === undefined ? undefined : replaced.get(name);
    if (instead === undefined) return item;
    replaced.delete(name);
    return instead;
  });
  const added = after.items.filter((item) => {
    const name = nameOf(item);
    return name === undefined || replaced.get(name) === item;
  });
  return { ...after, items: [...kept, ...added] };
}

/** The same tree with every offset moved by `by`; what aliases share stays shared. */
export function shiftTree(root: MapNode, by: number, step: (count: number) => void): MapNode {
  const moved = new Map<ConfigNode, ConfigNode>();
  const shift = (node: ConfigNode): ConfigNode => {
    const known = moved.get(node);
    if (known !== undefined) return known;
    step(1);
    const result = shiftOne(node);
    moved.set(node, result);
    return result;
  };
  const shiftOne = (node: ConfigNode): ConfigNode => {
    switch (node.kind) {
      case 'scalar':
        return { ...node, offset: node.offset + by };
      case 'list':
        return { ...node, offset: node.offset + by, items: node.items.map(shift) };
      case 'map': {
        const entries = [...node.entries].map(
          ([key, entry]) => [key, { key: entry.key, keyOffset: entry.keyOffset + by, value: shift(entry.value) }] as const,
        );
        return { kind: 'map', offset: node.offset + by, entries: new Map(entries) };
      }
    }
  };
  return shift(root) as MapNode;
}
