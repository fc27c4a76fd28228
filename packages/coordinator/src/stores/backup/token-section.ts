import { parseAgentToken } from '@opamp-gateway/shared/agent-token';
import { putToken } from '@opamp-gateway/shared/redis/token-scripts';
import { countOf, textOf } from './section.ts';
import type { BackupSection } from './section.ts';

/** Ids looked at by one call. */
const BATCH = 500;

/**
 * Credentials of agents, as hashes. What is stored here already stays as it is, whatever `force` says: it is newer than the
 * backup, which must not bring back what was revoked since.
 */
export const TOKEN_SECTION: BackupSection = {
  name: 'tokens',

  async *read({ client, keys }) {
    for (let after = '-'; ;) {
      const ids = await client.zrange(keys.tokenIds, after, '+', 'BYLEX', 'LIMIT', 0, BATCH);
      const last = ids.at(-1);
      if (last === undefined) return;
      const [texts, uses] = await Promise.all([client.hmget(keys.tokens, ...ids), client.hmget(keys.tokenUses, ...ids)]);
      for (const [i, id] of ids.entries()) {
        const text = texts[i] ?? null;
        if (text !== null) yield { id, token: text, uses: Number(uses[i] ?? 0) };
      }
      after = `(${last}`;
    }
  },

  async existing() {
    return undefined;
  },

  async clear() {},

  restorer({ client, keys }) {
    const tokens = new Map<string, { text: string; uses: number }>();
    return {
      async restore(record) {
        const id = textOf(record, 'id');
        const text = textOf(record, 'token');
        if (parseAgentToken(text).id !== id) throw new TypeError(`the token ${id} says another id of itself`);
        tokens.set(id, { text, uses: countOf(record, 'uses') });
      },
      async activate() {
        for (const [id, { text, uses }] of tokens) {
          if ((await putToken(client, keys, { id, from: '', to: text })) && uses > 0) await client.hset(keys.tokenUses, id, uses);
        }
      },
    };
  },
};
