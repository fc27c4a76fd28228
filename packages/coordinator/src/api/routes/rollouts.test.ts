import { describe, expect, it } from 'vitest';
import { createFakeApi, fakeRollouts } from '../../../test-support/api-fakes.ts';
import type { RolloutEvent, RolloutProblem, RolloutService, RolloutView } from '../../rollout/service.ts';

const VIEW: RolloutView = {
  id: 'r1',
  rev: 7,
  phase: 'running',
  holds: [],
  holdDetails: [],
  waveIndex: 0,
  waves: [],
  late: { counts: {} },
  counts: {},
  group: 'prod',
  from: null,
  to: { name: 'base', version: 1, hash: 'ab' },
  strategy: {},
  attempt: 1,
  revertOf: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'bob',
  reason: 'why',
  endedAt: null,
  outcome: '',
  warnings: ['no_way_back'],
  preflight: null,
  eventSeq: 1,
  fleetFrozen: false,
};

function eventOf(seq: number): RolloutEvent {
  const state = { phase: 'running', waveIndex: 0, wavePhase: 'pending', holds: [] } as const;
  return {
    seq,
    rollout: 'r1',
    group: 'prod',
    at: VIEW.createdAt,
    type: 'x',
    from: null,
    to: { ...state, holds: [] },
    actor: 'bob',
    detail: 'a\nb',
  };
}

function problemOf(status: RolloutProblem['status'], type: RolloutProblem['type']): RolloutProblem {
  return {
    kind: 'problem',
    status,
    type,
    title: 't',
    detail: 'd',
    errors: [{ path: 'strategy.waves[1].soak', message: 'is no duration' }],
  };
}

describe('POST /rollouts', () => {
  it('hands the body on as it is, with actor and key, and answers 202 with the id', async () => {
    const calls: unknown[][] = [];
    const create: RolloutService['create'] = async (...args) => {
      calls.push(args);
      return { kind: 'created', id: 'r1', rev: 1, view: VIEW };
    };
    const { call, state } = await createFakeApi({ rollouts: fakeRollouts({ create }) });
    const body = { group: 'prod', config: { name: 'base', version: 1 }, strategy: { anything: 1 } };
    const answer = await call('POST', '/rollouts', body, { 'idempotency-key': 'k-1', 'x-opamp-actor': 'bob' });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ id: 'r1', rev: 1, phase: 'running', warnings: ['no_way_back'], created: true });
    expect(answer.headers).toMatchObject({ location: '/api/v1/rollouts/r1', etag: '"1"' });
    expect(calls).toEqual([[body, { actor: 'bob', idempotencyKey: 'k-1', dryRun: undefined, expectedRev: undefined }]]);
    expect(state.audit[0]).toMatchObject({ actor: 'bob', action: 'rollout.create', target: 'rollout/r1' });
  });

  it('answers 202 with the same id for a key that was used, and writes no audit entry', async () => {
    const { call, state } = await createFakeApi({ rollouts: fakeRollouts({ create: async () => ({ kind: 'existing', id: 'r1' }) }) });
    const answer = await call('POST', '/rollouts', {}, { 'idempotency-key': 'k-1' });
    expect(answer).toMatchObject({ status: 202, body: { id: 'r1', created: false } });
    expect(state.audit).toEqual([]);
  });

  it('previews', async () => {
    const create: RolloutService['create'] = async (_body, { dryRun }) => {
      expect(dryRun).toBe(true);
      return { kind: 'preview', preview: { eta: '10s' } as never };
    };
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ create }) });
    expect(await call('POST', '/rollouts?dryRun=true', {})).toMatchObject({ status: 200, body: { eta: '10s' } });
  });

  it.each([
    [404, 'group-not-found'],
    [409, 'rollout-active'],
    [412, 'stale-revision'],
    [422, 'invalid-rollout'],
  ] as const)('answers %i %s as a problem, with every field', async (status, type) => {
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ create: async () => problemOf(status, type) }) });
    const answer = await call('POST', '/rollouts', {});
    expect(answer.type).toContain('application/problem+json');
    expect(answer.body).toEqual({
      type: `/problems/${type}`,
      title: 't',
      status,
      detail: 'd',
      errors: [{ path: 'strategy.waves[1].soak', message: 'is no duration' }],
    });
  });

  it.each(['', 'a b', 'a:b', 'x'.repeat(129), 'é'])('refuses the idempotency key %j', async (key) => {
    const { call } = await createFakeApi();
    expect((await call('POST', '/rollouts', {}, { 'idempotency-key': key })).body).toMatchObject({
      status: 400,
      type: '/problems/invalid-parameter',
    });
  });
});

