/** The component list of a collector build: every agent of one build reports the same hash. */
import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { AvailableComponentsSchema, type ComponentDetails, ComponentDetailsSchema } from '@opamp-gateway/proto/opamp';

/** Component types by kind, as `receivers` -> `otlp`. */
export type ComponentTypes = Readonly<Record<string, readonly string[]>>;

/** The commonest types of a contrib 0.159 build; renamed ones stand under both names. */
export const CONTRIB_COMPONENTS: ComponentTypes = {
  receivers: ['filelog', 'file_log', 'hostmetrics', 'jaeger', 'journald', 'kafka', 'kubeletstats', 'nop', 'otlp', 'prometheus', 'zipkin'],
  processors: [
    'attributes',
    'batch',
    'filter',
    'k8sattributes',
    'k8s_attributes',
    'memory_limiter',
    'probabilistic_sampler',
    'resource',
    'resourcedetection',
    'resource_detection',
    'tail_sampling',
    'transform',
  ],
  exporters: [
    'debug',
    'file',
    'kafka',
    'loadbalancing',
    'nop',
    'otlp',
    'otlp_grpc',
    'otlphttp',
    'otlp_http',
    'prometheus',
    'prometheusremotewrite',
  ],
  extensions: ['file_storage', 'health_check', 'opamp', 'pprof', 'zpages'],
  connectors: ['count', 'failover', 'forward', 'routing', 'spanmetrics', 'span_metrics'],
};

const KIND_SUFFIX: Readonly<Record<string, string>> = {
  receivers: 'receiver',
  processors: 'processor',
  exporters: 'exporter',
  extensions: 'extension',
  connectors: 'connector',
};

/** An AvailableComponents in its two wire forms. */
export interface ComponentInventory {
  /** Hash alone, for the first message. */
  readonly hashOnly: Uint8Array;
  /** Hash and the whole tree. */
  readonly full: Uint8Array;
}

/** Encodes the list of a build; `version` is the collector's. */
export function createComponentInventory(types: ComponentTypes, version: string): ComponentInventory {
  const components: Record<string, ComponentDetails> = {};
  const digest = createHash('sha256');
  for (const [kind, names] of Object.entries(types)) {
    const suffix = KIND_SUFFIX[kind] ?? kind;
    const subComponentMap: Record<string, ComponentDetails> = {};
    for (const name of names) {
      const namespace = `github.com/open-telemetry/opentelemetry-collector-contrib/${suffix}/${name.replaceAll('_', '')}${suffix} v${version}`;
      digest.update(`${kind}/${name}=${namespace}\n`);
      subComponentMap[name] = create(ComponentDetailsSchema, {
        metadata: [{ key: 'code.namespace', value: { value: { case: 'stringValue', value: namespace } } }],
      });
    }
    components[kind] = create(ComponentDetailsSchema, { subComponentMap });
  }
  const hash = new Uint8Array(digest.digest());
  return {
    hashOnly: toBinary(AvailableComponentsSchema, create(AvailableComponentsSchema, { hash })),
    full: toBinary(AvailableComponentsSchema, create(AvailableComponentsSchema, { hash, components })),
  };
}
