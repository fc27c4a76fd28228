import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from '../collector-config.ts';
import type { Finding } from '../finding.ts';
import type { ComponentKind } from '../ids.ts';

/** Findings about the settings of one component. */
function findings(kind: ComponentKind, type: string, body: string): readonly Finding[] {
  const report = validateCollectorConfig(`${kind}:\n  ${type}: ${body}\n`, { policy: { allowFragments: true, allowProviders: true } });
  expect(report.unchecked).toEqual([]);
  return report.findings.filter(({ code }) => code.includes('_BODY'));
}

const codes = (kind: ComponentKind, type: string, body: string): string[] => findings(kind, type, body).map(({ code }) => code);
const messages = (kind: ComponentKind, type: string, body: string): string[] => findings(kind, type, body).map(({ message }) => message);

const GRPC = '{grpc: {endpoint: "localhost:4317"}}';

describe('settings that are right', () => {
  it.each([
    ['receivers', 'otlp', `{protocols: ${GRPC}}`],
    ['receivers', 'otlp', '{protocols: {grpc: , http: }}'],
    [
      'receivers',
      'otlp',
      '{protocols: {http: {endpoint: "localhost:1", cors: {allowed_origins: ["*"], max_age: 7200}, tls: {cert_file: a, key_file: b}, include_metadata: true}}}',
    ],
    [
      'receivers',
      'otlp',
      '{protocols: {grpc: {keepalive: {server_parameters: {max_connection_age: 60s}, enforcement_policy: {min_time: 5s}}, max_recv_msg_size_mib: 16}}}',
    ],
    ['receivers', 'otlp', '{protocols: "${env:PROTOCOLS}"}'],
    ['receivers', 'otlp', '{protocols: {grpc: "${env:GRPC}"}}'],
    ['receivers', 'otlp', '{protocols: {grpc: {endpoint: "${env:HOST}:4317", max_recv_msg_size_mib: "${env:SIZE}"}}}'],
    ['receivers', 'nop', ''],
    [
      'receivers',
      'hostmetrics',
      '{collection_interval: 30s, root_path: /hostfs, scrapers: {cpu: , memory: {metrics: {system.memory.utilization: {enabled: true}}}, filesystem: {}}}',
    ],
    [
      'receivers',
      'filelog',
      '{include: [/var/log/*.log], exclude: [a], start_at: beginning, multiline: {line_start_pattern: a}, operators: [{type: json_parser}], max_log_size: 1MiB}',
    ],
    ['receivers', 'file_log', '{include: /var/log/a.log}'],
    [
      'receivers',
      'prometheus',
      '{config: {scrape_configs: [{job_name: a, scrape_interval: 5s, static_configs: [{targets: ["localhost:1"]}]}, {job_name: b}]}}',
    ],
    ['receivers', 'prometheus', '{target_allocator: {endpoint: "http://a", interval: 30s, collector_id: a}}'],
    ['receivers', 'zipkin', '{endpoint: "localhost:9411", parse_string_tags: true}'],
    ['processors', 'batch', ''],
    ['processors', 'batch', '{}'],
    [
      'processors',
      'batch',
      '{timeout: 1s, send_batch_size: 10, send_batch_max_size: 10, metadata_keys: [a, b], metadata_cardinality_limit: 5}',
    ],
    ['processors', 'batch', '{send_batch_size: 0, send_batch_max_size: 0, timeout: 0s}'],
    ['processors', 'batch', '{send_batch_max_size: "${env:MAX}", timeout: "${env:TIMEOUT:-1s}"}'],
    ['processors', 'memory_limiter', '{check_interval: 1s, limit_mib: 400, spike_limit_mib: 80}'],
    ['processors', 'memory_limiter', '{check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20}'],
    ['processors', 'memory_limiter', '{check_interval: 1s, limit_mib: "${env:LIMIT}"}'],
    [
      'processors',
      'resource',
      '{attributes: [{key: a, value: 1, action: upsert}, {key: b, action: DELETE}, {pattern: x.*, action: delete}, {key: c, from_attribute: d, action: insert}]}',
    ],
    [
      'processors',
      'attributes',
      '{actions: [{key: a, action: hash}, {key: b, pattern: "(?P<x>.*)", action: extract}, {key: c, action: convert, converted_type: int}], include: {match_type: strict, services: [a]}}',
    ],
    ['processors', 'filter', '{error_mode: ignore, traces: {span: [a]}, metrics: {metric: [b], datapoint: [c]}, logs: {log_record: [d]}}'],
    ['processors', 'filter', '{metrics: {include: {match_type: strict, metric_names: [a]}}, log_conditions: [a]}'],
    ['exporters', 'debug', ''],
    [
      'exporters',
      'debug',
      '{verbosity: Detailed, sampling_initial: 5, sampling_thereafter: 200, use_internal_logger: false, output_paths: [stdout]}',
    ],
    [
      'exporters',
      'otlp',
      '{endpoint: "host:4317", tls: {insecure: true}, headers: {a: b}, compression: zstd, sending_queue: {enabled: true, queue_size: 100, storage: file_storage}, retry_on_failure: {enabled: false}}',
    ],
    [
      'exporters',
      'otlp_grpc',
      '{endpoint: "https://host:4317", headers: [{name: a, value: b}], timeout: 10s, auth: {authenticator: oauth2client}, balancer_name: round_robin}',
    ],
    ['exporters', 'otlp_grpc', '{endpoint: "[::1]:4317"}'],
    ['exporters', 'otlp_grpc', '{endpoint: "dns:///host:4317"}'],
    ['exporters', 'otlp_grpc', '{endpoint: "unix:///tmp/a.sock"}'],
    ['exporters', 'otlp_grpc', '{endpoint: "${env:ENDPOINT}"}'],
    ['exporters', 'otlphttp', '{endpoint: "http://a", encoding: json, compression: none, max_idle_conns: 10}'],
    ['exporters', 'otlp_http', '{traces_endpoint: "http://a/v1/traces"}'],
    [
      'exporters',
      'otlp_http',
      '{endpoint: "http://a", sending_queue: {sizer: bytes, queue_size: 1000000, batch: {flush_timeout: 1s, min_size: 10, max_size: 20}}}',
    ],
    ['exporters', 'file', '{path: /tmp/a.json, rotation: {max_megabytes: 10}, format: proto}'],
    ['exporters', 'prometheus', '{endpoint: "localhost:8889", namespace: a, const_labels: {b: c}, metric_expiration: 5m}'],
    ['exporters', 'nop', ''],
    ['extensions', 'health_check', ''],
    [
      'extensions',
      'health_check',
      '{endpoint: "localhost:13133", path: /health, check_collector_pipeline: {enabled: false, interval: 5m, exporter_failure_threshold: 5}}',
    ],
    [
      'extensions',
      'health_check',
      '{use_v2: true, http: {endpoint: "localhost:1", status: {enabled: true, path: /s}}, component_health: {include_permanent_errors: true, recovery_duration: 5m}}',
    ],
    ['extensions', 'zpages', '{endpoint: "localhost:55679", expvar: {enabled: true}}'],
    ['extensions', 'pprof', '{endpoint: "localhost:1777"}'],
    ['connectors', 'forward', '{}'],
  ] as const)('%s %s: %s', (kind, type, body) => {
    expect(findings(kind, type, body)).toEqual([]);
  });
});

