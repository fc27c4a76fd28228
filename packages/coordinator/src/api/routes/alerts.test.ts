import { beforeEach, describe, expect, it } from 'vitest';
import { createFakeApi } from '../../../test-support/api-fakes.ts';
import type { FakeApi } from '../../../test-support/api-fakes.ts';
import type { AlertView } from '../../alerts/ports.ts';

let api: FakeApi;
beforeEach(async () => {
  api = await createFakeApi();
});

function alert(id: string, state: 'pending' | 'delivered' | 'dead'): AlertView {
  return {
    id,
    type: 'rollout.held',
    severity: 'warning',
    at: '2026-01-01T00:00:00.000Z',
    summary: 'it is held',
    group: 'prod',
    rollout: 'r1',
    data: {},
    deliveries: [{ target: 'ops', state, attempts: 1, lastAttemptAt: null, nextAttemptAt: null, error: '' }],
  };
}

describe('GET /alerts', () => {
  it('pages, newest first, and keeps to a state', async () => {
    api.state.alerts = [alert('3-0', 'dead'), alert('2-0', 'delivered'), alert('1-0', 'dead')];
    const first = await api.call('GET', '/alerts?limit=2');
    expect(first.body.items.map((item) => item['id'])).toEqual(['3-0', '2-0']);
    const next = await api.call('GET', `/alerts?limit=2&cursor=${encodeURIComponent(String(first.body['nextCursor']))}`);
    expect(next.body).toMatchObject({ items: [{ id: '1-0' }], nextCursor: null });
    const dead = await api.call('GET', '/alerts?state=dead');
    expect(dead.body.items.map((item) => item['id'])).toEqual(['3-0', '1-0']);
  });

  it('refuses a state and a cursor that are none', async () => {
    expect((await api.call('GET', '/alerts?state=lost')).status).toBe(400);
    expect((await api.call('GET', '/alerts?cursor=WyJ4Il0')).status).toBe(400);
  });
});

describe('POST /alerts/retry', () => {
  it('tries again what was given up, and notes who asked for it', async () => {
    api.state.alerts = [alert('2-0', 'dead'), alert('1-0', 'dead')];
    expect((await api.call('POST', '/alerts/retry', { ids: ['1-0'] })).body).toEqual({ retried: 1 });
    expect(api.state.audit[0]).toMatchObject({ action: 'alerts.retry', detail: { ids: ['1-0'], retried: 1 } });
    expect((await api.call('POST', '/alerts/retry', {})).body).toEqual({ retried: 1 });
    expect((await api.call('POST', '/alerts/retry', { ids: ['nonsense'] })).status).toBe(422);
  });
});

describe('POST /alerts/test', () => {
  it('needs a target', async () => {
    expect((await api.call('POST', '/alerts/test', {})).body).toMatchObject({ type: '/problems/no-alert-targets', status: 409 });
    api.state.alertTargets = [{ name: 'ops', host: 'example.org', minSeverity: 'warning', types: null }];
    expect(await api.call('POST', '/alerts/test', { reason: 'new address' })).toMatchObject({ status: 202, body: { targets: 1 } });
    expect(api.state.alerts[0]).toMatchObject({ type: 'test', summary: expect.stringContaining('new address') as string });
  });
});

it('shows targets without what may be secret', async () => {
  api.state.alertTargets = [{ name: 'ops', host: 'example.org', minSeverity: 'warning', types: null }];
  expect((await api.call('GET', '/alerts/targets')).body).toEqual({
    items: [{ name: 'ops', host: 'example.org', minSeverity: 'warning', types: null }],
    counts: { outbox: 0, pending: 0, dead: 0 },
  });
});
