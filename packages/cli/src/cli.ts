import { Command, CommanderError } from 'commander';
import { ApiProblem } from './api-client.ts';
import { CliError } from './cli-error.ts';
import { addAgentCommands } from './commands/agents.ts';
import { addAlertCommands } from './commands/alerts.ts';
import { addAuditCommands } from './commands/audit.ts';
import { addApplyCommand } from './commands/apply.ts';
import { addConfigCommands } from './commands/configs.ts';
import { addCompletionCommands } from './commands/completion.ts';
import { addContextCommands } from './commands/contexts.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addDriftCommand } from './commands/drift.ts';
import { addBackupCommands } from './commands/backup.ts';
import { addExportCommand } from './commands/export.ts';
import { addFleetCommands } from './commands/fleet.ts';
import { addGatewayCommands } from './commands/gateways.ts';
import { addGroupCommands } from './commands/groups.ts';
import { addRolloutCommands } from './commands/rollouts.ts';
import { addTokenCommands } from './commands/tokens.ts';
import { Context } from './context.ts';
import type { Terminal } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { oneLine } from './table.ts';
import { ownVersion } from './version.ts';

const EPILOGUE = `
Environment:
  OPAMP_API_URL    where the REST API is (default http://127.0.0.1:4330)
  OPAMP_API_TOKEN  token of the API
  OPAMPCTL_CONFIG  file of contexts (default ~/.config/opampctl/contexts.json)
  NO_COLOR         no colours; there are none anyway where standard output is no terminal

Exit codes: 0 done or rollout succeeded, 1 wrong usage or API error, 2 rolled back, 3 held or timed out, 4 cancelled,
5 rollback failed.
`;

/** Runs `opampctl` with these arguments (without node and script). Never throws; resolves with the exit code. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = new Command('opampctl');
  const context = new Context(program, terminal);
  program
    .description('Configs, groups, agents and rollouts of an OpAMP fleet')
    .option('--url <url>', 'where the REST API is; wins over OPAMP_API_URL')
    .option('--context <name>', 'named address and token to use, see `opampctl context`; wins over OPAMP_API_URL')
    .option('--json', 'print what the API answers; a list is an array of all its items')
    .version(ownVersion(), '--version', 'print the release')
    .addHelpText('after', EPILOGUE)
    .showHelpAfterError('(--help shows how it is used)');
  addConfigCommands(program, context);
  addGroupCommands(program, context);
  addRolloutCommands(program, context);
  addAgentCommands(program, context);
  addFleetCommands(program, context);
  addAlertCommands(program, context);
  addGatewayCommands(program, context);
  addAuditCommands(program, context);
  addTokenCommands(program, context);
  addDriftCommand(program, context);
  addApplyCommand(program, context);
  addExportCommand(program, context);
  addBackupCommands(program, context);
  addDoctorCommand(program, context);
  addContextCommands(program, context);
  addCompletionCommands(program, context);
  prepare(program, terminal);

  try {
    await program.parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return tell(error, context);
  }
}

/** Every command of the tree throws instead of ending the process, writes to our terminal, and takes the global options too. */
function prepare(command: Command, terminal: Terminal): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => terminal.out(text),
    writeErr: (text) => terminal.err(text),
    getOutHelpWidth: () => terminal.columns ?? 100,
  });
  for (const child of command.commands) prepare(child, terminal);
}

function tell(error: unknown, context: Context): number {
  const { terminal } = context;
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.error;
  if (context.json && error instanceof ApiProblem) terminal.out(`${JSON.stringify(error.body, null, 2)}\n`);
  if (error instanceof CliError) {
    terminal.err(`error: ${oneLine(error.message)}\n`);
    if (error instanceof ApiProblem) {
      for (const { path, message } of error.errors) {
        // A single one may stand in the detail already.
        if (error.errors.length === 1 && error.message.includes(message)) continue;
        terminal.err(`  ${oneLine(path === '' ? message : `${path}: ${message}`)}\n`);
      }
    }
    if (error.next !== undefined) terminal.err(`next: ${error.next}\n`);
    return EXIT.error;
  }
  if (terminal.interrupted.aborted) return EXIT.error;
  terminal.err(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return EXIT.error;
}
