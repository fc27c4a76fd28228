/** `npm run loadtest`: puts a deployment under load, compares both sides' records, writes a report. */
import { join } from 'node:path';
import { Terminal } from './demo/terminal.ts';
import { runLoadTest } from './harness/load-test.ts';
import { type Command, parseCommand, UsageError } from './harness/options.ts';
import { USAGE } from './harness/usage.ts';
import { runPeer } from './peer/run-peer.ts';
import { compareRuns } from './report/compare.ts';
import { formatFigure, formatNumber, formatSeconds } from './report/format.ts';
import { isGood, type RunResults } from './report/results.ts';
import { makeReportDirectory, readResults, writeReport } from './report/write-report.ts';

const INTERRUPTED_EXIT = 130;

/** Thrown out of whatever runs when the user presses Ctrl-C. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

function printFigures(terminal: Terminal, { scenarios }: RunResults): void {
  for (const { title, figures, rollouts, differences, notes = [], tables = [] } of scenarios) {
    terminal.line();
    terminal.line(
      `${terminal.paint(differences.length === 0 ? 'green' : 'red', differences.length === 0 ? '✓' : '✗')} ${terminal.paint('bold', title)}`,
    );
    for (const note of notes) terminal.line(`    ${note}`);
    for (const { title: name, header, rows } of tables) {
      terminal.line(`    ${name}:`);
      for (const row of rows)
        terminal.line(`      ${row.map((cell, index) => (index === 0 ? cell : `${header[index] ?? ''} ${cell}`)).join('; ')}`);
    }
    for (const entry of figures) terminal.line(`    ${entry.label}: ${formatFigure(entry)}`);
    for (const { label, lastWave, withoutSoaksMs, offerToAckMs, redisCommandsPerAgent } of rollouts) {
      terminal.line(
        `    ${label}: t50 ${formatSeconds(lastWave.t50)}, t95 ${formatSeconds(lastWave.t95)}, t99 ${formatSeconds(lastWave.t99)}, t100 ${formatSeconds(lastWave.t100)}, all waves without soaks ${formatSeconds(withoutSoaksMs)}; offer→ack p99 ${formatNumber(offerToAckMs?.p99)} ms; ${formatNumber(redisCommandsPerAgent)} Redis commands per agent`,
      );
    }
  }
}

async function run(command: Extract<Command, { readonly kind: 'run' | 'peer' }>, terminal: Terminal): Promise<number> {
  try {
    await makeReportDirectory(command.out);
  } catch (error) {
    process.stderr.write(`--out ${command.out}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const context = {
    terminal,
    command: `npm run loadtest -- ${process.argv.slice(2).join(' ')}`,
    check: () => {
      if (interrupted) throw new Interrupted('interrupted');
    },
  };
  const results = command.kind === 'run' ? await runLoadTest(command.options, context) : await runPeer(command, context);
  printFigures(terminal, results);
  await writeReport(command.out, results);
  terminal.line();
  terminal.line(`  report: ${join(command.out, 'report.html')}`);
  if (interrupted) {
    terminal.line('  interrupted: everything is stopped');
    return INTERRUPTED_EXIT;
  }
  if (results.error !== undefined) terminal.line(terminal.paint('red', `  ${results.error}`));
  return isGood(results) ? 0 : 1;
}

async function compare([first, second]: readonly [string, string]): Promise<number> {
  try {
    process.stdout.write(compareRuns(await readResults(first), await readResults(second)));
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

async function main(): Promise<number> {
  const terminal = new Terminal(process.stdout);
  let command: Command;
  try {
    command = parseCommand(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\nnpm run loadtest -- --help lists all options.\n`);
    return 1;
  }
  switch (command.kind) {
    case 'help':
      process.stdout.write(USAGE);
      return 0;
    case 'compare':
      return compare(command.files);
    case 'peer':
    case 'run':
      return run(command, terminal);
  }
}

process.exitCode = await main();
