import { describe, expect, it } from 'vitest';
import { addGroup, addRollout, agentFields, createFakeApi, fakeRollouts, uidOf } from '../../test-support/api-fakes.ts';
import type { FakeApi } from '../../test-support/api-fakes.ts';
import { ROLES, ROLE_PERMISSIONS } from '../access/roles.ts';
import type { Grant, Role } from '../access/roles.ts';
import type { RolloutService, RolloutView } from '../rollout/service.ts';
import type { TokenFile } from '../stores/token-file.ts';
import { ROUTE_RULES } from './route-permissions.ts';

/** A token says what it is for: `<role>:<groups joined by commas>`. */
const TOKENS: TokenFile = {
  verify(token) {
    const [role = '', groups = ''] = token.split(':');
    if (!(ROLES as readonly string[]).includes(role))
      return { kind: token === 'too-old' ? 'expired' : 'unknown', holder: holderOf('old', 'admin') };
    return { kind: 'ok', holder: holderOf(`the-${role}`, role as Role, groups === '*' ? '*' : new Set(groups.split(','))) };
  },
  refresh: () => false,
};

function holderOf(name: string, role: Role, scope: Grant['scope'] = '*') {
  return { name, role, scope, expiresAtMs: undefined };
}

const UID_A = uidOf(1);
const UID_B = uidOf(2);
const UID_NONE = uidOf(3);

/** Two groups, `a` and `b`, each with a rollout and an agent, and one agent of no group. */
async function twoGroups(): Promise<FakeApi> {
  const done: RolloutService = fakeRollouts({
    create: async () => ({ kind: 'existing', id: 'ra' }),
    get: async (id) =>
      id === 'ra' || id === 'rb' ? ({ id, rev: 1, group: id.slice(1), holds: [], phase: 'running' } as unknown as RolloutView) : undefined,
    list: async ({ groups }) => ({
      items: ['a', 'b'].filter((group) => groups?.has(group) ?? true).map((group) => ({ id: `r${group}` }) as RolloutView),
      nextCursor: null,
    }),
    act: async (id) => ({
      kind: 'ok',
      view: { id, rev: 2, group: id.slice(1) } as RolloutView,
      before: { id, rev: 1 } as unknown as RolloutView,
    }),
    tune: async (id) => ({
      kind: 'ok',
      view: { id, rev: 2, group: id.slice(1) } as RolloutView,
      before: { id, rev: 1 } as unknown as RolloutView,
    }),
    failures: async () => ({ items: [], total: 0, groups: { total: 0, omitted: 0, byMessage: [], byVersion: [], byStratum: [] } }),
    events: async () => [],
  });
  const api = await createFakeApi({ tokens: TOKENS, rollouts: done });
  addGroup(api.state, 'a', 'env=a');
  addGroup(api.state, 'b', 'env=b');
  addRollout(api.state, 'ra', 'a');
  addRollout(api.state, 'rb', 'b');
  for (const [uid, group] of [
    [UID_A, 'a'],
    [UID_B, 'b'],
    [UID_NONE, '-'],
  ] as const) {
    const attributes = JSON.stringify({ identifying: {}, nonIdentifying: { env: group } });
    api.state.agents.set(uid, agentFields({ attributes, group, capabilities: '65535', customCapabilities: '["x"]' }));
    api.state.facets.set(`group=${group}|1`, 1);
    api.state.facets.set(`group-health=${group}=healthy|1`, 1);
  }
  api.state.facets.set('version=1.2.3|1', 3);
  return api;
}

/** What a call to a route looks like when it is about things of this group. */
function requestFor(route: string, group: string): { method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH'; path: string; body: unknown } {
  const [method = '', pattern = ''] = route.split(' ');
  const path = pattern
    .replace('/configs/:name', '/configs/base')
    .replace(':version', '1')
    .replace('/groups/:name', `/groups/${group}`)
    .replace(':uid', group === 'a' ? UID_A : UID_B)
    .replace('/rollouts/:id', `/rollouts/r${group}`);
  const bodies: Record<string, unknown> = {
    'PUT /configs/:name': { files: { '': { body: 'a: 1\n' } } },
    'POST /configs/validate': { yaml: 'a: 1' },
    'PUT /groups/:name': { selector: `env=${group}`, mode: 'observe' },
    'PUT /agents/:uid/labels': { labels: { x: 'y' } },
    'PUT /agents/:uid/pin': { config: { name: 'base', version: 1 } },
    'POST /agents/:uid/custom-messages': { capability: 'x', messageType: 'y' },
    'POST /rollouts': { group, config: { name: 'base', version: 1 } },
    'PATCH /rollouts/:id': { strategy: {} },
  };
  const query = pattern === '/configs/:name/diff' ? '?from=1&to=1' : '';
  return { method: method as 'GET', path: `${path}${query}`, body: bodies[route] ?? (method === 'POST' ? {} : undefined) };
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}`, host: 'api.example', accept: 'application/json' };
}

const ROUTES = Object.keys(ROUTE_RULES);
const permissionsOf = (route: string): readonly string[] => [ROUTE_RULES[route]?.permission ?? []].flat();

describe('the table of routes', () => {
  it('has exactly the routes that there are', async () => {
    const { app } = await createFakeApi();
    await app.ready();
    const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, unknown>> };
    const served = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace('/api/v1', '').replaceAll(/\{(\w+)\}/g, ':$1')}`),
    );
    expect(served.filter((route) => !['GET /auth', 'POST /enrol'].includes(route)).toSorted()).toEqual(ROUTES.toSorted());
  });

  it('lets no role do more than a stronger one, but for the approval', () => {
    for (const role of ROLES) expect(ROLE_PERMISSIONS.admin).toEqual(expect.arrayContaining([...ROLE_PERMISSIONS[role]]));
    expect(ROLE_PERMISSIONS.operator).toEqual(expect.arrayContaining([...ROLE_PERMISSIONS.viewer]));
    expect(ROLE_PERMISSIONS.operator).not.toContain('rollouts.approve');
  });
});

