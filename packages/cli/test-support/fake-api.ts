import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runCli } from '../src/cli.ts';

/** A request that the fake API got. */
export interface SeenRequest {
  method: string;
  /** Without `/api/v1`, with the query. */
  path: string;
  headers: IncomingMessage['headers'];
  body: unknown;
}

type Handler = (request: SeenRequest, response: ServerResponse) => unknown;

/** A tiny HTTP server in place of the coordinator. */
export interface FakeCoordinator {
  url: string;
  requests: SeenRequest[];
  /** Answers `METHOD /path` (query not counted): the value is sent as JSON, with status 200 unless the handler set one. */
  on(route: string, handler: Handler): void;
  close(): Promise<void>;
}

/** Starts the server on a free port. Routes that nobody set answer 404 as a problem. */
export async function startFakeCoordinator(): Promise<FakeCoordinator> {
  const requests: SeenRequest[] = [];
  const handlers = new Map<string, Handler>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const seen: SeenRequest = {
        method: request.method ?? '',
        path: (request.url ?? '').replace(/^\/api\/v1/, ''),
        headers: request.headers,
        body: text === '' ? undefined : (JSON.parse(text) as unknown),
      };
      requests.push(seen);
      const handler = handlers.get(`${seen.method} ${seen.path.split('?', 1)[0] ?? ''}`);
      if (handler === undefined) return sendProblem(response, 404, 'route-not-found', `there is no ${seen.path}`);
      const answer = handler(seen, response);
      if (response.headersSent || response.writableEnded) return undefined;
      response.setHeader('content-type', 'application/json');
      return response.end(answer === undefined ? undefined : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    on: (route, handler) => void handlers.set(route, handler),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers with a problem of the API. */
export function sendProblem(
  response: ServerResponse,
  status: number,
  type: string,
  detail: string,
  more: Record<string, unknown> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ type: `/problems/${type}`, title: `title of ${type}`, status, detail, ...more }));
}

/** What a run of the CLI printed, and its exit code. */
export interface CliRun {
  code: number;
  out: string;
  err: string;
}

/** Options of {@link runWith}. */
export interface RunOptions {
  env?: Record<string, string>;
  stdin?: string;
  columns?: number;
  interrupted?: AbortSignal;
  nowMs?: () => number;
}

/** Runs the CLI in this process. */
export async function runWith(args: readonly string[], options: RunOptions = {}): Promise<CliRun> {
  const run: CliRun = { code: -1, out: '', err: '' };
  run.code = await runCli(args, {
    out: (text) => void (run.out += text),
    err: (text) => void (run.err += text),
    columns: options.columns,
    readStdin: async () => options.stdin ?? '',
    env: options.env ?? {},
    nowMs: options.nowMs ?? (() => Date.now()),
    interrupted: options.interrupted ?? new AbortController().signal,
  });
  return run;
}
