import { describe, expect, it } from 'vitest';
import { createFakeApi } from '../../../test-support/api-fakes.ts';
import { MAX_CONFIG_BYTES } from '../../validation/yaml-limits.ts';

describe('PUT /configs/{name}', () => {
  it('stores versions, and answers 200 with the same version for the same content', async () => {
    const { call } = await createFakeApi();
    const first = await call('PUT', '/configs/base', { files: { '': { body: 'a: 1\n' } }, message: 'start' }, { 'x-opamp-actor': 'bob' });
    expect(first.status).toBe(201);
    expect(first.headers['location']).toBe('/api/v1/configs/base/versions/1');
    expect(first.body).toMatchObject({ name: 'base', version: 1, createdBy: 'bob', message: 'start', validation: { findings: [] } });
    expect(first.body['hash']).toMatch(/^[0-9a-f]{64}$/);

    const again = await call('PUT', '/configs/base?message=again', 'a: 1\n');
    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({ version: 1, hash: first.body['hash'], message: 'start' });

    const second = await call('PUT', '/configs/base?message=more', 'a: 2\n');
    expect(second.body).toMatchObject({ version: 2, message: 'more' });
    // The content of an older version is a new version.
    expect((await call('PUT', '/configs/base', 'a: 1\n')).body).toMatchObject({ version: 3, hash: first.body['hash'] });
  });

  it('refuses a config with errors, and lists them with their lines', async () => {
    const { call, state } = await createFakeApi();
    const answer = await call('PUT', '/configs/base', 'bad');
    expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-config', detail: 'line 1: it is bad' });
    expect(answer.body.errors).toEqual([{ code: 'E_YAML', severity: 'error', path: '', line: 1, column: 1, message: 'it is bad' }]);
    expect(state.configs.size).toBe(0);
  });

  it('checks in full what is YAML, looks in everything for what bricks a supervisor, and names the file where there are several', async () => {
    const { call } = await createFakeApi();
    const files = {
      'one.yaml': { body: 'service: {bad: 1}', contentType: 'application/yaml' },
      notes: { body: 'bad', contentType: 'text/plain' },
    };
    const answer = await call('PUT', '/configs/base', { files });
    expect(answer.body.errors.map(({ path }) => path)).toEqual(['one.yaml#', 'notes#']);
  });

  it('takes exactly the limit and refuses one byte more', async () => {
    const { call } = await createFakeApi();
    // Each of these characters has two bytes and, escaped, six.
    expect((await call('PUT', '/configs/base', 'é'.repeat(MAX_CONFIG_BYTES / 2))).status).toBe(201);
    const answer = await call('PUT', '/configs/base', `a${'é'.repeat(MAX_CONFIG_BYTES / 2)}`);
    expect(answer.body).toMatchObject({ status: 413, type: '/problems/body-too-large' });
  });

  it.each([
    ['no files', { files: {} }, 'files'],
    ['no body in a file', { files: { '': {} } }, 'files..body'],
    ['an unknown field', { files: { '': { body: 'a: 1' } }, msg: 'x' }, 'msg'],
    ['an unknown field of a file', { files: { f: { body: 'a: 1', type: 'x' } } }, 'files.f.type'],
  ])('refuses %s', async (_what, body, path) => {
    const { call } = await createFakeApi();
    const answer = await call('PUT', '/configs/base', body);
    expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-body' });
    expect(answer.body.errors.map((error) => error['path'])).toContain(path);
  });

  it.each(['-a', 'a b', 'a/b', 'x'.repeat(129), '{a}'])('refuses the name %j', async (name) => {
    const { call } = await createFakeApi();
    expect((await call('PUT', `/configs/${encodeURIComponent(name)}`, 'a: 1')).status).toBe(400);
  });

  it('says so when there is no body', async () => {
    const { call } = await createFakeApi();
    expect((await call('PUT', '/configs/base')).body).toMatchObject({ status: 415 });
  });
});

