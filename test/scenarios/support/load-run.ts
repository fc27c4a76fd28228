import { PassThrough } from 'node:stream';
import { Terminal } from '@opamp-gateway/loadtest/demo/terminal';
import { runLoadTest } from '@opamp-gateway/loadtest/harness/load-test';
import { parseCommand } from '@opamp-gateway/loadtest/harness/options';
import type { RunResults } from '@opamp-gateway/loadtest/report/results';

/** Runs the load test as its command line says; answers its results, and what it printed. */
export async function runCommandLine(argv: readonly string[]): Promise<{ readonly results: RunResults; readonly output: string }> {
  const command = parseCommand(argv, {});
  if (command.kind !== 'run') throw new Error('the command line is not that of a run');
  let output = '';
  const out = Object.assign(new PassThrough(), { isTTY: false, columns: 120 });
  out.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const stream: unknown = out;
  const terminal = new Terminal(stream as NodeJS.WriteStream);
  const results = await runLoadTest(command.options, { terminal, command: 'test/scenarios', check: () => undefined });
  return { results, output };
}
