import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from '@opamp-gateway/shared/metrics';

/** What the endpoints for operators show. */
export interface AdminServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  metrics: Metrics;
  /** Why requests should not be sent here now; undefined when they may be. */
  notReadyBecause(): string | undefined;
}

/** A running admin server. */
export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves `/healthz` (the process answers), `/readyz` (503 with the reason while requests should go elsewhere) and `/metrics`
 * (Prometheus text). Rejects when the port cannot be had.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { metrics } = options;
  const server = createServer((request, response) => {
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'text/plain', 'only GET and HEAD\n');
    switch ((request.url ?? '').split('?', 1)[0]) {
      case '/healthz':
        return send(200, 'text/plain', 'ok\n');
      case '/readyz': {
        const reason = options.notReadyBecause();
        return reason === undefined ? send(200, 'text/plain', 'ok\n') : send(503, 'text/plain', `${reason}\n`);
      }
      case '/metrics':
        metrics.render().then(
          (text) => send(200, metrics.contentType, text),
          (error: unknown) => send(500, 'text/plain', `${String(error)}\n`),
        );
        return undefined;
      default:
        return send(404, 'text/plain', 'there are /healthz, /readyz and /metrics\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
