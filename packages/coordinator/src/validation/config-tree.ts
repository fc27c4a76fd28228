import { isAlias, isMap, isScalar, isSeq } from 'yaml';
import type { Alias, CST, ParsedNode, Scalar, YAMLMap } from 'yaml';
import { joinPath } from './config-node.ts';
import type { ConfigNode, MapEntry, MapNode, ScalarNode } from './config-node.ts';
import { quoted } from './finding.ts';
import type { FindingSink } from './finding.ts';
import { resolveScalar } from './yaml-scalar.ts';

/** Nodes that aliases may add in all. */
export const MAX_ALIAS_NODES = 100_000;

/** Below this many nodes added by aliases no ratio is looked at. */
const FREE_ALIAS_NODES = 1000;

/** Nodes added by aliases per node written out; the collector's own reader gives up at about 99. */
const MAX_ALIAS_RATIO = 50;

/** A config tree, and whether the collector's YAML reader would have accepted the text. */
export interface ConfigTree {
  readonly root: ConfigNode;
  readonly readable: boolean;
  /** True when some map has a key twice; all occurrences are kept and judged. */
  readonly duplicates: boolean;
  /** Keys of the outermost map that are not text; the collector refuses such a map. */
  readonly foreignTopKeys: readonly { readonly text: string; readonly offset: number }[];
}

/**
 * Interprets parsed YAML as the collector does: aliases, `<<` merges, scalar types, `::` in keys. Reports duplicate keys
 * (E_DUPKEY), defects that only show now (E_YAML: unknown anchors, anchors inside themselves, impossible keys and tags) and
 * alias bombs (E_ALIAS_BOMB; then the result is null). Every parsed node is interpreted once and shared by its aliases.
 */
export function buildConfigTree(contents: ParsedNode | null, sink: FindingSink): ConfigTree | null {
  const builder = new TreeBuilder(sink);
  try {
    const root = builder.build(contents, 0, '');
    return { root, readable: !builder.unreadable, duplicates: builder.duplicates, foreignTopKeys: builder.foreignTopKeys };
  } catch (error) {
    if (error instanceof AliasBombError) return null;
    throw error;
  }
}

class AliasBombError extends Error {
  override readonly name = 'AliasBombError';
}

interface Key {
  readonly text: string;
  /** What YAML compares to find duplicates; keys of different kinds never collide. */
  readonly signature: string;
  readonly offset: number;
  readonly isMerge: boolean;
  readonly isText: boolean;
}

class TreeBuilder {
  readonly foreignTopKeys: { text: string; offset: number }[] = [];
  unreadable = false;
  duplicates = false;
  readonly #sink: FindingSink;
  readonly #anchors = new Map<string, ParsedNode>();
  readonly #built = new Map<ParsedNode, ConfigNode>();
  readonly #sizes = new Map<ParsedNode, number>();
  readonly #open = new Set<ParsedNode>();
  /** Maps made here by joining, which may be added to; all others may be shared by aliases. */
  readonly #ownMaps = new WeakMap<ReadonlyMap<string, MapEntry>, Map<string, MapEntry>>();
  #ownNodes = 0;
  #aliasNodes = 0;
  #sizeSoFar = 0;
  #depth = 0;

  constructor(sink: FindingSink) {
    this.#sink = sink;
  }

  build(node: ParsedNode | null, offset: number, path: string): ConfigNode {
    this.#sink.step();
    this.#ownNodes += 1;
    this.#sizeSoFar += 1;
    if (node === null) return emptyScalar(offset);
    if (isAlias(node)) return this.#buildAlias(node, path);
    if (node.anchor !== undefined) this.#openAnchor(node.anchor, node, path);
    const sizeBefore = this.#sizeSoFar - 1;
    this.#open.add(node);
    this.#depth += 1;
    const result = this.#buildOwn(node, path);
    this.#depth -= 1;
    this.#open.delete(node);
    if (node.anchor !== undefined) {
      this.#built.set(node, result);
      this.#sizes.set(node, this.#sizeSoFar - sizeBefore);
    }
    return result;
  }