describe.each(ROUTES)('%s', (route) => {
  const refused = ROLES.filter(
    (role) => !permissionsOf(route).some((permission) => (ROLE_PERMISSIONS[role] as readonly string[]).includes(permission)),
  );

  it.each(refused)('is refused to the role %s, which changes nothing', async (role) => {
    const { call, state } = await twoGroups();
    const before = JSON.stringify([state.spec, [...state.agents], [...state.configs], state.sent]);
    const { method, path, body } = requestFor(route, 'a');
    const answer = await call(method, path, body, bearer(`${role}:*`));
    expect(answer.body).toMatchObject({ status: 403, type: '/problems/role-required', role, detail: expect.stringContaining(role) });
    const { roles } = answer.body as unknown as { roles: string[] };
    expect(roles).toEqual(ROLES.filter((other) => !refused.includes(other)));
    expect(JSON.stringify([state.spec, [...state.agents], [...state.configs], state.sent])).toBe(before);
    // Reading is not entered.
    expect(state.audit.filter(({ action }) => action === 'access.refused')).toMatchObject(
      method === 'GET' ? [] : [{ actor: `the-${role}`, role, outcome: 'refused', target: expect.stringContaining(method) }],
    );
  });

  it('is open to an admin, and to nobody without a known token', async () => {
    const { call } = await twoGroups();
    const { method, path, body } = requestFor(route, 'a');
    expect((await call(method, path, body, bearer('admin:*'))).status).not.toBe(403);
    for (const token of ['nobody', 'too-old']) {
      const answer = await call(method, path, body, bearer(token));
      expect(answer.body).toMatchObject({ status: 401, type: '/problems/unauthenticated' });
    }
    expect((await call(method, path, body, { host: 'api.example' })).status).toBe(401);
  });
});

const touching = (...kinds: readonly string[]): string[] => ROUTES.filter((route) => kinds.includes(ROUTE_RULES[route]?.touches ?? ''));

it.each(touching('group', 'agent', 'rollout'))('%s is refused for things of another group', async (route) => {
  const { call, state } = await twoGroups();
  await call('PUT', '/configs/base', { files: { '': { body: 'a: 1\n' } } }, bearer('admin:*'));
  const before = JSON.stringify([state.spec, [...state.agents], state.sent]);
  const { method, path, body } = requestFor(route, 'b');
  const answer = await call(method, path, body, bearer('admin:a'));
  expect(answer.body).toMatchObject({ status: 403, type: '/problems/out-of-scope', groups: ['a'] });
  expect(JSON.stringify([state.spec, [...state.agents], state.sent])).toBe(before);
  const own = requestFor(route, 'a');
  expect((await call(own.method, own.path, own.body, bearer('admin:a'))).status).not.toBe(403);
});

it.each(touching('fleet'))('%s is refused to a credential for some groups', async (route) => {
  const { call } = await twoGroups();
  const { method, path, body } = requestFor(route, 'a');
  expect((await call(method, path, body, bearer('admin:a,b'))).body).toMatchObject({ status: 403, type: '/problems/out-of-scope' });
});

