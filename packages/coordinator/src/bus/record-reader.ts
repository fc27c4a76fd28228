import { appliedBeforeMs, parseRecord, selectorAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord, RecordField } from '@opamp-gateway/shared/agent-record';
import { acceptsRemoteConfig, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { HTTP_OWNER } from '@opamp-gateway/shared/redis/keys';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { isSettled } from '@opamp-gateway/shared/rollout-types';
import type { HealthSample } from '../rollout/gates.ts';
import type { AgentFacts, ConnectedMember, FleetReader, HealthQuery } from '../rollout/ports.ts';

/** Records read by one pipeline. */
const CHUNK = 500;

const ROW_OF_NOBODY: ReadonlySet<string> = new Set(['left', 'skipped']);

/** The reads of a step that go to agents' records. */
export type RecordReader = Pick<
  FleetReader,
  'facts' | 'openRows' | 'awayUnsettled' | 'candidates' | 'canaryStates' | 'healthSamples' | 'rowsOf'
>;

/** Builds the reader on one Redis. */
export function createRecordReader(options: { client: RedisClient; keys: Keys }): RecordReader {
  const { client, keys } = options;

  /** The named fields of many records; agents without a record are left out. */
  const read = async (uids: readonly string[], fields: readonly RecordField[], rollout?: string): Promise<Map<string, AgentRecord>> => {
    const names = [...fields, 'origin', ...(rollout === undefined ? [] : [`r:${rollout}`])];
    const byShard = new Map<ShardKeys, string[]>();
    for (const uid of uids) {
      const shard = keys.shards[shardOf(uid)] as ShardKeys;
      const list = byShard.get(shard);
      if (list === undefined) byShard.set(shard, [uid]);
      else list.push(uid);
    }
    const found = new Map<string, AgentRecord>();
    const readShard = async (shard: ShardKeys, list: readonly string[]): Promise<void> => {
      for (let from = 0; from < list.length; from += CHUNK) {
        const chunk = list.slice(from, from + CHUNK);
        const pipeline = client.pipeline();
        for (const uid of chunk) pipeline.hmget(shard.agent(uid), ...names);
        // One chunk after the other bounds what is in memory.
        const replies = (await pipeline.exec()) ?? [];
        replies.forEach(([error, reply], index) => {
          if (error !== null) throw error;
          const values = reply as (string | null)[];
          const stored: Record<string, string> = {};
          names.forEach((name, at) => {
            const value = values[at];
            if (typeof value === 'string') stored[name] = value;
          });
          const uid = chunk[index] as string;
          if (stored['origin'] !== undefined) found.set(uid, parseRecord(uid, stored));
        });
      }
    };
    await Promise.all([...byShard].map(([shard, list]) => readShard(shard, list)));
    return found;
  };

  const samplesOf = async (members: readonly ConnectedMember[], query: HealthQuery, cohort: boolean): Promise<HealthSample[]> => {
    const found = await read(
      members.map((member) => member.uid),
      ['health', 'connectedAt', 'attributes', 'labels', 'history', 'tokenLabels'],
      query.rollout,
    );
    return [...found.values()].flatMap((record) => {
      const row = record.rows.get(query.rollout);
      const touched = row !== undefined && !ROW_OF_NOBODY.has(row.status);
      if (touched !== cohort || (row !== undefined && !isSettled(row.status))) return [];
      const sinceMs = cohort ? (appliedBeforeMs(record.history, query.toHash) ?? Number.POSITIVE_INFINITY) : query.sinceMs;
      return [
        { stratum: stratumOf(record, query.spreadBy), unhealthy: record.healthy === false, reconnected: record.connectedAtMs >= sinceMs },
      ];
    });
  };

  return {
    async facts(uids) {
      const found = await read(uids, FACTS);
      return new Map([...found].map(([uid, record]) => [uid, toFacts(record)]));
    },

    async openRows(id) {
      return (await Promise.all(keys.shards.map((shard) => client.zrange(shard.rolloutOpen(id), 0, '-1')))).flat();
    },

    async awayUnsettled(group, rollout) {
      const away = await Promise.all(keys.shards.map((shard) => client.hget(shard.facets, `group=${group}|0`)));
      if (away.every((count) => Number(count ?? 0) <= 0)) return [];
      const facts: AgentFacts[] = [];
      for (const shard of keys.shards) {
        for (let after = '-'; ;) {
          const uids = await client.zrangebylex(shard.uids, after, '+', 'LIMIT', 0, CHUNK);
          if (uids.length === 0) break;
          for (const record of (await read(uids, [...FACTS, 'owner', 'group', 'pin', 'capabilities'], rollout)).values()) {
            const row = record.rows.get(rollout);
            const isAway = record.owner === '' && record.group === group && record.pin === null && acceptsRemoteConfig(record.capabilities);
            if (isAway && (row === undefined || !isSettled(row.status))) facts.push(toFacts(record));
          }
          after = `(${uids.at(-1) ?? ''}`;
        }
      }
      return facts;
    },

    async candidates(members, spreadBy) {
      const found = await read(
        members.map((member) => member.uid),
        [
          'capabilities',
          'health',
          'healthSince',
          'connectedAt',
          'pin',
          'reportedHash',
          'attributes',
          'labels',
          'tokenLabels',
          'componentsHash',
        ],
      );
      return [...found.values()].map((record) => ({
        uid: record.uid,
        origin: record.origin,
        canAcknowledge: acceptsRemoteConfig(record.capabilities) && reportsRemoteConfig(record.capabilities),
        healthy: record.healthy,
        healthSinceMs: record.healthSinceMs,
        connectedAtMs: record.connectedAtMs,
        pinned: record.pin !== null,
        reportedHash: record.reportedHash,
        stratum: stratumOf(record, spreadBy),
        componentsHash: record.componentsHash,
      }));
    },

    async canaryStates(rollout, uids) {
      const found = await read(uids, ['owner', 'transport'], rollout);
      return uids.map((uid) => {
        const record = found.get(uid);
        return {
          uid,
          connected: (record?.owner ?? '') !== '',
          http: record?.owner === HTTP_OWNER,
          hasRow: record?.rows.has(rollout) ?? false,
        };
      });
    },

    async healthSamples(query) {
      const [cohort, control] = await Promise.all([samplesOf(query.cohort, query, true), samplesOf(query.control, query, false)]);
      return { cohort, control };
    },

    async rowsOf(id, uids) {
      const found = await read(uids, [], id);
      return new Map(
        [...found].flatMap(([uid, record]) => {
          const row = record.rows.get(id);
          return row === undefined ? [] : [[uid, { status: row.status, wave: row.wave }] as const];
        }),
      );
    },
  };
}

/** Fields behind {@link toFacts}. */
const FACTS: readonly RecordField[] = ['attributes', 'labels', 'tokenLabels', 'lastSeen', 'connectedAt'];

function toFacts(record: AgentRecord): AgentFacts {
  return {
    origin: record.origin,
    attributes: selectorAttributes(record),
    absence: { fromMs: record.lastSeenMs, toMs: record.connectedAtMs },
  };
}

function stratumOf(record: AgentRecord, spreadBy: readonly string[]): string {
  if (spreadBy.length === 0) return '';
  const attributes = selectorAttributes(record);
  return spreadBy.map((name) => attributes[name] ?? '').join('\n');
}
