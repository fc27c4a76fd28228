import { readFileSync, statSync } from 'node:fs';
import { toError } from '@opamp-gateway/shared/errors';
import { parse as parseYaml } from 'yaml';
import { FieldReader } from '../rollout/field-reader.ts';
import type { FieldProblem } from '../rollout/service.ts';
import { parseWebhookSecret } from '../webhook-signature.ts';
import { ALERT_SEVERITIES, ALERT_TYPES, isAtLeast } from './alert.ts';
import type { Alert, AlertSeverity, AlertType } from './alert.ts';
import type { Backoff } from './backoff.ts';

/** Where alerts go. URL and secrets never appear in a log, an answer or an error. */
export interface AlertTarget {
  name: string;
  url: string;
  /** Keys of the signatures, the current one first. */
  secrets: readonly Buffer[];
  /** Sent with every request. */
  headers: Readonly<Record<string, string>>;
  minSeverity: AlertSeverity;
  /** Undefined: every type. */
  types: readonly AlertType[] | undefined;
  timeoutMs: number;
  /** Attempts before a delivery is dead. */
  attempts: number;
  backoff: Backoff;
}

/** The targets in force. */
export interface AlertTargets {
  list(): readonly AlertTarget[];
  /** Reads the file again if it has changed; true when it has. One that is not usable throws, and the former targets stay. */
  refresh(): boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
/** Most targets of one installation. */
export const MAX_TARGETS = 20;
const HOUR_MS = 3_600_000;

/** No targets: alerts are remembered and told nobody. */
export const NO_TARGETS: AlertTargets = { list: () => [], refresh: () => false };

/** Reads a file of targets (YAML or JSON). Throws an Error that names the file and everything wrong with it, and no secret. */
export function openAlertTargets(path: string): AlertTargets {
  let stamp = stampOf(path);
  let targets = load(path);
  return {
    list: () => targets,
    refresh() {
      const now = stampOf(path);
      if (now === stamp) return false;
      targets = load(path);
      stamp = now;
      return true;
    },
  };
}

/** True when this target is to be told of the alert. */
export function wants(target: AlertTarget, alert: Alert): boolean {
  if (alert.type === 'test') return true;
  return target.types === undefined ? isAtLeast(alert.severity, target.minSeverity) : target.types.includes(alert.type);
}

/** Reads the text of a file of targets. `where` stands before every problem. */
export function parseAlertTargets(text: string, where: string): AlertTarget[] {
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    // The parser quotes the text, which can be a secret; its first line says what and where.
    const [line = ''] = toError(error).message.split('\n', 1);
    throw new Error(`${where}: not valid YAML: ${line.replace(/:$/, '')}`, { cause: undefined });
  }
  const problems: FieldProblem[] = [];
  const reader = new FieldReader(document, '', problems);
  const items = reader.list('targets', { minItems: 0, maxItems: MAX_TARGETS }) ?? [];
  if (!reader.has('targets') && problems.length === 0) reader.problem('targets', 'is required');
  const names = new Set<string>();
  const targets = items.map((item, index) => readTarget(reader.item(item, `targets[${index}]`), names));
  reader.rejectUnknown();
  if (problems.length > 0)
    throw new Error(problems.map(({ path, message }) => `${where}: ${path === '' ? message : `${path} ${message}`}`).join('; '));
  return targets;
}

function readTarget(reader: FieldReader, names: Set<string>): AlertTarget {
  const name = reader.text('name', { fallback: '', maxLength: 64, required: true });
  if (name !== '' && !NAME.test(name)) reader.problem('name', 'must be letters, digits, dots, dashes or underscores');
  else if (names.has(name)) reader.problem('name', 'stands there twice');
  names.add(name);
  const url = readUrl(reader);
  const secrets = readSecrets(reader);
  const types = reader.list('types', { minItems: 1, maxItems: ALERT_TYPES.length });
  for (const type of types ?? [])
    if (!ALERT_TYPES.includes(type as AlertType)) reader.problem('types', `must hold some of ${ALERT_TYPES.join(', ')}`);
  const target: AlertTarget = {
    name,
    url,
    secrets,
    headers: readHeaders(reader),
    minSeverity: reader.choice('minSeverity', ALERT_SEVERITIES, 'warning'),
    types: types as AlertType[] | undefined,
    timeoutMs: reader.duration('timeout', { fallbackMs: 10_000, minMs: 100, maxMs: 60_000 }),
    attempts: reader.integer('attempts', { fallback: 15, min: 1, max: 50 }),
    backoff: {
      firstMs: reader.duration('firstRetry', { fallbackMs: 5_000, minMs: 10, maxMs: HOUR_MS }),
      maxMs: reader.duration('maxRetry', { fallbackMs: HOUR_MS, minMs: 10, maxMs: 24 * HOUR_MS }),
    },
  };
  reader.rejectUnknown();
  return target;
}

/** The text is never quoted: many services put a secret into the path. */
function readUrl(reader: FieldReader): string {
  const value = reader.raw('url');
  const url = typeof value === 'string' ? URL.parse(value) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    reader.problem('url', 'must be an http:// or https:// URL');
    return '';
  }
  if (url.username !== '' || url.password !== '') reader.problem('url', 'must hold no user name or password; use headers');
  return url.href;
}

function readSecrets(reader: FieldReader): Buffer[] {
  const texts: unknown[] = reader.list('secrets', { minItems: 1, maxItems: 5 }) ?? [];
  const path = reader.raw('secretFile');
  if (path !== undefined && typeof path !== 'string') reader.problem('secretFile', 'must be the name of a file');
  if (typeof path === 'string') {
    try {
      texts.push(
        ...readFileSync(path, 'utf8')
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line !== ''),
      );
    } catch (error) {
      reader.problem('secretFile', `cannot be read: ${toError(error).message}`);
      return [];
    }
  }
  const secrets = texts.flatMap((text) => {
    try {
      if (typeof text !== 'string') throw new Error('a secret is a text');
      return [parseWebhookSecret(text)];
    } catch (error) {
      reader.problem('secrets', toError(error).message);
      return [];
    }
  });
  if (texts.length === 0) reader.problem('secrets', 'is required (or secretFile): receivers must be able to tell who sent it');
  return secrets;
}

function readHeaders(reader: FieldReader): Record<string, string> {
  const value = reader.raw('headers');
  if (value === undefined) return {};
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
  const bad = entries?.find(
    ([name, text]) =>
      !HEADER_NAME.test(name) ||
      name.toLowerCase().startsWith('webhook-') ||
      typeof text !== 'string' ||
      !/^[\x20-\x7e]{0,4096}$/.test(text),
  );
  if (entries === undefined || bad !== undefined) {
    reader.problem('headers', 'must be texts by header name, none of them webhook-…');
    return {};
  }
  return Object.fromEntries(entries as [string, string][]);
}

function load(path: string): AlertTarget[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${path}: cannot be read: ${toError(error).message}`, { cause: error });
  }
  return parseAlertTargets(text, path);
}

/** Changes whenever the file does, as far as the file system tells; empty while there is none. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}
