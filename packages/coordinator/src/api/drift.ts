import type { EffectiveConfigDocument } from '@opamp-gateway/shared/effective-config';
import { openConfigText } from '../validation/config-loader.ts';
import { isNull, joinPath, valueAt } from '../validation/config-node.ts';
import type { ConfigNode, MapEntry, MapNode, ScalarNode } from '../validation/config-node.ts';
import { COMPONENT_KINDS } from '../validation/ids.ts';
import type { ConfigFiles } from '../stores/config-store.ts';
import { REDACTED, redactScalar } from './redact.ts';

/** `none`: runs what it should; `drifted`: does not; `pending`: has not applied it yet; `unknown`: cannot be told, see `reason`. */
export const DRIFT_STATES = ['none', 'drifted', 'pending', 'unknown'] as const;
export type DriftState = (typeof DRIFT_STATES)[number];

/** One key of the desired config that the agent runs otherwise, or does not run. */
export interface DriftDifference {
  /** Keys and list indices joined by `::`. */
  path: string;
  change: 'missing' | 'changed';
  /** The value as text, cut, secrets replaced; a map or list only as its size. */
  desired: string;
  /** Null when missing. */
  effective: string | null;
}

/** What an agent runs, held against what it should run. */
export interface Drift {
  state: DriftState;
  /** Why it is `pending` or `unknown`; empty otherwise. */
  reason: string;
  /** At most {@link MAX_DIFFERENCES}. */
  differences: DriftDifference[];
  truncated: boolean;
}

/** Differences listed for one agent. */
export const MAX_DIFFERENCES = 50;

/** Characters of a value that are shown. */
const MAX_VALUE_CHARS = 200;

/** Nodes looked at for one agent; aliases can make a small text a large tree. */
const MAX_STEPS = 200_000;

/** What a collector writes in the place of an opaque value. */
const OPAQUE = '[REDACTED]';

/** Lists that a supervisor adds to instead of replacing them. */
const ADDED_TO = new Set(['service::extensions', 'service::telemetry::resource::attributes']);

/** Where a collector shows all its settings, not only those that it was given: `<kind>::<id>`, and its own telemetry. */
const SETTINGS = new RegExp(`^(?:(?:${COMPONENT_KINDS.join('|')})::[^:]+|service::telemetry)$`);

/** Desired configs that have been read: one serves many agents. */
const READ = new WeakMap<ConfigFiles, MapNode | undefined>();

/** An answer without differences. */
export function noDrift(state: Exclude<DriftState, 'drifted'>, reason = ''): Drift {
  return { state, reason, differences: [], truncated: false };
}

/**
 * Compares by meaning: every key of the desired config must be in the effective one, with an equal value. What the agent adds
 * (defaults, its supervisor's parts) is no drift, and neither is another way to write a value (`60s` and `1m0s`), a reference
 * such as `${env:X}` that the collector has resolved, or a value that it hides. Where a collector shows its defaults too, a key that
 * it does not show is one that it cannot show (some of its types have no text), and is no drift. Pure, never throws, linear.
 */
export function compareConfigs(desired: ConfigFiles, effective: EffectiveConfigDocument): Drift {
  if (effective.truncated) return noDrift('unknown', 'the effective config was cut when it was stored');
  if (!READ.has(desired)) READ.set(desired, readMerged(Object.entries(desired)));
  const wanted = READ.get(desired);
  if (wanted === undefined) return noDrift('unknown', 'the desired config cannot be read as YAML');
  const reported = Object.entries(effective.files);
  // `raw` is the collector's config before it was resolved, beside the resolved one.
  const resolved = reported.length > 1 ? reported.filter(([name]) => name !== 'raw') : reported;
  const runs = readMerged(resolved);
  if (runs === undefined) return noDrift('unknown', 'the effective config cannot be read as YAML');
  const comparison = new Comparison();
  comparison.maps('', wanted, runs);
  const { differences, exhausted, more } = comparison;
  if (exhausted && differences.length === 0) return noDrift('unknown', 'the configs are too large to be compared');
  return { state: differences.length > 0 ? 'drifted' : 'none', reason: '', differences, truncated: more || exhausted };
}

class Comparison {
  readonly differences: DriftDifference[] = [];
  more = false;
  #steps = 0;
  /** True inside settings that are shown with their defaults. */
  #complete = false;

  get exhausted(): boolean {
    return this.#steps > MAX_STEPS;
  }

  maps(path: string, desired: MapNode, effective: MapNode): void {
    for (const { key, value } of desired.entries.values()) {
      const at = joinPath(path, key);
      const found = effective.entries.get(key);
      if (found === undefined) {
        if (!this.#complete) this.#add(at, value, undefined);
      } else if (SETTINGS.test(at)) this.#settings(at, value, found.value);
      else this.#nodes(at, value, found.value);
    }
  }

  #settings(path: string, desired: ConfigNode, effective: ConfigNode): void {
    const given = desired.kind === 'map' ? desired.entries : new Map();
    this.#complete = effective.kind === 'map' && [...effective.entries.keys()].some((key) => !given.has(key));
    this.#nodes(path, desired, effective);
    this.#complete = false;
  }

