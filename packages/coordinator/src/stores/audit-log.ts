import { setImmediate } from 'node:timers/promises';
import { appendAudit, trimAudit } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { ChainCheck, TRIM_ACTION } from './audit-chain.ts';
import type { AuditVerdict, StoredAuditEntry } from './audit-chain.ts';
import { redisNowMs } from './redis-time.ts';

/** Who did what to what. */
export interface AuditEntry {
  /** RFC 3339 UTC. */
  at: string;
  actor: string;
  /** How the actor proved itself; absent where it is the coordinator, or a job of the queue. */
  auth?: 'token' | 'oidc' | 'anonymous' | undefined;
  role?: string | undefined;
  /** `config.put`, `group.put`, `agent.pin`, … */
  action: string;
  /** `group/<name>`, `agent/<uid>`, … */
  target: string;
  /** Group that it concerns; absent or null where it is none in particular. */
  group?: string | null | undefined;
  /** `refused`: it was asked for and not done. Absent: done. */
  outcome?: 'refused' | undefined;
  /** Why, as the actor gave it. */
  reason?: string | undefined;
  /** How it was. */
  before?: unknown;
  /** How it is now. */
  after?: unknown;
  detail: Record<string, unknown>;
}

/** What is to be entered; the log adds the time. */
export type AuditInput = Omit<AuditEntry, 'at'>;

/** An entry with its place in the log. */
export interface AuditItem extends AuditEntry {
  /** Id of the stream entry; newer ones are greater. */
  id: string;
  /** Place in the chain; absent in entries of releases that had none. */
  seq?: number;
  previous?: string;
  hash?: string;
}

/** Which entries somebody looks for. */
export interface AuditQuery {
  limit: number;
  /** Only older ones than this id. */
  before?: string | undefined;
  /** Unix milliseconds, both inclusive. */
  sinceMs?: number | undefined;
  untilMs?: number | undefined;
  accept?: ((entry: AuditEntry) => boolean) | undefined;
}

/** The log of changes made through the API: a chain of hashes, see {@link ChainCheck}. */
export interface AuditLog {
  /** Adds an entry. One step with its change it is not: callers enter first what must not happen without an entry. */
  append(entry: AuditInput): Promise<void>;
  /** Text of an entry for a script that stores it together with the change. */
  format(entry: AuditInput): Promise<string>;
  /** Entries newest first; `next` is where to go on, undefined at the end. A page may be short or empty before that. */
  list(query: AuditQuery): Promise<{ items: AuditItem[]; next: string | undefined }>;
  /** Checks the whole chain; `expected` is a place and hash that somebody noted earlier. */
  verify(expected?: { seq: number; hash: string }): Promise<AuditVerdict>;
  /** Removes entries that are older, and enters that. Answers how many went. */
  trim(olderThanMs: number): Promise<number>;
}

/** Entries read at a time. */
const CHUNK = 1000;

/** Entries looked at for one page. */
const SCAN_LIMIT = 20_000;

/** Entries are removed when the oldest is over its time by this much: each removal is an entry too. */
const TRIM_SLACK_MS = 86_400_000;

/** Builds the log on the stream `{opamp}:audit`. */
export function createAuditLog(options: { client: RedisClient; keys: Keys }): AuditLog {
  const { client, keys } = options;
  const format = async (entry: AuditInput): Promise<string> =>
    JSON.stringify({ at: new Date(await redisNowMs(client)).toISOString(), ...entry });

  return {
    format,
    async append(entry) {
      await appendAudit(client, keys, await format(entry));
    },

    async list({ limit, before, sinceMs, untilMs, accept }) {
      const items: AuditItem[] = [];
      const start = sinceMs === undefined ? '-' : String(sinceMs);
      let at = before === undefined ? (untilMs === undefined ? '+' : String(untilMs)) : `(${before}`;
      for (let scanned = 0; scanned < SCAN_LIMIT;) {
        const entries = await client.xrevrange(keys.audit, at, start, 'COUNT', CHUNK);
        for (const [id, fields] of entries) {
          scanned += 1;
          const item = toItem(toStored(id, fields));
          if (item !== undefined && (accept?.(item) ?? true)) items.push(item);
          if (items.length >= limit) return { items, next: id };
        }
        const last = entries.at(-1)?.[0];
        if (last === undefined || entries.length < CHUNK) return { items, next: undefined };
        at = `(${last}`;
      }
      return { items, next: at.slice(1) };
    },

    async verify(expected) {
      const check = new ChainCheck(expected);
      // Read first: what is appended meanwhile lies behind it, and is not looked at.
      const head = readHead(await client.hmget(keys.auditHead, 'seq', 'hash'));
      let at = '-';
      for (;;) {
        const entries = await client.xrange(keys.audit, at, '+', 'COUNT', CHUNK);
        for (const [id, fields] of entries) {
          const stored = toStored(id, fields);
          if (head !== undefined && stored.link !== undefined && stored.link.seq > head.seq) return check.finish(head);
          check.add(stored);
        }
        const last = entries.at(-1)?.[0];
        if (last === undefined || entries.length < CHUNK) return check.finish(head);
        at = `(${last}`;
        await setImmediate();
      }
    },

    async trim(olderThanMs) {
      const [oldest] = await client.xrange(keys.audit, '-', '+', 'COUNT', 1);
      if (oldest === undefined || msOf(oldest[0]) > olderThanMs - TRIM_SLACK_MS) return 0;
      const [last] = await client.xrevrange(keys.audit, `(${olderThanMs}`, '-', 'COUNT', 1);
      if (last === undefined) return 0;
      const { id, link } = toStored(...last);
      const through = link === undefined ? {} : { throughSeq: link.seq, throughHash: link.hash };
      const entry = await format({ actor: 'system', action: TRIM_ACTION, target: 'audit', detail: { throughId: id, ...through } });
      return await trimAudit(client, keys, { throughId: id, entry });
    },
  };
}

function toStored(id: string, fields: readonly string[]): StoredAuditEntry {
  const read = (name: string): string | undefined => {
    const at = fields.findIndex((field, index) => index % 2 === 0 && field === name);
    return at < 0 ? undefined : fields[at + 1];
  };
  const [seq, previous, hash] = [read('seq'), read('previous'), read('hash')];
  const link = seq === undefined || previous === undefined || hash === undefined ? undefined : { seq: Number(seq), previous, hash };
  return { id, text: read('entry') ?? '', link };
}

/** Undefined for an entry that somebody has made unreadable; a check of the chain names it. */
function toItem({ id, text, link }: StoredAuditEntry): AuditItem | undefined {
  try {
    return { id, ...link, ...(JSON.parse(text) as AuditEntry) };
  } catch {
    return undefined;
  }
}

function readHead([seq, hash]: readonly (string | null | undefined)[]): { seq: number; hash: string } | undefined {
  return typeof seq === 'string' && typeof hash === 'string' ? { seq: Number(seq), hash } : undefined;
}

function msOf(id: string): number {
  return Number(id.split('-', 1)[0]);
}
