import { describe, expect, it } from 'vitest';
import { createFakeApi } from '../../test-support/api-fakes.ts';
import type { TokenFile } from '../stores/token-file.ts';
import { isProblemType } from './problem.ts';

const TOKENS: TokenFile = {
  verify: (token) =>
    token === 'a-token-of-alice'
      ? { kind: 'ok', holder: { name: 'alice', role: 'admin', scope: '*', expiresAtMs: undefined } }
      : { kind: 'unknown' },
  refresh: () => false,
};

describe('every answer but success is a problem', () => {
  const cases: [
    what: string,
    method: 'GET' | 'PUT' | 'POST' | 'PATCH',
    path: string,
    body: unknown,
    headers: Record<string, string>,
    status: number,
    type: string,
  ][] = [
    ['an unknown path', 'GET', '/nope', undefined, {}, 404, 'route-not-found'],
    ['an unknown path outside the API', 'GET', '/api/v2', undefined, {}, 404, 'route-not-found'],
    ['a method that the path does not take', 'PATCH', '/fleet', undefined, {}, 405, 'method-not-allowed'],
    ['JSON that is cut off', 'PUT', '/groups/a', '{"selector":', { 'content-type': 'application/json' }, 400, 'malformed-body'],
    [
      'JSON that would change prototypes',
      'PUT',
      '/groups/a',
      '{"selector":"","__proto__":{}}',
      { 'content-type': 'application/json' },
      400,
      'malformed-body',
    ],
    ['another media type', 'PUT', '/groups/a', '<a/>', { 'content-type': 'application/xml' }, 415, 'unsupported-media-type'],
    ['a body where YAML is not taken', 'PUT', '/groups/a', 'a: b', { 'content-type': 'text/yaml' }, 415, 'unsupported-media-type'],
    ['a path that is not encoded properly', 'GET', '/agents/%zz', undefined, {}, 400, 'invalid-parameter'],
    ['an unknown query parameter', 'GET', '/agents?colour=red', undefined, {}, 400, 'invalid-parameter'],
    ['a limit that is no number', 'GET', '/agents?limit=ten', undefined, {}, 400, 'invalid-parameter'],
    ['a limit that is too large', 'GET', '/agents?limit=1001', undefined, {}, 400, 'invalid-parameter'],
    ['a cursor that nobody gave out', 'GET', '/agents?cursor=abc', undefined, {}, 400, 'invalid-parameter'],
    ['a body of the wrong kind', 'PUT', '/groups/a', [1], {}, 422, 'invalid-body'],
    ['a body that is too large', 'PUT', '/groups/a', { selector: 'x'.repeat(300_000) }, {}, 413, 'body-too-large'],
    ['a foreign host name', 'GET', '/fleet', undefined, { host: 'evil.example:4330' }, 403, 'forbidden'],
    ['a page of another site', 'POST', '/fleet/freeze', undefined, { 'sec-fetch-site': 'cross-site' }, 403, 'forbidden'],
    ['an unknown problem type', 'GET', '/problems/nope', undefined, {}, 404, 'problem-not-found'],
  ];

  it.each(cases)('%s', async (_what, method, path, body, headers, status, type) => {
    const { call } = await createFakeApi();
    const answer = await call(method, path, body, headers);
    expect(answer.body).toMatchObject({ status, type: `/problems/${type}` });
    expect(answer.status).toBe(status);
    expect(answer.type).toContain('application/problem+json');
    expect(typeof answer.body['title']).toBe('string');
    expect(answer.body['detail']).not.toBe('');
  });

  it('names every wrong field at once', async () => {
    const { call } = await createFakeApi();
    const answer = await call('PUT', '/groups/a', { priority: 1.5, mode: 'manage!', colour: 'red' });
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map(({ path }) => String(path)).toSorted()).toEqual(['colour', 'mode', 'priority', 'selector']);
    expect(answer.body.errors.find(({ path }) => path === 'colour')).toMatchObject({ message: 'there is no such field' });
  });

  it.each(['application/json', 'text/yaml'])('refuses %s that is not UTF-8 instead of changing it', async (type) => {
    const { app, state } = await createFakeApi();
    const payload = type === 'text/yaml' ? Buffer.from('a: \xff', 'latin1') : Buffer.from('{"files":{"":{"body":"\xff"}}}', 'latin1');
    const answer = await app.inject({
      method: 'PUT',
      url: '/api/v1/configs/a',
      headers: { host: 'localhost', 'content-type': type },
      payload,
    });
    expect(answer.json()).toMatchObject({ status: 400, type: '/problems/malformed-body', detail: 'the body is not valid UTF-8' });
    expect(state.configs.size).toBe(0);
  });

  it('says which methods a path takes', async () => {
    const { call } = await createFakeApi();
    const answer = await call('PATCH', '/groups/a');
    expect(answer.headers['allow']).toBe('DELETE, GET, PUT');
  });

  it('explains each type at its own address', async () => {
    const { call } = await createFakeApi();
    const answer = await call('GET', '/problems/expect-agents');
    expect(answer.status).toBe(200);
    expect(answer.body['text']).toContain('expectAgents');
  });

  it('answers 503 with Retry-After while Redis is away, and 500 without details for a defect', async () => {
    const away = await createFakeApi({
      gateways: { list: () => Promise.reject(new Error('Connection is closed.')), tell: () => Promise.resolve(false) },
    });
    const first = await away.call('GET', '/gateways');
    expect(first.body).toMatchObject({ status: 503, type: '/problems/unavailable' });
    expect(first.headers['retry-after']).toBe('2');

    const broken = await createFakeApi({
      gateways: { list: () => Promise.reject(new TypeError('undefined is no password')), tell: () => Promise.resolve(false) },
    });
    const second = await broken.call('GET', '/gateways');
    expect(second.body).toMatchObject({ status: 500, type: '/problems/internal' });
    expect(JSON.stringify(second.body)).not.toContain('password');
    expect(typeof second.body['requestId']).toBe('string');
  });
});

