/** The load test against a deployment that it did not start. No time is judged. */
import { PassThrough } from 'node:stream';
import { Terminal } from '@opamp-gateway/loadtest/demo/terminal';
import { runLoadTest } from '@opamp-gateway/loadtest/harness/load-test';
import { parseCommand } from '@opamp-gateway/loadtest/harness/options';
import { isGood } from '@opamp-gateway/loadtest/report/results';
import { expect, it } from 'vitest';
import { useStack } from '../support/lifetimes.ts';

/** More than the API lets anybody take from a group without saying how many. */
const AGENTS = 300;
const MINUTES_MS = 60_000;

it(
  'compares its agents, and leaves no group behind',
  async (context) => {
    const stack = await useStack(context, { gateways: 2, coordinators: 1 });
    const urls = stack.gatewayUrls.flatMap((url) => ['--url', url]);
    const sizes = ['--agents', String(AGENTS), '--config-kb', '1', '--hold', '0', '--soak', '0s', '--heartbeat', '2'];
    const command = parseCommand([...urls, '--api', stack.apiUrl, '--scenario', 'rollout', ...sizes], {});
    if (command.kind !== 'run') throw new Error('the command line is not that of a run');
    let output = '';
    const out = Object.assign(new PassThrough(), { isTTY: false, columns: 120 });
    out.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const stream: unknown = out;
    const terminal = new Terminal(stream as NodeJS.WriteStream);
    const results = await runLoadTest(command.options, { terminal, command: 'test/scenarios', check: () => undefined });
    expect(isGood(results), output).toBe(true);
    expect(results.scenarios.map(({ name, comparedAgents }) => [name, comparedAgents])).toEqual([
      ['ramp', AGENTS],
      ['rollout', AGENTS],
    ]);
    const { items } = (await stack.api.call('GET', '/groups')) as { readonly items: readonly { readonly name: string }[] };
    expect(items.map(({ name }) => name).filter((name) => name.startsWith('loadtest-'))).toEqual([]);
  },
  5 * MINUTES_MS,
);
