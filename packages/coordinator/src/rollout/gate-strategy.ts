import { formatDuration } from './duration.ts';
import type { FieldReader } from './field-reader.ts';
import { parseCondition } from './gate-condition.ts';
import { unknownPlaceholders } from './gate-query.ts';

/** Gates that judge by what agents report; they have no settings of their own. */
export const BUILT_IN_GATES = ['ackRatio', 'healthRegression'] as const;
export type BuiltInGate = (typeof BUILT_IN_GATES)[number];

/** Instant query against a Prometheus server that the coordinator's settings allow. */
export interface PrometheusGate {
  type: 'prometheus';
  /** Unique among the gates of a strategy. */
  name: string;
  /** Base URL of the server; null = the only one that is allowed. */
  url: string | null;
  query: string;
  /** As in `value < 0.01`. */
  condition: string;
  /** Between two questions, after one that was not answered or was answered with no data. */
  intervalMs: number;
  timeoutMs: number;
}

/** Signed POST to a receiver that the coordinator's settings allow. */
export interface WebhookGate {
  type: 'webhook';
  name: string;
  url: string;
  /** Between two questions when the receiver says `wait`; the longest pause between two attempts. */
  intervalMs: number;
  timeoutMs: number;
  /** For so long `wait` and failed attempts go without a hold. */
  deadlineMs: number;
}

/** Somebody approves each wave. */
export interface ManualGate {
  type: 'manual';
  name: string;
  /** An approval with which the wave has not passed by then has to be given again. */
  expiresMs: number;
}

/** A gate that asks another system. */
export type AskedGate = PrometheusGate | WebhookGate;
export type Gate = BuiltInGate | AskedGate | ManualGate;

/** Most gates of one strategy. */
export const MAX_GATES = 10;

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const TYPES = ['prometheus', 'webhook', 'manual'] as const;

/** The gates that ask other systems, in their order. */
export function askedGates(gates: readonly Gate[]): AskedGate[] {
  return gates.filter((gate) => typeof gate === 'object' && gate.type !== 'manual');
}

/** The gate at which people approve; a strategy has at most one. */
export function manualGate(gates: readonly Gate[]): ManualGate | undefined {
  return gates.find((gate) => typeof gate === 'object' && gate.type === 'manual');
}

/** Reads `gates`: names of built-in ones, and objects with a `type`. */
export function readGates(fields: FieldReader): Gate[] {
  const listed = fields.list('gates', { minItems: 0, maxItems: MAX_GATES });
  if (listed === undefined) return [...BUILT_IN_GATES];
  const gates: Gate[] = [];
  const names = new Set<string>(BUILT_IN_GATES);
  listed.forEach((value, index) => {
    const at = `gates[${index}]`;
    if (typeof value === 'string') {
      if (BUILT_IN_GATES.includes(value as BuiltInGate)) {
        if (!gates.includes(value as BuiltInGate)) gates.push(value as BuiltInGate);
        return;
      }
      const needsObject = TYPES.includes(value as (typeof TYPES)[number]);
      fields.problem(
        at,
        needsObject ? `must be an object: { "type": "${value}", … }` : `must be one of ${BUILT_IN_GATES.join(', ')} or an object`,
      );
      return;
    }
    const gate = readGate(fields.item(value, at));
    if (gate === undefined) return;
    if (names.has(gate.name)) fields.problem(`${at}.name`, `is taken: another gate is called ${gate.name}`);
    if (gate.type === 'manual' && manualGate(gates) !== undefined) fields.problem(at, 'a strategy has at most one manual gate');
    names.add(gate.name);
    gates.push(gate);
  });
  return gates;
}

function readGate(fields: FieldReader): Exclude<Gate, BuiltInGate> | undefined {
  if (!fields.has('type')) {
    fields.problem('type', `is required: ${TYPES.join(', ')}`);
    return undefined;
  }
  const type = fields.choice('type', TYPES, 'manual');
  const name = fields.text('name', { fallback: type, maxLength: 64, required: fields.has('name') });
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name)) fields.problem('name', 'must begin with a letter or digit and go on with these, _ or -');
  const gate = readByType(type, name, fields);
  fields.rejectUnknown();
  return gate;
}

function readByType(type: (typeof TYPES)[number], name: string, fields: FieldReader): Exclude<Gate, BuiltInGate> {
  const interval = (fallbackMs: number): number => fields.duration('interval', { fallbackMs, minMs: SECOND_MS, maxMs: HOUR_MS });
  const timeoutMs = (): number => fields.duration('timeout', { fallbackMs: 10 * SECOND_MS, minMs: 100, maxMs: 60 * SECOND_MS });
  switch (type) {
    case 'prometheus': {
      const query = fields.text('query', { fallback: '', maxLength: 4_096, required: true });
      const unknown = unknownPlaceholders(query);
      if (unknown.length > 0) fields.problem('query', `has unknown placeholders: ${unknown.join(', ')}`);
      const condition = fields.text('condition', { fallback: 'value == 0', maxLength: 64, required: true });
      if (condition !== '' && parseCondition(condition) === undefined)
        fields.problem('condition', `must be a comparison such as "value < 0.01", is ${JSON.stringify(condition)}`);
      const url = fields.raw('url') === null ? '' : fields.text('url', { fallback: '', maxLength: 2_048 });
      if (url !== '' && !isHttpUrl(url)) fields.problem('url', 'must be an http:// or https:// URL without credentials');
      return { type, name, url: url === '' ? null : url, query, condition, intervalMs: interval(15 * SECOND_MS), timeoutMs: timeoutMs() };
    }
    case 'webhook': {
      const url = fields.text('url', { fallback: '', maxLength: 2_048, required: true });
      if (url !== '' && !isHttpUrl(url)) fields.problem('url', 'must be an http:// or https:// URL without credentials');
      return {
        type,
        name,
        url,
        intervalMs: interval(30 * SECOND_MS),
        timeoutMs: timeoutMs(),
        deadlineMs: fields.duration('deadline', { fallbackMs: 300 * SECOND_MS, minMs: SECOND_MS, maxMs: 30 * 24 * HOUR_MS }),
      };
    }
    case 'manual':
      return {
        type,
        name,
        expiresMs: fields.duration('expires', { fallbackMs: 24 * HOUR_MS, minMs: SECOND_MS, maxMs: 30 * 24 * HOUR_MS }),
      };
  }
}

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.hash === '';
}

/** A gate in the words of the request. */
export function toGateView(gate: Gate): unknown {
  if (typeof gate === 'string') return gate;
  const { type, name } = gate;
  switch (gate.type) {
    case 'prometheus':
      return {
        type,
        name,
        url: gate.url,
        query: gate.query,
        condition: gate.condition,
        interval: formatDuration(gate.intervalMs),
        timeout: formatDuration(gate.timeoutMs),
      };
    case 'webhook':
      return {
        type,
        name,
        url: gate.url,
        interval: formatDuration(gate.intervalMs),
        timeout: formatDuration(gate.timeoutMs),
        deadline: formatDuration(gate.deadlineMs),
      };
    case 'manual':
      return { type, name, expires: formatDuration(gate.expiresMs) };
  }
}
