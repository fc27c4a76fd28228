/** The load test against a deployment that it did not start. No time is judged. */
import { isGood } from '@opamp-gateway/loadtest/report/results';
import { expect, it } from 'vitest';
import { useStack } from '../support/lifetimes.ts';
import { runCommandLine } from './support/load-run.ts';

/** More than the API lets anybody take from a group without saying how many. */
const AGENTS = 300;
const MINUTES_MS = 60_000;

it(
  'compares its agents, and leaves no group behind',
  async (context) => {
    const stack = await useStack(context, { gateways: 2, coordinators: 1 });
    const urls = stack.gatewayUrls.flatMap((url) => ['--url', url]);
    const sizes = ['--agents', String(AGENTS), '--config-kb', '1', '--hold', '0', '--soak', '0s', '--heartbeat', '2'];
    const { results, output } = await runCommandLine([...urls, '--api', stack.apiUrl, '--scenario', 'rollout', ...sizes]);
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
