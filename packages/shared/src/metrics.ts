import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** What every metric has. Labels must have few values: never a uid, a host or a hash. */
export interface MetricText<Label extends string> {
  readonly help: string;
  readonly labels?: readonly Label[];
}

type GaugeText<Label extends string> = MetricText<Label> & { readonly collect?: (gauge: Gauge<Label>) => void };

/** The metrics of one process object, on a registry of its own, so that several can share a process. */
export interface Metrics {
  readonly registry: Registry;
  /** Counts up; the name ends in `_total`. */
  counter<Label extends string = never>(name: `${string}_total`, options: MetricText<Label>): Counter<Label>;
  /** Goes up and down; `collect` is called before each reading. */
  gauge<Label extends string = never>(name: string, options: GaugeText<Label>): Gauge<Label>;
  /** A distribution; the name ends in its unit, `buckets` are upper bounds in that unit. */
  histogram<Label extends string = never>(
    name: string,
    options: MetricText<Label> & { readonly buckets: readonly number[] },
  ): Histogram<Label>;
  /** All metrics with their kind and help, by name, for generated documentation. */
  describe(): Promise<MetricDescription[]>;
  /** The Prometheus text of all metrics. */
  render(): Promise<string>;
  /** The `Content-Type` of that text. */
  readonly contentType: string;
  /** Ends the measurement of the event loop; the registry stays readable. */
  close(): void;
}

export type MetricDescription = { readonly name: string; readonly kind: string; readonly help: string; readonly labels: readonly string[] };

/** Options of `createMetrics`. */
export interface MetricsOptions {
  /** Also report memory, CPU, descriptors and garbage collection of the whole process. Off when unset; once per process. */
  readonly processMetrics?: boolean;
}

/** Upper bounds in seconds for network and Redis round trips. */
export const LATENCY_BUCKETS_SECONDS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const NANOSECONDS = 1e9;
/** Interval at which the event loop is measured; each time wakes the process up. */
const EVENT_LOOP_LOOK_MS = 50;

/** Builds the metrics of one process object; each name gets `prefix` and an underscore in front. */
export function createMetrics(prefix: string, options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const described = new Map<string, readonly string[]>();
  const common = <Label extends string>(name: string, { help, labels = [] }: MetricText<Label>) => {
    const fullName = `${prefix}_${name}`;
    described.set(fullName, labels);
    return { name: fullName, help, labelNames: [...labels], registers: [registry] };
  };
  const eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_LOOK_MS });
  eventLoop.enable();

  const metrics: Metrics = {
    registry,
    contentType: registry.contentType,
    counter: (name, text) => new Counter(common(name, text)),
    gauge<Label extends string = never>(name: string, text: GaugeText<Label>) {
      const { collect } = text;
      const gauge: Gauge<Label> = new Gauge({ ...common(name, text), ...(collect === undefined ? {} : { collect: () => collect(gauge) }) });
      return gauge;
    },
    histogram: (name, text) => new Histogram({ ...common(name, text), buckets: [...text.buckets] }),
    async describe() {
      const all = await registry.getMetricsAsJSON();
      return all
        .map(({ name, type, help }) => ({ name, kind: String(type), help, labels: described.get(name) ?? [] }))
        .toSorted((left, right) => (left.name < right.name ? -1 : 1));
    },
    render: () => registry.metrics(),
    close: () => void eventLoop.disable(),
  };
  reportEventLoop(metrics, eventLoop);
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });
  return metrics;
}

/** How late timers ran since the last reading: the first sign of a process that has more to do than it can. */
function reportEventLoop(metrics: Metrics, eventLoop: IntervalHistogram): void {
  metrics.gauge('event_loop_delay_seconds', {
    help: 'Delay of the event loop since the last reading',
    labels: ['quantile'],
    collect(gauge) {
      for (const [quantile, percentile] of [
        ['0.5', 50],
        ['0.99', 99],
        ['1', 100],
      ] as const) {
        // What is recorded is the time from one look to the next.
        gauge.set({ quantile }, Math.max(0, eventLoop.percentile(percentile) / NANOSECONDS - EVENT_LOOP_LOOK_MS / 1_000));
      }
      eventLoop.reset();
    },
  });
}
