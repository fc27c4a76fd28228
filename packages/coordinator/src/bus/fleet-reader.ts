import { parseMember } from '@opamp-gateway/shared/agent-record';
import type { Clock } from '@opamp-gateway/shared/clock';
import { parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import { finishRollout, settleRollout } from '@opamp-gateway/shared/redis/agent-scripts';
import { beat } from '@opamp-gateway/shared/redis/fleet-scripts';
import { HTTP_OWNER } from '@opamp-gateway/shared/redis/keys';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { isRowStatus } from '@opamp-gateway/shared/rollout-types';
import { sumCounters } from '../rollout/counters.ts';
import type { ConnectedMember, FleetReader } from '../rollout/ports.ts';
import type { FailureView } from '../rollout/service.ts';
import { sumFailureGroups } from './failure-groups.ts';
import { createGatewayDirectory, fleetTimeMs } from './gateway-directory.ts';
import { createRecordReader } from './record-reader.ts';

export interface FleetReaderOptions {
  client: RedisClient;
  keys: Keys;
  clock: Clock;
  /** Nothing is judged for so long after Redis was away: one lease time. */
  judgeDelayMs?: number;
  /** How long the counters and failures of an ended rollout are kept; 0 = for ever. */
  endedTtlSeconds?: number;
}

/** Overdue rows that one call judges; more are left to the next, so that no call blocks Redis for long. */
const SETTLE_BATCH = 500;
/** Calls in a row that one reading makes to a shard with overdue rows. */
const SETTLE_ROUNDS = 40;
/** Fields that one call asks a hash for. */
const SCAN_COUNT = 500;
/** A list of members may be 1 ms old for every so many of them, at most 5 s. */
const MEMBERS_PER_MS = 50;
const MEMBERS_MAX_AGE_MS = 5_000;
/** Lists of groups without a rollout are dropped after so long. */
const LIST_KEEP_MS = 60_000;
/** How long the share of pollers in a group too large to list is believed. */
const SHARE_MAX_AGE_MS = 15_000;

/** Members of each shard that are looked at for pins. */
const PIN_SAMPLE = 1_000;

/** A mark is left so often, and missing for so long it means that nobody reached the store. */
const BEAT_MS = 1_000;
const BEAT_GAP_MS = 6_000;

type Listed = { kind: 'listed'; members: readonly ConnectedMember[] };

/** Builds the reader on one Redis. Every method rejects when Redis cannot be reached. */
export function createFleetReader(options: FleetReaderOptions): FleetReader {
  const { client, keys, clock } = options;
  const judgeDelayMs = options.judgeDelayMs ?? 15_000;
  const endedTtlSeconds = options.endedTtlSeconds ?? 90 * 86_400;
  const directory = createGatewayDirectory(options);
  const records = createRecordReader(options);
  const lists = new Map<string, { atMs: number; list: Listed }>();
  const shares = new Map<string, { atMs: number; takes: number; http: number }>();

  /** Set by what this process sees of the connection; the shared mark in the store tells of outages before its start. */
  let judgeFromMs = 0;
  let shared = { beatAtMs: Number.NEGATIVE_INFINITY, mayJudge: false };
  const delayJudging = (): void => {
    judgeFromMs = clock.monotonicMs() + judgeDelayMs;
  };
  client.on('close', delayJudging);

  const sendBeat = async (): Promise<void> => {
    const beatAtMs = clock.monotonicMs();
    const { nowMs, judgeFromMs: fromMs } = await beat(client, keys, { gapMs: BEAT_GAP_MS, graceMs: judgeDelayMs });
    shared = { beatAtMs, mayJudge: nowMs >= fromMs };
  };

  const mayJudge = async (): Promise<boolean> => {
    if (clock.monotonicMs() - shared.beatAtMs >= BEAT_MS) await sendBeat();
    return shared.mayJudge && clock.monotonicMs() >= judgeFromMs;
  };

  /** One call to each shard, all in one tick: a pipeline over several slots is refused by a Cluster. */
  const eachShard = <T>(run: (shard: Keys['shards'][number]) => Promise<T>): Promise<T[]> => Promise.all(keys.shards.map(run));

  /** The first `count` fields of a hash that has so many, in its own order, without reading the rest of a large one. */
  const firstFields = async (key: string, count: number): Promise<[string, string][]> => {
    const found = new Map<string, string>();
    for (let cursor = '0'; found.size < count;) {
      const [next, flat] = await client.hscan(key, cursor, 'COUNT', Math.min(count, SCAN_COUNT));
      for (let index = 0; index + 1 < flat.length; index += 2) found.set(flat[index] as string, flat[index + 1] as string);
      cursor = next;
      if (cursor === '0') break;
    }
    return [...found].slice(0, count);
  };

  const settleShard = async (
    shard: Keys['shards'][number],
    id: string,
  ): Promise<{ overdue: number; counters: Record<string, number>; observe: string[] }> => {
    const observe: string[] = [];
    for (let round = 1; ; round += 1) {
      const judge = await mayJudge();
      const reply = await settleRollout(client, shard, { rollout: id, judge, limit: SETTLE_BATCH });
      observe.push(...reply.observe);
      if (reply.overdue === 0 || round === SETTLE_ROUNDS) return { ...reply, observe };
    }
  };

  const connected = async (group: string): Promise<number> => {
    const counts = await eachShard((shard) => client.hlen(shard.members(group)));
    return counts.reduce((sum, count) => sum + count, 0);
  };

  const listMembers = async (group: string): Promise<Listed> => {
    const known = lists.get(group);
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : clock.monotonicMs() - known.atMs;
    if (known !== undefined && ageMs < Math.min(MEMBERS_MAX_AGE_MS, known.list.members.length / MEMBERS_PER_MS)) return known.list;
    const atMs = clock.monotonicMs();
    const shards = await eachShard((shard) => client.hgetall(shard.members(group)));
    const list: Listed = {
      kind: 'listed',
      members: shards.flatMap((fields) => Object.entries(fields).flatMap(([uid, text]) => toMember(uid, text))),
    };
    for (const [name, { atMs: readAtMs }] of lists) if (atMs - readAtMs > LIST_KEEP_MS) lists.delete(name);
    lists.set(group, { atMs, list });
    return list;
  };

  /** Shares of agents that take configs, and of pollers, in a group that is too large to list. */
  const shareOf = async (group: string): Promise<{ takes: number; http: number }> => {
    const known = shares.get(group);
    if (known !== undefined && clock.monotonicMs() - known.atMs < SHARE_MAX_AGE_MS) return known;
    const samples = (await eachShard((shard) => client.hrandfield(shard.members(group), 100, 'WITHVALUES'))) as string[][];
    const members = samples.flatMap((flat) => pairs(flat).map(([uid, text]) => parseMember(uid, text)));
    const takes = members.filter((member) => member.takesConfig);
    const share = {
      atMs: clock.monotonicMs(),
      takes: members.length === 0 ? 0 : takes.length / members.length,
      http: members.length === 0 ? 0 : takes.filter((member) => member.gateway === HTTP_OWNER).length / members.length,
    };
    shares.set(group, share);
    return share;
  };

  return {
    ...records,
    beat: sendBeat,
    nowMs: () => fleetTimeMs(client, keys),

    async gateways() {
      return (await directory.list()).filter((gateway) => gateway.alive);
    },

    async spec() {
      const fields = await client.hgetall(keys.spec);
      return { spec: parseSpec(fields), fields };
    },

    async settle(id) {
      try {
        const replies = await eachShard((shard) => settleShard(shard, id));
        return {
          counters: sumCounters(replies.map((reply) => reply.counters)),
          overdue: replies.reduce((sum, reply) => sum + reply.overdue, 0),
          observe: replies.flatMap((reply) => reply.observe),
        };
      } catch (error) {
        delayJudging();
        throw error;
      }
    },

    async counters(id) {
      const shards = await eachShard((shard) => client.hgetall(shard.rollout(id)));
      return sumCounters(
        shards.map((fields) => Object.fromEntries(Object.entries(fields).map(([field, count]) => [field, Number(count)]))),
      );
    },

    async finish(id) {
      const total: Record<string, number> = {};
      for (const shard of await eachShard((keysOf) => finishRollout(client, keysOf, id, endedTtlSeconds))) {
        for (const [field, count] of Object.entries(shard)) total[field] = (total[field] ?? 0) + count;
      }
      return total;
    },

    connected,

    async away(group) {
      const counts = await eachShard((shard) => client.hget(shard.facets, `group=${group}|0`));
      return counts.reduce((sum, count) => sum + Number(count ?? 0), 0);
    },

    async pinned(group) {
      const samples = (await eachShard((shard) => client.hrandfield(shard.members(group), PIN_SAMPLE, 'WITHVALUES'))) as string[][];
      const sizes = await eachShard((shard) => client.hlen(shard.members(group)));
      const counts = await Promise.all(
        samples.map(async (flat, index) => {
          const members = pairs(flat).map(([uid, text]) => parseMember(uid, text));
          const others = members.filter((member) => !member.takesConfig).map(({ uid, origin }) => ({ uid, origin, http: false }));
          const found = await records.candidates(others, []);
          const scale = members.length === 0 ? 0 : Math.max(1, (sizes[index] ?? 0) / members.length);
          return scale * found.filter(({ pinned }) => pinned).length;
        }),
      );
      return Math.round(counts.reduce((sum, count) => sum + count, 0));
    },

    async members(group, limit) {
      const total = await connected(group);
      if (total <= limit) return listMembers(group);
      const share = await shareOf(group);
      return { kind: 'counted', connected: Math.round(total * share.takes), http: Math.round(total * share.http) };
    },

    async sampleMembers(group, count) {
      const perShard = Math.max(1, Math.ceil(count / keys.shards.length));
      const samples = (await eachShard((shard) => client.hrandfield(shard.members(group), perShard, 'WITHVALUES'))) as string[][];
      return samples.flatMap((flat) => pairs(flat).flatMap(([uid, text]) => toMember(uid, text)));
    },

    async failureGroups(id) {
      return sumFailureGroups(await eachShard((shard) => client.hgetall(shard.rolloutFailureGroups(id))));
    },

    async countFailuresBy(id, attributes) {
      await eachShard((shard) => client.hset(shard.rolloutFailureGroups(id), 'spreadBy', attributes.join('\n')));
    },

    async failures(id, limit) {
      const sizes = await eachShard((shard) => client.hlen(shard.rolloutFailures(id)));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      if (limit === 0 || total === 0) return { items: [], total };
      let left = limit;
      const wanted = sizes.map((size) => {
        const take = Math.min(size, left);
        left -= take;
        return take;
      });
      const shards = await Promise.all(
        keys.shards.map(async (shard, index) => await firstFields(shard.rolloutFailures(id), wanted[index] ?? 0)),
      );
      const listed = shards.flat();
      const rows = await records.rowsOf(
        id,
        listed.map(([uid]) => uid),
      );
      const items = listed.map(([uid, text]): FailureView => {
        const at = text.indexOf('|');
        const status = text.slice(0, Math.max(0, at));
        return { uid, status: isRowStatus(status) ? status : 'failed', wave: rows.get(uid)?.wave ?? '', error: text.slice(at + 1) };
      });
      return { items, total };
    },

    async frozen() {
      return (await client.hget(keys.spec, specField.frozen)) === '1';
    },
  };
}

/** Replies of a sample: flat, or already in pairs, as the protocol has it. */
function pairs(reply: readonly (string | readonly string[])[]): [string, string][] {
  if (Array.isArray(reply[0])) return (reply as readonly [string, string][]).map(([uid, text]) => [uid, text]);
  const flat = reply as readonly string[];
  return Array.from({ length: Math.floor(flat.length / 2) }, (_, index) => [flat[2 * index] as string, flat[2 * index + 1] as string]);
}

function toMember(uid: string, text: string): ConnectedMember[] {
  const member = parseMember(uid, text);
  return member.takesConfig ? [{ uid, origin: member.origin, http: member.gateway === HTTP_OWNER }] : [];
}
