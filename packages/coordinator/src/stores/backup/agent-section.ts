import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { restoreAgent } from '@opamp-gateway/shared/redis/agent-scripts';
import { fieldsOf, textOf } from './section.ts';
import type { BackupSection, SectionRecord } from './section.ts';

/** Records read at a time. */
const CHUNK = 500;

/** What an agent cannot tell again. */
const FIELDS = [
  'origin',
  'createdAt',
  'pin',
  'labels',
  'failed',
  'offered',
  'offerAnswered',
  'offeredFor',
  'unhealthyWhenOffered',
] as const;

const UID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Agents of which something is known that they cannot tell again: pin, labels, hashes they FAILED, a former uid, and rows of rollouts
 * that go on. All others come back by themselves, with their next connection. Read after the rollouts, so that no document says
 * of an agent what its rows do not know yet.
 */
export const AGENT_SECTION: BackupSection = {
  name: 'agents',

  async *read(context) {
    const { client, keys } = context;
    const active = (await client.hvals(keys.rolloutsActive)).toSorted();
    for (const shard of keys.shards) {
      let after = '-';
      for (;;) {
        const uids = await client.zrangebylex(shard.uids, after, '+', 'LIMIT', 0, CHUNK);
        const pipeline = client.pipeline();
        for (const uid of uids) pipeline.hmget(shard.agent(uid), ...FIELDS, ...active.map((id) => `r:${id}`));
        const replies = (await pipeline.exec()) ?? [];
        for (const [index, uid] of uids.entries()) {
          const [error, texts] = replies[index] ?? [];
          if (error !== null && error !== undefined) throw error;
          const record = toSaved(uid, texts as (string | null)[], active);
          if (record !== undefined) yield record;
        }
        const last = uids.at(-1);
        if (last === undefined || uids.length < CHUNK) break;
        after = `(${last}`;
      }
    }
    const now = (await client.hvals(keys.rolloutsActive)).toSorted();
    const ended = active.filter((id) => !now.includes(id));
    // Its agents have lost their rows by now, and the document of before would take them back.
    if (ended.length > 0) throw new Error(`rollout ${ended.join(', ')} ended meanwhile: make the backup again`);
  },

  async existing() {
    // Agents come back by themselves, so there may be some at once; what is here of them stays.
    return undefined;
  },

  async clear() {},

  restorer({ client, keys }) {
    let edited = 0;
    return {
      async restore(record) {
        const uid = textOf(record, 'uid');
        if (!UID.test(uid)) throw new TypeError('the field uid is no uid');
        const set = fieldsOf(record, 'fields');
        for (const field of Object.keys(set))
          if (!(FIELDS as readonly string[]).includes(field)) throw new TypeError(`the field ${field} does not belong into a backup`);
        const shard = keys.shards[shardOf(uid)];
        if (shard === undefined) throw new RangeError(`agent ${uid} has no shard`);
        const outcome = await restoreAgent(client, shard, { uid, set, rows: fieldsOf(record, 'rows') });
        if (outcome === 'edited') edited += 1;
      },
      notes: () => (edited === 0 ? [] : [`${edited} agents were here already: they keep what they have reported meanwhile`]),
    };
  },
};

function toSaved(uid: string, texts: readonly (string | null)[], active: readonly string[]): SectionRecord | undefined {
  const fields: Record<string, string> = {};
  const rows: Record<string, string> = {};
  for (const [index, name] of FIELDS.entries()) {
    const text = texts[index];
    if (text !== null && text !== undefined && text !== '') fields[name] = text;
  }
  for (const [index, id] of active.entries()) {
    const text = texts[FIELDS.length + index];
    if (text !== null && text !== undefined) rows[id] = text;
  }
  const isPlain = (fields['labels'] ?? '{}') === '{}' && fields['pin'] === undefined && fields['failed'] === undefined;
  if (isPlain && (fields['origin'] ?? uid) === uid && Object.keys(rows).length === 0) return undefined;
  return { uid, fields, rows };
}
