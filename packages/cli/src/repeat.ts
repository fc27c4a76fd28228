import type { Command } from 'commander';
import { ApiProblem } from './api-client.ts';
import { CliError } from './cli-error.ts';
import type { Context } from './context.ts';
import { parseDurationMs } from './duration.ts';

const DEFAULT_MS = 2000;
const MIN_MS = 100;

/** Option of {@link repeatable} commands. */
interface RepeatOptions {
  watch?: string | true;
}

/**
 * Gives a list command the option `--watch`: it is shown again and again until the user interrupts, in place on a terminal. A
 * coordinator that cannot answer for a while does not end it.
 */
export function repeatable<Options extends object>(command: Command, context: Context, show: (options: Options) => Promise<void>): Command {
  return command
    .option('-w, --watch [interval]', 'show it again every 2s, or as given, until interrupted')
    .action(async (options: Options) => {
      const { watch, ...rest } = options as Options & RepeatOptions;
      if (watch === undefined) return await show(options);
      const intervalMs = watch === true ? DEFAULT_MS : Math.max(MIN_MS, parseDurationMs(watch, '--watch'));
      const { interrupted } = context.terminal;
      while (!interrupted.aborted) {
        context.beginFrame();
        try {
          await show(rest as Options);
        } catch (error) {
          if (interrupted.aborted) return;
          if (!(error instanceof CliError) || (error instanceof ApiProblem && error.status < 500)) throw error;
          context.note(`error: ${error.message}`);
        }
        await pause(intervalMs, interrupted);
      }
    });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}
