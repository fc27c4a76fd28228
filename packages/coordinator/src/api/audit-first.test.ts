import type { AgentToken } from '@opamp-gateway/shared/agent-token';
import { describe, expect, it } from 'vitest';
import { agentFields, createFakeApi, uidOf } from '../../test-support/api-fakes.ts';
import type { AgentTokenStore } from '../stores/agent-token-store.ts';
import type { AuditLog } from '../stores/audit-log.ts';

const TOKEN: AgentToken = {
  id: '0'.repeat(20),
  kind: 'agent',
  name: 'edge',
  hash: '00',
  labels: {},
  groups: null,
  createdAtMs: 1,
  createdBy: 'ann',
  expiresAtMs: null,
  revokedAtMs: null,
  enrolledBy: null,
  maxUses: null,
  tokenTtlMs: null,
};

/** A coordinator that ends where the entry is written, as seen from outside. */
const ENDS: AuditLog = {
  append: () => Promise.reject(new Error('Connection is closed.')),
  format: async () => '',
  list: async () => ({ items: [], next: undefined }),
  verify: () => Promise.reject(new Error('not here')),
  trim: async () => 0,
};

/** A store of one token that keeps what was asked of it. */
function store(asked: string[]): AgentTokenStore {
  return {
    nowMs: async () => 2,
    create: async () => asked.push('create') > 0,
    find: async (id) => (id === TOKEN.id ? { token: TOKEN, lastUsedAtMs: null, uses: 0 } : undefined),
    list: async () => ({ items: [], next: undefined }),
    change: async (_id, change) => {
      asked.push('change');
      return { before: TOKEN, after: change(TOKEN) };
    },
    enrol: async () => ({ kind: 'unknown' }),
  };
}

const CHANGES = [
  ['labels', 'PUT', `/agents/${uidOf(1)}/labels`, { labels: { a: 'b' } }],
  ['unpin', 'DELETE', `/agents/${uidOf(1)}/pin`, undefined],
  ['a new token', 'POST', '/tokens', { name: 'edge' }],
  ['a change of a token', 'PATCH', `/tokens/${TOKEN.id}`, { name: 'other' }],
  ['a revocation', 'DELETE', `/tokens/${TOKEN.id}`, undefined],
] as const;

describe('the entry of a change', () => {
  it.each(CHANGES)('comes before it: %s', async (_what, method, path, body) => {
    const asked: string[] = [];
    const ending = await createFakeApi({ audit: ENDS, agentTokens: store(asked) });
    ending.state.agents.set(uidOf(1), agentFields({ pin: '' }));
    const before = structuredClone(ending.state.agents.get(uidOf(1)));
    expect((await ending.call(method, path, body)).status).toBe(503);
    expect(asked).toEqual([]);
    expect(ending.state.agents.get(uidOf(1))).toEqual(before);
    expect(ending.state.hints).toEqual([]);

    const { call, state } = await createFakeApi({ agentTokens: store(asked) });
    state.agents.set(uidOf(1), agentFields({ pin: '' }));
    expect((await call(method, path, body)).status).toBeLessThan(300);
    expect(state.audit).toHaveLength(1);
    expect(asked.length + state.hints.length).toBe(1);
  });

  it('is not written for what is refused before', async () => {
    const revoked = { ...store([]), find: async () => ({ token: { ...TOKEN, revokedAtMs: 1 }, lastUsedAtMs: null, uses: 0 }) };
    const { call, state } = await createFakeApi({ agentTokens: revoked });
    expect((await call('PATCH', `/tokens/${TOKEN.id}`, { name: 'x' })).status).toBe(409);
    expect((await call('DELETE', `/tokens/${TOKEN.id}`)).status).toBe(204);
    expect((await call('PUT', `/agents/${uidOf(9)}/labels`, { labels: {} })).status).toBe(404);
    expect(state.audit).toEqual([]);
  });
});
