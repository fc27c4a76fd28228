import type { Logger } from './logger.ts';

/** What a span says of itself; numbers are whole or not, as given. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work in the making. */
export interface Span {
  /** Its place in the trace, as the header of W3C Trace Context; '' when nothing is traced. */
  readonly traceparent: string;
  /** Ends it, once; later calls do nothing. `error`: why it failed. */
  end(attributes?: SpanAttributes, error?: string): void;
}

/** Makes spans. */
export interface Tracer {
  /** False: nothing is kept, and `start` costs next to nothing. */
  readonly enabled: boolean;
  /** `parent`: a `traceparent`; without a valid one the span begins a trace. `startMs`: Unix ms, now when absent. */
  start(
    name: string,
    options?: { parent?: string | undefined; kind?: 'internal' | 'server' | 'consumer'; attributes?: SpanAttributes; startMs?: number },
  ): Span;
  /** Sends what is left, for at most a second. */
  close(): Promise<void>;
}

const NO_SPAN: Span = { traceparent: '', end: () => undefined };

/** Keeps nothing. */
export const NO_TRACER: Tracer = { enabled: false, start: () => NO_SPAN, close: async () => undefined };

/** Where spans go. */
export interface TracingConfig {
  /** Base of an OTLP/HTTP receiver, without `/v1/traces`. */
  readonly endpoint: string;
  /** Sent with every request; may hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Builds the tracer of one process object. Without a config nothing of tracing is loaded. */
export async function openTracer(
  config: TracingConfig | undefined,
  process: { service: string; instance: string; logger: Logger },
): Promise<Tracer> {
  if (config === undefined) return NO_TRACER;
  const { createOtlpTracer } = await import('./otlp-tracer.ts');
  return createOtlpTracer(config, process);
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;

/** The ids of a `traceparent`; undefined when it is none. [W3C Trace Context 3.2] */
export function parseTraceparent(text: string): { traceId: string; spanId: string } | undefined {
  const [, traceId = '', spanId = ''] = TRACEPARENT.exec(text) ?? [];
  return /[^0]/.test(traceId) && /[^0]/.test(spanId) && !text.startsWith('ff') ? { traceId, spanId } : undefined;
}

/** Reads `key=value` pairs joined by commas, values percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS has them. */
export function parseOtlpHeaders(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(',')
      .map((pair) => pair.trim())
      .filter((pair) => pair !== '')
      .map((pair) => {
        const at = pair.indexOf('=');
        if (at < 1) throw new Error('expected key=value pairs joined by commas');
        return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())];
      }),
  );
}