describe('headers', () => {
  it.each([
    ['an answer', 'GET', '/configs', {}, 200],
    ['the description of the API', 'GET', '/openapi.json', {}, 200],
    ['the text of a problem', 'GET', '/problems/internal', {}, 200],
    ['an unknown path', 'GET', '/nope', {}, 404],
    ['a path that cannot be read', 'GET', '/agents/%zz', {}, 400],
    ['a method that the path does not take', 'PATCH', '/fleet', {}, 405],
    ['a wrong body', 'PUT', '/groups/a', [1], 422],
    ['a missing agent', 'GET', '/agents/0190f000-0000-7000-8000-000000000000', {}, 404],
  ] as const)('keep caches and guessing browsers from %s', async (_what, method, path, body, status) => {
    const { call } = await createFakeApi();
    const answer = await call(method, path, method === 'GET' ? undefined : body);
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });

  it('are on refusals of who is not known, too', async () => {
    const { call } = await createFakeApi({ tokens: TOKENS });
    const answer = await call('GET', '/configs');
    expect(answer.status).toBe(401);
    expect(answer.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  });

  it('leave the dashboard those of its own', async () => {
    const { app } = await createFakeApi();
    const { headers } = await app.inject({ url: '/agents', headers: { host: 'localhost' } });
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });
    expect(headers['content-security-policy']).toContain("default-src 'none'");
  });
});

describe('who may call', () => {
  it('takes the holder of a bearer token as the actor, and nobody else', async () => {
    const { call, state } = await createFakeApi({ tokens: TOKENS });
    for (const authorization of [undefined, 'Bearer nope', 'Basic YTpi', 'a-token-of-alice']) {
      const answer = await call('POST', '/fleet/freeze', undefined, authorization === undefined ? {} : { authorization });
      expect(answer.body).toMatchObject({ status: 401, type: '/problems/unauthenticated' });
      expect(answer.headers['www-authenticate']).toContain('Bearer');
    }
    expect(state.audit).toEqual([]);
    const answer = await call('POST', '/fleet/freeze', undefined, {
      authorization: 'bearer a-token-of-alice',
      'x-opamp-actor': 'mallory',
      host: 'api.example',
    });
    expect(answer.status).toBe(200);
    expect(state.audit.map(({ actor }) => actor)).toEqual(['alice']);
  });

  it('takes the actor from a header when there are no tokens', async () => {
    const { call, state } = await createFakeApi();
    await call('POST', '/fleet/freeze', undefined, { 'x-opamp-actor': 'bob' });
    await call('POST', '/fleet/unfreeze', undefined, { 'x-opamp-actor': 'x'.repeat(65), host: '127.0.0.1:1' });
    await call('POST', '/fleet/freeze', undefined, { host: '[::1]:4330' });
    expect(state.audit.map(({ actor }) => actor)).toEqual(['anonymous', 'anonymous', 'bob']);
  });

  it('lets everybody read how the API is described', async () => {
    const { call } = await createFakeApi({ tokens: TOKENS });
    expect((await call('GET', '/openapi.json')).status).toBe(200);
    expect((await call('GET', '/problems/internal')).status).toBe(200);
    expect((await call('GET', '/configs')).status).toBe(401);
  });
});

describe('the OpenAPI document', () => {
  it('has every route with a summary, and only problem types that exist', async () => {
    const { call } = await createFakeApi();
    const { body } = await call('GET', '/openapi.json');
    expect(body['openapi']).toBe('3.1.0');
    const paths = body['paths'] as Record<string, Record<string, { summary?: string; responses: Record<string, { description: string }> }>>;
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ at: `${method} ${path}`, operation })),
    );
    for (const expected of [
      'put /api/v1/configs/{name}',
      'get /api/v1/agents',
      'post /api/v1/rollouts',
      'post /api/v1/rollouts/{id}/pause',
      'post /api/v1/fleet/freeze',
      'get /api/v1/audit',
    ]) {
      expect(operations.map(({ at }) => at)).toContain(expected);
    }
    for (const { at, operation } of operations) {
      expect(operation.summary, at).toMatch(/\w/);
      for (const [, name] of JSON.stringify(operation.responses).matchAll(/\/problems\/([a-z-]+)/g))
        expect(isProblemType(name ?? ''), `${at}: ${name}`).toBe(true);
    }
    // Every reference leads somewhere.
    const schemas = (body['components'] as { schemas: object }).schemas;
    for (const [, name] of JSON.stringify(body).matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      expect(Object.keys(schemas)).toContain(name);
  });
});
