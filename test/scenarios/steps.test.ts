/** The scenario that fills a machine, at a size for every day. No time is judged. */
import { isGood } from '@opamp-gateway/loadtest/report/results';
import { expect, it } from 'vitest';
import { runCommandLine } from './support/load-run.ts';

const MINUTES_MS = 60_000;

const SIZES = ['--agents', '400', '--step', '200', '--agents-per-address', '100', '--hold', '0', '--lean'];

it(
  'adds agents with gateways and workers of their own, step by step, and compares them all',
  async () => {
    const { results, output } = await runCommandLine(['--local', '--scenario', 'million', ...SIZES]);
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
