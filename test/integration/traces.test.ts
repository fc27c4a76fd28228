import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Queue } from 'bullmq';
import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, FAST_STRATEGY } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';

interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly service: string;
}

/** An OTLP/HTTP receiver that keeps what it gets. */
async function startReceiver(): Promise<{ url: string; spans: SentSpan[]; stop(): Promise<void> }> {
  const spans: SentSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: {
          resource: { attributes: { key: string; value: { stringValue: string } }[] };
          scopeSpans: { spans: Omit<SentSpan, 'service'>[] }[];
        }[];
      };
      for (const { resource, scopeSpans } of body.resourceSpans) {
        const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        spans.push(...scopeSpans.flatMap((scope) => scope.spans.map((span) => ({ ...span, service }))));
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const EVERYWHERE = ['agent.config', 'gateway.evaluate', 'rollout.step'];

test('the spans of one rollout, from request or job to agents, share a trace', async (context) => {
  const receiver = await startReceiver();
  context.onTestFinished(async () => await receiver.stop());
  const stack = await useStack(context, { gateways: 2, env: { OPAMP_OTLP_ENDPOINT: receiver.url } });
  const fleet = await useFleet(context, stack, { name: 'traced', agents: 6 });
  const deployment = await Deployment.create(stack.api, fleet);
  await deployment.prove('traced 1');
  const namesOf = (traceId: string): string[] =>
    [...new Set(receiver.spans.filter((span) => span.traceId === traceId).map(({ name }) => name))].toSorted();

  // By the API, in the trace of the client.
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const config = await deployment.store('traced 2');
  const body = { group: fleet.name, config: { name: config.name, version: config.version }, strategy: FAST_STRATEGY };
  const { id } = (await stack.api.call('POST', '/rollouts', {
    body,
    headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
  })) as { id: string };
  await deployment.finish(id, 'succeeded');
  await waitUntil(
    'the trace of the request',
    () => namesOf(traceId),
    (names) => names.length === 4,
  );
  expect(namesOf(traceId)).toEqual(['POST /api/v1/rollouts', ...EVERYWHERE].toSorted());
  const spans = receiver.spans.filter((span) => span.traceId === traceId);
  const request = spans.find(({ name }) => name.startsWith('POST'));
  expect(request?.parentSpanId).toBe('00f067aa0ba902b7');
  expect(new Set(spans.filter((span) => span !== request).map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([request?.spanId]));
  expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['opamp-coordinator', 'opamp-gateway']));

  // By a job, which begins a trace.
  const third = await deployment.store('traced 3');
  const queue = new Queue('opamp-rollouts', { connection: { host: '127.0.0.1', port: stack.redis.port }, prefix: '{opamp}' });
  queue.on('error', () => undefined);
  context.onTestFinished(async () => await queue.close());
  await queue.add('rollout.create', { ...body, config: { name: third.name, version: third.version } }, { jobId: 'traced-3' });
  const job = await waitUntil(
    'the span of the job',
    () => receiver.spans.find(({ name }) => name === 'opamp-rollouts process'),
    (span) => span !== undefined,
  );
  await waitUntil(
    'the trace of the job',
    () => namesOf(job?.traceId ?? ''),
    (names) => names.length === 4,
  );
  expect(namesOf(job?.traceId ?? '')).toEqual(['opamp-rollouts process', ...EVERYWHERE].toSorted());
});
