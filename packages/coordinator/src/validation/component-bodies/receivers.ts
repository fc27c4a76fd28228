import type { BodyView, ObjectSchema, Schema } from './schema.ts';
import { ANY, BOOL, DURATION, INT, list, mapOf, object, oneOf, openObject, SIZE, TEXT, TEXTS } from './schema.ts';
import {
  checkGrpcServer,
  checkScraperController,
  checkServer,
  GRPC_SERVER,
  HTTP_SERVER,
  LIST_OF_ANY,
  RETRY,
  SCRAPER_CONTROLLER,
} from './shared-schemas.ts';
import { isDynamic } from '../substitution.ts';

const OTLP: ObjectSchema = object(
  'otlpreceiver.Config',
  {
    protocols: object('otlpreceiver.Protocols', {
      grpc: object('configgrpc.ServerConfig', GRPC_SERVER, checkGrpcServer),
      http: object(
        'otlpreceiver.HTTPConfig',
        { ...HTTP_SERVER, traces_url_path: TEXT, metrics_url_path: TEXT, logs_url_path: TEXT, profiles_url_path: TEXT },
        checkServer,
      ),
    }),
  },
  (body) => {
    const protocols = body.get('protocols');
    if (isDynamic(protocols)) return;
    const enabled = protocols?.kind === 'map' && (protocols.entries.has('grpc') || protocols.entries.has('http'));
    if (protocols === undefined || (protocols.kind === 'map' && !enabled)) {
      body.fail('protocols', 'must specify at least one protocol when using the OTLP receiver');
    }
  },
);

const NOP: ObjectSchema = object('struct {}', {});

const SCRAPER_NAMES = [
  'cpu',
  'disk',
  'filesystem',
  'hardware',
  'load',
  'memory',
  'network',
  'nfs',
  'paging',
  'process',
  'processes',
  'system',
];

/** Its own decoding takes what it knows and leaves the rest. */
const HOST_METRICS: ObjectSchema = {
  ...object(
    'hostmetricsreceiver.Config',
    {
      ...SCRAPER_CONTROLLER,
      root_path: TEXT,
      scrapers: openObject('scrapers', Object.fromEntries(SCRAPER_NAMES.map((name): [string, Schema] => [name, mapOf(ANY)]))),
    },
    (body) => {
      checkScraperController(body);
      const scrapers = body.get('scrapers');
      if (scrapers === undefined || (scrapers.kind === 'map' && scrapers.entries.size === 0)) {
        body.fail('scrapers', 'must specify at least one scraper when using hostmetrics receiver');
      }
    },
  ),
  lenient: true,
};

const FILE_LOG: ObjectSchema = openObject(
  'filelogreceiver.FileLogConfig',
  {
    id: TEXT,
    type: TEXT,
    output: ANY,
    attributes: mapOf(ANY),
    resource: mapOf(ANY),
    include: TEXTS,
    exclude: TEXTS,
    exclude_older_than: DURATION,
    ordering_criteria: openObject('matcher.OrderingCriteria', { regex: TEXT, top_n: INT, sort_by: LIST_OF_ANY, group_by: TEXT }),
    include_file_name: BOOL,
    include_file_path: BOOL,
    include_file_name_resolved: BOOL,
    include_file_path_resolved: BOOL,
    include_file_owner_name: BOOL,
    include_file_owner_group_name: BOOL,
    include_file_permissions: BOOL,
    include_file_record_number: BOOL,
    include_file_record_offset: BOOL,
    poll_interval: DURATION,
    start_at: oneOf('beginning', 'end'),
    fingerprint_size: SIZE,
    initial_buffer_size: SIZE,
    max_log_size: SIZE,
    max_log_size_behavior: TEXT,
    max_concurrent_files: INT,
    max_batches: INT,
    delete_after_read: BOOL,
    multiline: openObject('split.Config', { line_start_pattern: TEXT, line_end_pattern: TEXT, omit_pattern: BOOL }),
    force_flush_period: DURATION,
    preserve_leading_whitespaces: BOOL,
    preserve_trailing_whitespaces: BOOL,
    encoding: TEXT,
    header: openObject('fileconsumer.HeaderConfig', { pattern: TEXT, metadata_operators: LIST_OF_ANY }),
    acquire_fs_lock: BOOL,
    compression: TEXT,
    file_cache_advise: BOOL,
    on_truncate: TEXT,
    polls_to_archive: INT,
    operators: LIST_OF_ANY,
    storage: TEXT,
    retry_on_failure: RETRY,
    converter: ANY,
  },
  checkFileLog,
);

