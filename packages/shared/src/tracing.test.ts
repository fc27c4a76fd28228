import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readTracing } from './environment.ts';
import { createSilentLogger } from './logger.ts';
import { NO_TRACER, openTracer, parseOtlpHeaders, parseTraceparent } from './tracing.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

describe('openTracer', () => {
  it('makes nothing without a receiver', async () => {
    const tracer = await openTracer(undefined, { service: 's', instance: 'i', logger: createSilentLogger() });
    expect(tracer).toBe(NO_TRACER);
    const span = tracer.start('x', { parent: PARENT });
    span.end();
    expect(span.traceparent).toBe('');
  });

  it('sends spans as OTLP JSON, in the trace of their parent', async () => {
    const bodies: unknown[] = [];
    const headers: unknown[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
        headers.push([request.method, request.url, request.headers['content-type'], request.headers['x-key']]);
        response.end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const tracer = await openTracer({ endpoint, headers: { 'x-key': 'k' } }, { service: 's', instance: 'i', logger: createSilentLogger() });
    const span = tracer.start('outer', {
      parent: PARENT,
      kind: 'server',
      startMs: 1_700_000_000_000,
      attributes: { text: 'a', whole: 3, part: 0.5, flag: true },
    });
    const inner = tracer.start('inner', { parent: span.traceparent });
    inner.end({}, 'went wrong');
    inner.end();
    span.end({ more: 1 });
    tracer.start('root', { parent: 'nonsense' }).end();
    await tracer.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));

    expect(headers[0]).toEqual(['POST', '/v1/traces', 'application/json', 'k']);
    expect(bodies).toHaveLength(1);
    const [resourceSpans] = (bodies[0] as { resourceSpans: { resource: unknown; scopeSpans: { spans: Record<string, unknown>[] }[] }[] })
      .resourceSpans;
    expect(resourceSpans?.resource).toEqual({
      attributes: [
        { key: 'service.name', value: { stringValue: 's' } },
        { key: 'service.instance.id', value: { stringValue: 'i' } },
      ],
    });
    const [first, second, third] = resourceSpans?.scopeSpans[0]?.spans ?? [];
    expect(first).toMatchObject({
      name: 'inner',
      traceId: TRACE,
      parentSpanId: second?.['spanId'],
      kind: 1,
      status: { code: 2, message: 'went wrong' },
    });
    expect(second).toMatchObject({
      name: 'outer',
      traceId: TRACE,
      parentSpanId: '00f067aa0ba902b7',
      kind: 2,
      startTimeUnixNano: '1700000000000000000',
      status: {},
    });
    expect(second?.['attributes']).toEqual([
      { key: 'text', value: { stringValue: 'a' } },
      { key: 'whole', value: { intValue: '3' } },
      { key: 'part', value: { doubleValue: 0.5 } },
      { key: 'flag', value: { boolValue: true } },
      { key: 'more', value: { intValue: '1' } },
    ]);
    expect(third).toMatchObject({ name: 'root' });
    expect(third?.['traceId']).toMatch(/^[0-9a-f]{32}$/);
    expect(third?.['traceId']).not.toBe(TRACE);
    expect(third).not.toHaveProperty('parentSpanId');
  });

  it('goes on when nobody takes the spans', async () => {
    const tracer = await openTracer(
      { endpoint: 'http://127.0.0.1:1', headers: {} },
      { service: 's', instance: 'i', logger: createSilentLogger() },
    );
    for (let count = 0; count < 10_000; count += 1) tracer.start('x').end();
    await tracer.close();
    expect(tracer.enabled).toBe(true);
  });
});

it.each([
  [PARENT, { traceId: TRACE, spanId: '00f067aa0ba902b7' }],
  [`cc-${TRACE}-00f067aa0ba902b7-01-what-comes-later`, { traceId: TRACE, spanId: '00f067aa0ba902b7' }],
  [`ff-${TRACE}-00f067aa0ba902b7-01`, undefined],
  [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, undefined],
  [`00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
  ['', undefined],
])('traceparent %s', (text, expected) => {
  expect(parseTraceparent(text)).toEqual(expected);
});

describe('readTracing', () => {
  it('takes our own setting, then those of OpenTelemetry, then none', () => {
    expect(readTracing(undefined, {})).toBeUndefined();
    expect(readTracing(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318', OTEL_EXPORTER_OTLP_HEADERS: 'a=b, c=d%20e' })).toEqual(
      {
        endpoint: 'http://otel:4318',
        headers: { a: 'b', c: 'd e' },
      },
    );
    expect(readTracing('http://own:4318', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318' })?.endpoint).toBe('http://own:4318');
  });

  it('names what is wrong, and quotes no header', () => {
    expect(() => readTracing(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: 'otel:4318' })).toThrow(/OTEL_EXPORTER_OTLP_ENDPOINT/);
    expect(() => readTracing('http://x', { OTEL_EXPORTER_OTLP_HEADERS: 's3cret' })).toThrow(/^(?!.*s3cret).*OTEL_EXPORTER_OTLP_HEADERS/s);
    expect(() => parseOtlpHeaders('=x')).toThrow();
  });
});
