import { isUid } from '@opamp-gateway/shared/instance-uid';
import { parseSelector, SelectorError } from '@opamp-gateway/shared/selector';
import { formatDuration, MAX_DURATION_MS } from './duration.ts';
import { FieldReader } from './field-reader.ts';
import { readGates } from './gate-strategy.ts';
import { isTimeZone, parseTimeOfDay, WEEKDAYS } from './schedule.ts';
import type { MaintenanceWindow, Weekday } from './schedule.ts';
import type { FieldProblem } from './service.ts';
import { MAX_CANARY, MAX_WAVES, MISSING_COMPONENTS, OFFLINE_POLICIES, STRATEGY_PRESETS } from './strategy.ts';
import type { DomainLimit, FailureLimits, Ramp, Strategy, SuccessLimits, WaveSize, WaveStrategy } from './strategy.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NAME_LIMIT = 256;
const COUNT_LIMIT = 10_000_000;
const MAX_WINDOWS = 50;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/;

const DEFAULT_WAVES = [
  { size: { count: 20, percent: 1 } },
  { size: { percent: 5 } },
  { size: { percent: 25 } },
  { size: { percent: 50 } },
  { size: { percent: 100 } },
];

const DEFAULT_RAMP: Ramp = { start: 10, factor: 2, per: 1_000, max: 500 };

type Limits = Partial<FailureLimits & SuccessLimits> & {
  soakMs?: number;
  approval?: WaveStrategy['approval'];
  onFailure?: WaveStrategy['onFailure'];
};

/**
 * Reads the `strategy` of a request: the name of a preset, or an object that may name one under `preset`. Fills in every
 * default. All problems are added to `problems`, each with its path; with problems the result is not to be used.
 */
export function parseStrategy(input: unknown, problems: FieldProblem[], path = 'strategy'): Strategy {
  const fields = new FieldReader(withPreset(input, path, problems), path, problems);
  const top = readLimits(fields);
  const unverified = fields.object('unverified');
  const maxRatio = unverified?.numberOrNull('maxRatio', { fallback: null, min: 0, max: 1 }) ?? undefined;
  unverified?.rejectUnknown();
  const strategy: Strategy = {
    waves: readWaves(fields, top, maxRatio, problems),
    bucketBy: fields.raw('bucketBy') === null ? null : fields.text('bucketBy', { fallback: '', maxLength: NAME_LIMIT }) || null,
    spreadBy: readNames(fields, 'spreadBy', 3),
    maxInFlight: fields.integerOrNull('maxInFlight', { fallback: null, min: 1, max: COUNT_LIMIT }),
    maxInFlightPer: readDomainLimit(fields),
    rate: readRate(fields),
    ackTimeoutMs: fields.duration('ackTimeout', { fallbackMs: 120_000, minMs: 1_000, maxMs: 24 * HOUR_MS }),
    healthHoldMs: fields.duration('healthHold', { fallbackMs: 30_000, minMs: 0, maxMs: 24 * HOUR_MS }),
    offline: fields.choice('offline', OFFLINE_POLICIES, 'defer'),
    gates: readGates(fields),
    deadlines: readDeadlines(fields),
    ...readSchedule(fields),
    revertWithinMs: fields.duration('revertWithin', { fallbackMs: 72 * HOUR_MS, minMs: 0, maxMs: MAX_DURATION_MS }),
    canaryMinHealthyMs: fields.duration('canaryMinHealthy', { fallbackMs: 10 * MINUTE_MS, minMs: 0, maxMs: MAX_DURATION_MS }),
    missingComponents: fields.choice('missingComponents', MISSING_COMPONENTS, 'skip'),
  };
  fields.rejectUnknown();
  const soaksMs = strategy.waves.reduce((sum, wave) => sum + wave.soakMs, 0);
  if (soaksMs >= strategy.deadlines.totalMs) {
    fields.problem('deadlines.total', `must be longer than all soaks together, which take ${formatDuration(soaksMs)}`);
  }
  return strategy;
}

