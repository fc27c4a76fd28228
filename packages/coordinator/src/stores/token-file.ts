import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { toError } from '@opamp-gateway/shared/errors';

/** Fewest characters of a token: enough for 128 bits in hex would be 32; 16 keeps out words. */
export const MIN_TOKEN_CHARS = 16;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const TOKEN = /^[\x21-\x7e]+$/;

/** Who may use the API. */
export interface TokenFile {
  /** Name of the token's holder, undefined for a token that is not in the file. */
  holderOf(token: string): string | undefined;
  /** Reads the file again if it has changed; true when it has. One that cannot be read or is malformed throws, and the former tokens stay in force. */
  refresh(): boolean;
}

/**
 * Reads a file of API tokens: one `name:token` per line (empty lines and lines that begin with `#` are skipped), or JSON,
 * either `{"name": "token"}` or `[{"name": …, "token": …}]`. Tokens are kept as hashes only. Throws an Error that names the
 * file and every bad line, but no token.
 */
export function openTokenFile(path: string): TokenFile {
  let stamp = stampOf(path);
  let holders = load(path);
  return {
    holderOf(token) {
      const digest = digestOf(token);
      let found: string | undefined;
      // Every entry is compared, so that the time taken says nothing about which one matched.
      for (const [name, known] of holders) if (timingSafeEqual(known, digest)) found ??= name;
      return found;
    },
    refresh() {
      const now = stampOf(path);
      if (now === stamp) return false;
      holders = load(path);
      stamp = now;
      return true;
    },
  };
}

/** Reads the text of a token file. `where` stands before every problem. */
export function parseTokens(text: string, where: string): Map<string, string> {
  const problems: string[] = [];
  const tokens = new Map<string, string>();
  const add = (at: string, name: unknown, token: unknown): void => {
    if (typeof name !== 'string' || !NAME.test(name))
      problems.push(`${at}: expected a name of letters, digits, dots, dashes, underscores or @, at most 64`);
    else if (typeof token !== 'string' || token.length < MIN_TOKEN_CHARS || !TOKEN.test(token))
      problems.push(`${at}: expected a token of at least ${MIN_TOKEN_CHARS} printable characters without spaces`);
    else if (tokens.has(name)) problems.push(`${at}: the name ${name} stands there twice`);
    else tokens.set(name, token);
  };

  if (/^\s*[[{]/.test(text)) {
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (error) {
      throw new Error(`${where}: not valid JSON`, { cause: error });
    }
    if (Array.isArray(document)) {
      for (const [index, entry] of document.entries()) add(`entry ${index + 1}`, field(entry, 'name'), field(entry, 'token'));
    } else {
      for (const [index, [name, token]] of Object.entries(document as object).entries()) add(`entry ${index + 1}`, name, token);
    }
  } else {
    for (const [index, raw] of text.split(/\r?\n/).entries()) {
      const line = raw.trim();
      if (line === '' || line.startsWith('#')) continue;
      const colon = line.indexOf(':');
      if (colon < 0) problems.push(`line ${index + 1}: expected name:token`);
      else add(`line ${index + 1}`, line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
  }
  if (problems.length === 0 && tokens.size === 0) problems.push('no token in it');
  if (problems.length > 0) throw new Error(problems.map((problem) => `${where}: ${problem}`).join('; '));
  return tokens;
}

function load(path: string): Map<string, Buffer> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${path}: cannot be read: ${toError(error).message}`, { cause: error });
  }
  return new Map([...parseTokens(text, path)].map(([name, token]) => [name, digestOf(token)]));
}

/** Changes whenever the file does, as far as the file system tells; empty while there is none. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function field(entry: unknown, name: string): unknown {
  return typeof entry === 'object' && entry !== null ? (entry as Record<string, unknown>)[name] : undefined;
}
