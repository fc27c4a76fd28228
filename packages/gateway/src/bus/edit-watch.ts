import { toError } from '@opamp-gateway/shared/errors';
import { parseRecord } from '@opamp-gateway/shared/agent-record';
import type { Pin } from '@opamp-gateway/shared/fleet-spec';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** Overlap between two readings, for edits committed at the same time as the last one was read. */
const OVERLAP_MS = 2_000;

export interface EditWatchOptions {
  redis: RedisClient;
  keys: Keys;
  logger: Logger;
  holds(uid: string): boolean;
  onEdited(uid: string, edit: { pin: Pin | null; labels: Record<string, string> }): void;
}

/** Reads which agents had their pin or labels changed through the API; messages only say when to look. */
export class EditWatch {
  readonly #options: EditWatchOptions;
  readonly #sinceMs: number[];

  constructor(options: EditWatchOptions) {
    this.#options = options;
    this.#sinceMs = options.keys.shards.map(() => 0);
  }

  /** Looks at every shard. Never rejects. */
  async lookEverywhere(): Promise<void> {
    await Promise.all(this.#options.keys.shards.map((_, index) => this.look(index)));
  }

  /** Looks at one shard. Never rejects: the next look reads the same again. */
  async look(index: number): Promise<void> {
    const shard = this.#options.keys.shards[index];
    if (shard === undefined) return;
    try {
      const since = this.#sinceMs[index] ?? 0;
      const flat = await this.#options.redis.zrange(shard.edited, since, '+inf', 'BYSCORE', 'WITHSCORES');
      let newest = since;
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const uid = flat[i] as string;
        newest = Math.max(newest, Number(flat[i + 1]) - OVERLAP_MS);
        if (this.#options.holds(uid)) await this.#read(shard, uid);
      }
      this.#sinceMs[index] = newest;
    } catch (thrown) {
      this.#options.logger.warn({ error: toError(thrown).message }, 'cannot read edits of agents, will try again');
    }
  }

  async #read(shard: ShardKeys, uid: string): Promise<void> {
    const [pin, labels] = await this.#options.redis.hmget(shard.agent(uid), 'pin', 'labels');
    const record = parseRecord(uid, { ...(typeof pin === 'string' ? { pin } : {}), ...(typeof labels === 'string' ? { labels } : {}) });
    this.#options.onEdited(uid, { pin: record.pin, labels: record.labels });
  }
}
