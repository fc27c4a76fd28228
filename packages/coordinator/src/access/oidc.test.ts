import { createHmac } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { createOidcKeys, IssuerUnavailable, isSafeUrl } from './oidc-keys.ts';
import { createOidcVerifier, looksLikeJwt, parseRoleMap } from './oidc.ts';
import type { OidcSettings } from './oidc.ts';

const ISSUER = 'https://issuer.example/realms/x';
const NOW_MS = Date.UTC(2026, 0, 1);
const NOW_S = NOW_MS / 1000;
const SETTINGS: OidcSettings = {
  issuer: ISSUER,
  audience: 'opamp',
  clientId: 'opamp',
  scopes: ['openid'],
  nameClaim: 'sub',
  roleClaim: 'roles',
  roles: parseRoleMap([]),
  groupsClaim: undefined,
  algorithms: ['RS256', 'ES256'],
  clockSkewSeconds: 30,
};

type Key = Awaited<ReturnType<typeof generateKeyPair>>;
let first: Key;
let second: Key;
beforeAll(async () => {
  first = await generateKeyPair('ES256', { extractable: true });
  second = await generateKeyPair('ES256', { extractable: true });
});

/** An issuer in memory: what it publishes, and whether it can be reached. */
async function issuer(over: Partial<OidcSettings> = {}) {
  const world = {
    nowMs: NOW_MS,
    isAway: false,
    fetches: 0,
    keys: [{ ...(await exportJWK(first.publicKey)), kid: 'one', alg: 'ES256' }] as object[],
    discovery: { issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, token_endpoint: 'https://token.example/t' } as object,
  };
  const answer = async (url: string | URL | Request): Promise<Response> => {
    if (world.isAway) throw new TypeError('fetch failed');
    const isKeys = url === `${ISSUER}/keys`;
    if (isKeys) world.fetches += 1;
    return Response.json(isKeys ? { keys: world.keys } : world.discovery);
  };
  const now = (): number => world.nowMs;
  const keys = createOidcKeys({ issuer: ISSUER, now, fetch: answer });
  return { world, keys, verifier: createOidcVerifier({ ...SETTINGS, ...over }, { keys, now }) };
}

async function sign(
  claims: Record<string, unknown> = {},
  header: { alg?: string; kid?: string; key?: Key['privateKey'] } = {},
): Promise<string> {
  const payload = { iss: ISSUER, aud: 'opamp', sub: 'ann', exp: NOW_S + 60, roles: ['operator'], ...claims };
  for (const [name, value] of Object.entries(payload)) if (value === undefined) delete (payload as Record<string, unknown>)[name];
  return await new SignJWT(payload)
    .setProtectedHeader({ alg: header.alg ?? 'ES256', kid: header.kid ?? 'one' })
    .sign(header.key ?? first.privateKey);
}

