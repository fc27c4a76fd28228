import { once } from 'node:events';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { TERMINAL_PHASES } from '@opamp-gateway/shared/rollout-types';
import type { RolloutService } from '../rollout/service.ts';
import { API_HEADERS } from './api-headers.ts';

/** Comments at this interval keep proxies from closing a quiet stream. */
const KEEP_ALIVE_MS = 15_000;

/**
 * Sends the events of a rollout as they happen. Ends after the last event of an ended rollout (with an event of type `end`,
 * so that a client knows not to reconnect), when the client goes away, or when the server closes.
 */
export async function streamRolloutEvents(options: {
  id: string;
  after: number;
  rollouts: RolloutService;
  request: FastifyRequest;
  reply: FastifyReply;
  closing: AbortSignal;
}): Promise<void> {
  const { id, after, rollouts, request, reply, closing } = options;
  reply.hijack();
  const { raw } = reply;
  const gone = new AbortController();
  raw.on('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);

  raw.writeHead(200, {
    ...API_HEADERS,
    'content-type': 'text/event-stream; charset=utf-8',
    'x-accel-buffering': 'no',
    connection: 'close',
  });
  raw.write(': connected\n\n');
  const keepAlive = setInterval(() => raw.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
  keepAlive.unref();
  try {
    for await (const event of rollouts.follow(id, after, signal)) {
      if (!raw.write(`id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`)) await once(raw, 'drain', { signal });
    }
    if (!signal.aborted) {
      const view = await rollouts.get(id);
      if (view !== undefined && TERMINAL_PHASES.has(view.phase))
        raw.write(`event: end\ndata: ${JSON.stringify({ id, phase: view.phase })}\n\n`);
    }
  } catch (error) {
    if (!signal.aborted) request.log.warn({ err: error, rollout: id }, 'event stream broke off');
  } finally {
    clearInterval(keepAlive);
    raw.end();
  }
}
