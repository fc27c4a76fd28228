import { isScalar, parseAllDocuments, visit } from 'yaml';
import type { Pair } from 'yaml';

/** What stands where a secret was. */
export const REDACTED = '[redacted]';

/** Keys whose values are secrets, wherever they stand. */
const SECRET_KEY = /pass(?:word|wd|phrase)|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|key[-_.]?pem|credential|authorization|cookie|bearer|connection[-_.]?string|(?:^|[-_.])(?:auth|pwd|dsn|sas)$/i;

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
  const ranges: [start: number, end: number][] = [];
  try {
    for (const document of parseAllDocuments(text, { keepSourceTokens: false, logLevel: 'silent' })) {
      if (document.errors.length > 0) return redactLines(text);
      visit(document, { Pair: (_key, pair) => collect(pair, ranges) });
    }
  } catch {
    return redactLines(text);
  }
  let redacted = '';
  let at = 0;
  for (const [start, end] of ranges.toSorted((left, right) => left[0] - right[0])) {
    if (start < at) continue;
    redacted += `${text.slice(at, start)}"${REDACTED}"${text.slice(end).startsWith('\n') || text.slice(start, end).endsWith('\n') ? '\n' : ''}`;
    at = text.slice(start, end).endsWith('\n') && text.slice(end).startsWith('\n') ? end + 1 : end;
    if (redacted.endsWith('\n') && text[at] === '\n') at += 1;
  }
  return (redacted + text.slice(at)).replaceAll(URL_LOGIN, `$1:${REDACTED}@`);
}

function collect(pair: Pair, ranges: [number, number][]): void {
  const key = isScalar(pair.key) ? String(pair.key.value) : '';
  if (!isSecretKey(key)) return;
  visit(pair.value as Parameters<typeof visit>[0], {
    Scalar(_key, node) {
      if (typeof node.value === 'boolean' || node.value === null || (typeof node.value === 'string' && (node.value === '' || REFERENCE.test(node.value)))) return;
      if (node.range) ranges.push([node.range[0], node.range[1]]);
    },
  });
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