function checkFileLog(body: BodyView): void {
  const include = body.get('include');
  if (include === undefined || (include.kind === 'list' && include.items.length === 0))
    body.fail('include', 'required argument `include` is empty');
  const files = body.number('max_concurrent_files', 1024);
  if (files !== null && files < 1) body.fail('max_concurrent_files', '`max_concurrent_files` must be positive');
  const batches = body.number('max_batches', 0);
  if (batches !== null && batches < 0) body.fail('max_batches', '`max_batches` must not be negative');
  const startAt = body.text('start_at', 'end');
  if (startAt !== 'end') return;
  if (body.get('header') !== undefined) body.fail('header', '`header` cannot be specified with `start_at: end`');
  if (body.flag('delete_after_read', false) === true)
    body.fail('delete_after_read', '`delete_after_read` cannot be used with `start_at: end`');
}

const UNSUPPORTED_PROMETHEUS = ['remote_write', 'remote_read', 'rule_files', 'alerting'];

const PROMETHEUS: ObjectSchema = openObject(
  'prometheusreceiver.Config',
  {
    config: openObject(
      'prometheusreceiver.PromConfig',
      {
        global: mapOf(ANY),
        scrape_configs: list(mapOf(ANY)),
        scrape_config_files: TEXTS,
        otlp: ANY,
        runtime: ANY,
        storage: ANY,
        tracing: ANY,
        remote_write: ANY,
        remote_read: ANY,
        rule_files: ANY,
        alerting: ANY,
      },
      (body) => {
        for (const key of UNSUPPORTED_PROMETHEUS) {
          const value = body.get(key);
          const isEmpty = value?.kind === 'list' ? value.items.length === 0 : value?.kind === 'map' && value.entries.size === 0;
          if (value !== undefined && !isEmpty) body.fail(key, `unsupported features: ${key}`);
        }
        checkJobNames(body);
      },
    ),
    buffer_period: DURATION,
    buffer_count: INT,
    use_start_time_metric: BOOL,
    start_time_metric_regex: TEXT,
    report_extra_scrape_metrics: BOOL,
    report_extra_metrics: BOOL,
    trim_metric_suffixes: BOOL,
    skip_offset_reset: BOOL,
    target_allocator: mapOf(ANY),
    api_server: mapOf(ANY),
  },
  (body) => {
    const config = body.get('config');
    const empty =
      config === undefined ||
      (config.kind === 'map' && !config.entries.has('scrape_configs') && !config.entries.has('scrape_config_files'));
    if (empty && body.get('target_allocator') === undefined) body.fail('config', 'no Prometheus scrape_configs or target_allocator set');
  },
);

function checkJobNames(body: BodyView): void {
  const jobs = body.get('scrape_configs');
  if (jobs?.kind !== 'list') return;
  const seen = new Set<string>();
  for (const job of jobs.items) {
    if (job.kind !== 'map') continue;
    const name = job.entries.get('job_name')?.value;
    if (name === undefined) {
      body.fail('scrape_configs', 'a scrape config without job_name');
    } else if (name.kind === 'scalar' && !isDynamic(name)) {
      if (seen.has(name.text)) body.fail('scrape_configs', `found multiple scrape configs with job name "${name.text.slice(0, 64)}"`);
      seen.add(name.text);
    }
  }
}

const ZIPKIN: ObjectSchema = object('zipkinreceiver.Config', { ...HTTP_SERVER, parse_string_tags: BOOL, protocols: ANY }, checkServer);

/** Receivers whose settings are checked. */
export const RECEIVER_SCHEMAS: Readonly<Record<string, ObjectSchema>> = {
  otlp: OTLP,
  nop: NOP,
  hostmetrics: HOST_METRICS,
  host_metrics: HOST_METRICS,
  filelog: FILE_LOG,
  file_log: FILE_LOG,
  prometheus: PROMETHEUS,
  zipkin: ZIPKIN,
};
