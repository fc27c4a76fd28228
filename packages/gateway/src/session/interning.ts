import { HISTORY_RESOLUTION_MS } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord, HealthNode, StatusEntry } from '@opamp-gateway/shared/agent-record';
import type { FailedHash } from '@opamp-gateway/shared/fleet-spec';
import type { Row } from '@opamp-gateway/shared/rollout-types';

/** Most distinct values of one kind that are kept; a kind with more is one that tells agents apart. */
const MAX_DISTINCT = 2_000;
/** Longest text that is looked up. */
const MAX_CHARS = 1_024;
/** Most kinds. */
const MAX_KINDS = 1_000;

/** A map that nobody writes into: thousands of agents share it until they have an entry. */
class EmptyMap<Value> extends Map<string, Value> {
  override set(): never {
    throw new TypeError('this map is shared and stays empty');
  }
}

export const NO_ROWS: Map<string, Row> = new EmptyMap<Row>();
export const NO_FAILED: Map<string, FailedHash> = new EmptyMap<FailedHash>();
const NO_LABELS: Record<string, string> = Object.freeze({});
const NO_NAMES: string[] = [];
Object.freeze(NO_NAMES);
const NO_HISTORY: StatusEntry[] = [];
Object.freeze(NO_HISTORY);

/** The map with one more entry: a new map when it was a shared empty one. */
export function withEntry<Value>(map: Map<string, Value>, key: string, value: Value): Map<string, Value> {
  const own = map instanceof EmptyMap ? new Map<string, Value>() : map;
  own.set(key, value);
  return own;
}

/**
 * One copy of each text and small object that many agents have in common: versions, hashes, status texts. A kind of text
 * (an attribute, say) that turns out to differ between agents is no longer looked up.
 */
export class Interning {
  readonly #kinds = new Map<string, Map<string, string> | null>();
  readonly #health = new Map<string, HealthNode>();
  readonly #entries = new Map<string, StatusEntry>();
  readonly #capabilities = new Map<bigint, bigint>();

  /** The kept copy of an equal text of this kind. */
  text(kind: string, text: string): string {
    if (text === '' || text.length > MAX_CHARS) return text;
    let known = this.#kinds.get(kind);
    if (known === null) return text;
    if (known === undefined) {
      if (this.#kinds.size >= MAX_KINDS) return text;
      known = new Map();
      this.#kinds.set(kind, known);
    }
    const kept = known.get(text);
    if (kept !== undefined) return kept;
    if (known.size < MAX_DISTINCT) known.set(text, text);
    else if (kind.startsWith('attribute ')) this.#kinds.set(kind, null);
    else {
      known.clear();
      known.set(text, text);
    }
    return text;
  }

  /** Attribute values, in place. */
  attributes(values: Record<string, string>): void {
    for (const [key, value] of Object.entries(values)) values[key] = this.text(`attribute ${key}`, value);
  }

  health({ healthy, status, lastError }: HealthNode): HealthNode {
    return shared(this.#health, `${healthy ? 1 : 0} ${status}\n${lastError}`, { healthy, status, lastError });
  }

  /** An entry of the history; its time is rounded down to the second, so that the agents of a wave share it. */
  entry({ hash, status, atMs, error }: StatusEntry): StatusEntry {
    const roundedMs = Math.floor(atMs / HISTORY_RESOLUTION_MS) * HISTORY_RESOLUTION_MS;
    const entry = { hash: this.text('hash', hash), status, atMs: roundedMs, ...(error === undefined ? {} : { error }) };
    return shared(this.#entries, `${hash} ${status} ${roundedMs} ${error ?? ''}`, entry);
  }

  capabilities(mask: bigint): bigint {
    const kept = this.#capabilities.get(mask);
    if (kept !== undefined) return kept;
    if (this.#capabilities.size < MAX_DISTINCT) this.#capabilities.set(mask, mask);
    return mask;
  }

  /** Replaces what the record has in common with others, in place, and drops what a session does not read. */
  record(record: AgentRecord): void {
    Object.assign(record, { owner: '', epoch: '', createdAtMs: 0 });
    // Whoever was away before: rollouts with `offline: exclude` ask when. An agent in its first connection has no absence.
    if (record.lastSeenMs === 0) record.connectedAtMs = 0;
    if (record.origin === record.uid) record.origin = record.uid;
    this.attributes(record.attributes.identifying);
    this.attributes(record.attributes.nonIdentifying);
    record.capabilities = this.capabilities(record.capabilities);
    if (record.group !== undefined) record.group = this.text('group', record.group);
    record.reportedHash = this.text('hash', record.reportedHash);
    record.offered = this.text('hash', record.offered);
    record.componentsHash = this.text('components', record.componentsHash);
    if (record.healthTree !== undefined) record.healthTree = this.health(record.healthTree);
    if (record.rows.size === 0) record.rows = NO_ROWS;
    if (record.failed.size === 0) record.failed = NO_FAILED;
    if (Object.keys(record.labels).length === 0) record.labels = NO_LABELS;
    if (record.customCapabilities.length === 0) record.customCapabilities = NO_NAMES;
    record.history = record.history.length === 0 ? NO_HISTORY : record.history.map((entry) => this.entry(entry));
  }
}

function shared<Value>(known: Map<string, Value>, key: string, value: Value): Value {
  const kept = known.get(key);
  if (kept !== undefined) return kept;
  if (known.size >= MAX_DISTINCT) known.clear();
  known.set(key, value);
  return value;
}

/** The copies of this process. */
export const interned = new Interning();