function withPreset(input: unknown, path: string, problems: FieldProblem[]): unknown {
  if (input === undefined || input === null) return {};
  const named = typeof input === 'string' ? input : presetOf(input);
  if (named === undefined) return input;
  const preset = typeof named === 'string' && Object.hasOwn(STRATEGY_PRESETS, named) ? STRATEGY_PRESETS[named] : undefined;
  if (preset === undefined) {
    const at = typeof input === 'string' ? path : `${path}.preset`;
    problems.push({ path: at, message: `must be one of ${Object.keys(STRATEGY_PRESETS).join(', ')}, is ${JSON.stringify(named)}` });
  }
  if (typeof input === 'string') return { ...preset };
  const { preset: _named, ...own } = input as Record<string, unknown>;
  return { ...preset, ...own };
}

function presetOf(input: unknown): unknown {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? (input as Record<string, unknown>)['preset'] : undefined;
}

/** The fields that stand at the top and in a wave alike. */
function readLimits(fields: FieldReader): Limits {
  const limits: Limits = {};
  const failure = fields.object('failure');
  if (failure !== undefined) {
    if (failure.has('maxCount')) limits.maxCount = failure.integerOrNull('maxCount', { fallback: null, min: 0, max: COUNT_LIMIT });
    if (failure.has('maxPercent')) limits.maxPercent = failure.numberOrNull('maxPercent', { fallback: null, min: 0, max: 100 });
    if (failure.has('minDecided')) limits.minDecided = failure.integer('minDecided', { fallback: 50, min: 1, max: COUNT_LIMIT });
    failure.rejectUnknown();
  }
  const success = fields.object('success');
  if (success !== undefined) {
    if (success.has('minRatio')) limits.minRatio = success.numberOrNull('minRatio', { fallback: null, min: 0, max: 1 });
    if (success.has('minReached')) limits.minReached = success.number('minReached', { fallback: 0.9, min: 0, max: 1 });
    success.rejectUnknown();
  }
  if (fields.has('soak')) limits.soakMs = fields.duration('soak', { fallbackMs: 0, minMs: 0, maxMs: 30 * 24 * HOUR_MS });
  if (fields.has('approval')) limits.approval = fields.choice('approval', ['none', 'before', 'after'], 'none');
  if (fields.has('onFailure')) limits.onFailure = fields.choice('onFailure', ['rollback', 'pause'], 'rollback');
  return limits;
}

function readWaves(fields: FieldReader, top: Limits, unverifiedMaxRatio: number | undefined, problems: FieldProblem[]): WaveStrategy[] {
  const listed = fields.list('waves', { minItems: 1, maxItems: MAX_WAVES }) ?? DEFAULT_WAVES;
  const read = listed.map((value, index) => {
    const wave = new FieldReader(value, `${fields.at('waves')}[${index}]`, problems);
    const size = readSize(wave, index);
    const own = readLimits(wave);
    wave.rejectUnknown();
    return { size, own };
  });
  checkGrowth(
    read.map((wave) => wave.size),
    fields,
  );
  const last = read.at(-1);
  if (last !== undefined && !reachesAll(last.size)) {
    if (read.length === MAX_WAVES) fields.problem('waves', `the last of ${MAX_WAVES} waves must have the size { "percent": 100 }`);
    else read.push({ size: { kind: 'share', count: null, percent: 100 }, own: {} });
  }
  return read.map(({ size, own }, index) => {
    const canary = index === 0 && (size.kind === 'agents' || (size.kind === 'share' && size.count !== null));
    const isLast = index === read.length - 1;
    const pick = <K extends keyof Limits>(key: K): Limits[K] => (own[key] === undefined ? top[key] : own[key]);
    const defined = <T>(value: T | undefined, fallback: T): T => (value === undefined ? fallback : value);
    return {
      size,
      canary,
      soakMs: defined(pick('soakMs'), isLast ? 15 * MINUTE_MS : index === 0 ? 10 * MINUTE_MS : 5 * MINUTE_MS),
      approval: defined(pick('approval'), 'none'),
      failure: {
        maxCount: defined(pick('maxCount'), canary ? 0 : null),
        // In a canary only the number of failures counts, unless that very wave says otherwise.
        maxPercent: canary ? defined(own.maxPercent, null) : defined(pick('maxPercent'), 2),
        minDecided: defined(pick('minDecided'), 50),
      },
      success: {
        minRatio: canary ? defined(own.minRatio, null) : defined(pick('minRatio'), 0.98),
        minReached: defined(pick('minReached'), 0.9),
      },
      unverifiedMaxRatio: unverifiedMaxRatio ?? (canary ? 0 : 0.2),
      onFailure: defined(pick('onFailure'), 'rollback'),
    };
  });
}

