/** The scenario that fills a machine, at a size for every day. No time is judged. */
import { PassThrough } from 'node:stream';
import { Terminal } from '@opamp-gateway/loadtest/demo/terminal';
import { runLoadTest } from '@opamp-gateway/loadtest/harness/load-test';
import { parseCommand } from '@opamp-gateway/loadtest/harness/options';
import { isGood, type RunResults } from '@opamp-gateway/loadtest/report/results';
import { expect, it } from 'vitest';

const MINUTES_MS = 60_000;

async function run(...more: readonly string[]): Promise<{ readonly results: RunResults; readonly output: string }> {
  const sizes = ['--agents', '400', '--step', '200', '--agents-per-address', '100', '--hold', '0', '--lean'];
  const command = parseCommand(['--local', '--scenario', 'million', ...sizes, ...more], {});
  if (command.kind !== 'run') throw new Error('the command line is not that of a run');
  let output = '';
  const out = Object.assign(new PassThrough(), { isTTY: false, columns: 120 });
  out.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const stream: unknown = out;
  const context = { terminal: new Terminal(stream as NodeJS.WriteStream), command: 'test/scenarios', check: () => undefined };
  return { results: await runLoadTest(command.options, context), output };
}

it(
  'adds agents with gateways and workers of their own, step by step, and compares them all',
  async () => {
    const { results, output } = await run();
    expect(isGood(results), output).toBe(true);
    const [scenario] = results.scenarios;
    expect(scenario?.comparedAgents, output).toBe(400);
    expect(
      scenario?.tables?.[0]?.rows.map((row) => row.slice(0, 4)),
      output,
    ).toEqual([
      ['1', '200', '1', '1'],
      ['2', '400', '2', '2'],
    ]);
  },
  5 * MINUTES_MS,
);
