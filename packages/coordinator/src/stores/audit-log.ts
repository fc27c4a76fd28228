import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { redisNowMs } from './redis-time.ts';

/** Who did what to what. */
export interface AuditEntry {
  /** RFC 3339 UTC. */
  at: string;
  actor: string;
  /** `config.put`, `group.put`, `agent.pin`, … */
  action: string;
  /** `group/<name>`, `agent/<uid>`, … */
  target: string;
  detail: Record<string, unknown>;
}

/** An entry with its place in the log. */
export interface AuditItem extends AuditEntry {
  /** Id of the stream entry; newer ones are greater. */
  id: string;
}

/** The log of changes made through the API. */
export interface AuditLog {
  /** Adds an entry after the change it tells of, so a crash between the two loses the entry (not so where one script does both). */
  append(entry: Omit<AuditEntry, 'at'>): Promise<void>;
  /** Text of an entry for a script that stores it together with the change. */
  format(entry: Omit<AuditEntry, 'at'>): Promise<string>;
  /** Entries older than `before` (an id), newest first. */
  list(query: { limit: number; before?: string | undefined }): Promise<AuditItem[]>;
}

/** Builds the log on the stream `{opamp}:audit`. */
export function createAuditLog(options: { client: RedisClient; keys: Keys }): AuditLog {
  const { client, keys } = options;
  const format = async (entry: Omit<AuditEntry, 'at'>): Promise<string> =>
    JSON.stringify({ at: new Date(await redisNowMs(client)).toISOString(), ...entry });

  return {
    format,
    async append(entry) {
      await client.xadd(keys.audit, '*', 'entry', await format(entry));
    },
    async list({ limit, before }) {
      const entries = await client.xrevrange(keys.audit, before === undefined ? '+' : `(${before}`, '-', 'COUNT', limit);
      return entries.flatMap(([id, fields]) => {
        const text = fields[fields.indexOf('entry') + 1];
        return text === undefined ? [] : [{ id, ...(JSON.parse(text) as AuditEntry) }];
      });
    },
  };
}