function readSize(wave: FieldReader, index: number): WaveSize {
  const everybody: WaveSize = { kind: 'share', count: null, percent: 100 };
  const size = wave.object('size');
  if (size === undefined) {
    wave.problem('size', 'is required');
    return everybody;
  }
  const percent = size.has('percent') ? size.number('percent', { fallback: 100, min: 0, max: 100, aboveMin: true }) : null;
  const count = size.has('count') ? size.integer('count', { fallback: 1, min: 1, max: COUNT_LIMIT }) : null;
  const agents = size.list('agents', { minItems: 1, maxItems: MAX_CANARY });
  const labels = size.has('labels') ? size.text('labels', { fallback: '', maxLength: 4_096, required: true }) : null;
  size.rejectUnknown();
  if (size.has('agents')) {
    if (index > 0) wave.problem('size', 'agents may be named in the first wave only');
    if (percent !== null || count !== null || labels !== null) wave.problem('size', 'agents go with no other size');
    const named = agents ?? [];
    named.forEach((uid, at) => {
      if (typeof uid !== 'string' || !isUid(uid)) size.problem(`agents[${at}]`, 'must be an instance uid as UUID text');
    });
    return { kind: 'agents', agents: [...new Set(named.map((uid) => String(uid)))] };
  }
  if (labels !== null) {
    if (count !== null) size.problem('count', 'does not go with labels');
    try {
      parseSelector(labels);
    } catch (error) {
      size.problem('labels', error instanceof SelectorError ? error.reason : String(error));
    }
    return { kind: 'labels', selector: labels, percent: percent ?? 100 };
  }
  if (percent === null && count === null) {
    wave.problem('size', 'needs a percent, a count, labels or agents');
    return everybody;
  }
  if (index === 0 && count !== null && count > MAX_CANARY) size.problem('count', `must be at most ${MAX_CANARY} in the first wave`);
  return { kind: 'share', count, percent };
}

function reachesAll(size: WaveSize): boolean {
  return size.kind === 'share' && size.count === null && size.percent === 100;
}

/** Sizes are cumulative, so a wave that is not larger than one before it would do nothing. */
function checkGrowth(sizes: readonly WaveSize[], fields: FieldReader): void {
  let percent = 0;
  let count = 0;
  sizes.forEach((size, index) => {
    if (size.kind !== 'share') return;
    if (size.percent !== null && size.count === null) {
      if (size.percent <= percent) fields.problem(`waves[${index}].size.percent`, `must be above the ${percent} of an earlier wave`);
      percent = Math.max(percent, size.percent);
    } else if (size.count !== null && size.percent === null) {
      if (size.count <= count) fields.problem(`waves[${index}].size.count`, `must be above the ${count} of an earlier wave`);
      count = Math.max(count, size.count);
    }
  });
}

function readNames(fields: FieldReader, name: string, maxItems: number): string[] {
  const names = fields.list(name, { minItems: 0, maxItems }) ?? [];
  names.forEach((value, index) => {
    if (typeof value !== 'string' || value === '' || value.length > NAME_LIMIT)
      fields.problem(`${name}[${index}]`, 'must be the name of an attribute');
  });
  return names.map(String);
}

/** Reads `rate`: "unlimited" or the ramp object. */
export function readRate(fields: FieldReader): Ramp | 'unlimited' {
  if (!fields.has('rate')) return { ...DEFAULT_RAMP };
  const given = fields.raw('rate');
  if (given === 'unlimited') return 'unlimited';
  if (typeof given !== 'object' || given === null) {
    fields.problem('rate', `must be "unlimited" or an object such as { "start": 10, "max": 500 }, is ${JSON.stringify(given)}`);
    return { ...DEFAULT_RAMP };
  }
  const ramp = fields.object('rate');
  if (ramp === undefined) return { ...DEFAULT_RAMP };
  const read = {
    start: ramp.number('start', { fallback: DEFAULT_RAMP.start, min: 0, max: 1_000_000, aboveMin: true }),
    factor: ramp.number('factor', { fallback: DEFAULT_RAMP.factor, min: 1, max: 100 }),
    per: ramp.integer('per', { fallback: DEFAULT_RAMP.per, min: 1, max: COUNT_LIMIT }),
    max: ramp.number('max', { fallback: Number.NaN, min: 0, max: 1_000_000, aboveMin: true }),
  };
  // A start above the default maximum is a wish for a constant rate, not a mistake.
  if (Number.isNaN(read.max)) read.max = Math.max(read.start, DEFAULT_RAMP.max);
  if (read.max < read.start) ramp.problem('max', `must be at least the start of ${read.start}`);
  ramp.rejectUnknown();
  return read;
}

