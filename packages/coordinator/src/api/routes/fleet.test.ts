import { describe, expect, it } from 'vitest';
import { addGroup, addRollout, createFakeApi } from '../../../test-support/api-fakes.ts';

const GATEWAY = {
  address: 'a:1',
  version: '1',
  draining: false,
  alive: true,
  leaseEndsAtMs: 1,
  observed: '3:ab',
  backlog: {},
  connected: 5,
  unhealthy: 1,
  startedAtMs: 1,
};

describe('GET /fleet', () => {
  it('adds up what the shards count', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { priority: 1 });
    addGroup(state, 'stage', 'env=stage');
    addRollout(state, 'r1', 'prod');
    state.pretendTotal = 12;
    state.gateways = [
      { id: 'g1', ...GATEWAY },
      { id: 'g2', ...GATEWAY, draining: true },
      { id: 'g3', ...GATEWAY, alive: false },
    ];
    state.facets
      .set('group=prod|1', 6)
      .set('group=prod|0', 1)
      .set('group=-|1', 2)
      .set('health=healthy|1', 7)
      .set('health=healthy|0', 3)
      .set('health=unhealthy|1', 1)
      .set('version=0.1|1', 8)
      .set('status=applied|1', 8)
      .set('sync=synced|1', 6)
      .set('sync=drifted|1', 2)
      .set('something strange', 1);
    const { body } = await call('GET', '/fleet');
    expect(body).toMatchObject({
      frozen: false,
      agents: {
        total: 12,
        connected: 8,
        away: 4,
        health: { healthy: 7, unhealthy: 1 },
        status: { applied: 8 },
        sync: { synced: 6, drifted: 2 },
        versions: { '0.1': 8 },
      },
      groups: [
        { name: 'prod', agents: 7, connected: 6 },
        { name: 'stage', agents: 0, connected: 0 },
        { name: null, agents: 2, connected: 2 },
      ],
      rollouts: [{ id: 'r1', group: 'prod', direction: 'forward', held: false }],
      gateways: { alive: 2, draining: 1 },
      configs: 0,
    });
  });

  it('is frozen and unfrozen, with a reason', async () => {
    const { call, state } = await createFakeApi();
    expect((await call('POST', '/fleet/freeze', { reason: 'incident' })).body).toEqual({ frozen: true, generation: 1 });
    expect((await call('GET', '/fleet')).body).toMatchObject({ frozen: true });
    expect((await call('POST', '/fleet/unfreeze')).body).toMatchObject({ frozen: false });
    expect((await call('POST', '/fleet/freeze', { why: 'x' })).status).toBe(422);
    expect(state.audit.map(({ action, detail }) => [action, detail['reason']])).toEqual([
      ['fleet.unfreeze', ''],
      ['fleet.freeze', 'incident'],
    ]);
  });
});

