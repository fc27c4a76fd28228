import type { BodyView, ObjectSchema, Schema } from './schema.ts';
import { ANY, BOOL, DURATION, list, mapOf, object, openObject, TEXT, TEXTS, UINT } from './schema.ts';
import { SECOND } from './go-values.ts';
import { isDynamic } from '../substitution.ts';

const BATCH: ObjectSchema = object(
  'batchprocessor.Config',
  { timeout: DURATION, send_batch_size: UINT, send_batch_max_size: UINT, metadata_keys: TEXTS, metadata_cardinality_limit: UINT },
  (body) => {
    const size = body.number('send_batch_size', 8192);
    const max = body.number('send_batch_max_size', 0);
    if (size !== null && max !== null && max > 0 && max < size) {
      body.fail('send_batch_max_size', 'send_batch_max_size must be greater or equal to send_batch_size');
    }
    const timeout = body.duration('timeout', 0.2 * SECOND);
    if (timeout !== null && timeout < 0) body.fail('timeout', 'timeout must be greater or equal to 0');
    checkDistinct(body, 'metadata_keys');
  },
);

function checkDistinct(body: BodyView, key: string): void {
  const keys = body.get(key);
  if (keys?.kind !== 'list') return;
  const seen = new Set<string>();
  for (const item of keys.items) {
    if (item.kind !== 'scalar' || isDynamic(item)) continue;
    const lower = item.text.toLowerCase();
    if (seen.has(lower)) body.fail(key, `duplicate entry in ${key}: "${lower.slice(0, 64)}" (case-insensitive)`);
    seen.add(lower);
  }
}

const MEMORY_LIMITER: ObjectSchema = object(
  'memorylimiter.Config',
  {
    check_interval: DURATION,
    min_gc_interval_when_soft_limited: DURATION,
    min_gc_interval_when_hard_limited: DURATION,
    max_gc_interval_when_soft_limited: DURATION,
    max_gc_interval_when_hard_limited: DURATION,
    limit_mib: UINT,
    spike_limit_mib: UINT,
    limit_percentage: UINT,
    spike_limit_percentage: UINT,
  },
  checkMemoryLimiter,
);

function checkMemoryLimiter(body: BodyView): void {
  const interval = body.duration('check_interval', 0);
  if (interval !== null && interval <= 0) body.fail('check_interval', "'check_interval' must be greater than zero");
  const soft = body.duration('min_gc_interval_when_soft_limited', 10 * SECOND);
  const hard = body.duration('min_gc_interval_when_hard_limited', 0);
  if (soft !== null && hard !== null && soft < hard) {
    body.fail(
      'min_gc_interval_when_hard_limited',
      "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'",
    );
  }
  const mib = body.number('limit_mib', 0);
  const spikeMib = body.number('spike_limit_mib', 0);
  const percentage = body.number('limit_percentage', 0);
  const spikePercentage = body.number('spike_limit_percentage', 0);
  if (mib === 0 && percentage === 0) body.fail('limit_mib', "'limit_mib' or 'limit_percentage' must be greater than zero");
  for (const [key, value] of [
    ['limit_percentage', percentage],
    ['spike_limit_percentage', spikePercentage],
  ] as const) {
    if (value === null || value <= 100) continue;
    body.fail(key, "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred");
  }
  if (mib !== null && spikeMib !== null && mib > 0 && mib <= spikeMib) {
    body.fail('spike_limit_mib', "'spike_limit_mib' must be smaller than 'limit_mib'");
  }
  if (percentage !== null && spikePercentage !== null && percentage > 0 && percentage <= spikePercentage) {
    body.fail('spike_limit_percentage', "'spike_limit_percentage' must be smaller than 'limit_percentage'");
  }
}

const ACTIONS = ['insert', 'update', 'upsert', 'delete', 'hash', 'extract', 'convert'];

const ACTION: ObjectSchema = object(
  'attraction.ActionKeyValue',
  {
    key: TEXT,
    value: ANY,
    pattern: TEXT,
    from_attribute: TEXT,
    from_context: TEXT,
    default_value: ANY,
    converted_type: TEXT,
    action: TEXT,
  },
  checkAction,
);

