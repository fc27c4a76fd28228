import { isNode, isScalar, parseAllDocuments, visit } from 'yaml';
import type { Alias, Document, Pair, Scalar } from 'yaml';

/** What stands where a secret was. */
export const REDACTED = '[redacted]';

/** Keys whose values are secrets, wherever they stand. */
const SECRET_KEY =
  /pass(?:word|wd|phrase)|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|key[-_.]?pem|credential|authorization|cookie|bearer|connection[-_.]?string|(?:^|[-_.])(?:pwd|dsn|sas)$/i;

/** A secret where the value is text; a map under it only says which authenticator to use. */
const SECRET_TEXT_KEY = /(?:^|[-_.])auth$/i;

/** Keys that look like one of those and say nothing secret. */
const HARMLESS_KEY = /(?:token|secret|credential|password)s?[-_.]?(?:file|path|url|name|type|ttl|expir\w*)$|^authenticator$/i;

/** `user:password@` in a URL. */
const URL_LOGIN = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/gi;

/** A reference that the collector resolves; the secret itself is not in the text. */
const REFERENCE = /^\$\{[^}]+\}$/;

/**
 * The text of a config with secret-looking values replaced: values of keys such as `password`, `api_key` or
 * `authorization`, everything below such keys, and passwords in URLs. Layout and comments stay. A text that is no YAML is
 * redacted line by line.
 */
export function redactConfig(text: string): string {
  const ranges: Range[] = [];
  try {
    for (const document of parseAllDocuments(text, { uniqueKeys: false, logLevel: 'silent' })) {
      if (document.errors.length > 0) return redactLines(text);
      visit(document, { Pair: (_key, pair) => collect(pair, document, ranges) });
    }
  } catch {
    return redactLines(text);
  }
  let redacted = '';
  let at = 0;
  for (const [start, end] of ranges.toSorted((left, right) => left[0] - right[0])) {
    if (start < at) continue;
    // A block scalar ends with its last line.
    const lineEnd = text.slice(start, end).endsWith('\n') ? '\n' : '';
    redacted += `${text.slice(at, start)}"${REDACTED}"${lineEnd}`;
    at = end;
  }
  return (redacted + text.slice(at)).replaceAll(URL_LOGIN, `$1:${REDACTED}@`);
}

/** A single value of a config, by the keys that lead to it, as {@link redactConfig} would show it. */
export function redactScalar(keys: readonly string[], text: string): string {
  const isSecret = keys.some((key, index) => isSecretKey(key) || (index === keys.length - 1 && SECRET_TEXT_KEY.test(key)));
  if (isSecret && text !== '' && !REFERENCE.test(text)) return REDACTED;
  return text.replaceAll(URL_LOGIN, `$1:${REDACTED}@`);
}

type Range = [start: number, end: number];

function collect(pair: Pair, document: Document, ranges: Range[]): void {
  if (!isScalar(pair.key) || !isNode(pair.value)) return;
  const name = String(pair.key.value);
  if (!isSecretKey(name) && !(isScalar(pair.value) && SECRET_TEXT_KEY.test(name))) return;
  const add = (node: Scalar): void => {
    const { value, range } = node;
    const harmless = typeof value === 'boolean' || value === null || value === '' || (typeof value === 'string' && REFERENCE.test(value));
    if (!harmless && range) ranges.push([range[0], range[1]]);
  };
  const visitor = {
    Scalar: (key: unknown, node: Scalar) => {
      if (key !== 'key') add(node);
    },
    // The secret stands where the anchor is, perhaps under a harmless key.
    Alias: (_key: unknown, node: Alias) => {
      const source = node.resolve(document);
      if (isScalar(source)) add(source);
      else if (source !== undefined) visit(source, { Scalar: visitor.Scalar });
    },
  };
  visit(pair.value, visitor);
}

function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key) && !HARMLESS_KEY.test(key);
}

function redactLines(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const match = /^(\s*(?:- )?["']?([^\s"':=]+)["']?\s*[:=]\s*)(\S.*)$/.exec(line);
      return match !== null && isSecretKey(match[2] ?? '') && !REFERENCE.test(match[3] ?? '') ? `${match[1]}${REDACTED}` : line;
    })
    .join('\n')
    .replaceAll(URL_LOGIN, `$1:${REDACTED}@`);
}
