import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { createInterface } from 'node:readline';

import { waitFor } from './wait-for.ts';

/** How a child process ended. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Lines of output kept for error messages; older ones are dropped. */
const KEPT_LINES = 4_000;

/** Everything that runs: a test process that dies takes it along. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) {
    child.kill('SIGKILL');
  }
});

/** A started program whose output is kept line by line. */
export class Child {
  readonly #process: ChildProcess;
  readonly #exit: Promise<ChildExit>;
  readonly #lines: string[] = [];
  #ended: ChildExit | undefined;

  constructor(program: string, args: readonly string[], options: { readonly cwd?: string; readonly onLine?: (line: string) => void } = {}) {
    this.#process = spawn(program, args, { ...(options.cwd === undefined ? {} : { cwd: options.cwd }), stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.#process);
    this.#exit = new Promise((resolve) => {
      // `close` and not `exit`: by then all output has been read.
      this.#process.once('close', (code, signal) => {
        running.delete(this.#process);
        this.#ended = { code, signal };
        resolve(this.#ended);
      });
      this.#process.once('error', (error) => {
        this.#lines.push(`cannot start: ${error.message}`);
      });
    });
    // A write to a child that has just ended is answered by `exited`, not by an error event nobody hears.
    this.#process.stdin?.on('error', () => {});
    for (const [stream, isOutput] of [
      [this.#process.stdout, true],
      [this.#process.stderr, false],
    ] as const) {
      if (stream === null) {
        continue;
      }
      createInterface({ input: stream }).on('line', (line) => {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) {
          this.#lines.shift();
        }
        if (isOutput) {
          options.onLine?.(line);
        }
      });
    }
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) {
      throw new Error(`process did not start\n${this.tail()}`);
    }
    return pid;
  }

  /** How it ended; undefined while it runs. */
  get ended(): ChildExit | undefined {
    return this.#ended;
  }

  /** Resolves when the program has ended and its output is read. */
  get exited(): Promise<ChildExit> {
    return this.#exit;
  }

  /** Output so far, standard output and error mixed. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** The last lines of output, for error messages. */
  tail(count = 30): string {
    return this.#lines.slice(-count).join('\n');
  }

  writeLine(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  closeInput(): void {
    this.#process.stdin?.end();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Sends `signal`, and SIGKILL when the program has not ended `graceMs` milliseconds later. */
  async stop(signal: NodeJS.Signals, graceMs: number): Promise<ChildExit> {
    if (this.#ended === undefined) {
      this.signal(signal);
      try {
        return await waitFor('the process to end', graceMs, () => this.#ended);
      } catch {
        this.signal('SIGKILL');
      }
    }
    return this.#exit;
  }
}

/** Resolves with the port number of a listening server. */
export async function listenOnFreePort(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Error('the server listens on no port');
  }
  return address.port;
}
