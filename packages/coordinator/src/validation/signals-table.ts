import type { Signal } from './ids.ts';

/** `from>to`: a connector takes the first signal as an exporter and gives the second as a receiver. */
export type SignalPair = `${Signal}>${Signal}`;

/**
 * Which signals a component type works with. It is not on the wire and differs a little between builds, so a type that is missing
 * here is never judged.
 */
export interface SignalsTable {
  readonly receivers: Readonly<Record<string, readonly Signal[]>>;
  readonly processors: Readonly<Record<string, readonly Signal[]>>;
  readonly exporters: Readonly<Record<string, readonly Signal[]>>;
  readonly connectors: Readonly<Record<string, readonly SignalPair[]>>;
}

const ALL: readonly Signal[] = ['traces', 'metrics', 'logs', 'profiles'];
const STABLE: readonly Signal[] = ['traces', 'metrics', 'logs'];
const TRACES: readonly Signal[] = ['traces'];
const METRICS: readonly Signal[] = ['metrics'];
const LOGS: readonly Signal[] = ['logs'];

const SAME: readonly SignalPair[] = ['traces>traces', 'metrics>metrics', 'logs>logs'];
const SAME_AND_PROFILES: readonly SignalPair[] = [...SAME, 'profiles>profiles'];
const ANY_TO_METRICS: readonly SignalPair[] = ['traces>metrics', 'metrics>metrics', 'logs>metrics', 'profiles>metrics'];
const TRACES_TO_METRICS: readonly SignalPair[] = ['traces>metrics'];
const OTLP_JSON: readonly SignalPair[] = ['logs>traces', 'logs>metrics', 'logs>logs'];
const METRICS_AS_LOGS: readonly SignalPair[] = ['metrics>logs'];

/**
 * Signals of common components of collector 0.159, from their public metadata. Where a component supports a signal only in some
 * builds the signal is listed, because a wrong refusal is worse than a missed one.
 */
export const DEFAULT_SIGNALS: SignalsTable = {
  receivers: {
    otlp: ALL,
    nop: ALL,
    kafka: ALL,
    hostmetrics: ['metrics', 'logs'],
    host_metrics: ['metrics', 'logs'],
    filelog: LOGS,
    file_log: LOGS,
    zipkin: TRACES,
    jaeger: TRACES,
    prometheus: METRICS,
    statsd: METRICS,
    carbon: METRICS,
    collectd: METRICS,
    docker_stats: METRICS,
    kubeletstats: METRICS,
    httpcheck: METRICS,
    windowsperfcounters: METRICS,
    syslog: LOGS,
    tcplog: LOGS,
    udplog: LOGS,
    journald: LOGS,
    fluentforward: LOGS,
    windowseventlog: LOGS,
  },
  processors: {
    batch: STABLE,
    memory_limiter: ALL,
    resource: ALL,
    attributes: ALL,
    filter: ALL,
    transform: ALL,
    resourcedetection: ALL,
    resource_detection: ALL,
    k8sattributes: ALL,
    k8s_attributes: ALL,
    tail_sampling: TRACES,
    groupbytrace: TRACES,
    span: TRACES,
    probabilistic_sampler: ['traces', 'logs'],
    cumulativetodelta: METRICS,
    cumulative_to_delta: METRICS,
    deltatocumulative: METRICS,
    deltatorate: METRICS,
    metricstransform: METRICS,
    logdedup: LOGS,
  },
  exporters: {
    debug: ALL,
    nop: ALL,
    otlp: ALL,
    otlp_grpc: ALL,
    otlphttp: ALL,
    otlp_http: ALL,
    file: ALL,
    kafka: ALL,
    datadog: STABLE,
    zipkin: TRACES,
    awsxray: TRACES,
    prometheus: METRICS,
    prometheusremotewrite: METRICS,
    loki: LOGS,
  },
  connectors: {
    forward: SAME_AND_PROFILES,
    span_metrics: TRACES_TO_METRICS,
    spanmetrics: TRACES_TO_METRICS,
    servicegraph: TRACES_TO_METRICS,
    count: ANY_TO_METRICS,
    signaltometrics: ANY_TO_METRICS,
    routing: SAME,
    failover: SAME,
    roundrobin: SAME,
    datadog: ['traces>metrics', 'traces>traces'],
    exceptions: ['traces>metrics', 'traces>logs'],
    otlp_json: OTLP_JSON,
    otlpjson: OTLP_JSON,
    metrics_as_logs: METRICS_AS_LOGS,
    metricsaslogs: METRICS_AS_LOGS,
  },
};

/** What a table says about a type of its rows; undefined for types that it does not know, inherited names included. */
export function lookUp<T>(rows: Readonly<Record<string, T>>, type: string): T | undefined {
  return Object.hasOwn(rows, type) ? rows[type] : undefined;
}
