import { randomBytes } from 'node:crypto';
import { toError } from './errors.ts';
import type { Logger } from './logger.ts';
import { parseTraceparent } from './tracing.ts';
import type { SpanAttributes, Tracer, TracingConfig } from './tracing.ts';

/** Spans that wait to be sent; more are dropped, so that a receiver that is away costs nothing. */
const MOST_WAITING = 4_096;
const BATCH = 512;
const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 5_000;
const CLOSE_MS = 1_000;

const KINDS = { internal: 1, server: 2, consumer: 5 } as const;

interface FinishedSpan {
  readonly [field: string]: unknown;
}

/** Sends spans to an OTLP/HTTP receiver as JSON, in batches. Nothing waits for it, and what it does not take is dropped and counted in the log. */
export function createOtlpTracer(config: TracingConfig, process: { service: string; instance: string; logger: Logger }): Tracer {
  const { logger } = process;
  const url = `${config.endpoint.replace(/\/+$/, '')}/v1/traces`;
  const resource = {
    attributes: toAttributes({
      'service.name': process.service,
      'service.instance.id': process.instance,
    }),
  };
  const waiting: FinishedSpan[] = [];
  let dropped = 0;
  let failing = false;
  let sending: Promise<void> | undefined;
  const timer = setInterval(() => void flush(), INTERVAL_MS);
  timer.unref();

  const send = async (timeoutMs: number): Promise<void> => {
    while (waiting.length > 0) {
      const spans = waiting.splice(0, BATCH);
      try {
        const answer = await fetch(url, {
          method: 'POST',
          headers: { ...config.headers, 'content-type': 'application/json' },
          body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'opamp-gateway' }, spans }] }] }),
          signal: AbortSignal.timeout(timeoutMs),
        });
        await answer.body?.cancel();
        if (!answer.ok) throw new Error(`answered ${answer.status}`);
        if (failing || dropped > 0) logger.info({ dropped }, 'spans are taken again');
        failing = false;
        dropped = 0;
      } catch (error) {
        dropped += spans.length;
        if (!failing) logger.warn({ error: toError(error).message, spans: spans.length }, 'spans are not taken and are dropped');
        failing = true;
        return;
      }
    }
  };

  const flush = (timeoutMs = TIMEOUT_MS): Promise<void> => {
    sending ??= send(timeoutMs).finally(() => {
      sending = undefined;
    });
    return sending;
  };

  return {
    enabled: true,

    start(name, { parent, kind = 'internal', attributes, startMs = Date.now() } = {}) {
      const from = parent === undefined ? undefined : parseTraceparent(parent);
      const traceId = from?.traceId ?? randomBytes(16).toString('hex');
      const spanId = randomBytes(8).toString('hex');
      let ended = false;
      return {
        traceparent: `00-${traceId}-${spanId}-01`,
        end(more, error) {
          if (ended) return;
          ended = true;
          if (waiting.length >= MOST_WAITING) {
            dropped += 1;
            return;
          }
          waiting.push({
            traceId,
            spanId,
            ...(from === undefined ? {} : { parentSpanId: from.spanId }),
            name,
            kind: KINDS[kind],
            startTimeUnixNano: toNanos(startMs),
            endTimeUnixNano: toNanos(Math.max(startMs, Date.now())),
            attributes: toAttributes({ ...attributes, ...more }),
            status: error === undefined ? {} : { code: 2, message: error },
          });
          if (waiting.length >= BATCH) void flush();
        },
      };
    },

    async close() {
      clearInterval(timer);
      await sending;
      await flush(CLOSE_MS);
    },
  };
}

function toNanos(ms: number): string {
  return `${BigInt(Math.round(ms)) * 1_000_000n}`;
}

/** Attributes in the JSON form of OTLP, where 64-bit integers are texts. */
function toAttributes(attributes: SpanAttributes): unknown[] {
  return Object.entries(attributes).map(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value } };
    if (typeof value === 'boolean') return { key, value: { boolValue: value } };
    return { key, value: Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value } };
  });
}
