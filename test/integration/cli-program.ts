import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const TIMEOUT_MS = 150_000;

/** What a run of the program printed, and its exit code; -1 when a signal ended it. */
export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Arguments of Node that start the program. */
export const OPAMPCTL_ARGS: readonly string[] = ['--disable-warning=ExperimentalWarning', MAIN];

/** Runs the program as a user does, in a process of its own. */
export async function opampctl(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CliRun> {
  return await runProgram(process.execPath, [...OPAMPCTL_ARGS, ...args], { env: { USER: 'tester', ...env } });
}

/** Runs any program to its end. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<CliRun> {
  const env = { PATH: process.env['PATH'] ?? '', ...options.env };
  return await new Promise((resolve) => {
    execFile(program, args, { env, cwd: options.cwd, timeout: TIMEOUT_MS }, (error, out, err) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err });
    });
  });
}
