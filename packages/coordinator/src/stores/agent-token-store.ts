import { timingSafeEqual } from 'node:crypto';
import {
  formatAgentToken,
  newAgentToken,
  parseAgentToken,
  readAgentToken,
  tokenHash,
  tokenProblem,
} from '@opamp-gateway/shared/agent-token';
import type { AgentToken } from '@opamp-gateway/shared/agent-token';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { enrolToken, putToken } from '@opamp-gateway/shared/redis/token-scripts';
import { redisNowMs } from './redis-time.ts';
import type { ReplicaWait } from './replica-wait.ts';

/** Most characters of a name, as the API takes it. */
const MAX_NAME = 64;

/** A credential with what is counted of it. */
export interface AgentTokenItem {
  token: AgentToken;
  /** When it was last presented, to within five minutes; null = never. */
  lastUsedAtMs: number | null;
  /** How often an enrolment token was exchanged. */
  uses: number;
}

/** Outcome of an exchange. `unknown` is every text that is no enrolment token of ours. */
export type Enrolment =
  | { kind: 'ok'; enrolment: AgentToken; token: AgentToken; text: string }
  | { kind: 'unknown' }
  | { kind: 'revoked' | 'expired' | 'spent'; enrolment: AgentToken };

/** The credentials of agents. */
export interface AgentTokenStore {
  /** The clock that expiry is judged by. */
  nowMs(): Promise<number>;
  /** Stores a new credential; false when there is one of that id. */
  create(token: AgentToken): Promise<boolean>;
  find(id: string): Promise<AgentTokenItem | undefined>;
  /** At most `limit`, in the order of ids, which is that of creation, after the given one; `next` continues, undefined at the end. */
  list(query: { after: string; limit: number }): Promise<{ items: AgentTokenItem[]; next: string | undefined }>;
  /** Changes one and tells the gateways; undefined when there is none. `change` may be called again when somebody else was first. */
  change(id: string, change: (token: AgentToken) => AgentToken): Promise<{ before: AgentToken; after: AgentToken } | undefined>;
  /** Exchanges the text of an enrolment token for a new agent token. Of two exchanges of the last use one wins. */
  enrol(text: string, name: string | undefined): Promise<Enrolment>;
}

/** Builds the store on the hash `{opamp}:tokens`. */
export function createAgentTokenStore(options: { client: RedisClient; keys: Keys; replicas?: ReplicaWait }): AgentTokenStore {
  const { client, keys, replicas } = options;

  const items = async (ids: readonly string[]): Promise<AgentTokenItem[]> => {
    if (ids.length === 0) return [];
    const [texts, used, uses] = await Promise.all([
      client.hmget(keys.tokens, ...ids),
      client.hmget(keys.tokensUsed, ...ids),
      client.hmget(keys.tokenUses, ...ids),
    ]);
    return texts.flatMap((text, i) => {
      if (text === null) return [];
      const at = used[i] ?? null;
      return [{ token: parseAgentToken(text), lastUsedAtMs: at === null ? null : Number(at), uses: Number(uses[i] ?? 0) }];
    });
  };

  return {
    nowMs: () => redisNowMs(client),

    async create(token) {
      const stored = await putToken(client, keys, { id: token.id, from: '', to: formatAgentToken(token) });
      if (stored) await replicas?.();
      return stored;
    },

    async find(id) {
      return (await items([id]))[0];
    },

    async list({ after, limit }) {
      const ids = await client.zrange(keys.tokenIds, after === '' ? '-' : `(${after}`, '+', 'BYLEX', 'LIMIT', 0, limit);
      return { items: await items(ids), next: ids.length < limit ? undefined : ids.at(-1) };
    },

    async change(id, change) {
      for (;;) {
        const text = await client.hget(keys.tokens, id);
        if (text === null) return undefined;
        const before = parseAgentToken(text);
        const after = change(before);
        const to = formatAgentToken(after);
        if (to === text) return { before, after };
        if (await putToken(client, keys, { id, from: text, to })) {
          await replicas?.();
          return { before, after };
        }
      }
    },

    async enrol(text, name) {
      const read = readAgentToken(text);
      if (read?.kind !== 'enrolment') return { kind: 'unknown' };
      for (;;) {
        const stored = await client.hget(keys.tokens, read.id);
        if (stored === null) return { kind: 'unknown' };
        const enrolment = parseAgentToken(stored);
        if (enrolment.kind !== 'enrolment' || !timingSafeEqual(Buffer.from(enrolment.hash), Buffer.from(tokenHash(text))))
          return { kind: 'unknown' };
        const nowMs = await redisNowMs(client);
        const problem = tokenProblem(enrolment, nowMs);
        if (problem !== undefined) return { kind: problem, enrolment };
        const made = newAgentToken('agent', nowMs);
        const token: AgentToken = {
          id: made.id,
          kind: 'agent',
          name: (name ?? enrolment.name).slice(0, MAX_NAME),
          hash: made.hash,
          labels: enrolment.labels,
          groups: enrolment.groups,
          createdAtMs: nowMs,
          createdBy: `enrolment/${enrolment.id}`,
          expiresAtMs: enrolment.tokenTtlMs === null ? null : nowMs + enrolment.tokenTtlMs,
          revokedAtMs: null,
          enrolledBy: enrolment.id,
          maxUses: null,
          tokenTtlMs: null,
        };
        const outcome = await enrolToken(client, keys, {
          id: enrolment.id,
          text: stored,
          maxUses: enrolment.maxUses ?? 1,
          expiresAtMs: enrolment.expiresAtMs,
          newId: token.id,
          newText: formatAgentToken(token),
        });
        if (outcome === 'changed') continue;
        if (outcome !== 'ok') return { kind: outcome, enrolment };
        await replicas?.();
        return { kind: 'ok', enrolment, token, text: made.text };
      }
    },
  };
}