describe('PUT /configs/{name} by force', () => {
  // "bad" makes the fake validator complain; the text itself is a harmless map.
  const SOFT = 'service: {bad: 1}\n';
  const put = (body: string, more: object = {}) => ({ files: { '': { body } }, ...more });

  it('says of a refused config whether it could be forced', async () => {
    const { call } = await createFakeApi();
    expect((await call('PUT', '/configs/base', put(SOFT))).body).toMatchObject({ type: '/problems/invalid-config', forcible: true });
    expect((await call('PUT', '/configs/base', put('- bad'))).body).toMatchObject({ type: '/problems/invalid-config', forcible: false });
  });

  it('needs a reason', async () => {
    const { call, state } = await createFakeApi();
    for (const reason of [{}, { reason: '  ' }]) {
      const answer = await call('PUT', '/configs/base', put(SOFT, { force: true, ...reason }));
      expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-body', errors: [{ path: 'reason' }] });
    }
    expect(state.configs.size).toBe(0);
    expect(state.audit).toEqual([]);
  });

  it('stores with a reason, keeps the findings, and is audited once', async () => {
    const { call, state } = await createFakeApi();
    const forced = put(SOFT, { force: true, reason: 'our own build' });
    const answer = await call('PUT', '/configs/base', forced, { 'x-opamp-actor': 'bob' });
    expect(answer.status).toBe(201);
    expect(answer.body['validation']).toMatchObject({ errors: 1, findings: [{ code: 'E_YAML' }] });
    const entry = {
      actor: 'bob',
      action: 'config.force',
      target: 'config/base',
      detail: { reason: 'our own build', hash: answer.body['hash'], errors: 1, codes: ['E_YAML'] },
    };
    expect(state.audit).toMatchObject([entry]);
    expect((await call('PUT', '/configs/base', forced)).status).toBe(200);
    expect(state.audit).toHaveLength(1);
    expect((await call('PUT', '/configs/other?force&reason=x', SOFT)).status).toBe(201);
  });

  it('is no force when there is nothing wrong', async () => {
    const { call, state } = await createFakeApi();
    expect((await call('PUT', '/configs/base', put('service: {}\nx: 1', { force: true, reason: 'x' }))).status).toBe(201);
    expect(state.audit).toEqual([]);
  });

  it.each(['- bad', 'bad: [', 'a: bad\na: 2', 'x: bad\n---\ny: 1', 'extensions: {opamp: {bad: 1}}', 'receivers: {} # bad'])(
    'never stores %j, which bricks a supervisor',
    async (text) => {
      const { call, state } = await createFakeApi();
      const answer = await call('PUT', '/configs/base', put(text, { force: true, reason: 'I insist' }));
      expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-config', forcible: false });
      expect(answer.body['detail']).toContain('cannot be forced');
      expect(state.configs.size).toBe(0);
      expect(state.audit).toEqual([]);
      // Nor in any file of several, whatever the others and its type say.
      for (const contentType of ['text/yaml', 'text/plain']) {
        if (contentType === 'text/plain' && text.startsWith('receivers')) continue;
        for (const name of ['a', 'z']) {
          const files = { m: { body: SOFT }, [name]: { body: text, contentType } };
          const several = await call('PUT', '/configs/base', { files, force: true, reason: 'I insist' });
          expect(several.body).toMatchObject({ status: 422, type: '/problems/invalid-config', forcible: false });
        }
      }
      expect(state.configs.size).toBe(0);
    },
  );
});

describe('reading configs', () => {
  it('lists names in order, page by page', async () => {
    const { call } = await createFakeApi();
    for (const name of ['b', 'c', 'a']) await call('PUT', `/configs/${name}`, `name: ${name}`);
    const first = await call('GET', '/configs?limit=2');
    expect(first.body.items.map(({ name }) => name)).toEqual(['a', 'b']);
    const second = await call('GET', `/configs?limit=2&cursor=${String(first.body['nextCursor'])}`);
    expect(second.body.items.map(({ name }) => name)).toEqual(['c']);
    expect(second.body['nextCursor']).toBeNull();
  });

  it('shows the history newest first, and bodies of single versions', async () => {
    const { call } = await createFakeApi();
    for (let version = 1; version <= 5; version += 1) await call('PUT', '/configs/a', `v: ${version}`);
    const first = await call('GET', '/configs/a/versions?limit=3');
    expect(first.body.items.map(({ version }) => version)).toEqual([5, 4, 3]);
    const second = await call('GET', `/configs/a/versions?limit=3&cursor=${String(first.body['nextCursor'])}`);
    expect(second.body.items.map(({ version }) => version)).toEqual([2, 1]);
    expect(second.body['nextCursor']).toBeNull();
    expect((await call('GET', '/configs/a')).body).toMatchObject({ version: 5, files: { '': { body: 'v: 5', contentType: 'text/yaml' } } });
    expect((await call('GET', '/configs/a/versions/2')).body).toMatchObject({ version: 2, files: { '': { body: 'v: 2' } } });
  });

  it.each(['/configs/nope', '/configs/nope/versions', '/configs/nope/versions/1', '/configs/a/versions/2', '/configs/a/diff?from=1&to=2'])(
    'answers 404 for %s',
    async (path) => {
      const { call } = await createFakeApi();
      await call('PUT', '/configs/a', 'v: 1');
      expect((await call('GET', path)).body).toMatchObject({ status: 404, type: '/problems/config-not-found' });
    },
  );

  it('shows what changed, as text and by key', async () => {
    const { call } = await createFakeApi();
    await call('PUT', '/configs/a', 'x: 1\ny:\n  z: [a, b]\n');
    await call('PUT', '/configs/a', 'x: 2\ny:\n  z: [a]\nn: null\n');
    const { body } = await call('GET', '/configs/a/diff?from=1&to=2');
    expect(body['unified']).toBe('--- a@1\n+++ a@2\n@@ -1,3 +1,4 @@\n-x: 1\n+x: 2\n y:\n-  z: [a, b]\n+  z: [a]\n+n: null\n');
    expect(body['structural']).toEqual([
      { file: '', path: 'x', change: 'changed', from: 1, to: 2 },
      { file: '', path: 'y::z::1', change: 'removed', from: 'b' },
      { file: '', path: 'n', change: 'added', to: null },
    ]);
    expect(body['identical']).toBe(false);
    expect((await call('GET', '/configs/a/diff?from=2&to=2')).body).toMatchObject({ identical: true, unified: '', structural: [] });
    expect((await call('GET', '/configs/a/diff?from=2')).status).toBe(400);
  });

  it('validates without storing, and answers 200 for errors too', async () => {
    const { call, state } = await createFakeApi();
    const answer = await call('POST', '/configs/validate', { yaml: 'bad' });
    expect(answer.status).toBe(200);
    expect(answer.body['findings']).toMatchObject([{ code: 'E_YAML', line: 1 }]);
    expect(state.configs.size).toBe(0);
  });
});
