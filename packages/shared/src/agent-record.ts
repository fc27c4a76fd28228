import type { FailedHash, Pin } from './fleet-spec.ts';
import { parseRow } from './rollout-types.ts';
import type { Row } from './rollout-types.ts';
import { attributeOf } from './selector.ts';
import type { AttributeLookup } from './selector.ts';

/** What an agent last said of a config: the words of `RemoteConfigStatuses`. */
export type ReportedStatus = 'UNSET' | 'APPLIED' | 'APPLYING' | 'FAILED';

/** One component's health as kept in the record; `children` by name. */
export interface HealthNode {
  healthy: boolean;
  status: string;
  lastError: string;
  children?: Record<string, HealthNode>;
}

/** Both attribute lists of an AgentDescription, values as text. */
export interface AgentAttributes {
  identifying: Record<string, string>;
  nonIdentifying: Record<string, string>;
}

/** One verdict an agent gave on a config hash. */
export interface StatusEntry {
  hash: string;
  status: ReportedStatus;
  atMs: number;
  error?: string;
}

/** Times in a history are rounded down to this. */
export const HISTORY_RESOLUTION_MS = 1_000;

/**
 * End of the time in which an agent reported a config as APPLIED that it has not left since: Unix milliseconds of the gateway's
 * clock, exclusive, for the history does not say it better. Undefined when its newest entries (they come first) do not.
 */
export function appliedBeforeMs(history: readonly StatusEntry[], hash: string): number | undefined {
  const others = history.findIndex((entry) => entry.hash !== hash);
  const since = (others < 0 ? history : history.slice(0, others)).findLast((entry) => entry.status === 'APPLIED');
  return since === undefined ? undefined : since.atMs + HISTORY_RESOLUTION_MS;
}

/** The record of one agent: hash `opamp:{ss}:agent:<uid>`. */
export interface AgentRecord {
  uid: string;
  /** Gateway that holds the connection, `http` for pollers, empty when away. */
  owner: string;
  /** Fencing token, µs; text because it exceeds what Lua's JSON keeps. */
  epoch: string;
  /** Last sequence number received, undefined when unknown. */
  seq: bigint | undefined;
  /** Digest of the message that had this number. */
  seqDigest: string;
  /** A message was missed, and no full state has come since. */
  gap: boolean;
  origin: string;
  createdAtMs: number;
  connectedAtMs: number;
  lastSeenMs: number;
  /** Effective group, undefined before the first report. */
  group: string | undefined;
  capabilities: bigint;
  attributes: AgentAttributes;
  /** Undefined when the agent never reported health. */
  healthy: boolean | undefined;
  healthSinceMs: number;
  healthTree: HealthNode | undefined;
  reportedHash: string;
  reportedStatus: ReportedStatus;
  reportedError: string;
  /** Hash last sent to the agent (it lies on its disk), empty when none or when it proved not to have arrived. */
  offered: string;
  /** True once the agent gave a final answer to `offered`. */
  offerAnswered: boolean;
  /** Rollout id, `pin:<id>` or `group:<name>` that `offered` was sent for, with its attempt. */
  offeredFor: FailedHash | undefined;
  /** Offered hash for which a full state was asked after a claim, and when (ms); one question per offer. */
  asked: { hash: string; atMs: number } | undefined;
  /** The agent was unhealthy when it got the offer, so that its status alone is judged. */
  unhealthyWhenOffered: boolean;
  failed: Map<string, FailedHash>;
  pin: Pin | null;
  labels: Record<string, string>;
  /** Id of the credential that the agent last connected with, '' when none was asked for. */
  token: string;
  /** What that credential binds the record to, see `realmOf`. */
  realm: string;
  /** Labels and groups of that credential. */
  tokenLabels: Readonly<Record<string, string>>;
  tokenGroups: readonly string[] | null;
  componentsHash: string;
  customCapabilities: string[];
  transport: 'ws' | 'http';
  history: StatusEntry[];
  rows: Map<string, Row>;
}

/** Field names of the record's hash. */
export const RECORD_FIELDS = [
  'owner',
  'epoch',
  'seq',
  'seqDigest',
  'gap',
  'origin',
  'createdAt',
  'connectedAt',
  'lastSeen',
  'moved',
  'group',
  'takes',
  'facets',
  'capabilities',
  'attributes',
  'health',
  'healthSince',
  'healthTree',
  'reportedHash',
  'reportedStatus',
  'reportedError',
  'offered',
  'offerAnswered',
  'offeredFor',
  'asked',
  'unhealthyWhenOffered',
  'failed',
  'pin',
  'labels',
  'token',
  'realm',
  'tokenLabels',
  'tokenGroups',
  'componentsHash',
  'customCapabilities',
  'transport',
  'history',
] as const;
export type RecordField = (typeof RECORD_FIELDS)[number];

/** Text of the `failed` field: `hash:by:attempt,…` (`by` may hold colons). */
export function formatFailed(failed: ReadonlyMap<string, FailedHash>): string {
  return [...failed].map(([hash, entry]) => `${hash}:${entry.by}:${entry.attempt}`).join(',');
}

/** Reads the text of {@link formatFailed}; a later entry for the same hash wins. */
export function parseFailed(text: string): Map<string, FailedHash> {
  const failed = new Map<string, FailedHash>();
  for (const part of text === '' ? [] : text.split(',')) {
    const first = part.indexOf(':');
    const last = part.lastIndexOf(':');
    if (first < 0 || last <= first) continue;
    failed.set(part.slice(0, first), { by: part.slice(first + 1, last), attempt: Number(part.slice(last + 1)) });
  }
  return failed;
}

/** Text of the `offeredFor` field. */
export function formatOfferedFor(entry: FailedHash | undefined): string {
  return entry === undefined ? '' : `${entry.by}:${entry.attempt}`;
}

