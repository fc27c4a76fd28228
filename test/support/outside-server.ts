import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';

/** What the server answers: a status and a body, or `hang` = never. */
export type OutsideAnswer = { readonly status: number; readonly body: unknown } | 'hang';

/** One request that arrived. */
export interface OutsideRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

/** A Prometheus server and a receiver of webhooks, as gates of rollouts meet them, on one fixed port. */
export class OutsideServer {
  readonly port: number;
  readonly requests: OutsideRequest[] = [];
  /** Decides every answer. */
  answer: (request: OutsideRequest) => OutsideAnswer = () => ({ status: 404, body: {} });
  #server: Server | undefined;

  constructor(port: number) {
    this.port = port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests whose body, or query, holds this text. */
  about(text: string): readonly OutsideRequest[] {
    return this.requests.filter(({ body }) => decodeURIComponent(body.replaceAll('+', ' ')).includes(text));
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const received = {
          path: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
          atMs: Date.now(),
        };
        this.requests.push(received);
        const answer = this.answer(received);
        if (answer === 'hang') return;
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}

/** Answer of the query API with one series for each value. */
export function instantVector(...values: readonly number[]): OutsideAnswer {
  const result = values.map((value, index) => ({ metric: { series: String(index) }, value: [Date.now() / 1_000, String(value)] }));
  return { status: 200, body: { status: 'success', data: { resultType: 'vector', result } } };
}