  #buildOwn(node: Exclude<ParsedNode, Alias.Parsed>, path: string): ConfigNode {
    if (isMap(node)) return this.#buildMap(node as YAMLMap.Parsed, path);
    if (isSeq(node)) {
      const items = node.items.map((item, index) => this.build(item as ParsedNode | null, node.range[0], `${path}[${index}]`));
      return { kind: 'list', offset: node.range[0], items };
    }
    return this.#buildScalar(node as Scalar.Parsed, path);
  }

  #buildScalar(node: Scalar.Parsed, path: string): ScalarNode {
    const plain = node.type === 'PLAIN';
    const text = node.source;
    const offset = node.range[0];
    const { type, ambiguous, contradicts } = resolveScalar(text, plain, node.tag);
    if (contradicts !== null) this.#refuse(offset, path, contradicts);
    if (ambiguous !== null) {
      const meaning = { octal: 'an octal number', underscore: 'a number without the underscores', date: 'a timestamp' }[ambiguous];
      this.#sink.warn('W_SCALAR', {
        path,
        offset,
        message: `the collector reads the unquoted ${text} as ${meaning}`,
        suggestion: 'put it into quotes, or write a plain decimal number',
      });
    }
    return { kind: 'scalar', offset, type, text, plain };
  }

  #openAnchor(name: string, node: ParsedNode, path: string): void {
    if (!ANCHOR_NAME.test(name)) this.#refuse(node.range[0], path, 'did not find expected alphabetic or numeric character in an anchor');
    this.#anchors.set(name, node);
  }

  #buildAlias(alias: Alias.Parsed, path: string): ConfigNode {
    const offset = alias.range[0];
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      this.#refuse(offset, path, `unknown anchor '${alias.source}' referenced`);
      return emptyScalar(offset);
    }
    const built = this.#built.get(target);
    if (built === undefined || this.#open.has(target)) {
      this.#refuse(offset, path, `anchor '${alias.source}' value contains itself`);
      return emptyScalar(offset);
    }
    const size = this.#sizes.get(target) ?? 1;
    this.#aliasNodes += size;
    this.#sizeSoFar += size;
    const tooMany = this.#aliasNodes > FREE_ALIAS_NODES && this.#aliasNodes > this.#ownNodes * MAX_ALIAS_RATIO;
    if (tooMany || this.#aliasNodes > MAX_ALIAS_NODES) {
      this.#sink.error('E_ALIAS_BOMB', {
        path,
        offset,
        message: 'document contains excessive aliasing: its aliases expand to far more than what is written out',
      });
      throw new AliasBombError();
    }
    return built;
  }

  #buildMap(map: YAMLMap.Parsed, path: string): MapNode {
    const offset = map.range[0];
    const entries = new Map<string, MapEntry>();
    const merged: MapNode[] = [];
    const seen = new Map<string, number>();
    const outermost = this.#depth === 1;
    for (const pair of map.items) {
      const key = this.#readKey(pair.key as ParsedNode | null, offset, path);
      if (isKeyMissing(map, pair)) this.#refuse(key.offset, path, 'did not find expected key');
      const keyPath = joinPath(path, key.text);
      const earlier = seen.get(key.signature);
      if (earlier === undefined) seen.set(key.signature, key.offset);
      else this.#reportDuplicate(key, keyPath, earlier);
      const value = pair.value as ParsedNode | null;
      if (key.isMerge) {
        this.#collectMerged(value, key, path, merged);
        continue;
      }
      if (outermost && !key.isText) this.foreignTopKeys.push({ text: key.text, offset: key.offset });
      this.#addEntry(entries, { key: key.text, keyOffset: key.offset, value: this.build(value, key.offset, keyPath) }, path);
    }
    for (const source of merged) {
      for (const entry of source.entries.values()) {
        this.#sink.step();
        if (!entries.has(entry.key)) entries.set(entry.key, entry);
      }
    }
    return { kind: 'map', offset, entries };
  }

  #readKey(node: ParsedNode | null, mapOffset: number, path: string): Key {
    this.#sink.step();
    this.#ownNodes += 1;
    this.#sizeSoFar += 1;
    if (node === null) return { text: '', signature: 'scalar:', offset: mapOffset, isMerge: false, isText: false };
    const offset = node.range[0];
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) this.#refuse(offset, path, `unknown anchor '${node.source}' referenced`);
      if (target !== undefined && isScalar(target)) {
        const { text, type } = this.#buildScalar(target as Scalar.Parsed, path);
        return { text, signature: `alias:${node.source}`, offset, isMerge: false, isText: type === 'string' };
      }
      if (target !== undefined) this.#refuse(offset, path, `invalid map key: *${node.source}`);
      return { text: `*${node.source}`, signature: `alias:${node.source}`, offset, isMerge: false, isText: true };
    }
    if (!isScalar(node)) {
      this.build(node, offset, path);
      this.#refuse(offset, path, 'invalid map key: a map or list cannot be a key');
      return { text: '', signature: `complex:${offset}`, offset, isMerge: false, isText: true };
    }
    const scalar = node as Scalar.Parsed;
    if (scalar.anchor !== undefined) {
      this.#openAnchor(scalar.anchor, scalar, path);
      this.#built.set(scalar, this.#buildScalar(scalar, path));
      this.#sizes.set(scalar, 1);
    }
    const text = scalar.source;
    const isMerge = scalar.tag === 'tag:yaml.org,2002:merge' || (text === '<<' && scalar.type === 'PLAIN' && scalar.tag === undefined);
    const { type, contradicts } = resolveScalar(text, scalar.type === 'PLAIN', scalar.tag);
    if (contradicts !== null) this.#refuse(offset, path, contradicts);
    return { text, signature: `scalar:${text}`, offset, isMerge, isText: type === 'string' && isTextTag(scalar.tag) };
  }

  /** Finds the maps of a `<<` value; the earlier ones win. */
  #collectMerged(value: ParsedNode | null, key: Key, path: string, merged: MapNode[]): void {
    const mergePath = joinPath(path, '<<');
    if (value !== null && isSeq(value)) {
      const list = this.build(value, key.offset, mergePath);
      for (const item of list.kind === 'list' ? list.items : []) {
        if (item.kind === 'map') merged.push(item);
        else this.#refuse(item.offset, mergePath, 'map merge requires map or sequence of maps as the value');
      }
      return;
    }
    const node = this.build(value, key.offset, mergePath);
    if (node.kind === 'map') merged.push(node);
    else if (!this.unreadable) this.#refuse(key.offset, mergePath, 'map merge requires map or sequence of maps as the value');
  }

  /** Adds an entry, splitting keys with `::` into nested maps and joining what meets under one key. */
  #addEntry(entries: Map<string, MapEntry>, entry: MapEntry, path: string): void {
    if (!entry.key.includes('::')) {
      this.#join(entries, entry);
      return;
    }
    this.#sink.warn('W_KEY_SEPARATOR', {
      path: joinPath(path, entry.key),
      offset: entry.keyOffset,
      message: `the collector splits the key ${quoted(entry.key)} at \`::\` into nested keys`,
    });
    const parts = entry.key.split('::').slice(0, MAX_KEY_PARTS);
    this.#sink.step(parts.length);
    const first = parts.shift() ?? '';
    let value = entry.value;
    for (const part of parts.reverse()) {
      const nested = new Map<string, MapEntry>([[part, { key: part, keyOffset: entry.keyOffset, value }]]);
      this.#ownMaps.set(nested, nested);
      value = { kind: 'map', offset: entry.keyOffset, entries: nested };
    }
    this.#join(entries, { key: first, keyOffset: entry.keyOffset, value });
  }

  #join(entries: Map<string, MapEntry>, entry: MapEntry): void {
    const earlier = entries.get(entry.key);
    if (earlier === undefined) {
      entries.set(entry.key, entry);
    } else if (earlier.value.kind === 'map' && entry.value.kind === 'map') {
      let joined = this.#ownMaps.get(earlier.value.entries);
      if (joined === undefined) {
        joined = new Map(earlier.value.entries);
        this.#ownMaps.set(joined, joined);
        this.#sink.step(joined.size);
        entries.set(entry.key, { ...earlier, value: { ...earlier.value, entries: joined } });
      }
      for (const inner of entry.value.entries.values()) {
        this.#sink.step();
        this.#join(joined, inner);
      }
    } else if (earlier.value.kind === 'scalar' && earlier.value.type === 'null') {
      entries.set(entry.key, entry);
    }
  }

  #reportDuplicate(key: Key, path: string, earlierOffset: number): void {
    this.duplicates = true;
    this.#sink.error('E_DUPKEY', {
      path,
      offset: key.offset,
      message: `yaml: unmarshal errors: line ${this.#sink.lineOf(key.offset)}: mapping key ${quoted(key.text)} already defined at line ${this.#sink.lineOf(earlierOffset)}`,
      suggestion: 'give the second one its own name, for components `type/name`',
    });
  }

  #refuse(offset: number, path: string, reason: string): void {
    this.unreadable = true;
    this.#sink.error('E_YAML', {
      path,
      offset,
      message: `contents are not valid YAML: yaml: line ${this.#sink.lineOf(offset)}: ${reason}`,
    });
  }
}

/** Newer readers take nearly any anchor name, the collector's does not. */
const ANCHOR_NAME = /^[0-9A-Za-z_-]+$/;

/** Levels that one key with `::` opens at most; the rest of such a key is dropped. */
const MAX_KEY_PARTS = 16;

/** True for tags that leave a key text. */
function isTextTag(tag: string | undefined): boolean {
  return tag === undefined || tag === '!' || tag === 'tag:yaml.org,2002:str' || tag === 'tag:yaml.org,2002:merge';
}

/** True for `: value` in a block map; newer readers see an empty key there, the collector's reader an error. */
function isKeyMissing(map: YAMLMap.Parsed, pair: YAMLMap.Parsed['items'][number]): boolean {
  const key = pair.key as ParsedNode | null;
  const isEmpty = isScalar(key) && key.source === '' && key.type === 'PLAIN' && key.anchor === undefined && key.tag === undefined;
  if (!isEmpty || map.flow === true) return false;
  const start = (pair as { srcToken?: CST.CollectionItem }).srcToken?.start ?? [];
  return !start.some((token) => token.type === 'explicit-key-ind');
}

function emptyScalar(offset: number): ScalarNode {
  return { kind: 'scalar', offset, type: 'null', text: '', plain: true };
}