describe('E_BODY_KEY', () => {
  it.each([
    ['processors', 'batch', '{send_batch_sizes: 1}', "'batchprocessor.Config' has invalid keys: send_batch_sizes"],
    ['processors', 'batch', '{foo: 1}', "'batchprocessor.Config' has invalid keys: foo"],
    ['processors', 'batch', '{Timeout: 1s}', "'batchprocessor.Config' has invalid keys: Timeout"],
    [
      'processors',
      'memory_limiter',
      '{check_interval: 1s, limit_mib: 1, limit_mb: 1}',
      "'memorylimiter.Config' has invalid keys: limit_mb",
    ],
    [
      'processors',
      'memory_limiter',
      '{check_interval: 1s, limit_mib: 1, ballast_size_mib: 1}',
      "'memorylimiter.Config' has invalid keys: ballast_size_mib",
    ],
    ['processors', 'resource', '{attributes: [{key: a, val: 1, action: delete}]}', "'attraction.ActionKeyValue' has invalid keys: val"],
    ['processors', 'filter', '{trace: {span: [a]}}', "'filterprocessor.Config' has invalid keys: trace"],
    ['receivers', 'otlp', '{protocols: {grpc: }, protocol: {grpc: }}', "'otlpreceiver.Config' has invalid keys: protocol"],
    ['receivers', 'otlp', '{protocols: {grpc: , udp: }}', "'otlpreceiver.Protocols' has invalid keys: udp"],
    ['receivers', 'otlp', '{protocols: {grpc: {endpiont: a}}}', "'configgrpc.ServerConfig' has invalid keys: endpiont"],
    ['receivers', 'otlp', '{protocols: {http: {tls: {insecure: true}}}}', "'configtls.ServerConfig' has invalid keys: insecure"],
    ['receivers', 'nop', '{a: 1}', "'struct {}' has invalid keys: a"],
    ['exporters', 'debug', '{loglevel: debug}', "'debugexporter.Config' has invalid keys: loglevel"],
    ['exporters', 'otlp_grpc', '{endpoint: "a:1", insecure: true}', "'otlpexporter.Config' has invalid keys: insecure"],
    ['exporters', 'otlp_grpc', '{endpoint: "a:1", sending_queue: {size: 1}}', "'queuebatch.Config' has invalid keys: size"],
    [
      'exporters',
      'otlp_grpc',
      '{endpoint: "a:1", retry_on_failure: {max_elapsed: 1s}}',
      "'configretry.BackOffConfig' has invalid keys: max_elapsed",
    ],
    ['exporters', 'otlp_http', '{endpoint: "http://a", header: {a: b}}', "'otlphttpexporter.Config' has invalid keys: header"],
    ['extensions', 'health_check', '{port: 13133}', "'healthcheck.Config' has invalid keys: port"],
    ['extensions', 'zpages', '{endpoints: a}', "'zpagesextension.Config' has invalid keys: endpoints"],
    ['connectors', 'forward', '{a: 1}', "'forwardconnector.Config' has invalid keys: a"],
    ['receivers', 'filelog', '{include: [a], includes: [b]}', "'filelogreceiver.FileLogConfig' has invalid keys: includes"],
    ['receivers', 'hostmetrics', '{scrapers: {cpus: }}', "'scrapers' has invalid keys: cpus"],
    ['processors', 'batch', '{constructor: 1}', "'batchprocessor.Config' has invalid keys: constructor"],
  ] as const)('%s %s: %s', (kind, type, body, message) => {
    expect(findings(kind, type, body)).toMatchObject([{ code: 'E_BODY_KEY', severity: 'error', line: 2, message }]);
  });

  it('comes with a suggestion and the path', () => {
    expect(findings('receivers', 'otlp/a', '{protocols: {grpc: {endpiont: a}}}')).toMatchObject([
      { path: 'receivers::otlp/a::protocols::grpc::endpiont', suggestion: 'did you mean `endpoint`?' },
    ]);
  });

  it('is only advice for unusual keys of components that differ much between builds', () => {
    expect(findings('receivers', 'filelog', '{include: [a], brand_new_thing: 1}')).toMatchObject([
      { code: 'W_BODY_KEY', severity: 'warning' },
    ]);
    expect(
      findings('receivers', 'prometheus', '{config: {scrape_configs: [{job_name: a, kubernetes_sd_configs: []}], brand_new_thing: 1}}'),
    ).toMatchObject([{ code: 'W_BODY_KEY' }]);
  });
});