  #nodes(path: string, desired: ConfigNode, effective: ConfigNode): void {
    this.#steps += 1;
    if (this.exhausted) return;
    // Only a default may have taken the place of nothing.
    if (isNull(desired)) return;
    if (desired.kind === 'map') {
      const map = effective.kind === 'list' ? toMap(effective) : effective;
      if (map.kind === 'map') this.maps(path, desired, map);
      else if (!(desired.entries.size === 0 && isNull(effective))) this.#add(path, desired, effective);
      return;
    }
    if (desired.kind === 'list') {
      this.#lists(path, desired.items, desired, effective);
      return;
    }
    const single = effective.kind === 'list' && effective.items.length === 1 ? effective.items[0] : effective;
    if (this.#complete && effective.kind === 'map' && effective.entries.size === 0) return;
    if (isReference(desired) || (single?.kind === 'scalar' && isSameScalar(desired, single))) return;
    this.#add(path, desired, effective);
  }

  #lists(path: string, items: readonly ConfigNode[], desired: ConfigNode, effective: ConfigNode): void {
    if (effective.kind !== 'list') {
      if (!(items.length === 0 && isNull(effective))) this.#add(path, desired, effective);
      return;
    }
    if (ADDED_TO.has(path)) {
      for (const [index, item] of items.entries()) {
        if (!effective.items.some((other) => this.#isWithin(item, other))) this.#add(joinPath(path, String(index)), item, undefined);
      }
      return;
    }
    if (items.length !== effective.items.length) {
      this.#add(path, desired, effective);
      return;
    }
    for (const [index, item] of items.entries()) {
      const other = effective.items[index];
      if (other !== undefined) this.#nodes(joinPath(path, String(index)), item, other);
    }
  }

  #isWithin(desired: ConfigNode, effective: ConfigNode): boolean {
    const trial = new Comparison();
    trial.#nodes('', desired, effective);
    this.#steps += trial.#steps;
    return trial.differences.length === 0;
  }

  #add(path: string, desired: ConfigNode, effective: ConfigNode | undefined): void {
    if (this.differences.length >= MAX_DIFFERENCES) {
      this.more = true;
      return;
    }
    this.differences.push({
      path,
      change: effective === undefined ? 'missing' : 'changed',
      desired: show(path, desired),
      effective: effective === undefined ? null : show(path, effective),
    });
  }
}

/** Pairs such as headers, which a collector may show as a list of names and values; anything else stays a list. */
function toMap(list: ConfigNode & { kind: 'list' }): ConfigNode {
  const entries = new Map<string, MapEntry>();
  for (const item of list.items) {
    const name = valueAt(item, 'name');
    const value = valueAt(item, 'value');
    if (name?.kind !== 'scalar' || value === undefined) return list;
    entries.set(name.text, { key: name.text, keyOffset: item.offset, value });
  }
  return { kind: 'map', offset: list.offset, entries };
}

/** The files as a supervisor merges them: by name, the empty name last. Undefined when one of them is no map. */
function readMerged(files: readonly (readonly [string, { body: string }])[]): MapNode | undefined {
  const ordered = files.toSorted(([left], [right]) => (left === '' ? 1 : right === '' ? -1 : left < right ? -1 : 1));
  let merged: MapNode | undefined;
  for (const [, { body }] of ordered) {
    const root = openConfigText(body).loaded?.root;
    if (root === undefined) return undefined;
    merged = merged === undefined ? root : merge('', merged, root);
  }
  return merged;
}

function merge(path: string, base: MapNode, over: MapNode): MapNode {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const at = joinPath(path, key);
    const below = entries.get(key)?.value;
    let { value } = entry;
    if (below?.kind === 'map' && value.kind === 'map') value = merge(at, below, value);
    else if (below?.kind === 'list' && value.kind === 'list' && ADDED_TO.has(at))
      value = { ...value, items: [...below.items, ...value.items] };
    entries.set(key, { ...entry, value });
  }
  return { ...base, entries };
}

function isReference(node: ScalarNode): boolean {
  return node.text.includes('$');
}

function isSameScalar(desired: ScalarNode, effective: ScalarNode): boolean {
  const [left, right] = [desired.text.trim(), effective.text.trim()];
  // Words that a collector writes back in its own spelling (`basic`, `Basic`).
  if (left === right || right === OPAQUE || left.toLowerCase() === right.toLowerCase()) return true;
  const [leftNumber, rightNumber] = [toNumber(left), toNumber(right)];
  if (leftNumber !== undefined && leftNumber === rightNumber) return true;
  const [leftNs, rightNs] = [toNanoseconds(left), toNanoseconds(right)];
  return leftNs !== undefined && leftNs === rightNs;
}

function toNumber(text: string): number | undefined {
  if (!/^[+-]?(?:0[xob][\da-f_]+|[\d_]*\.?[\d_]+(?:e[+-]?\d+)?)$/i.test(text)) return undefined;
  const value = Number(text.replaceAll('_', ''));
  return Number.isNaN(value) ? undefined : value;
}

const UNIT_NS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** A duration as Go reads it; a bare number is one of nanoseconds. */
function toNanoseconds(text: string): number | undefined {
  if (text.length > 64) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_NS[unit ?? ''] ?? 0),
    0,
  );
}

function show(path: string, node: ConfigNode): string {
  if (node.kind === 'map') return `{${node.entries.size} keys}`;
  if (node.kind === 'list') {
    const words = node.items.every((item) => item.kind === 'scalar') ? node.items.map((item) => show(path, item)).join(', ') : undefined;
    return words !== undefined && words.length <= MAX_VALUE_CHARS ? `[${words}]` : `[${node.items.length} items]`;
  }
  if (node.type === 'null') return 'null';
  const text = redactScalar(path.split('::'), node.text);
  return text === REDACTED || text.length <= MAX_VALUE_CHARS ? text : `${text.slice(0, MAX_VALUE_CHARS)}…`;
}