/** Reads `maxInFlightPer`: null, or `{ "by": attribute, "max": n }`. */
export function readDomainLimit(fields: FieldReader): DomainLimit | null {
  if (fields.raw('maxInFlightPer') === null) return null;
  const limit = fields.object('maxInFlightPer');
  if (limit === undefined) return null;
  const read = {
    by: limit.text('by', { fallback: '', maxLength: NAME_LIMIT, required: true }),
    max: limit.integer('max', { fallback: 1, min: 1, max: COUNT_LIMIT }),
  };
  limit.rejectUnknown();
  return read;
}

function readDeadlines(fields: FieldReader): Strategy['deadlines'] {
  const deadlines = fields.object('deadlines');
  const bounds = { minMs: 1_000, maxMs: MAX_DURATION_MS };
  const read = {
    waveMs: deadlines?.duration('wave', { fallbackMs: HOUR_MS, ...bounds }) ?? HOUR_MS,
    totalMs: deadlines?.duration('total', { fallbackMs: 24 * HOUR_MS, ...bounds }) ?? 24 * HOUR_MS,
  };
  deadlines?.rejectUnknown();
  return read;
}

function readSchedule(fields: FieldReader): Pick<Strategy, 'startAtMs' | 'windows'> {
  const now = { startAtMs: null, windows: [] };
  if (!fields.has('schedule') || fields.raw('schedule') === 'now' || fields.raw('schedule') === null) return now;
  const given = fields.raw('schedule');
  if (typeof given !== 'object') {
    fields.problem('schedule', `must be "now" or an object with startAt, windows or both, is ${JSON.stringify(given)}`);
    return now;
  }
  const schedule = fields.object('schedule');
  if (schedule === undefined) return now;
  const text = schedule.text('startAt', { fallback: '', maxLength: 64 });
  const windows = (schedule.list('windows', { minItems: 0, maxItems: MAX_WINDOWS }) ?? []).map((value, index) =>
    readWindow(schedule.item(value, `windows[${index}]`)),
  );
  schedule.rejectUnknown();
  if (text === '') return { startAtMs: null, windows };
  const atMs = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs)) return { startAtMs: atMs, windows };
  schedule.problem('startAt', 'must be an RFC 3339 time with its offset, such as 2030-01-31T08:00:00Z');
  return { startAtMs: null, windows };
}

function readWindow(window: FieldReader): MaintenanceWindow {
  const time = (name: string): number => {
    const text = window.text(name, { fallback: '', maxLength: 5, required: true });
    const minutes = parseTimeOfDay(text);
    if (minutes === undefined && text !== '') window.problem(name, `must be a time of day such as "22:30", is ${JSON.stringify(text)}`);
    return minutes ?? 0;
  };
  const days = window.list('days', { minItems: 0, maxItems: 7 }) ?? [];
  days.forEach((day, index) => {
    if (!WEEKDAYS.includes(day as Weekday)) window.problem(`days[${index}]`, `must be one of ${WEEKDAYS.join(', ')}`);
  });
  const timeZone = window.text('timeZone', { fallback: 'UTC', maxLength: 64 });
  if (!isTimeZone(timeZone)) window.problem('timeZone', `must be the IANA name of a time zone, is ${JSON.stringify(timeZone)}`);
  const read = {
    days: days.filter((day): day is Weekday => WEEKDAYS.includes(day as Weekday)),
    fromMinutes: time('from'),
    toMinutes: time('to'),
    timeZone,
  };
  window.rejectUnknown();
  return read;
}
