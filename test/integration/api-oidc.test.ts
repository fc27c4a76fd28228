import { createHash, randomBytes } from 'node:crypto';
import { coordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import type { Coordinator } from '@opamp-gateway/coordinator/coordinator';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OidcIssuer } from '../support/oidc-issuer.ts';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

let redis: RedisLab;
let issuer: OidcIssuer;
const opened: Coordinator[] = [];

beforeAll(async () => {
  redis = await startRedis();
  issuer = await OidcIssuer.start();
});
afterAll(async () => {
  await Promise.all(opened.map((coordinator) => coordinator.stop()));
  await issuer.stop();
  await redis.stop();
});

async function start(keyPrefix: string): Promise<Coordinator> {
  const oidc = {
    issuer: issuer.url,
    audience: issuer.clientId,
    clientId: issuer.clientId,
    scopes: ['openid'],
    nameClaim: 'sub',
    roleClaim: 'roles',
    roles: new Map([
      ['viewer', 'viewer'],
      ['operator', 'operator'],
    ] as const),
    groupsClaim: 'groups',
    algorithms: ['ES256'],
    clockSkewSeconds: 5,
  };
  const coordinator = createCoordinator(coordinatorConfig({ redisUrl: redis.url, keyPrefix, oidc }), { logger: createSilentLogger() });
  opened.push(coordinator);
  await coordinator.start();
  return coordinator;
}

describe('single sign-on', () => {
  it('leads a browser from the code to a token, with PKCE, and the token to its role and groups', async () => {
    const { apiUrl } = await start('oidc-flow');
    const auth = (await (await fetch(`${apiUrl}/api/v1/auth`)).json()) as { oidc: { issuer: string; clientId: string } };
    expect(auth).toEqual({ anonymous: false, token: false, oidc: { issuer: issuer.url, clientId: 'opamp', scopes: ['openid'] } });
    const page = await fetch(`${apiUrl}/`);
    expect(page.headers.get('content-security-policy')).toContain(`connect-src 'self' ${issuer.url};`);

    const discovery = (await (await fetch(`${auth.oidc.issuer}/.well-known/openid-configuration`)).json()) as Record<string, string>;
    const verifier = randomBytes(32).toString('base64url');
    const redirectUri = `${apiUrl}/`;
    const asked = new URLSearchParams({
      client_id: auth.oidc.clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: 'openid',
      state: 's1',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    issuer.user = { sub: 'ann', roles: ['operator'], groups: ['prod'] };
    const back = await fetch(`${discovery['authorization_endpoint']}?${asked.toString()}`, { redirect: 'manual' });
    const { searchParams } = new URL(back.headers.get('location') ?? '');
    expect(searchParams.get('state')).toBe('s1');
    const trade = async (code_verifier: string, code: string): Promise<Response> =>
      await fetch(discovery['token_endpoint'] ?? '', {
        method: 'POST',
        headers: { origin: apiUrl },
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id: 'opamp',
          redirect_uri: redirectUri,
          code,
          code_verifier,
        }),
      });
    const traded = await trade(verifier, searchParams.get('code') ?? '');
    expect(traded.headers.get('access-control-allow-origin')).toBe(apiUrl);
    const { access_token: token } = (await traded.json()) as { access_token: string };
    expect((await trade(verifier, searchParams.get('code') ?? '')).status).toBe(400);
    const me = await fetch(`${apiUrl}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } });
    expect(await me.json()).toMatchObject({ name: 'ann', kind: 'oidc', role: 'operator', groups: ['prod'] });
  });

  it('refuses what is not good, changes nothing by it, and follows the keys of the issuer', async () => {
    const { apiUrl } = await start('oidc-refusals');
    const put = async (token: string, group = 'prod'): Promise<{ status: number; type: string; detail: string }> => {
      const answer = await fetch(`${apiUrl}/api/v1/rollouts`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ group, config: { name: 'base', version: 1 } }),
      });
      return (await answer.json()) as { status: number; type: string; detail: string };
    };
    const operator = { sub: 'ann', roles: ['operator'], groups: ['prod'] };
    // Good: the group is not there yet, and that is all that is wrong.
    expect(await put(await issuer.sign(operator))).toMatchObject({ status: 404, type: '/problems/group-not-found' });
    expect(await put(await issuer.sign({ ...operator, roles: ['viewer'] }))).toMatchObject({
      status: 403,
      type: '/problems/role-required',
    });
    expect(await put(await issuer.sign({ ...operator, roles: ['chief'] }))).toMatchObject({ status: 403, type: '/problems/role-required' });
    expect(await put(await issuer.sign(operator), 'edge')).toMatchObject({ status: 403, type: '/problems/out-of-scope' });
    for (const [token, detail] of [
      [await issuer.sign(operator, { expiresInSeconds: -60 }), /expired/],
      [await issuer.sign(operator, { withoutExpiry: true }), /exp/],
      [await issuer.sign(operator, { audience: 'another' }), /audience/],
      [await issuer.sign(operator, { audience: null }), /audience/],
      [await issuer.sign(operator, { issuer: 'https://evil.example' }), /issuer/],
      [await issuer.sign(operator, { forged: true }), /signature/],
      [await issuer.sign(operator, { notBeforeSeconds: 3000 }), /not valid yet/],
    ] as const) {
      expect(await put(token)).toMatchObject({ status: 401, type: '/problems/unauthenticated', detail: expect.stringMatching(detail) });
    }
    const [, payload] = (await issuer.sign({ ...operator, roles: ['admin'] })).split('.');
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
    expect(await put(none)).toMatchObject({ status: 401, type: '/problems/unauthenticated' });

    await issuer.pause();
    const known = await issuer.sign(operator);
    expect(await put(known)).toMatchObject({ status: 404, type: '/problems/group-not-found' });
    await issuer.resume();
  });

  it('answers 503 while no key of the issuer is known, and takes its tokens once it is back', async () => {
    await issuer.pause();
    const { apiUrl } = await start('oidc-away');
    const token = await issuer.sign({ sub: 'ann', roles: ['viewer'] });
    const answer = await fetch(`${apiUrl}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await answer.json()).toMatchObject({ type: '/problems/issuer-unavailable' });
    await issuer.resume();
    const again = async (): Promise<number> =>
      (await fetch(`${apiUrl}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } })).status;
    await expect.poll(again, { timeout: 60_000, interval: 250 }).toBe(200);
  });
});
