import type { Command } from 'commander';
import { ApiClient } from './api-client.ts';
import { CliError } from './cli-error.ts';
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
  json?: boolean;
}

/** What a command works with. */
export class Context {
  readonly terminal: Terminal;
  readonly #root: Command;
  #client: ApiClient | undefined;
  /** Set by commands that end with something other than success. */
  exitCode = 0;

  constructor(root: Command, terminal: Terminal) {
    this.#root = root;
    this.terminal = terminal;
  }

  get json(): boolean {
    return this.#root.opts<GlobalOptions>().json === true;
  }

  /** The API, as option and environment say. Throws a CliError when the address is none. */
  get api(): ApiClient {
    if (this.#client === undefined) {
      const { env } = this.terminal;
      const url = this.#root.opts<GlobalOptions>().url ?? nonEmpty(env['OPAMP_API_URL']) ?? DEFAULT_API_URL;
      const protocol = URL.parse(url)?.protocol;
      if (protocol !== 'http:' && protocol !== 'https:')
        throw new CliError(`${JSON.stringify(url)} is no http:// or https:// URL`, 'check OPAMP_API_URL or --url');
      const token = nonEmpty(env['OPAMP_API_TOKEN']);
      this.#client = new ApiClient({
        url,
        token,
        actor: token === undefined ? nonEmpty(env['USER']) : undefined,
        timeoutMs: TIMEOUT_MS,
        interrupted: this.terminal.interrupted,
      });
    }
    return this.#client;
  }

  /** Prints an answer: as JSON with `--json`, else as `text` says. */
  show(answer: unknown, text: () => string): void {
    this.terminal.out(this.json ? `${JSON.stringify(answer, null, 2)}\n` : text());
  }

  /** Prints a list: as JSON with `--json`, else as a table, or `empty` when there is nothing in it. */
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], empty: string): void {
    this.show(rows, () =>
      rows.length === 0 ? `${empty}\n` : renderTable(rows, columns, this.terminal.columns ?? Number.POSITIVE_INFINITY),
    );
  }

  /** A remark that is no part of the answer. */
  note(text: string): void {
    this.terminal.err(`${oneLine(text)}\n`);
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}