describe('GET /gateways and /audit', () => {
  it('list gateways by id', async () => {
    const { call, state } = await createFakeApi();
    state.gateways = ['b', 'a', 'c'].map((id) => ({ id, ...GATEWAY }));
    const first = await call('GET', '/gateways?limit=2');
    expect(first.body.items.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(first.body.items[0]).toMatchObject({ leaseEndsAt: '1970-01-01T00:00:00.001Z', connected: 5, observed: '3:ab' });
    expect((await call('GET', `/gateways?cursor=${String(first.body['nextCursor'])}`)).body.items.map(({ id }) => id)).toEqual(['c']);
  });

  it('list audit entries newest first', async () => {
    const { call } = await createFakeApi();
    for (const selector of ['a', 'b', 'c']) await call('PUT', '/groups/g', { selector });
    const first = await call('GET', '/audit?limit=2');
    expect(first.body.items.map(({ detail }) => (detail as { selector: string }).selector)).toEqual(['c', 'b']);
    const second = await call('GET', `/audit?limit=2&cursor=${String(first.body['nextCursor'])}`);
    expect(second.body.items.map(({ detail }) => (detail as { selector: string }).selector)).toEqual(['a']);
    expect(second.body['nextCursor']).toBeNull();
    const forged = Buffer.from('["0-1 COUNT"]').toString('base64url');
    expect((await call('GET', `/audit?cursor=${forged}`)).status).toBe(400);
  });
});

describe('GET /fleet/history', () => {
  const minutes = [
    { minute: 1_000, connected: 9, unhealthy: 1, gateways: { g1: 9 } },
    { minute: 1_002, connected: 4, unhealthy: 2, gateways: { g1: 3, g2: 1 } },
  ];

  it('answers columns of the last day, gateways when they are asked for', async () => {
    const { call, state } = await createFakeApi();
    state.history = { nowMs: 1_002 * 60_000, minutes };
    const { body } = await call('GET', '/fleet/history');
    expect(body).toMatchObject({ stepMinutes: 5, gateways: {} });
    expect((body['connected'] as unknown[]).slice(-2)).toEqual([null, 4]);
    expect(body['connected']).toHaveLength(288);
    const fine = (await call('GET', '/fleet/history?hours=1&step=1&gateways=true')).body;
    expect(fine['from']).toBe(new Date(943 * 60_000).toISOString());
    expect((fine['gateways'] as Record<string, unknown[]>)['g1']?.slice(-3)).toEqual([9, null, 3]);
  });

  it('says what it does not take', async () => {
    const { call } = await createFakeApi();
    expect((await call('GET', '/fleet/history?hours=25')).body.errors).toEqual([
      expect.objectContaining({ path: expect.stringContaining('hours') as string }),
    ]);
    expect((await call('GET', '/fleet/history?step=0')).status).toBe(400);
  });
});

describe('POST /gateways/…', () => {
  const three = [
    { id: 'a', ...GATEWAY, connected: 30 },
    { id: 'b', ...GATEWAY, connected: 6 },
    { id: 'gone', ...GATEWAY, alive: false },
  ];

  it('drains one and lets it serve again, with an audit entry each', async () => {
    const { call, state } = await createFakeApi();
    state.gateways = [...three];
    expect((await call('POST', '/gateways/a/drain', { windowSeconds: 5, reason: 'new kernel' })).status).toBe(202);
    expect((await call('POST', '/gateways/a/undrain', {})).status).toBe(202);
    expect(state.told).toEqual([
      { id: 'a', drainMs: 5_000 },
      { id: 'a', drainMs: null },
    ]);
    expect((await call('GET', '/audit')).body.items.map(({ action, target }) => [action, target])).toEqual([
      ['gateway.undrain', 'gateway/a'],
      ['gateway.drain', 'gateway/a'],
    ]);
  });

  it('does not drain the last one that serves unless forced, nor one that is gone', async () => {
    const { call, state } = await createFakeApi();
    state.gateways = [{ id: 'a', ...GATEWAY }, { id: 'b', ...GATEWAY, draining: true }, ...three.slice(2)];
    const refusal = await call('POST', '/gateways/a/drain', {});
    expect(refusal).toMatchObject({ status: 409, body: { type: '/problems/last-gateway' } });
    expect(await call('POST', '/gateways/gone/drain', { force: true })).toMatchObject({
      status: 404,
      body: { type: '/problems/gateway-not-found' },
    });
    expect(state.told).toEqual([]);
    expect((await call('POST', '/gateways/a/drain', { force: true, windowSeconds: 0 })).status).toBe(202);
    expect(state.told).toEqual([{ id: 'a', drainMs: 0 }]);
  });

  it('rebalances: the full ones send away what is above the mean', async () => {
    const { call, state } = await createFakeApi();
    state.gateways = [...three];
    const planned = await call('POST', '/gateways/rebalance?dryRun=true', {});
    expect(planned).toMatchObject({ status: 200, body: { mean: 18, items: [{ id: 'a', connected: 30, count: 12 }] } });
    expect(state.told).toEqual([]);
    expect((await call('POST', '/gateways/rebalance', { windowSeconds: 1 })).body).toEqual(planned.body);
    expect(state.told).toMatchObject([{ id: 'a', shed: { count: 12, windowMs: 1_000 } }]);
  });
});
