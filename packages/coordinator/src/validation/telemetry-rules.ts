import { entryOf, goKind, goType, isNull, joinPath } from './config-node.ts';
import type { ConfigNode, MapEntry, MapNode } from './config-node.ts';
import { quoted } from './finding.ts';
import { isDynamic } from './substitution.ts';
import type { ValidationContext } from './validation-context.ts';

const PATH = 'service::telemetry';

const TELEMETRY_KEYS: readonly string[] = ['logs', 'metrics', 'traces', 'resource'];
const METRICS_KEYS: readonly string[] = ['level', 'readers', 'views'];
const READER_KEYS: readonly string[] = ['pull', 'periodic'];
const LOGS_KEYS: readonly string[] = [
  'level',
  'development',
  'encoding',
  'disable_caller',
  'disable_stacktrace',
  'disable_zap_resource',
  'sampling',
  'output_paths',
  'error_output_paths',
  'initial_fields',
  'processors',
];
const SAMPLING_KEYS: readonly string[] = ['enabled', 'tick', 'initial', 'thereafter'];
const PROMETHEUS_KEYS: readonly string[] = [
  'host',
  'port',
  'without_scope_info',
  'without_type_suffix',
  'without_units',
  'with_resource_constant_labels',
];
const TRACES_KEYS: readonly string[] = ['level', 'propagators', 'processors', 'sampler', 'limits'];

const METRICS_LEVELS: readonly string[] = ['none', 'basic', 'normal', 'detailed'];
const LOG_LEVELS: readonly string[] = ['', 'debug', 'info', 'warn', 'warning', 'error', 'dpanic', 'panic', 'fatal'];

/** Port on which collectors serve their own metrics by default; two on one host collide there. */
const DEFAULT_METRICS_PORT = '8888';

/** Checks `service.telemetry`: keys (E_TEL_KEY), shape (E_SHAPE), levels, readers and views (E_TEL), the default port (W_TELEMETRY_PORT). */
export function checkTelemetry(root: MapNode, context: ValidationContext): void {
  const entry = entryOf(entryOf(root, 'service')?.value, 'telemetry');
  const telemetry = entry === undefined ? null : asMap(entry, PATH, context);
  if (telemetry === null) return;
  checkKeys(telemetry, PATH, TELEMETRY_KEYS, `'service.telemetry'`, context);
  checkPart(telemetry, 'logs', LOGS_KEYS, 'migration.LogsConfigV030', context);
  checkPart(telemetry, 'traces', TRACES_KEYS, 'migration.TracesConfigV030', context);
  checkPart(telemetry, 'metrics', METRICS_KEYS, 'migration.MetricsConfigV030', context);
  checkLevel(telemetry, 'logs', LOG_LEVELS, (level) => `unrecognized level: ${quoted(level)}`, context);
  checkLevel(telemetry, 'traces', METRICS_LEVELS, (level) => `unknown metrics level ${quoted(level)}`, context);
  checkLevel(telemetry, 'metrics', METRICS_LEVELS, (level) => `unknown metrics level ${quoted(level)}`, context);
  checkReadersAndViews(entryOf(telemetry, 'metrics')?.value, context);
  const logs = entryOf(telemetry, 'logs')?.value;
  checkInner(entryOf(logs, 'sampling'), `${PATH}::logs::sampling`, SAMPLING_KEYS, `'service.telemetry.logs' 'sampling'`, context);
  const resource = entryOf(telemetry, 'resource');
  if (resource !== undefined) asMap(resource, `${PATH}::resource`, context);
}

/** Checks the keys of a map below a part of the telemetry. */
function checkInner(
  entry: MapEntry | undefined,
  path: string,
  keys: readonly string[],
  owner: string,
  context: ValidationContext,
): MapNode | null {
  const map = entry === undefined ? null : asMap(entry, path, context);
  if (map !== null) checkKeys(map, path, keys, owner, context);
  return map;
}

/** A whole number where the collector takes no text. */
function checkWholeNumber(entry: MapEntry | undefined, path: string, context: ValidationContext): void {
  if (entry === undefined || isNull(entry.value) || isDynamic(entry.value)) return;
  if (entry.value.kind === 'scalar' && (entry.value.type === 'int' || entry.value.type === 'float')) return;
  const message = `'${path.replaceAll('::', '.')}' expected type 'int', got unconvertible type '${goType(entry.value)}'`;
  context.sink.error('E_TEL', { path, offset: entry.keyOffset, message });
}

function asMap(entry: MapEntry, path: string, context: ValidationContext): MapNode | null {
  if (entry.value.kind === 'map') return entry.value;
  if (!isNull(entry.value) && !isDynamic(entry.value)) {
    const message = `'${path.replaceAll('::', '.')}' expected a map or struct, got "${goKind(entry.value)}"`;
    context.sink.error('E_SHAPE', { path, offset: entry.keyOffset, message });
  }
  return null;
}

function checkPart(telemetry: MapNode, part: string, keys: readonly string[], owner: string, context: ValidationContext): void {
  const entry = entryOf(telemetry, part);
  if (entry === undefined) return;
  const path = joinPath(PATH, part);
  const map = asMap(entry, path, context);
  if (map !== null) checkKeys(map, path, keys, `'${owner}'`, context);
}

