import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { waitUntil } from './wait-for.ts';

/** How a process ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** For messages and the log's name. */
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Output and errors are appended here. */
  readonly logFile: string;
}

const READY_DEADLINE_MS = 60_000;
const TAIL_LINES = 30;
const MAX_LINE_CHARS = 400;

/** Everything that was started and has not ended: a test process that dies takes it along. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** This process's environment without settings of our own processes: those come from the test alone. */
function environmentOf(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:OPAMP_|NODE_OPTIONS$|VITEST)/.test(name));
  return { ...Object.fromEntries(kept), ...settings };
}

/** One real process whose output goes to a file. */
export class Child {
  readonly name: string;
  readonly exited: Promise<ChildEnd>;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  #ended: ChildEnd | undefined;

  constructor({ name, command, environment, directory, logFile }: ChildOptions) {
    this.name = name;
    this.#logFile = logFile;
    const log = openSync(logFile, 'a');
    const [program, ...args] = command;
    const child = spawn(program, args, { cwd: directory, env: environmentOf(environment), stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    running.add(child);
    this.exited = new Promise((resolve) => {
      const end = (ended: ChildEnd): void => {
        running.delete(child);
        this.#ended = ended;
        resolve(ended);
      };
      child.once('exit', (code, signal) => end({ code, signal }));
      child.once('error', () => end({ code: null, signal: null }));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Undefined while it runs. */
  get ended(): ChildEnd | undefined {
    return this.#ended;
  }

  /** The last lines of its output since a time, shortened; lines about requests are left out. */
  tail(lines = TAIL_LINES, sinceMs = 0): string {
    const all = readFileSync(this.#logFile, 'utf8').trimEnd().split('\n');
    const telling = all.filter((line) => !line.includes('"msg":"api request"') && timeOf(line) >= sinceMs);
    return telling.slice(-lines).map(shortenLine).join('\n');
  }

  /** Waits until `isReady`; rejects with the last lines of its output when it has ended, or is not ready in a minute. */
  async waitUntilReady(isReady: () => Promise<boolean>): Promise<void> {
    try {
      await waitUntil(
        `${this.name} to be ready`,
        async () => this.#ended ?? (await isReady()),
        (state) => state !== false,
        { deadlineMs: READY_DEADLINE_MS },
      );
    } catch (error) {
      throw new Error(`${this.name} did not become ready; its last lines:\n${this.tail()}`, { cause: error });
    }
    if (this.#ended !== undefined)
      throw new Error(`${this.name} ended (${describeEnd(this.#ended)}) while starting; its last lines:\n${this.tail()}`);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#ended === undefined) this.#child.kill(signal);
  }

  /** Sends the signal and waits for the end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<ChildEnd> {
    this.signal(signal);
    return await this.exited;
  }

  /** SIGTERM; after `graceMs` SIGKILL, and then the answer is false: it did not stop by itself. */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#ended !== undefined) return true;
    let inTime = true;
    // A process that a test has frozen cannot hear SIGTERM.
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    const timer = setTimeout(() => {
      inTime = false;
      this.signal('SIGKILL');
    }, graceMs);
    await this.exited;
    clearTimeout(timer);
    return inTime;
  }
}

/** When a line was logged; infinite for what is no log line, which always matters. */
function timeOf(line: string): number {
  const time = /"time":"([^"]+)"/.exec(line)?.[1];
  return time === undefined ? Number.POSITIVE_INFINITY : Date.parse(time);
}

/** Keeps time, level, message and the fields in between; stacks and ids that repeat are left out. */
function shortenLine(line: string): string {
  try {
    const {
      time,
      level,
      msg,
      err,
      pid: _pid,
      name: _name,
      gateway: _gateway,
      coordinator: _coordinator,
      ...fields
    } = JSON.parse(line) as Record<string, unknown>;
    const rest = { ...fields, ...(err === undefined ? {} : { err: (err as { readonly message?: string }).message }) };
    return `${String(time).slice(11)} ${String(level)} ${String(msg)} ${JSON.stringify(rest)}`.slice(0, MAX_LINE_CHARS);
  } catch {
    return line.slice(0, MAX_LINE_CHARS);
  }
}

/** How it ended, in words. */
export function describeEnd({ code, signal }: ChildEnd): string {
  return signal ?? (code === null ? 'could not be started' : `exit code ${code}`);
}

/** Whether a URL answers 200 within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
