import { parseRecord } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord, RecordField } from '@opamp-gateway/shared/agent-record';
import { readEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import type { EffectiveConfigDocument, UnreadableEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import type { EncryptionKeys } from '@opamp-gateway/shared/encryption';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { deleteAgent, editAgent, readFields } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** Records read by one call to one shard. */
const CHUNK = 500;

/** Everything a list shows or filters by; the health tree and the history are read for one agent only. */
const LISTED_FIELDS: readonly RecordField[] = [
  'owner',
  'epoch',
  'origin',
  'createdAt',
  'connectedAt',
  'lastSeen',
  'group',
  'capabilities',
  'attributes',
  'health',
  'healthSince',
  'reportedHash',
  'reportedStatus',
  'reportedError',
  'offered',
  'offerAnswered',
  'offeredFor',
  'failed',
  'pin',
  'labels',
  'token',
  'tokenLabels',
  'tokenGroups',
  'componentsHash',
  'transport',
];

/** Place in the order of all agents: shard by shard, uids in byte order. */
export interface AgentPosition {
  shard: number;
  uid: string;
}

/** What {@link AgentReader.page} looks for. */
export interface AgentPageQuery {
  /** Reads go on after this agent. */
  after: AgentPosition | undefined;
  limit: number;
  /** Records read at most; a page can end there with fewer than `limit` agents. */
  scanLimit: number;
  /** Rollouts whose rows are read with the records. */
  rollouts: readonly string[];
  accept(record: AgentRecord): boolean;
  /** The fields that `accept` looks at, when it is a filter: then the rest is read of the accepted agents only. */
  filterFields?: readonly RecordField[] | undefined;
}

/** One page of agents; `next` is undefined on the last one. */
export interface AgentPage {
  records: AgentRecord[];
  next: AgentPosition | undefined;
}

/** Reads agents' records and changes the part of them that operators own. Every method rejects when Redis cannot be reached. */
export interface AgentReader {
  /** The whole record; a re-identified agent is found under its former uid too. */
  get(uid: string): Promise<AgentRecord | undefined>;
  /** Agents in a stable order. An agent that is known during a whole walk over the pages appears exactly once in it. */
  page(query: AgentPageQuery): Promise<AgentPage>;
  /** What the agent last said it runs, undefined when it did not or when it is not stored; the reason when what is stored cannot be read. */
  effective(uid: string): Promise<EffectiveConfigDocument | UnreadableEffectiveConfig | undefined>;
  /** Number of known agents, connected or not. */
  total(): Promise<number>;
  /**
   * Hands records to `visit` in chunks: all of them when there are at most `limit`, else a random sample of about that size,
   * the same share of each shard. Returns how many were read and how many there are.
   */
  sample(options: {
    limit: number;
    rollouts: readonly string[];
    /** Fields that are read; those of a listing unless named. */
    fields?: readonly RecordField[];
    visit(records: readonly AgentRecord[]): void;
  }): Promise<{ read: number; total: number }>;
  /** Counters of all shards added up: `<facet>|<1 connected, 0 away>` -> agents. */
  facets(): Promise<Map<string, number>>;
  /** What collector builds contain, by the hashes that agents report: `<kind>` -> types. Builds whose list nobody sent are left out. */
  componentLists(hashes: readonly string[]): Promise<Map<string, Record<string, string[]>>>;
  /** Changes pin or labels and lists the agent as edited; the owner's name ('' = away), undefined when there is no such agent. */
  edit(uid: string, change: { set: Readonly<Record<string, string>>; del: readonly string[] }): Promise<string | undefined>;
  /** Forgets an agent that is away and in no rollout. */
  delete(uid: string): Promise<'ok' | 'unknown' | 'connected' | 'open'>;
}

/** Builds the reader. */
export function createAgentReader(options: { client: RedisClient; keys: Keys; encryption?: EncryptionKeys | undefined }): AgentReader {
  const { client, keys } = options;
  const shardAt = (index: number): ShardKeys => keys.shards[index] as ShardKeys;
  const shardIndex = (uid: string): number => shardOf(uid as InstanceUid);

  const readChunk = async (
    shard: ShardKeys,
    uids: readonly string[],
    rollouts: readonly string[],
    named: readonly RecordField[] = LISTED_FIELDS,
  ): Promise<AgentRecord[]> => {
    const fields = [...named, ...(named.includes('origin') ? [] : ['origin']), ...rollouts.map((id) => `r:${id}`)];
    const replies = await readFields(client, shard, fields, uids);
    return replies.flatMap((values, index) => {
      const record: Record<string, string> = {};
      for (const [at, value] of values.entries()) if (value !== null) record[fields[at] as string] = value;
      // The record of an agent deleted meanwhile.
      if (record['origin'] === undefined) return [];
      return [parseRecord(uids[index] as string, record)];
    });
  };

  const uidsAfter = async (shard: ShardKeys, uid: string | undefined, count: number): Promise<string[]> =>
    await client.zrangebylex(shard.uids, uid === undefined ? '-' : `(${uid}`, '+', 'LIMIT', 0, count);

  const visitShard = async (shard: ShardKeys, { rollouts, fields, visit }: Parameters<AgentReader['sample']>[0]): Promise<number> => {
    let read = 0;
    for (let after: string | undefined; ;) {
      const uids = await uidsAfter(shard, after, CHUNK);
      if (uids.length === 0) return read;
      visit(await readChunk(shard, uids, rollouts, fields));
      read += uids.length;
      after = uids.at(-1);
    }
  };

  const sampleShard = async (
    shard: ShardKeys,
    count: number,
    { rollouts, fields, visit }: Parameters<AgentReader['sample']>[0],
  ): Promise<number> => {
    const uids = (await client.zrandmember(shard.uids, count)) as string[];
    for (let at = 0; at < uids.length; at += CHUNK) visit(await readChunk(shard, uids.slice(at, at + CHUNK), rollouts, fields));
    return uids.length;
  };

  return {
    async get(uid) {
      const index = shardIndex(uid);
      const [fields, alias] = await Promise.all([client.hgetall(shardAt(index).agent(uid)), client.get(shardAt(index).alias(uid))]);
      if (fields['origin'] !== undefined) return parseRecord(uid, fields);
      if (alias === null) return undefined;
      const renamed = await client.hgetall(shardAt(shardIndex(alias)).agent(alias));
      return renamed['origin'] === undefined ? undefined : parseRecord(alias, renamed);
    },

    async page({ after, limit, scanLimit, rollouts, accept, filterFields }) {
      const records: AgentRecord[] = [];
      let scanned = 0;
      /** Takes over the accepted records of a chunk, as far as there is room; answers the last one's uid when that filled the page. */
      const take = async (shard: ShardKeys, uids: readonly string[]): Promise<string | undefined> => {
        const room = limit - records.length;
        const accepted = (await readChunk(shard, uids, rollouts, filterFields)).filter(accept).slice(0, room);
        const chosen = accepted.map(({ uid }) => uid);
        records.push(...(filterFields === undefined || chosen.length === 0 ? accepted : await readChunk(shard, chosen, rollouts)));
        return chosen.length === room ? chosen.at(-1) : undefined;
      };
      for (let index = after?.shard ?? 0; index < keys.shards.length; index += 1) {
        const shard = shardAt(index);
        let last = index === after?.shard ? after.uid : undefined;
        for (;;) {
          // A filter that has let few through so far is going to need many.
          const wanted = scanned < 2 * limit ? Math.max(limit - records.length, 50) : CHUNK;
          const uids = await uidsAfter(shard, last, Math.min(CHUNK, wanted));
          if (uids.length === 0) break;
          const full = await take(shard, uids);
          if (full !== undefined) return { records, next: { shard: index, uid: full } };
          scanned += uids.length;
          last = uids.at(-1) as string;
          if (scanned >= scanLimit) return { records, next: { shard: index, uid: last } };
        }
      }
      return { records, next: undefined };
    },

    async effective(uid) {
      const bytes = await client.getBuffer(shardAt(shardIndex(uid)).effective(uid));
      return bytes === null ? undefined : readEffectiveConfig(bytes, { keys: options.encryption, uid });
    },

    async total() {
      const counts = await Promise.all(keys.shards.map((shard) => client.zcard(shard.uids)));
      return counts.reduce((sum, count) => sum + count, 0);
    },

    async sample(options) {
      const { limit } = options;
      const sizes = await Promise.all(keys.shards.map((shard) => client.zcard(shard.uids)));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      const reads = keys.shards.map((shard, index) =>
        total <= limit ? visitShard(shard, options) : sampleShard(shard, Math.ceil(((sizes[index] ?? 0) * limit) / total), options),
      );
      const read = (await Promise.all(reads)).reduce((sum, count) => sum + count, 0);
      return { read, total };
    },

    async facets() {
      const sums = new Map<string, number>();
      for (const counters of await Promise.all(keys.shards.map((shard) => client.hgetall(shard.facets)))) {
        for (const [facet, count] of Object.entries(counters)) sums.set(facet, (sums.get(facet) ?? 0) + Number(count));
      }
      return sums;
    },

    async componentLists(hashes) {
      if (hashes.length === 0) return new Map();
      const texts = await client.mget(...hashes.map((hash) => keys.components(hash)));
      return new Map(
        hashes.flatMap((hash, index) => {
          const text = texts[index];
          return text === null || text === undefined ? [] : [[hash, toTypes(JSON.parse(text) as StoredComponents)] as const];
        }),
      );
    },

    async edit(uid, change) {
      return await editAgent(client, shardAt(shardIndex(uid)), { uid, ...change });
    },

    async delete(uid) {
      return await deleteAgent(client, shardAt(shardIndex(uid)), uid);
    },
  };
}

/** As gateways store it. [OpAMP AvailableComponents.components] */
type StoredComponents = Record<string, { components?: Record<string, unknown> }>;

function toTypes(stored: StoredComponents): Record<string, string[]> {
  return Object.fromEntries(Object.entries(stored).map(([kind, { components = {} }]) => [kind, Object.keys(components)]));
}