function unsigned(alg: string, signature: (input: string) => string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg, kid: 'one' })}.${part({ iss: ISSUER, aud: 'opamp', sub: 'ann', exp: NOW_S + 60, roles: ['admin'] })}`;
  return `${input}.${signature(input)}`;
}

describe('tokens of an issuer', () => {
  it('give their holder a role, and groups where these are asked for', async () => {
    const { verifier } = await issuer();
    expect(await verifier.verify(await sign())).toEqual({ kind: 'ok', holder: { name: 'ann', role: 'operator', also: [], scope: '*' } });
    const grouped = await issuer({ groupsClaim: 'opamp_groups' });
    const verdict = await grouped.verifier.verify(await sign({ opamp_groups: ['prod', 'edge', '/not a group'] }));
    expect(verdict).toMatchObject({ holder: { scope: new Set(['prod', 'edge']) } });
    expect(await grouped.verifier.verify(await sign())).toMatchObject({ holder: { scope: new Set() } });
    expect(await grouped.verifier.verify(await sign({ opamp_groups: '*' }))).toMatchObject({ holder: { scope: '*' } });
  });

  it('may have names, roles and their claims of another kind', async () => {
    const { verifier } = await issuer({
      nameClaim: 'email',
      roleClaim: 'realm_access.roles',
      roles: parseRoleMap(['sre=operator', 'board=approver', 'board=approver']),
    });
    const token = await sign({ email: 'ann@example.com', realm_access: { roles: ['other', 'board', 'sre'] }, roles: ['admin'] });
    expect(await verifier.verify(token)).toEqual({
      kind: 'ok',
      holder: { name: 'ann@example.com', role: 'approver', also: ['operator'], scope: '*' },
    });
  });

  it.each([
    ['has expired', { exp: NOW_S - 31 }, /has expired/],
    ['never expires', { exp: undefined }, /exp/],
    ['is for another audience', { aud: 'other' }, /audience/],
    ['is for no audience', { aud: undefined }, /audience/],
    ['is of another issuer', { iss: 'https://evil.example' }, /issuer/],
    ['is not valid yet', { nbf: NOW_S + 31 }, /not valid yet/],
    ['has no subject', { sub: undefined }, /sub/],
    ['names the coordinator itself', { sub: 'system' }, /usable name/],
    ['names a job of the queue', { sub: 'queue/1' }, /usable name/],
    ['has a name with a line break', { sub: 'a\nb' }, /usable name/],
  ])('are refused when one %s', async (_what, claims, detail) => {
    const { verifier } = await issuer();
    expect(await verifier.verify(await sign(claims))).toEqual({ kind: 'refused', detail: expect.stringMatching(detail) });
  });

  it('may be off by the clock skew', async () => {
    const { verifier } = await issuer();
    expect((await verifier.verify(await sign({ exp: NOW_S - 29 }))).kind).toBe('ok');
    expect((await verifier.verify(await sign({ nbf: NOW_S + 29 }))).kind).toBe('ok');
  });

  it('are refused without a signature, with a shared secret, a foreign key or another algorithm', async () => {
    const { verifier, world } = await issuer();
    const publicKey = JSON.stringify(world.keys[0]);
    const hmac = (input: string): string => createHmac('sha256', publicKey).update(input).digest('base64url');
    const foreign = await generateKeyPair('ES384', { extractable: true });
    world.keys.push({ ...(await exportJWK(foreign.publicKey)), kid: 'three', alg: 'ES384' });
    for (const token of [
      unsigned('none', () => ''),
      unsigned('None', () => ''),
      unsigned('HS256', hmac),
      await sign({}, { key: second.privateKey }),
      await sign({}, { alg: 'ES384', kid: 'three', key: foreign.privateKey }),
      `${(await sign()).slice(0, -4)}AAAA`,
      'eyJh.eyJh.x',
    ]) {
      expect((await verifier.verify(token)).kind, token).toBe('refused');
    }
  });

  it('are valid without a role, and then nobody’s', async () => {
    const { verifier } = await issuer();
    for (const roles of [undefined, [], ['root'], { admin: true }, 7, ['__proto__']]) {
      expect(await verifier.verify(await sign({ roles }))).toMatchObject({ kind: 'no-role', name: 'ann' });
    }
  });
});

describe('keys of an issuer', () => {
  it('are fetched once, and again for a key that is new', async () => {
    const { verifier, world } = await issuer();
    for (let count = 0; count < 5; count += 1) expect((await verifier.verify(await sign())).kind).toBe('ok');
    expect(world.fetches).toBe(1);
    world.keys = [{ ...(await exportJWK(second.publicKey)), kid: 'two', alg: 'ES256' }];
    world.nowMs += 31_000;
    expect((await verifier.verify(await sign({}, { kid: 'two', key: second.privateKey }))).kind).toBe('ok');
    expect((await verifier.verify(await sign())).kind).toBe('refused');
    expect(world.fetches).toBe(2);
  });

  it('are not fetched for every token that names a key nobody has', async () => {
    const { verifier, world } = await issuer();
    for (let count = 0; count < 20; count += 1) expect((await verifier.verify(await sign({}, { kid: `x${count}` }))).kind).toBe('refused');
    expect(world.fetches).toBe(1);
  });

  it('are used for a day while the issuer is away, and no longer', async () => {
    const { verifier, world } = await issuer();
    await verifier.prepare();
    world.isAway = true;
    world.nowMs += 23 * 3_600_000;
    const fresh = async (): Promise<string> => await sign({ exp: world.nowMs / 1000 + 60 });
    expect((await verifier.verify(await fresh())).kind).toBe('ok');
    world.nowMs += 31_000;
    await expect(verifier.verify(await sign({}, { kid: 'two', key: second.privateKey }))).rejects.toThrow(IssuerUnavailable);
    await expect(verifier.verify(await sign({}, { kid: 'two', key: second.privateKey }))).rejects.toThrow(IssuerUnavailable);
    world.nowMs += 3_600_000;
    await expect(verifier.verify(await fresh())).rejects.toThrow(IssuerUnavailable);
    world.isAway = false;
    world.nowMs += 31_000;
    expect((await verifier.verify(await fresh())).kind).toBe('ok');
  });

  it('are never taken on trust while the issuer has not been reached yet', async () => {
    const { verifier, world } = await issuer();
    world.isAway = true;
    await expect(verifier.verify(await sign())).rejects.toThrow(IssuerUnavailable);
  });

  it.each([
    ['of another issuer', { issuer: 'https://evil.example', jwks_uri: `${ISSUER}/keys` }],
    ['with keys behind plain HTTP', { issuer: ISSUER, jwks_uri: 'http://issuer.example/keys' }],
    ['without keys', { issuer: ISSUER }],
  ])('are not taken from a discovery document %s', async (_what, discovery) => {
    const { verifier, world } = await issuer();
    world.discovery = discovery;
    await expect(verifier.verify(await sign())).rejects.toThrow(IssuerUnavailable);
    expect(world.fetches).toBe(0);
  });

  it('come with the origins that a browser needs', async () => {
    const { verifier } = await issuer();
    expect(verifier.origins()).toEqual(['https://issuer.example']);
    await verifier.prepare();
    expect(verifier.origins()).toEqual(['https://issuer.example', 'https://token.example']);
  });
});

describe('settings', () => {
  it('know a JWT by its looks', async () => {
    expect(looksLikeJwt(await sign())).toBe(true);
    expect(looksLikeJwt(unsigned('none', () => ''))).toBe(true);
    expect(looksLikeJwt('0f6d2b9c51e84f7a')).toBe(false);
  });

  it('refuse a map of roles with a role that does not exist', () => {
    expect(() => parseRoleMap(['sre=root'])).toThrow(/viewer, operator, approver, admin.*sre=root/);
    expect(() => parseRoleMap(['=admin'])).toThrow('value=role');
  });

  it('take plain HTTP from this machine only', () => {
    expect(['https://x.example', 'http://localhost:8080/a', 'http://127.0.0.1', 'http://[::1]:1'].every(isSafeUrl)).toBe(true);
    expect(['http://x.example', 'http://127.0.0.1.evil.example', 'ftp://localhost', 'x'].some(isSafeUrl)).toBe(false);
  });
});
