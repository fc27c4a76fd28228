import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from '@opamp-gateway/shared/metrics';

export interface AdminServerOptions {
  host: string;
  port: number;
  metrics: Metrics;
  /** Reasons for which the gateway does not take agents; empty = ready. */
  problems(): string[];
}

/** `/healthz`: the process lives. `/readyz`: it can serve agents (Redis reachable, not draining). `/metrics`: Prometheus. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '/').split('?')[0];
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405).end();
      } else if (path === '/healthz') {
        response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
      } else if (path === '/readyz') {
        const problems = options.problems();
        response
          .writeHead(problems.length === 0 ? 200 : 503, { 'content-type': 'text/plain' })
          .end(problems.length === 0 ? 'ready\n' : `${problems.join('\n')}\n`);
      } else if (path === '/metrics') {
        options.metrics.render().then(
          (text) => response.writeHead(200, { 'content-type': options.metrics.contentType }).end(text),
          (error: unknown) => response.writeHead(500).end(String(error)),
        );
      } else {
        response.writeHead(404).end();
      }
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) =>
        reject(new Error(`cannot listen on ${this.#options.host}:${this.#options.port}: ${error.message}`)),
      );
      this.#server.listen(this.#options.port, this.#options.host, () => resolve());
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