describe('a credential for some groups', () => {
  it('sees its own things in lists and sums', async () => {
    const { call } = await twoGroups();
    const names = async (path: string, field: string): Promise<unknown[]> =>
      (await call('GET', path, undefined, bearer('viewer:b'))).body.items.map((item) => item[field]);
    expect(await names('/groups', 'name')).toEqual(['b']);
    expect(await names('/agents', 'uid')).toEqual([UID_B]);
    expect(await names('/rollouts', 'id')).toEqual(['rb']);
    const fleet = await call('GET', '/fleet', undefined, bearer('viewer:b'));
    expect(fleet.body).toMatchObject({
      agents: { total: 1, connected: 1, away: 0, health: { healthy: 1 }, versions: {} },
      groups: [{ name: 'b', agents: 1 }],
      rollouts: [{ id: 'rb' }],
    });
    expect((await call('GET', '/fleet/abilities', undefined, bearer('viewer:b'))).body['agents']).toBe(1);
    expect((await call('GET', '/fleet/drift', undefined, bearer('viewer:b'))).body['agents']).toBe(1);
    const checked = await call('POST', '/configs/validate', { yaml: 'a: 1', selector: '' }, bearer('viewer:b'));
    expect(checked.body['preflight']).toMatchObject({ agents: 1 });
    expect((await call('GET', '/rollouts?group=a', undefined, bearer('viewer:b'))).body['type']).toBe('/problems/out-of-scope');
  });

  it('does not see agents of no group', async () => {
    const { call } = await twoGroups();
    expect((await call('GET', `/agents/${UID_NONE}`, undefined, bearer('viewer:a,b'))).status).toBe(403);
    expect((await call('GET', `/agents/${UID_NONE}`, undefined, bearer('viewer:*'))).status).toBe(200);
  });

  it('cannot take agents from other groups, by a selector, a priority, a new group or a label', async () => {
    const { call, state } = await twoGroups();
    addGroup(state, 'vip', 'label.vip', { priority: 100 });
    const before = JSON.stringify([state.spec, [...state.agents]]);
    for (const [path, body] of [
      ['/groups/a', { selector: '' }],
      ['/groups/a', { selector: 'env=a', priority: 1000 }],
      ['/groups/c', { selector: 'env=c' }],
      [`/agents/${UID_A}/labels`, { labels: { vip: '1' } }],
    ] as const) {
      const answer = await call('PUT', path, body, bearer('operator:a,c'));
      expect(answer.body, path).toMatchObject({ status: 403, type: '/problems/out-of-scope' });
    }
    expect(JSON.stringify([state.spec, [...state.agents]])).toBe(before);
  });
});

describe('the audit log', () => {
  it('has who, with which role, what was before and what is since', async () => {
    const { call, state } = await twoGroups();
    await call('PUT', `/agents/${UID_A}/labels`, { labels: { x: 'y' } }, bearer('operator:a'));
    await call('POST', '/rollouts/ra/pause', { reason: 'too fast' }, bearer('approver:a'));
    const by = { auth: 'token', group: 'a' };
    expect(state.audit.toReversed()).toMatchObject([
      { ...by, actor: 'the-operator', role: 'operator', action: 'agent.labels', before: {}, after: { x: 'y' } },
      {
        ...by,
        actor: 'the-approver',
        role: 'approver',
        action: 'rollout.pause',
        reason: 'too fast',
        before: { rev: 1 },
        after: { rev: 2 },
      },
    ]);
  });

  it('is shown by group, actor, action and target', async () => {
    const { call } = await twoGroups();
    await call('PUT', `/agents/${UID_A}/labels`, { labels: { x: 'y' } }, bearer('operator:*'));
    await call('PUT', `/agents/${UID_B}/labels`, { labels: { x: 'y' } }, bearer('admin:*'));
    await call('POST', '/fleet/freeze', {}, bearer('admin:*'));
    const targets = async (query: string, token = 'viewer:*'): Promise<unknown[]> =>
      (await call('GET', `/audit${query}`, undefined, bearer(token))).body.items.map(({ target }) => target);
    expect(await targets('')).toEqual(['fleet', `agent/${UID_B}`, `agent/${UID_A}`]);
    expect(await targets('', 'viewer:b')).toEqual([`agent/${UID_B}`]);
    expect(await targets('?actor=the-admin')).toEqual(['fleet', `agent/${UID_B}`]);
    expect(await targets('?action=agent')).toEqual([`agent/${UID_B}`, `agent/${UID_A}`]);
    expect(await targets(`?target=agent/${UID_A}`)).toEqual([`agent/${UID_A}`]);
    expect(await targets('?group=a')).toEqual([`agent/${UID_A}`]);
    expect((await call('GET', '/audit?since=yesterday', undefined, bearer('viewer:*'))).body).toMatchObject({ status: 400 });
  });
});

