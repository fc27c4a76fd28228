import type { Command } from 'commander';
import { ApiClient } from './api-client.ts';
import { CliError } from './cli-error.ts';
import { contextFilePath, readContexts } from './context-file.ts';
import { choosePaint } from './paint.ts';
import type { Paint } from './paint.ts';
import { oneLine, renderTable } from './table.ts';
import type { Column } from './table.ts';

/** What the program needs of the process; tests bring their own. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Columns of the terminal, undefined when standard output is none. */
  readonly columns: number | undefined;
  readStdin(): Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  nowMs(): number;
  /** Aborts when the user interrupts. */
  readonly interrupted: AbortSignal;
}

/** Default address of a coordinator. */
export const DEFAULT_API_URL = 'http://127.0.0.1:4330';

const TIMEOUT_MS = 30_000;

/** Options that every command takes. */
export interface GlobalOptions {
  url?: string;
  context?: string;
  json?: boolean;
}

/** Where the API is, by what, and with which token. */
export interface Target {
  url: string;
  source: string;
  token: string | undefined;
}

/** What a command works with. */
export class Context {
  readonly terminal: Terminal;
  readonly #root: Command;
  #client: ApiClient | undefined;
  #frames = 0;
  /** Set by commands that end with something other than success. */
  exitCode = 0;

  constructor(root: Command, terminal: Terminal) {
    this.#root = root;
    this.terminal = terminal;
  }

  get json(): boolean {
    return this.#root.opts<GlobalOptions>().json === true;
  }

  /** The option `--url`, as given. */
  get urlOption(): string | undefined {
    return this.#root.opts<GlobalOptions>().url;
  }

  /**
   * Option before environment before the current context. The token of a context goes to the address of that context only.
   * Throws a CliError.
   */
  get target(): Target {
    const { env } = this.terminal;
    const { url, context: named } = this.#root.opts<GlobalOptions>();
    const envToken = nonEmpty(env['OPAMP_API_TOKEN']);
    if (url !== undefined) return { url, source: '--url', token: envToken };
    const envUrl = nonEmpty(env['OPAMP_API_URL']);
    if (named === undefined && envUrl !== undefined) return { url: envUrl, source: 'OPAMP_API_URL', token: envToken };
    const file = readContexts(contextFilePath(env));
    const name = named ?? file.current;
    const found = name === undefined ? undefined : file.contexts.get(name);
    if (found !== undefined) return { url: found.url, source: `context ${name ?? ''}`, token: found.token ?? envToken };
    if (named !== undefined) throw new CliError(`there is no context ${named}`, '`opampctl context list` shows them');
    return { url: DEFAULT_API_URL, source: 'default', token: envToken };
  }

  /** The API, as {@link target} says. Throws a CliError when the address is none. */
  get api(): ApiClient {
    if (this.#client === undefined) {
      const { url, token } = this.target;
      this.#client = new ApiClient({
        url: apiUrl(url),
        token,
        actor: token === undefined ? nonEmpty(this.terminal.env['USER']) : undefined,
        timeoutMs: TIMEOUT_MS,
        interrupted: this.terminal.interrupted,
      });
    }
    return this.#client;
  }

  /** Colours, where the terminal shows them. */
  get paint(): Paint {
    return choosePaint(this.terminal);
  }

  /** The next answer that is shown takes the place of the one before, on a terminal. */
  beginFrame(): void {
    this.#frames += 1;
  }

  /** Prints an answer: as JSON with `--json`, else as `text` says. */
  show(answer: unknown, text: () => string): void {
    if (this.#frames > 0 && this.json) this.terminal.out(`${JSON.stringify(answer)}\n`);
    else this.terminal.out(this.json ? `${JSON.stringify(answer, null, 2)}\n` : `${this.#frameStart()}${text()}`);
  }

  /** Prints a list: as JSON with `--json`, else as a table, or `empty` when there is nothing in it. */
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], empty: string): void {
    this.show(rows, () =>
      rows.length === 0 ? `${empty}\n` : renderTable(rows, columns, this.terminal.columns ?? Number.POSITIVE_INFINITY, this.paint),
    );
  }

  /** Clears a terminal; elsewhere an empty line stands between two frames. */
  #frameStart(): string {
    if (this.#frames === 0) return '';
    if (this.terminal.columns !== undefined) return '\u001b[H\u001b[2J';
    return this.#frames > 1 ? '\n' : '';
  }

  /** A remark that is no part of the answer. */
  note(text: string): void {
    this.terminal.err(`${oneLine(text)}\n`);
  }
}

/** The address, if it is one. Throws a CliError. */
export function apiUrl(url: string): string {
  const protocol = URL.parse(url)?.protocol;
  if (protocol === 'http:' || protocol === 'https:') return url;
  throw new CliError(`${JSON.stringify(url)} is no http:// or https:// URL`, 'check OPAMP_API_URL, --url or the context');
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}