describe('E_BODY: values of the wrong type', () => {
  it.each([
    ['processors', 'batch', '{timeout: "5"}', '\'timeout\' time: missing unit in duration "5"'],
    ['processors', 'batch', '{timeout: 5x}', '\'timeout\' time: unknown unit "x" in duration "5x"'],
    ['processors', 'batch', '{timeout: soon}', '\'timeout\' time: invalid duration "soon"'],
    ['processors', 'batch', '{timeout: ""}', '\'timeout\' time: invalid duration ""'],
    ['processors', 'batch', '{timeout: true}', "'timeout' expected type 'time.Duration', got unconvertible type 'bool'"],
    ['processors', 'batch', '{timeout: []}', "'timeout' expected type 'time.Duration', got unconvertible type '[]interface {}'"],
    ['processors', 'batch', '{send_batch_size: "10"}', "'send_batch_size' expected type 'uint32', got unconvertible type 'string'"],
    ['processors', 'batch', '{send_batch_size: -1}', "'send_batch_size' cannot parse value as 'uint32': -1 overflows uint"],
    ['processors', 'batch', '{metadata_keys: {a: b}}', "'metadata_keys' source data must be an array or slice, got map"],
    ['processors', 'batch', '{metadata_keys: [1]}', "'metadata_keys[0]' expected type 'string', got unconvertible type 'int'"],
    [
      'receivers',
      'otlp',
      '{protocols: {grpc: {endpoint: 4317}}}',
      "'protocols.grpc.endpoint' expected type 'string', got unconvertible type 'int'",
    ],
    [
      'receivers',
      'otlp',
      '{protocols: {grpc: {include_metadata: yes}}}',
      "'protocols.grpc.include_metadata' expected type 'bool', got unconvertible type 'string'",
    ],
    ['receivers', 'otlp', '{protocols: {grpc: "localhost:4317"}}', '\'protocols.grpc\' expected a map or struct, got "string"'],
    ['receivers', 'otlp', '{protocols: [grpc]}', '\'protocols\' expected a map or struct, got "slice"'],
    [
      'receivers',
      'otlp',
      '{protocols: {grpc: {endpoint: 2020-01-01}}}',
      "'protocols.grpc.endpoint' expected type 'string', got unconvertible type 'time.Time'",
    ],
    ['exporters', 'debug', '{use_internal_logger: "true"}', "'use_internal_logger' expected type 'bool', got unconvertible type 'string'"],
    ['exporters', 'debug', '{verbosity: loud}', '\'verbosity\' has the unsupported value "loud", expected one of basic, normal, detailed'],
    ['exporters', 'debug', '{verbosity: none}', '\'verbosity\' has the unsupported value "none", expected one of basic, normal, detailed'],
    ['exporters', 'otlp_grpc', '{endpoint: "a:1", headers: {a: 1}}', "'headers[a]' expected type 'string', got unconvertible type 'int'"],
    ['exporters', 'otlp_grpc', '{endpoint: "a:1", headers: [a]}', '\'headers[0]\' expected a map or struct, got "string"'],
    [
      'exporters',
      'otlp_grpc',
      '{endpoint: "a:1", compression: brotli}',
      '\'compression\' has the unsupported value "brotli", expected one of none, gzip, zlib, deflate, snappy, x-snappy-framed, zstd, lz4',
    ],
    [
      'exporters',
      'otlp_http',
      '{endpoint: "http://a", encoding: xml}',
      '\'encoding\' has the unsupported value "xml", expected one of proto, json',
    ],
    [
      'receivers',
      'filelog',
      '{include: [a], start_at: middle}',
      '\'start_at\' has the unsupported value "middle", expected one of beginning, end',
    ],
    [
      'receivers',
      'filelog',
      '{include: [a], max_log_size: big}',
      "'max_log_size' expected type 'helper.ByteSize', got unconvertible type 'string'",
    ],
  ] as const)('%s %s: %s', (kind, type, body, message) => {
    expect(messages(kind, type, body)).toEqual([message]);
    expect(codes(kind, type, body)).toEqual(['E_BODY']);
  });
});

