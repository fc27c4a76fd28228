/** What yaml.v3 makes of a scalar, which is what the collector's decoder then sees. */
export type ScalarType = 'null' | 'bool' | 'int' | 'float' | 'timestamp' | 'string';

export interface ScalarNode {
  readonly kind: 'scalar';
  /** Start in the text; for an omitted value the place where it would stand. */
  readonly offset: number;
  readonly type: ScalarType;
  /** The text after unquoting and unescaping. */
  readonly text: string;
  /** True for an unquoted scalar. */
  readonly plain: boolean;
}

export interface ListNode {
  readonly kind: 'list';
  readonly offset: number;
  readonly items: readonly ConfigNode[];
}

export interface MapEntry {
  readonly key: string;
  readonly keyOffset: number;
  readonly value: ConfigNode;
}

export interface MapNode {
  readonly kind: 'map';
  readonly offset: number;
  /** In the order of the text; keys are unique. */
  readonly entries: ReadonlyMap<string, MapEntry>;
}

/**
 * A config as the collector sees it after reading YAML: aliases and merge keys resolved, keys with `::` split into nested ones.
 * A node behind an alias is shared, so this is a graph without cycles, not a tree.
 */
export type ConfigNode = ScalarNode | ListNode | MapNode;

/** True for an omitted value, `null` or `~`. */
export function isNull(node: ConfigNode | undefined): boolean {
  return node === undefined || (node.kind === 'scalar' && node.type === 'null');
}

/** The entry of a map, undefined for other kinds of nodes and missing keys. */
export function entryOf(node: ConfigNode | undefined, key: string): MapEntry | undefined {
  return node?.kind === 'map' ? node.entries.get(key) : undefined;
}

/** The value under a chain of keys, undefined as soon as one is missing. */
export function valueAt(node: ConfigNode | undefined, ...keys: readonly string[]): ConfigNode | undefined {
  let current = node;
  for (const key of keys) current = entryOf(current, key)?.value;
  return current;
}

/** Go's name for what the collector got instead of a map, for messages that name types. */
export function goKind(node: ConfigNode): string {
  if (node.kind === 'map') return 'map';
  if (node.kind === 'list') return 'slice';
  return { null: 'nil', bool: 'bool', int: 'int', float: 'float64', timestamp: 'struct', string: 'string' }[node.type];
}

/** Go's type of a decoded value, as "unconvertible type" messages spell it. */
export function goType(node: ConfigNode): string {
  if (node.kind === 'map') return 'map[string]interface {}';
  if (node.kind === 'list') return '[]interface {}';
  return { null: '<nil>', bool: 'bool', int: 'int', float: 'float64', timestamp: 'time.Time', string: 'string' }[node.type];
}

/** Appends a key to a path with the collector's separator. */
export function joinPath(path: string, key: string): string {
  return path === '' ? key : `${path}::${key}`;
}