describe('actions', () => {
  it.each([
    ['"7"', 7],
    ['W/"7"', 7],
    ['7', 7],
    ['*', undefined],
  ])('reads If-Match %s', async (header, expectedRev) => {
    const calls: unknown[][] = [];
    const act: RolloutService['act'] = async (...args) => {
      calls.push(args);
      return { kind: 'ok', view: VIEW, before: VIEW };
    };
    const { call, state } = await createFakeApi({ rollouts: fakeRollouts({ act }) });
    const answer = await call('POST', '/rollouts/r1/pause', { reason: 'lunch' }, { 'if-match': header });
    expect(answer).toMatchObject({ status: 200, body: { id: 'r1', rev: 7 } });
    expect(answer.headers['etag']).toBe('"7"');
    expect(calls).toEqual([['r1', 'pause', { actor: 'anonymous', reason: 'lunch', expectedRev }]]);
    expect(state.audit[0]).toMatchObject({ action: 'rollout.pause', detail: { reason: 'lunch' } });
  });

  it('refuses another If-Match, and unknown fields and actions', async () => {
    const { call } = await createFakeApi();
    expect((await call('POST', '/rollouts/r1/pause', {}, { 'if-match': '"abc"' })).status).toBe(400);
    expect((await call('POST', '/rollouts/r1/pause', { because: 'x' })).body).toMatchObject({
      status: 422,
      type: '/problems/invalid-body',
    });
    expect((await call('POST', '/rollouts/r1/explode')).status).toBe(404);
  });

  it('needs no body, answers 409 with the state that forbids it, and 202 when a new rollout takes one back', async () => {
    let outcome: Awaited<ReturnType<RolloutService['act']>> = problemOf(409, 'action-forbidden');
    const { call, state } = await createFakeApi({ rollouts: fakeRollouts({ act: async () => outcome }) });
    expect((await call('POST', '/rollouts/r1/rollback')).body).toMatchObject({ status: 409, type: '/problems/action-forbidden' });
    expect(state.audit).toEqual([]);
    outcome = { kind: 'created', id: 'r2', rev: 1, view: { ...VIEW, id: 'r2' } };
    expect(await call('POST', '/rollouts/r1/rollback')).toMatchObject({ status: 202, body: { id: 'r2', created: true } });
    expect(state.audit[0]).toMatchObject({ target: 'rollout/r1', detail: { rollout: 'r2' } });
  });

  it('tunes a running rollout', async () => {
    const tune: RolloutService['tune'] = async (id, patch) => {
      expect([id, patch]).toEqual(['r1', { rate: 'unlimited' }]);
      return { kind: 'ok', view: VIEW, before: VIEW };
    };
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ tune }) });
    expect((await call('PATCH', '/rollouts/r1', { strategy: { rate: 'unlimited' } })).status).toBe(200);
    expect((await call('PATCH', '/rollouts/r1', {})).status).toBe(422);
  });
});

describe('reading rollouts', () => {
  it('answers 404 for one that is not there', async () => {
    const none = fakeRollouts({ get: async () => undefined, failures: async () => undefined });
    const { call } = await createFakeApi({ rollouts: none });
    for (const path of ['/rollouts/r9', '/rollouts/r9/failures', '/rollouts/r9/events']) {
      expect((await call('GET', path)).body).toMatchObject({ status: 404, type: '/problems/rollout-not-found' });
    }
  });

  it('lists as many failures as were asked for', async () => {
    const limits: number[] = [];
    const failures: RolloutService['failures'] = async (_id, limit) => {
      limits.push(limit);
      return { items: [], total: 7, groups: { total: 7, omitted: 0, byMessage: [], byVersion: [], byStratum: [] } };
    };
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ get: async () => VIEW, failures }) });
    expect((await call('GET', '/rollouts/r1/failures')).body).toMatchObject({
      items: [],
      total: 7,
      groups: { total: 7 },
      nextCursor: null,
    });
    await call('GET', '/rollouts/r1/failures?limit=0');
    expect(limits).toEqual([1_000, 0]);
    for (const limit of ['-1', '16001', 'all']) expect((await call('GET', `/rollouts/r1/failures?limit=${limit}`)).status).toBe(400);
  });

  it('passes filters of the list on', async () => {
    const list: RolloutService['list'] = async (query) => {
      expect(query).toEqual({ group: 'prod', phase: 'running', limit: 5, cursor: 'c' });
      return { items: [VIEW], nextCursor: null };
    };
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ list }) });
    expect((await call('GET', '/rollouts?group=prod&phase=running&limit=5&cursor=c')).body.items).toHaveLength(1);
    expect((await call('GET', '/rollouts?phase=paused')).status).toBe(400);
  });

  it('streams events, starts behind the last one seen, and says when it is over', async () => {
    const started: number[] = [];
    const rollouts = fakeRollouts({
      get: async () => ({ ...VIEW, phase: 'succeeded' }),
      async *follow(_id, after) {
        started.push(after);
        yield* [eventOf(after + 1), eventOf(after + 2)];
      },
    });
    const { app } = await createFakeApi({ rollouts });
    const read = async (path: string, headers: Record<string, string>): Promise<string> =>
      (await app.inject({ method: 'GET', url: `/api/v1${path}`, headers: { host: 'localhost', ...headers } })).body;
    const text = await read('/rollouts/r1/events', { 'last-event-id': '4' });
    expect(text).toBe(
      `: connected\n\nid: 5\ndata: ${JSON.stringify(eventOf(5))}\n\nid: 6\ndata: ${JSON.stringify(eventOf(6))}\n\nevent: end\ndata: {"id":"r1","phase":"succeeded"}\n\n`,
    );
    await read('/rollouts/r1/events?after=9', {});
    await read('/rollouts/r1/events?after=9', { 'last-event-id': '' });
    expect(started).toEqual([4, 9, 9]);
  });

  it('lists events for a caller that asks for JSON', async () => {
    const events: RolloutService['events'] = async (_id, after) => [eventOf(after + 1)];
    const { call } = await createFakeApi({ rollouts: fakeRollouts({ get: async () => VIEW, events }) });
    const { body } = await call('GET', '/rollouts/r1/events?after=2', undefined, { accept: 'application/json' });
    expect(body.items).toEqual([eventOf(3)]);
  });

  it('ends open streams when the server closes', async () => {
    const rollouts = fakeRollouts({
      get: async () => VIEW,
      async *follow(_id, _after, signal) {
        yield eventOf(1);
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
      },
    });
    const { app } = await createFakeApi({ rollouts });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const answer = await fetch(`${url}/api/v1/rollouts/r1/events`);
    const text = answer.text();
    await app.close();
    expect(await text).not.toContain('event: end');
  });
});