describe('secrets of an effective config', () => {
  it('are shown to an operator or admin who asks for them, which is entered; to nobody else, in no answer', async () => {
    const { call, state } = await twoGroups();
    const secret = 'planted-9f8e7d6c5b4a';
    const body = `exporters:\n  otlp:\n    headers: {authorization: Bearer ${secret}}\n    endpoint: https://me:${secret}@x.example\n  k: {password: ${secret}, api_key: ${secret}}\n`;
    state.effective.set(UID_A, { atMs: 1, truncated: false, files: { '': { body, contentType: 'text/yaml' } } });
    for (const path of [`/agents/${UID_A}`, '/agents', '/fleet/drift', '/audit', '/fleet']) {
      for (const role of ROLES)
        expect(JSON.stringify((await call('GET', path, undefined, bearer(`${role}:*`))).body), path).not.toContain(secret);
    }
    for (const role of ['viewer', 'approver']) {
      const answer = await call('GET', `/agents/${UID_A}?reveal=true`, undefined, bearer(`${role}:*`));
      expect(answer.body).toMatchObject({ status: 403, type: '/problems/role-required' });
    }
    expect(state.audit).toEqual([]);
    const shown = await call('GET', `/agents/${UID_A}?reveal=true`, undefined, bearer('operator:a'));
    expect(JSON.stringify(shown.body['effective'])).toContain(secret);
    expect(state.audit).toMatchObject([{ actor: 'the-operator', action: 'secrets.reveal', target: `agent/${UID_A}`, group: 'a' }]);
    expect(JSON.stringify(state.audit)).not.toContain(secret);
  });
});

describe('limits of callers', () => {
  it('answer 429 to many bad credentials, and never to a good one of the same address', async () => {
    let failures = 0;
    const { call } = await createFakeApi({ tokens: TOKENS, onAuthFailure: () => void (failures += 1) });
    const statuses: number[] = [];
    for (let count = 0; count < 40; count += 1) statuses.push((await call('GET', '/me', undefined, bearer('nobody'))).status);
    expect(statuses.slice(0, 20).every((status) => status === 401)).toBe(true);
    const last = await call('GET', '/me', undefined, bearer('nobody'));
    expect(last.body).toMatchObject({ status: 429, type: '/problems/rate-limited' });
    expect(Number(last.headers['retry-after'])).toBeGreaterThan(0);
    expect(failures).toBe(41);
    expect((await call('GET', '/me', undefined, bearer('viewer:*'))).status).toBe(200);
  });

  it('go by the address that a listed load balancer names, and by nothing that somebody else says', async () => {
    const statuses = async (trustedProxies: string[], header: string): Promise<Set<number>> => {
      const { call } = await createFakeApi({ tokens: TOKENS, trustedProxies });
      const fail = async (headers: Record<string, string>): Promise<number> =>
        (await call('GET', '/me', undefined, { ...bearer('nobody'), ...headers })).status;
      await Promise.all(Array.from({ length: 60 }, () => fail({ 'x-forwarded-for': header })));
      return new Set([await fail({ 'x-forwarded-for': header }), await fail({ 'x-forwarded-for': '192.0.2.2' })]);
    };
    expect(await statuses(['127.0.0.0/8'], '192.0.2.1')).toEqual(new Set([429, 401]));
    // What a client puts in front of the load balancer's own word does not count.
    expect(await statuses(['127.0.0.0/8'], '192.0.2.9, 192.0.2.2')).toEqual(new Set([429]));
    expect(await statuses([], '192.0.2.1')).toEqual(new Set([429]));
    expect(await statuses(['10.0.0.0/8'], '192.0.2.1')).toEqual(new Set([429]));
  });

  it('answer 429 to a credential that asks too much, and change nothing by it', async () => {
    const { call, state } = await createFakeApi({ tokens: TOKENS, requestsPerSecond: 1 });
    const calls = Array.from({ length: 40 }, async () => await call('POST', '/fleet/freeze', {}, bearer('admin:*')));
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    expect(statuses).toContain(429);
    expect(state.audit).toHaveLength(statuses.filter((status) => status === 200).length);
    expect((await call('GET', '/me', undefined, bearer('viewer:*'))).status).toBe(200);
  });
});

describe('who am I', () => {
  it('is told with role, groups and permissions', async () => {
    const { call } = await twoGroups();
    expect((await call('GET', '/me', undefined, bearer('operator:b,a'))).body).toEqual({
      name: 'the-operator',
      kind: 'token',
      role: 'operator',
      groups: ['a', 'b'],
      permissions: ROLE_PERMISSIONS.operator,
    });
    const open = await createFakeApi();
    expect((await open.call('GET', '/me', undefined, { 'x-opamp-actor': 'bob' })).body).toEqual({
      name: 'bob',
      kind: 'anonymous',
      role: 'admin',
      groups: ['*'],
      permissions: ROLE_PERMISSIONS.admin,
    });
  });

  it('and how to sign in is told to everybody', async () => {
    const { call } = await twoGroups();
    const answer = await call('GET', '/auth', undefined, { host: 'api.example' });
    expect([answer.status, answer.body]).toEqual([200, { anonymous: false, token: true, oidc: null }]);
    const open = await createFakeApi();
    expect((await open.call('GET', '/auth')).body).toEqual({ anonymous: true, token: false, oidc: null });
  });
});
