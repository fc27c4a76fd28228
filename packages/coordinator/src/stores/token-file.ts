import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { toError } from '@opamp-gateway/shared/errors';
import { FULL_GRANT, isRole, ROLES, toScope } from '../access/roles.ts';
import type { Grant, Role } from '../access/roles.ts';

/** Fewest characters of a token: enough for 128 bits in hex would be 32; 16 keeps out words. */
export const MIN_TOKEN_CHARS = 16;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const TOKEN = /^[\x21-\x7e]+$/;
const HASHED = /^sha256:([0-9a-f]{64})$/;
const GROUP = /^(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/;
const FIELDS = ['name', 'token', 'role', 'groups', 'expires'];

/** A token's holder and what it allows. */
export interface TokenHolder extends Grant {
  readonly name: string;
  /** Unix milliseconds from which on the token is refused; undefined = never. */
  readonly expiresAtMs: number | undefined;
}

/** What a token turned out to be. */
export type TokenVerdict = { kind: 'ok'; holder: TokenHolder } | { kind: 'expired'; holder: TokenHolder } | { kind: 'unknown' };

/** Who may use the API. */
export interface TokenFile {
  /** Whose token this is at the time `nowMs` (Unix milliseconds). */
  verify(token: string, nowMs: number): TokenVerdict;
  /** Reads the file again if it has changed; true when it has. One that cannot be read or is malformed throws, and the former tokens stay in force. */
  refresh(): boolean;
}

/** One entry of a token file. */
export interface TokenEntry extends TokenHolder {
  /** SHA-256 of the token. */
  readonly digest: Buffer;
}

/**
 * Reads a file of API tokens. Text has one `name:token` per line, with `role=`, `groups=` and `expires=` behind it where they
 * are wanted (empty lines and lines that begin with `#` are skipped). JSON is `{"name": "token"}`, `{"name": {"token": …,
 * "role": …, "groups": […], "expires": …}}` or a list `[{"name": …, "token": …, …}]`. Instead of a token `sha256:` and its hex
 * digest may stand there. Without a role a token is an admin's. Only hashes stay in memory. Throws an Error that names the
 * file and every bad line, but no token.
 */
export function openTokenFile(path: string): TokenFile {
  let stamp = stampOf(path);
  let entries = load(path);
  return {
    verify(token, nowMs) {
      const digest = digestOf(token);
      let found: TokenEntry | undefined;
      // Every entry is compared, so that the time taken says nothing about which one matched.
      for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found ??= entry;
      if (found === undefined) return { kind: 'unknown' };
      return { kind: found.expiresAtMs !== undefined && nowMs >= found.expiresAtMs ? 'expired' : 'ok', holder: found };
    },
    refresh() {
      const now = stampOf(path);
      if (now === stamp) return false;
      entries = load(path);
      stamp = now;
      return true;
    },
  };
}

/** Reads the text of a token file. `where` stands before every problem. */
export function parseTokens(text: string, where: string): TokenEntry[] {
  const problems: string[] = [];
  const entries = new Map<string, TokenEntry>();
  const add = (at: string, fields: Readonly<Record<string, unknown>>): void => {
    const found = readEntry(fields, (problem) => problems.push(`${at}: ${problem}`));
    if (found === undefined) return;
    if (entries.has(found.name)) problems.push(`${at}: the name ${found.name} stands there twice`);
    else entries.set(found.name, found);
  };

  if (/^\s*[[{]/.test(text)) {
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (error) {
      throw new Error(`${where}: not valid JSON`, { cause: error });
    }
    if (Array.isArray(document)) {
      for (const [index, entry] of document.entries()) add(`entry ${index + 1}`, isObject(entry) ? entry : {});
    } else {
      for (const [index, [name, entry]] of Object.entries(document as object).entries())
        add(`entry ${index + 1}`, isObject(entry) ? { ...entry, name } : { name, token: entry as unknown });
    }
  } else {
    for (const [index, raw] of text.split(/\r?\n/).entries()) {
      const line = raw.trim();
      if (line === '' || line.startsWith('#')) continue;
      const fields = readLine(line);
      if (typeof fields === 'string') problems.push(`line ${index + 1}: ${fields}`);
      else add(`line ${index + 1}`, fields);
    }
  }
  if (problems.length === 0 && entries.size === 0) problems.push('no token in it');
  if (problems.length > 0) throw new Error(problems.map((problem) => `${where}: ${problem}`).join('; '));
  return [...entries.values()];
}

/** `name:token role=viewer groups=a,b expires=2027-01-01`; the token may hold colons. Answers what is wrong with a line that cannot be split. */
function readLine(line: string): Record<string, unknown> | string {
  const colon = line.indexOf(':');
  if (colon < 0) return 'expected name:token';
  const [token = '', ...attributes] = line
    .slice(colon + 1)
    .trim()
    .split(/\s+/);
  const fields: Record<string, unknown> = { name: line.slice(0, colon).trim(), token };
  for (const attribute of attributes) {
    const [, key, value] = /^(role|groups|expires)=(.+)$/.exec(attribute) ?? [];
    // What stands there may be the rest of a token with a space in it: it is not repeated.
    if (key === undefined || value === undefined) return 'expected role=, groups= or expires= behind the token';
    if (key in fields) return `${key}= stands there twice`;
    fields[key] = key === 'groups' ? value.split(',') : value;
  }
  return fields;
}

function readEntry(fields: Readonly<Record<string, unknown>>, report: (problem: string) => void): TokenEntry | undefined {
  const { name, token, role = FULL_GRANT.role, groups = ['*'], expires } = fields;
  const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field));
  const problems: string[] = [];
  if (typeof name !== 'string' || !NAME.test(name))
    problems.push('expected a name of letters, digits, dots, dashes, underscores or @, at most 64');
  else if (typeof token !== 'string' || token.length < MIN_TOKEN_CHARS || !TOKEN.test(token))
    problems.push(`expected a token of at least ${MIN_TOKEN_CHARS} printable characters without spaces`);
  else if (token.startsWith('sha256:') && !HASHED.test(token)) problems.push('expected 64 hex digits after sha256:');
  // A misspelt role or group must never end up as "everything".
  if (unknown !== undefined) problems.push(`there is no field ${JSON.stringify(unknown.slice(0, 64))}, only ${FIELDS.join(', ')}`);
  if (!isRole(role)) problems.push(`expected a role: ${ROLES.join(', ')}`);
  if (!isGroupList(groups)) problems.push('expected groups: a list of group names, or *');
  const expiresAtMs = expires === undefined ? undefined : readTime(expires);
  if (Number.isNaN(expiresAtMs)) problems.push('expected a time such as 2027-01-31 or 2027-01-31T12:00:00Z after expires');
  for (const problem of problems) report(problem);
  if (problems.length > 0) return undefined;
  return { name: name as string, digest: digestIn(token as string), role: role as Role, scope: toScope(groups as string[]), expiresAtMs };
}

function isGroupList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((group) => typeof group === 'string' && GROUP.test(group));
}

function readTime(value: unknown): number {
  const isTime = typeof value === 'string' && /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(value);
  return isTime ? Date.parse(value) : Number.NaN;
}

function load(path: string): TokenEntry[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${path}: cannot be read: ${toError(error).message}`, { cause: error });
  }
  return parseTokens(text, path);
}

/** Changes whenever the file does, as far as the file system tells; empty while there is none. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}

function digestIn(token: string): Buffer {
  const [, hex] = HASHED.exec(token) ?? [];
  return hex === undefined ? digestOf(token) : Buffer.from(hex, 'hex');
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
