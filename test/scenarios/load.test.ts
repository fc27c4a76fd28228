/** The load-test harness at a size for every day: its oracle compares each of the agents, and counts have to be exact. No time is judged. */
import type { RunResults, ScenarioResult } from '@opamp-gateway/loadtest/report/results';
import { beforeAll, expect, it } from 'vitest';
import { runCommandLine } from './support/load-run.ts';

const AGENTS = 5_000;
const ALL_APPLIED = { applied: AGENTS };
/** Production times in seconds instead of minutes. */
const SETTINGS = [
  'OPAMP_GATEWAY_LEASE_MS=8000',
  'OPAMP_GATEWAY_LEASE_RENEW_MS=1000',
  'OPAMP_GATEWAY_SPEC_POLL_MS=500',
  'OPAMP_GATEWAY_RETRY_AFTER_SECONDS=1',
  'OPAMP_GATEWAY_FULL_STATE_RATE=5000',
  'OPAMP_COORDINATOR_SWEEP_MS=500',
];
const MINUTES_MS = 60_000;

let results: RunResults;
let output = '';

const COMMAND_LINE = [
  '--local',
  ...['--agents', String(AGENTS), '--gateways', '3', '--scenario', 'rollout,refuse,gateway-kill,storm', '--config-kb', '1,16'],
  ...['--refuse-fraction', '0.3', '--hold', '0', '--soak', '0s', '--heartbeat', '2', '--reconnect-scale', '0.2', '--deadline', '300'],
  ...SETTINGS.flatMap((setting) => ['--set', setting]),
];

function scenario(name: string): ScenarioResult {
  const found = results.scenarios.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`the scenario ${name} did not end: ${results.error ?? 'no error'}\n${output}`);
  return found;
}

function valueOf({ figures }: ScenarioResult, id: string): number | null | undefined {
  return figures.find((figure) => figure.id === id)?.value;
}

beforeAll(async () => {
  ({ results, output } = await runCommandLine(COMMAND_LINE));
}, 12 * MINUTES_MS);

it('comes to its end', () => {
  expect(results.error, output).toBeUndefined();
  expect(results.scenarios.map(({ name }) => name)).toEqual(['ramp', 'rollout', 'refuse', 'gateway-kill', 'storm']);
});

it.each(['ramp', 'rollout', 'refuse', 'gateway-kill', 'storm'])('%s: the server records what each agent did', (name) => {
  expect(scenario(name).differences, output).toEqual([]);
  expect(scenario(name).comparedAgents).toBe(AGENTS);
});

it('gives every agent each config once, and counts it once', () => {
  const { rollouts } = scenario('rollout');
  expect(rollouts).toHaveLength(2);
  for (const { phase, counts, repeatedOffers, offerToAckMs } of rollouts) {
    expect({ phase, counts, repeatedOffers, acknowledged: offerToAckMs?.count }).toEqual({
      phase: 'succeeded',
      counts: ALL_APPLIED,
      repeatedOffers: 0,
      acknowledged: AGENTS,
    });
  }
});

it('stops a version that some refuse in the canary or the wave after it, and restores who got it', () => {
  const refused = scenario('refuse');
  expect(valueOf(refused, 'failed-seen')).toBeGreaterThan(0);
  expect(valueOf(refused, 'failed-unseen')).toBeGreaterThan(0);
  expect(valueOf(refused, 'stopped-in-unseen')).toBe(1);
});

it('loses nobody and counts nobody twice when a gateway is killed', () => {
  const killed = scenario('gateway-kill');
  expect(valueOf(killed, 'hit')).toBeGreaterThan(0);
  // Who was on its way to another gateway when the rollout ended is served afterwards, and the oracle has seen to it.
  const onTheWay = new Set(['offered', 'applying', 'verifying']);
  expect(killed.rollouts.map(({ phase, counts }) => [phase, Object.keys(counts).filter((status) => !onTheWay.has(status))])).toEqual([
    ['succeeded', ['applied']],
  ]);
});

it('has the whole fleet back after a storm, on what it ran before', () => {
  expect(valueOf(scenario('storm'), 'full-states')).toBeGreaterThan(0);
  expect(scenario('storm').marks.map(({ text }) => text)).toContain('all agents are back');
});