function checkKeys(map: MapNode, path: string, allowed: readonly string[], owner: string, context: ValidationContext): void {
  for (const entry of map.entries.values()) {
    context.sink.step();
    if (allowed.includes(entry.key)) continue;
    const isOldAddress = path === `${PATH}::metrics` && entry.key === 'address';
    context.sink.error('E_TEL_KEY', {
      path: joinPath(path, entry.key),
      offset: entry.keyOffset,
      message: `${owner} has invalid keys: ${entry.key}`,
      suggestion: isOldAddress
        ? 'since about 0.144 the address is that of a reader: `readers: [{pull: {exporter: {prometheus: {host: localhost, port: 8888}}}}]`'
        : context.suggester.didYouMean(entry.key, allowed),
    });
  }
}

function checkLevel(
  telemetry: MapNode,
  part: string,
  levels: readonly string[],
  message: (level: string) => string,
  context: ValidationContext,
): void {
  const entry = entryOf(entryOf(telemetry, part)?.value, 'level');
  if (entry === undefined || isNull(entry.value) || isDynamic(entry.value)) return;
  const place = { path: `${PATH}::${part}::level`, offset: entry.value.offset };
  // Levels are numbers inside the collector, and it takes them as such.
  if (entry.value.kind === 'scalar' && (entry.value.type === 'int' || entry.value.type === 'float')) return;
  if (entry.value.kind !== 'scalar' || entry.value.type !== 'string') {
    context.sink.error('E_TEL', { ...place, message: `'level' expected type 'string', got unconvertible type '${goType(entry.value)}'` });
  } else if (!levels.includes(entry.value.text.toLowerCase())) {
    const suggestion =
      context.suggester.didYouMean(entry.value.text, levels) ?? `use one of ${levels.filter((level) => level !== '').join(', ')}`;
    context.sink.error('E_TEL', { ...place, message: message(entry.value.text), suggestion });
  }
}

function checkReadersAndViews(metrics: ConfigNode | undefined, context: ValidationContext): void {
  const readers = asList(entryOf(metrics, 'readers'), `${PATH}::metrics::readers`, context);
  const views = asList(entryOf(metrics, 'views'), `${PATH}::metrics::views`, context);
  for (const [index, reader] of (readers?.items ?? []).entries()) checkReader(reader, index, context);
  const level = metricsLevel(entryOf(metrics, 'level')?.value);
  if (readers !== null && readers.items.length === 0 && level !== 'none' && level !== null) {
    context.sink.error('E_TEL', {
      path: `${PATH}::metrics::readers`,
      offset: readers.offset,
      message: 'service::telemetry: collector telemetry metrics reader should exist when metric level is not none',
      suggestion: 'leave `readers` out for the default one, or set `level: none`',
    });
  }
  if (views !== null && level !== 'detailed' && level !== null) {
    context.sink.error('E_TEL', {
      path: `${PATH}::metrics::views`,
      offset: views.offset,
      message: 'service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed',
    });
  }
}

interface ReadList {
  readonly offset: number;
  readonly items: readonly ConfigNode[];
}

function asList(entry: MapEntry | undefined, path: string, context: ValidationContext): ReadList | null {
  if (entry === undefined || isNull(entry.value) || isDynamic(entry.value)) return null;
  if (entry.value.kind === 'list') return { offset: entry.keyOffset, items: entry.value.items };
  const message = `'${path.replaceAll('::', '.')}' source data must be an array or slice, got ${goKind(entry.value)}`;
  context.sink.error('E_SHAPE', { path, offset: entry.keyOffset, message });
  return null;
}

/** The level in lower case, `normal` by default; null when only the agent knows it or it is refused anyway. */
function metricsLevel(node: ConfigNode | undefined): string | null {
  if (isNull(node)) return 'normal';
  if (node?.kind !== 'scalar' || isDynamic(node)) return null;
  const level = node.text.toLowerCase();
  return METRICS_LEVELS.includes(level) ? level : null;
}

function checkReader(reader: ConfigNode, index: number, context: ValidationContext): void {
  const path = `${PATH}::metrics::readers[${index}]`;
  context.sink.step();
  if (reader.kind === 'map') {
    checkKeys(reader, path, READER_KEYS, `'service.telemetry.metrics.readers[${index}]'`, context);
    const prometheus = checkInner(
      entryOf(entryOf(entryOf(reader, 'pull')?.value, 'exporter')?.value, 'prometheus'),
      `${path}::pull::exporter::prometheus`,
      PROMETHEUS_KEYS,
      `'readers[${index}].pull.exporter.prometheus'`,
      context,
    );
    checkWholeNumber(entryOf(prometheus ?? undefined, 'port'), `${path}::pull::exporter::prometheus::port`, context);
    const periodic = entryOf(reader, 'periodic')?.value;
    for (const key of ['interval', 'timeout']) checkWholeNumber(entryOf(periodic, key), `${path}::periodic::${key}`, context);
    warnDefaultPort(reader, path, context);
  } else if (!isNull(reader) && !isDynamic(reader)) {
    const message = `'service.telemetry.metrics.readers[${index}]' expected a map or struct, got "${goKind(reader)}"`;
    context.sink.error('E_SHAPE', { path, offset: reader.offset, message });
  }
}

function warnDefaultPort(reader: MapNode, path: string, context: ValidationContext): void {
  const prometheus = entryOf(entryOf(entryOf(reader, 'pull')?.value, 'exporter')?.value, 'prometheus')?.value;
  const port = entryOf(prometheus, 'port')?.value;
  if (port?.kind !== 'scalar' || port.text !== DEFAULT_METRICS_PORT) return;
  context.sink.warn('W_TELEMETRY_PORT', {
    path: `${path}::pull::exporter::prometheus::port`,
    offset: port.offset,
    message: `port ${DEFAULT_METRICS_PORT} is the default of every collector: two on one host collide`,
    suggestion: 'choose another port, or `level: none` if nothing reads these metrics',
  });
}
