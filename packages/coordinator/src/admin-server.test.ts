import { createMetrics } from '@opamp-gateway/shared/metrics';
import { afterEach, describe, expect, it } from 'vitest';
import { startAdminServer } from './admin-server.ts';
import type { AdminServer } from './admin-server.ts';

let server: AdminServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe('the admin endpoints', () => {
  it('say whether the process lives, whether it is ready, and what it counts', async () => {
    let reason: string | undefined = 'starting';
    const metrics = createMetrics('opamp_coordinator');
    server = await startAdminServer({ host: '127.0.0.1', port: 0, metrics, notReadyBecause: () => reason });
    const get = async (path: string, method = 'GET'): Promise<[number, string]> => {
      const answer = await fetch(`${server?.url ?? ''}${path}`, { method });
      return [answer.status, await answer.text()];
    };
    expect(await get('/healthz')).toEqual([200, 'ok\n']);
    expect(await get('/readyz')).toEqual([503, 'starting\n']);
    reason = undefined;
    expect(await get('/readyz?verbose')).toEqual([200, 'ok\n']);
    expect((await get('/metrics'))[1]).toContain('opamp_coordinator_event_loop_delay_seconds');
    expect((await get('/'))[0]).toBe(404);
    expect((await get('/healthz', 'POST'))[0]).toBe(405);
    expect(await get('/healthz', 'HEAD')).toEqual([200, '']);
    metrics.close();
  });

  it('rejects when the port is taken', async () => {
    const metrics = createMetrics('opamp_coordinator');
    const options = { host: '127.0.0.1', metrics, notReadyBecause: () => undefined };
    server = await startAdminServer({ ...options, port: 0 });
    await expect(startAdminServer({ ...options, port: Number(new URL(server.url).port) })).rejects.toThrow('EADDRINUSE');
    metrics.close();
  });
});
