import { describe, expect, it } from 'vitest';
import { newAgentToken, readAgentToken, realmOf, tokenHash, tokenProblem } from './agent-token.ts';

describe('agent tokens', () => {
  it('are long, random, and say their kind and id', () => {
    const token = newAgentToken('agent', 1_700_000_000_000);
    const other = newAgentToken('enrolment', 1_700_000_000_001);
    expect(readAgentToken(token.text)).toEqual({ kind: 'agent', id: token.id });
    expect(readAgentToken(other.text)).toEqual({ kind: 'enrolment', id: other.id });
    expect(Buffer.from(token.text.slice(-43), 'base64url')).toHaveLength(32);
    expect(token.hash).toBe(tokenHash(token.text));
    expect(token.id < other.id).toBe(true);
    for (const text of ['', 'x', `${token.text} `, token.text.slice(0, -1), `oat_${token.id}`])
      expect(readAgentToken(text)).toBeUndefined();
  });

  it('are refused once revoked, or when their time has come', () => {
    expect(tokenProblem({ revokedAtMs: null, expiresAtMs: null }, 5)).toBeUndefined();
    expect(tokenProblem({ revokedAtMs: null, expiresAtMs: 6 }, 5)).toBeUndefined();
    expect(tokenProblem({ revokedAtMs: null, expiresAtMs: 5 }, 5)).toBe('expired');
    expect(tokenProblem({ revokedAtMs: 4, expiresAtMs: 5 }, 5)).toBe('revoked');
  });

  it('share a realm when they allow the same', () => {
    const realm = realmOf({ labels: { tenant: 'a', site: 'x' }, groups: ['p', 'q'] });
    expect(realmOf({ labels: { site: 'x', tenant: 'a' }, groups: ['q', 'p'] })).toBe(realm);
    expect(realmOf({ labels: { site: 'x', tenant: 'b' }, groups: ['q', 'p'] })).not.toBe(realm);
    expect(realmOf({ labels: { site: 'x', tenant: 'a' }, groups: null })).not.toBe(realm);
    expect(realmOf({ labels: {}, groups: [] })).not.toBe('');
    expect(realmOf({ labels: {}, groups: null })).toBe('');
  });
});
