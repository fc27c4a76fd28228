import type { BodyView, ObjectSchema } from './schema.ts';
import { BOOL, DURATION, INT, mapOf, object, oneOf, openObject, TEXT, TEXTS } from './schema.ts';
import { checkServer, GRPC_CLIENT, HTTP_CLIENT, HTTP_SERVER, QUEUE, RETRY } from './shared-schemas.ts';

const LEVELS = ['basic', 'normal', 'detailed'];

const DEBUG: ObjectSchema = object(
  'debugexporter.Config',
  {
    verbosity: { kind: 'text', oneOf: LEVELS, ignoreCase: true, orNumber: true },
    sampling_initial: INT,
    sampling_thereafter: INT,
    use_internal_logger: BOOL,
    output_paths: TEXTS,
    sending_queue: QUEUE,
  },
  (body) => {
    const paths = body.get('output_paths');
    const internal = body.flag('use_internal_logger', true);
    if (paths === undefined || internal === null) return;
    if (internal) body.fail('output_paths', 'output_paths is not supported when use_internal_logger is true');
    else if ((paths.kind === 'list' && paths.items.length === 0) || body.text('output_paths') === '') {
      body.fail('output_paths', 'output_paths must not be empty when use_internal_logger is false');
    }
  },
);

const NOP: ObjectSchema = object('struct {}', {});

function checkTimeout(body: BodyView): void {
  const timeout = body.duration('timeout', 0);
  if (timeout !== null && timeout < 0) body.fail('timeout', "'timeout' must be non-negative");
}

const OTLP_GRPC: ObjectSchema = object(
  'otlpexporter.Config',
  { ...GRPC_CLIENT, timeout: DURATION, sending_queue: QUEUE, retry_on_failure: RETRY, batcher: mapOf({ kind: 'any' }) },
  (body) => {
    checkTimeout(body);
    const endpoint = body.text('endpoint');
    if (endpoint === null) return;
    const address = endpoint.replace(/^https?:\/\//, '').replace(/^dns:\/\/\/?/, '');
    if (address === '') {
      body.fail('endpoint', 'requires a non-empty "endpoint"');
      return;
    }
    if (!endpoint.startsWith('unix://')) checkHostPort(body, address);
  },
);

/** The port must be there and be a number; Go reads it from after the last colon. */
function checkHostPort(body: BodyView, address: string): void {
  const shown = address.slice(0, 128);
  const colon = address.lastIndexOf(':');
  const host = colon === -1 ? address : address.slice(0, colon);
  if (colon === -1 || (host.startsWith('[') && !host.endsWith(']'))) {
    body.fail('endpoint', `address ${shown}: missing port in address`);
  } else if (host.includes(':') && !host.startsWith('[')) {
    body.fail('endpoint', `address ${shown}: too many colons in address`);
  } else if (!/^[-+]?\d+$/.test(address.slice(colon + 1))) {
    body.fail('endpoint', `invalid port "${address.slice(colon + 1, colon + 65)}"`);
  }
}

const SIGNAL_ENDPOINTS = ['traces_endpoint', 'metrics_endpoint', 'logs_endpoint', 'profiles_endpoint'];

const OTLP_HTTP: ObjectSchema = object(
  'otlphttpexporter.Config',
  {
    ...HTTP_CLIENT,
    ...Object.fromEntries(SIGNAL_ENDPOINTS.map((key) => [key, TEXT])),
    encoding: oneOf('proto', 'json'),
    sending_queue: QUEUE,
    retry_on_failure: RETRY,
  },
  (body) => {
    const endpoints = ['endpoint', ...SIGNAL_ENDPOINTS].map((key) => body.text(key));
    if (endpoints.every((endpoint) => endpoint === '')) body.fail('endpoint', 'at least one endpoint must be specified');
  },
);

const FILE: ObjectSchema = openObject(
  'fileexporter.Config',
  {
    path: TEXT,
    append: BOOL,
    rotation: openObject('fileexporter.Rotation', { max_megabytes: INT, max_days: INT, max_backups: INT, localtime: BOOL }),
    format: oneOf('', 'json', 'proto'),
    encoding: TEXT,
    compression: oneOf('', 'zstd'),
    flush_interval: DURATION,
    group_by: openObject('fileexporter.GroupBy', { enabled: BOOL, resource_attribute: TEXT, max_open_files: INT }),
    create_directory: BOOL,
    directory_permissions: TEXT,
  },
  (body) => {
    if (body.text('path') === '') body.fail('path', 'path must be non-empty');
    if (body.flag('append', false) === true && body.get('rotation') !== undefined)
      body.fail('append', 'append and rotation enabled at the same time is not supported');
  },
);

const PROMETHEUS: ObjectSchema = openObject(
  'prometheusexporter.Config',
  {
    ...HTTP_SERVER,
    namespace: TEXT,
    const_labels: mapOf(TEXT),
    send_timestamps: BOOL,
    metric_expiration: DURATION,
    resource_to_telemetry_conversion: openObject('resourcetotelemetry.Settings', {
      enabled: BOOL,
      clear_after_copy: BOOL,
      exclude_service_attributes: BOOL,
    }),
    enable_open_metrics: BOOL,
    add_metric_suffixes: BOOL,
    without_scope_info: BOOL,
    translation_strategy: TEXT,
  },
  checkServer,
);

/** Exporters whose settings are checked. */
export const EXPORTER_SCHEMAS: Readonly<Record<string, ObjectSchema>> = {
  debug: DEBUG,
  nop: NOP,
  otlp: OTLP_GRPC,
  otlp_grpc: OTLP_GRPC,
  otlphttp: OTLP_HTTP,
  otlp_http: OTLP_HTTP,
  file: FILE,
  prometheus: PROMETHEUS,
};
