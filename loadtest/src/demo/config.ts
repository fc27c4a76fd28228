/** Settings of the demo: its command line, and what its child processes may see of the environment. */
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

/** Root of the repository, from `loadtest/src/demo` as well as from `loadtest/dist/demo`. */
export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

export const USAGE = `usage: npm run demo -- [--agents N] [--keep] [--supervisor PATH --collector PATH]

  --agents N         simulated agents, 100 to 5000 (default 300)
  --keep             leave everything running at the end and print the URLs; Ctrl-C stops and removes it
  --supervisor PATH  opampsupervisor binary: adds a real agent, which needs --collector as well
  --collector PATH   OpenTelemetry Collector binary with the opamp extension, for the supervisor
`;

/** What the user asked for. */
export interface DemoOptions {
  readonly agents: number;
  readonly keep: boolean;
  readonly real: { readonly supervisor: string; readonly collector: string } | undefined;
}

/** Thrown for a command line that means nothing. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const FEWEST_AGENTS = 100;
const MOST_AGENTS = 5_000;

/** Reads the command line; `help` for --help. Throws UsageError. */
export function parseOptions(argv: readonly string[]): DemoOptions | 'help' {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        agents: { type: 'string', default: '300' },
        keep: { type: 'boolean', default: false },
        supervisor: { type: 'string' },
        collector: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return 'help';
  const agents = Number(values.agents);
  if (!Number.isInteger(agents) || agents < FEWEST_AGENTS || agents > MOST_AGENTS) {
    throw new UsageError(`--agents has to be a whole number from ${FEWEST_AGENTS} to ${MOST_AGENTS}, not "${values.agents}"`);
  }
  const { supervisor, collector } = values;
  if ((supervisor === undefined) !== (collector === undefined)) throw new UsageError('--supervisor and --collector go together');
  return { agents, keep: values.keep, real: supervisor === undefined || collector === undefined ? undefined : { supervisor, collector } };
}

/** The caller's environment without settings of our own processes: those come from the demo alone. */
export function childEnvironment(
  settings: Readonly<Record<string, string>>,
  inherited: Readonly<NodeJS.ProcessEnv> = process.env,
): NodeJS.ProcessEnv {
  const kept = Object.entries(inherited).filter(([name]) => !name.startsWith('OPAMP_'));
  return { ...Object.fromEntries(kept), ...settings };
}

/** Whether colours are wanted (https://no-color.org). */
export function wantsColor(): boolean {
  return process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
}