function parseOfferedFor(text: string): FailedHash | undefined {
  const at = text.lastIndexOf(':');
  return at < 0 ? undefined : { by: text.slice(0, at), attempt: Number(text.slice(at + 1)) };
}

function parseAsked(text: string): { hash: string; atMs: number } | undefined {
  const at = text.indexOf(':');
  return at < 0 ? undefined : { hash: text.slice(0, at), atMs: Number(text.slice(at + 1)) };
}

function parseJson<T>(text: string | undefined, fallback: T): T {
  return text === undefined || text === '' ? fallback : (JSON.parse(text) as T);
}

/** Builds a record from the fields of its hash; a field this release does not know is ignored here and kept in Redis. */
export function parseRecord(uid: string, fields: Readonly<Record<string, string>>): AgentRecord {
  const rows = new Map<string, Row>();
  for (const [field, text] of Object.entries(fields)) {
    if (!field.startsWith('r:')) continue;
    const row = parseRow(text);
    if (row !== undefined) rows.set(field.slice(2), row);
  }
  const status = fields['reportedStatus'];
  return {
    uid,
    owner: fields['owner'] ?? '',
    epoch: fields['epoch'] ?? '0',
    seq: fields['seq'] === undefined || fields['seq'] === '' ? undefined : BigInt(fields['seq']),
    seqDigest: fields['seqDigest'] ?? '',
    gap: fields['gap'] === '1',
    origin: fields['origin'] ?? uid,
    createdAtMs: Number(fields['createdAt'] ?? 0),
    connectedAtMs: Number(fields['connectedAt'] ?? 0),
    lastSeenMs: Number(fields['lastSeen'] ?? 0),
    group: fields['group'],
    capabilities: BigInt(fields['capabilities'] ?? '0'),
    attributes: parseJson<AgentAttributes>(fields['attributes'], { identifying: {}, nonIdentifying: {} }),
    healthy: fields['health'] === '1' ? true : fields['health'] === '0' ? false : undefined,
    healthSinceMs: Number(fields['healthSince'] ?? 0),
    healthTree: parseJson<HealthNode | undefined>(fields['healthTree'], undefined),
    reportedHash: fields['reportedHash'] ?? '',
    reportedStatus: status === 'APPLIED' || status === 'APPLYING' || status === 'FAILED' ? status : 'UNSET',
    reportedError: fields['reportedError'] ?? '',
    offered: fields['offered'] ?? '',
    offerAnswered: fields['offerAnswered'] !== '0',
    offeredFor: parseOfferedFor(fields['offeredFor'] ?? ''),
    asked: parseAsked(fields['asked'] ?? ''),
    unhealthyWhenOffered: fields['unhealthyWhenOffered'] === '1',
    failed: parseFailed(fields['failed'] ?? ''),
    pin: parseJson<Pin | null>(fields['pin'], null),
    labels: parseJson<Record<string, string>>(fields['labels'], {}),
    token: fields['token'] ?? '',
    realm: fields['realm'] ?? '',
    tokenLabels: parseJson<Record<string, string>>(fields['tokenLabels'], {}),
    tokenGroups: parseJson<string[] | null>(fields['tokenGroups'], null),
    componentsHash: fields['componentsHash'] ?? '',
    customCapabilities: parseJson<string[]>(fields['customCapabilities'], []),
    transport: fields['transport'] === 'http' ? 'http' : 'ws',
    history: parseJson<StatusEntry[]>(fields['history'], []),
    rows,
  };
}

const LABEL_PREFIX = 'label.';

/**
 * Flat attributes for selectors: identifying ones win. Labels stand under `label.<name>`, where nothing that an agent says
 * counts; those of its credential win over those that operators gave it.
 */
export function selectorAttributes(record: Pick<AgentRecord, 'attributes' | 'labels' | 'tokenLabels'>): Record<string, string> {
  const { attributes, labels, tokenLabels } = record;
  const flat: Record<string, string> = { ...attributes.nonIdentifying, ...attributes.identifying };
  for (const name of Object.keys(flat)) if (name.startsWith(LABEL_PREFIX)) delete flat[name];
  for (const [name, value] of Object.entries(labels)) flat[LABEL_PREFIX + name] = value;
  for (const [name, value] of Object.entries(tokenLabels)) flat[LABEL_PREFIX + name] = value;
  return flat;
}

/** The same attributes looked up in the record: nothing is put together for a selector that asks for one or two. */
export class RecordAttributes implements AttributeLookup {
  readonly #record: Pick<AgentRecord, 'attributes' | 'labels' | 'tokenLabels'>;

  constructor(record: Pick<AgentRecord, 'attributes' | 'labels' | 'tokenLabels'>) {
    this.#record = record;
  }

  get(name: string): string | undefined {
    const { attributes, labels, tokenLabels } = this.#record;
    if (!name.startsWith(LABEL_PREFIX)) return attributeOf(attributes.identifying, name) ?? attributeOf(attributes.nonIdentifying, name);
    const label = name.slice(LABEL_PREFIX.length);
    return attributeOf(tokenLabels, label) ?? attributeOf(labels, label);
  }
}

/** Members entry: `gateway:epoch:takesConfig:origin`, origin empty when it equals the uid. */
export interface Member {
  uid: string;
  gateway: string;
  epoch: string;
  takesConfig: boolean;
  origin: string;
}

/** Reads one field of `members:<group>`. */
export function parseMember(uid: string, text: string): Member {
  const [gateway = '', epoch = '0', takes = '0', origin = ''] = text.split(':');
  return { uid, gateway, epoch, takesConfig: takes === '1', origin: origin === '' ? uid : origin };
}
