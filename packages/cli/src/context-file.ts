import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError } from './cli-error.ts';

/** Where an API is, and the token it takes. */
export interface NamedContext {
  url: string;
  token?: string;
}

/** What the file holds. */
export interface ContextFile {
  /** Name of the context that is used unless told otherwise. */
  current: string | undefined;
  contexts: Map<string, NamedContext>;
}

/** Owner only: the file holds tokens. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;

/** Path of the file, undefined where the environment names no home. */
export function contextFilePath(env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (env['OPAMPCTL_CONFIG'] !== undefined && env['OPAMPCTL_CONFIG'] !== '') return env['OPAMPCTL_CONFIG'];
  const base = env['XDG_CONFIG_HOME'] ?? (env['HOME'] === undefined ? undefined : join(env['HOME'], '.config'));
  return base === undefined || base === '' ? undefined : join(base, 'opampctl', 'contexts.json');
}

/** Reads the file; empty where there is none. Throws a CliError when others may read it, or when it is not understood. */
export function readContexts(path: string | undefined): ContextFile {
  const empty: ContextFile = { current: undefined, contexts: new Map() };
  if (path === undefined) return empty;
  let text: string;
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & OTHERS) !== 0)
      throw new CliError(`${path} holds tokens, and others may read it`, `chmod 600 ${path}`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof CliError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return empty;
    throw new CliError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error });
  }
  try {
    const { current, contexts } = JSON.parse(text) as { current?: string; contexts: Record<string, NamedContext> };
    const entries = Object.entries(contexts);
    if (entries.some(([, { url }]) => typeof url !== 'string')) throw new Error('a context has no url');
    return { current, contexts: new Map(entries) };
  } catch (error) {
    throw new CliError(`${path} is not understood: ${error instanceof Error ? error.message : String(error)}`, 'correct or remove it', {
      cause: error,
    });
  }
}

/** Replaces the file as a whole; only its owner can read it at any moment. Throws a CliError. */
export function writeContexts(path: string, { current, contexts }: ContextFile): void {
  const text = `${JSON.stringify({ current, contexts: Object.fromEntries(contexts) }, null, 2)}\n`;
  const draft = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    rmSync(draft, { force: true });
    writeFileSync(draft, text, { mode: FILE_MODE, flag: 'wx' });
    renameSync(draft, path);
  } catch (error) {
    throw new CliError(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error });
  }
}