function checkAction(body: BodyView): void {
  const action = body.text('action')?.toLowerCase() ?? null;
  if (action === null) return;
  if (!ACTIONS.includes(action)) {
    body.fail('action', `error creating AttrProc due to unsupported action "${action.slice(0, 64)}"`);
    return;
  }
  const hasKey = body.text('key') !== '';
  const hasPattern = body.text('pattern') !== '';
  const byPattern = action === 'delete' || action === 'hash';
  if (!hasKey && !(byPattern && hasPattern)) body.fail('key', 'error creating AttrProc due to missing required field "key"');
  const sources = ['value', 'from_attribute', 'from_context'].filter((key) => body.get(key) !== undefined);
  if (action === 'insert' || action === 'update' || action === 'upsert') {
    if (sources.length === 0) {
      body.fail(null, 'error creating AttrProc. Either field "value", "from_attribute" or "from_context" setting must be specified');
    } else if (sources.length > 1) {
      body.fail(sources[1] ?? null, 'error creating AttrProc due to multiple value sources being set');
    }
  }
  if (action === 'extract' && !hasPattern)
    body.fail(null, 'error creating AttrProc due to missing required field "pattern" for action "extract"');
  if (action === 'convert') {
    const type = body.text('converted_type');
    if (type === '') body.fail(null, 'error creating AttrProc due to missing required field "converted_type" for action "convert"');
    else if (type !== null && !['string', 'int', 'double'].includes(type)) {
      body.fail('converted_type', `error creating AttrProc due to invalid value "${type.slice(0, 64)}" in field "converted_type"`);
    }
  }
}

/** Requires a list of actions that is not empty. */
function requireActions(key: string): (body: BodyView) => void {
  return (body) => {
    const actions = body.get(key);
    if (actions === undefined || (actions.kind === 'list' && actions.items.length === 0)) {
      body.fail(key, `missing required field "${key}"`);
    }
  };
}

const RESOURCE: ObjectSchema = object('resourceprocessor.Config', { attributes: list(ACTION) }, requireActions('attributes'));

const MATCH: Schema = mapOf(ANY);

const ATTRIBUTES: ObjectSchema = object(
  'attributesprocessor.Config',
  { actions: list(ACTION), include: MATCH, exclude: MATCH },
  requireActions('actions'),
);

const CONDITIONS: Schema = list(ANY);

const FILTER: ObjectSchema = object('filterprocessor.Config', {
  error_mode: { kind: 'text', oneOf: ['ignore', 'silent', 'propagate'], ignoreCase: true },
  spans: openObject('filterconfig.MatchConfig', { include: ANY, exclude: ANY }),
  metrics: object('filterprocessor.MetricFilters', {
    include: ANY,
    exclude: ANY,
    regexp: ANY,
    resource: TEXTS,
    metric: TEXTS,
    datapoint: TEXTS,
  }),
  logs: object('filterprocessor.LogFilters', { include: ANY, exclude: ANY, resource: TEXTS, log_record: TEXTS }),
  traces: object('filterprocessor.TraceFilters', { resource: TEXTS, span: TEXTS, spanevent: TEXTS }),
  profiles: object('filterprocessor.ProfileFilters', { resource: TEXTS, profile: TEXTS }),
  trace_conditions: CONDITIONS,
  metric_conditions: CONDITIONS,
  log_conditions: CONDITIONS,
  profile_conditions: CONDITIONS,
});

const PROBABILISTIC_SAMPLER: ObjectSchema = openObject(
  'probabilisticsamplerprocessor.Config',
  {
    sampling_percentage: { kind: 'float' },
    hash_seed: UINT,
    mode: { kind: 'text', oneOf: ['', 'hash_seed', 'proportional', 'equalizing'] },
    fail_closed: BOOL,
    sampling_precision: { kind: 'int' },
    attribute_source: TEXT,
    from_attribute: TEXT,
    sampling_priority: TEXT,
  },
  (body) => {
    const percentage = body.number('sampling_percentage', 0);
    if (percentage !== null && percentage < 0) body.fail('sampling_percentage', `sampling rate is negative: ${percentage}%`);
  },
);

const ERROR_MODE: Schema = { kind: 'text', oneOf: ['ignore', 'silent', 'propagate'], ignoreCase: true };

const TRANSFORM: ObjectSchema = openObject('transformprocessor.Config', {
  error_mode: ERROR_MODE,
  flatten_data: BOOL,
  trace_statements: CONDITIONS,
  metric_statements: CONDITIONS,
  log_statements: CONDITIONS,
  profile_statements: CONDITIONS,
});

const TAIL_SAMPLING: ObjectSchema = openObject('tailsamplingprocessor.Config', {
  decision_wait: DURATION,
  decision_wait_after_root_received: DURATION,
  num_traces: UINT,
  expected_new_traces_per_sec: UINT,
  policies: list(mapOf(ANY)),
  decision_cache: mapOf(ANY),
  sample_on_first_match: BOOL,
  block_on_overflow: BOOL,
  drop_pending_traces_on_shutdown: BOOL,
  maximum_trace_size_bytes: UINT,
});

/** Processors whose settings are checked. */
export const PROCESSOR_SCHEMAS: Readonly<Record<string, ObjectSchema>> = {
  batch: BATCH,
  memory_limiter: MEMORY_LIMITER,
  resource: RESOURCE,
  attributes: ATTRIBUTES,
  filter: FILTER,
  probabilistic_sampler: PROBABILISTIC_SAMPLER,
  tail_sampling: TAIL_SAMPLING,
  transform: TRANSFORM,
};
