import { commitRollout } from '@opamp-gateway/shared/redis/fleet-scripts';
import { specField } from '@opamp-gateway/shared/fleet-spec';
import { isTerminal, parseDocument, toSpecField } from '../../rollout/document.ts';
import type { RolloutDocument } from '../../rollout/document.ts';
import { restoredDocument } from '../../rollout/restored.ts';
import { textOf, textsOf } from './section.ts';
import type { BackupSection, RestoreContext, SectionContext } from './section.ts';

/** Rollouts and events read at a time. */
const CHUNK = 100;

/** Every rollout with its events: ended ones as they are, active ones to be held. */
export const ROLLOUT_SECTION: BackupSection = {
  name: 'rollouts',

  async *read({ client, keys }) {
    for (let start = 0; ; start += CHUNK) {
      const ids = await client.zrange(keys.rollouts, String(start), String(start + CHUNK - 1));
      for (const id of ids) {
        const document = await client.hget(keys.rollout(id), 'doc');
        if (document === null) continue;
        // Events that follow the document belong to steps that it does not show.
        const { eventSeq } = parseDocument(document);
        yield { kind: 'rollout', id, document };
        for (let from = 0; from < eventSeq; from += CHUNK)
          yield { kind: 'events', id, events: await client.lrange(keys.rolloutEvents(id), from, Math.min(from + CHUNK, eventSeq) - 1) };
      }
      if (ids.length < CHUNK) return;
    }
  },

  async existing({ client, keys }) {
    const count = await client.zcard(keys.rollouts);
    return count === 0 ? undefined : `${count} rollouts`;
  },

  async clear({ client, keys }) {
    for (;;) {
      const ids = await client.zrange(keys.rollouts, '0', String(CHUNK - 1));
      for (const id of ids) await client.del(keys.rollout(id), keys.rolloutEvents(id));
      if (ids.length > 0) await client.zrem(keys.rollouts, ...ids);
      if (ids.length < CHUNK) break;
    }
    await client.del(keys.rolloutsDue, keys.rolloutsActive);
  },

  restorer(context) {
    const { client, keys } = context;
    const active: RolloutDocument[] = [];
    const seen = new Set<string>();
    return {
      async restore(record) {
        const id = textOf(record, 'id');
        if (record['kind'] === 'events') {
          if (!seen.has(id)) throw new TypeError(`events of rollout ${id}, which is not in the file`);
          const events = textsOf(record, 'events');
          if (events.length > 0) await client.rpush(keys.rolloutEvents(id), ...events);
          return;
        }
        const document = parseDocument(textOf(record, 'document'));
        if (document.id !== id) throw new TypeError(`the document of rollout ${id} has another id`);
        seen.add(id);
        // A try before this one may have left events.
        await client.del(keys.rolloutEvents(id));
        if (isTerminal(document)) await storeEnded(context, document);
        else active.push(document);
      },
      async activate() {
        for (const document of active) await commitActive(context, document);
      },
      notes: () =>
        active.map(({ id, group, phase }) =>
          phase === 'rolling_back'
            ? `rollout ${id} of group ${group} goes on being taken back`
            : `rollout ${id} of group ${group} is held: resume it when its agents are back`,
        ),
    };
  },
};

async function storeEnded({ client, keys }: SectionContext, document: RolloutDocument): Promise<void> {
  // Its shard counters are not saved: what they said last is in the document, or is not known any more.
  const ended = { ...document, cleanup: 'done', finalCounters: document.finalCounters ?? {} };
  await client.hset(keys.rollout(document.id), 'rev', document.rev, 'doc', JSON.stringify(ended));
  await client.zadd(keys.rollouts, document.createdAtMs, document.id);
}

async function commitActive({ client, keys, nowMs, takenAtMs }: RestoreContext, saved: RolloutDocument): Promise<void> {
  const { document, events } = restoredDocument(saved, { nowMs, takenAtMs });
  const field = toSpecField(document);
  const outcome = await commitRollout(client, keys, {
    id: document.id,
    expectedRev: 0,
    document: JSON.stringify(document),
    group: document.group,
    createdAtMs: document.createdAtMs,
    nextEvalAtMs: nowMs,
    active: document.predecessor === null ? 'set' : `replace:${document.predecessor}`,
    idempotencyKey: null,
    specSet: field === null ? {} : { [specField.rollout(document.id)]: field },
    specDel: [],
    events: events.map((event) => JSON.stringify(event)),
    outbox: [],
  });
  if (outcome.kind !== 'ok') throw new Error(`rollout ${document.id} could not be restored: ${outcome.kind}`);
}