describe('E_BODY: rules between settings', () => {
  it.each([
    ['receivers', 'otlp', '', 'must specify at least one protocol when using the OTLP receiver'],
    ['receivers', 'otlp', '{}', 'must specify at least one protocol when using the OTLP receiver'],
    ['receivers', 'otlp', '{protocols: }', 'must specify at least one protocol when using the OTLP receiver'],
    ['receivers', 'otlp', '{protocols: {}}', 'must specify at least one protocol when using the OTLP receiver'],
    ['receivers', 'otlp', '{protocols: {grpc: {transport: carrier_pigeon}}}', 'invalid transport type "carrier_pigeon"'],
    ['receivers', 'otlp', '{protocols: {grpc: {max_recv_msg_size_mib: -1}}}', 'invalid max_recv_msg_size_mib value: -1'],
    [
      'receivers',
      'otlp',
      '{protocols: {http: {tls: {cert_file: a}}}}',
      'TLS configuration must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)',
    ],
    ['receivers', 'hostmetrics', '', 'must specify at least one scraper when using hostmetrics receiver'],
    ['receivers', 'hostmetrics', '{scrapers: }', 'must specify at least one scraper when using hostmetrics receiver'],
    ['receivers', 'hostmetrics', '{scrapers: {cpu: }, collection_interval: 0s}', '"collection_interval": requires positive value'],
    ['receivers', 'filelog', '', 'required argument `include` is empty'],
    ['receivers', 'filelog', '{include: []}', 'required argument `include` is empty'],
    ['receivers', 'filelog', '{include: [a], header: {pattern: a}}', '`header` cannot be specified with `start_at: end`'],
    ['receivers', 'filelog', '{include: [a], delete_after_read: true}', '`delete_after_read` cannot be used with `start_at: end`'],
    ['receivers', 'prometheus', '', 'no Prometheus scrape_configs or target_allocator set'],
    ['receivers', 'prometheus', '{config: {global: {scrape_interval: 5s}}}', 'no Prometheus scrape_configs or target_allocator set'],
    [
      'receivers',
      'prometheus',
      '{config: {scrape_configs: [{job_name: a}], remote_write: [{url: a}]}}',
      'unsupported features: remote_write',
    ],
    [
      'receivers',
      'prometheus',
      '{config: {scrape_configs: [{job_name: a}, {job_name: a}]}}',
      'found multiple scrape configs with job name "a"',
    ],
    [
      'processors',
      'batch',
      '{send_batch_size: 10, send_batch_max_size: 9}',
      'send_batch_max_size must be greater or equal to send_batch_size',
    ],
    ['processors', 'batch', '{send_batch_max_size: 1000}', 'send_batch_max_size must be greater or equal to send_batch_size'],
    ['processors', 'batch', '{timeout: -1s}', 'timeout must be greater or equal to 0'],
    ['processors', 'batch', '{metadata_keys: [a, A]}', 'duplicate entry in metadata_keys: "a" (case-insensitive)'],
    ['processors', 'memory_limiter', '{limit_mib: 100}', "'check_interval' must be greater than zero"],
    ['processors', 'memory_limiter', '{check_interval: 0s, limit_mib: 100}', "'check_interval' must be greater than zero"],
    ['processors', 'memory_limiter', '{check_interval: 1s}', "'limit_mib' or 'limit_percentage' must be greater than zero"],
    [
      'processors',
      'memory_limiter',
      '{check_interval: 1s, limit_mib: 100, spike_limit_mib: 100}',
      "'spike_limit_mib' must be smaller than 'limit_mib'",
    ],
    [
      'processors',
      'memory_limiter',
      '{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 60}',
      "'spike_limit_percentage' must be smaller than 'limit_percentage'",
    ],
    [
      'processors',
      'memory_limiter',
      '{check_interval: 1s, limit_percentage: 120}',
      "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred",
    ],
    ['processors', 'resource', '', 'missing required field "attributes"'],
    ['processors', 'resource', '{attributes: []}', 'missing required field "attributes"'],
    [
      'processors',
      'resource',
      '{attributes: [{key: a, value: b, action: set}]}',
      'error creating AttrProc due to unsupported action "set"',
    ],
    ['processors', 'resource', '{attributes: [{key: a, value: b}]}', 'error creating AttrProc due to unsupported action ""'],
    ['processors', 'resource', '{attributes: [{value: b, action: upsert}]}', 'error creating AttrProc due to missing required field "key"'],
    [
      'processors',
      'resource',
      '{attributes: [{key: a, action: insert}]}',
      'error creating AttrProc. Either field "value", "from_attribute" or "from_context" setting must be specified',
    ],
    [
      'processors',
      'attributes',
      '{actions: [{key: a, value: b, from_attribute: c, action: update}]}',
      'error creating AttrProc due to multiple value sources being set',
    ],
    [
      'processors',
      'attributes',
      '{actions: [{key: a, action: convert, converted_type: bool}]}',
      'error creating AttrProc due to invalid value "bool" in field "converted_type"',
    ],
    ['exporters', 'otlp_grpc', '', 'requires a non-empty "endpoint"'],
    ['exporters', 'otlp', '{endpoint: ""}', 'requires a non-empty "endpoint"'],
    ['exporters', 'otlp', '{endpoint: "https://"}', 'requires a non-empty "endpoint"'],
    ['exporters', 'otlp', '{endpoint: host}', 'address host: missing port in address'],
    ['exporters', 'otlp', '{endpoint: "http://host"}', 'address host: missing port in address'],
    ['exporters', 'otlp', '{endpoint: "a:b:1"}', 'address a:b:1: too many colons in address'],
    ['exporters', 'otlp', '{endpoint: "host:http"}', 'invalid port "http"'],
    ['exporters', 'otlp', '{endpoint: "a:1", timeout: -1s}', "'timeout' must be non-negative"],
    ['exporters', 'otlp', '{endpoint: "a:1", sending_queue: {queue_size: 0}}', '`queue_size` must be positive'],
    ['exporters', 'otlp', '{endpoint: "a:1", sending_queue: {num_consumers: 0}}', '`num_consumers` must be positive'],
    [
      'exporters',
      'otlp',
      '{endpoint: "a:1", sending_queue: {batch: {min_size: 20, max_size: 10}}}',
      '`max_size` (10) must be greater or equal to `min_size` (20)',
    ],
    [
      'exporters',
      'otlp',
      '{endpoint: "a:1", retry_on_failure: {max_elapsed_time: 10s}}',
      "'max_elapsed_time' must not be less than 'max_interval'",
    ],
    ['exporters', 'otlp', '{endpoint: "a:1", retry_on_failure: {randomization_factor: 2}}', "'randomization_factor' must be within [0, 1]"],
    [
      'exporters',
      'otlp',
      '{endpoint: "a:1", tls: {ca_file: a, ca_pem: b}}',
      'provide either a CA file or the PEM-encoded string, but not both',
    ],
    ['exporters', 'otlp_http', '', 'at least one endpoint must be specified'],
    ['exporters', 'debug', '{output_paths: [stdout]}', 'output_paths is not supported when use_internal_logger is true'],
    ['exporters', 'file', '', 'path must be non-empty'],
    ['extensions', 'health_check', '{path: health}', 'path must start with /'],
    ['extensions', 'health_check', '{endpoint: ""}', 'http endpoint required'],
    ['extensions', 'health_check', '{use_v2: true}', 'must specify at least one protocol'],
    ['extensions', 'zpages', '{endpoint: ""}', '"endpoint" is required when using the "zpages" extension'],
  ] as const)('%s %s: %s', (kind, type, body, message) => {
    expect(messages(kind, type, body)).toEqual([message]);
    expect(codes(kind, type, body)).toEqual(['E_BODY']);
  });

  it('a setting without a value is zero and not the default', () => {
    expect(codes('exporters', 'otlp', '{endpoint: "a:1", sending_queue: {queue_size: }}')).toEqual(['E_BODY']);
    expect(codes('processors', 'batch', '{send_batch_size: , send_batch_max_size: 10}')).toEqual([]);
  });

  it('a queue or a retry that is switched off is not judged', () => {
    expect(
      codes(
        'exporters',
        'otlp',
        '{endpoint: "a:1", sending_queue: {enabled: false, queue_size: 0}, retry_on_failure: {enabled: false, max_elapsed_time: 1s}}',
      ),
    ).toEqual([]);
  });

  it('points at the setting, and at the component where it is missing', () => {
    const text = 'processors:\n  batch:\n    send_batch_size: 10\n    send_batch_max_size: 9\n  memory_limiter:\n    check_interval: 1s\n';
    const found = validateCollectorConfig(text, { policy: { allowFragments: true } }).findings;
    expect(found.map(({ line, column, path }) => `${line}:${column} ${path}`)).toEqual([
      '4:26 processors::batch::send_batch_max_size',
      '5:3 processors::memory_limiter::limit_mib',
    ]);
  });

  it('of unused components too', () => {
    const text =
      'receivers: {nop: }\nprocessors: {batch/unused: {timeout: never}}\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n';
    expect(validateCollectorConfig(text).findings.map(({ code }) => code)).toEqual(['W_UNUSED', 'E_BODY']);
  });
});
