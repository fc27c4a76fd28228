import { readFileSync, statSync } from 'node:fs';
import { tokenHash } from '@opamp-gateway/shared/agent-token';
import type { StaticToken } from './authenticator.ts';

/** Digits of the hash by which a token without a name is called. */
const NAME_DIGITS = 8;

/** The tokens of a file. */
export interface StaticTokens {
  readonly tokens: readonly StaticToken[];
  /** Reads the file again if it has changed; answers the ids that are gone. Throws when it cannot be read, and the former tokens stay. */
  refresh(): readonly string[];
}

/** Reads a file with one token per line, `name:token` or only the token; `#` begins a comment. Throws an Error that names the file. */
export function openStaticTokens(path: string): StaticTokens {
  let stamp = stampOf(path);
  let tokens = load(path);
  return {
    get tokens() {
      return tokens;
    },
    refresh() {
      const now = stampOf(path);
      if (now === stamp) return [];
      const former = tokens;
      tokens = load(path);
      stamp = now;
      const present = new Set(tokens.map(({ id }) => id));
      return former.map(({ id }) => id).filter((id) => !present.has(id));
    },
  };
}

function load(path: string): StaticToken[] {
  const tokens = readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const hash = tokenHash(line.slice(line.indexOf(':') + 1).trim());
      const name = line.includes(':') ? line.slice(0, line.indexOf(':')).trim() : '';
      // The hash is in it, so that another token under the same name is another credential.
      return { id: `file:${name === '' ? '' : `${name}:`}${hash.slice(0, NAME_DIGITS)}`, hash };
    });
  if (tokens.length === 0) throw new Error(`${path}: no token in it`);
  return tokens;
}

/** Changes whenever the file does, as far as the file system tells. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}
