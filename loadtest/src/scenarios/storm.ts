/** Every agent loses its connection at the same time. */
import { describe } from '../harness/quantiles.ts';
import { askOracle, figure, type Outcome, type Run, type Scenario, untilConnected } from '../harness/run.ts';
import { metricBetween } from '../harness/sampler.ts';
import type { Mark } from '../report/results.ts';
import { dropsBetween } from './ramp.ts';

async function run(stage: Run): Promise<Outcome> {
  const { local, fleet, sampler } = stage;
  const startedMs = Date.now();
  const marks: Mark[] = [];
  const mark = (text: string): void => void marks.push({ atS: (Date.now() - startedMs) / 1_000, text });
  const before = await sampler.snapshot();
  const former = new Map((await fleet.records()).map(({ index, connects }) => [index, connects]));
  const stormMs = Date.now();
  if (local === undefined) await fleet.control({ do: 'disconnect' });
  else {
    await Promise.all(local.gateways.map(async (name) => local.end(name, 'SIGKILL')));
    mark('all gateways killed');
    await Promise.all(local.gateways.map(async (name) => local.restart(name)));
  }
  const upMs = Date.now();
  mark(local === undefined ? 'all connections cut' : 'all gateways run again');
  await untilConnected(stage);
  mark('all agents are back');
  const oracle = await askOracle(stage, { hash: stage.current?.hash ?? null });
  const after = await sampler.snapshot();
  const stayed = oracle.records.filter(({ index, connects, transport }) => transport === 'ws' && connects === former.get(index)).length;
  const back = describe(
    oracle.records.flatMap(({ connectedAtMs = 0, transport }) => (transport === 'ws' ? [Math.max(0, connectedAtMs - upMs)] : [])),
  );
  return {
    figures: [
      figure('down', 'time without any gateway', local === undefined ? undefined : (upMs - stormMs) / 1_000, 's'),
      figure('back-p50', 'half of the fleet is back after the gateways by', (back?.p50 ?? Number.NaN) / 1_000, 's'),
      figure('back-p99', '99 % by', (back?.p99 ?? Number.NaN) / 1_000, 's'),
      figure('back-max', 'all by', (back?.max ?? Number.NaN) / 1_000, 's'),
      figure('refused', 'refused connects and messages', metricBetween(before, after, 'opamp_gateway_rejected_total')),
      figure('full-states', 'full states asked for', metricBetween(before, after, 'opamp_gateway_full_state_requests_total')),
      figure('listen-drops', 'connects that the kernel dropped', dropsBetween(before, after)),
    ],
    rollouts: [],
    marks,
    oracle: {
      ...oracle,
      differences: [...oracle.differences, ...(stayed > 0 ? [`${stayed} agents did not reconnect in the storm`] : [])],
    },
  };
}

export const storm: Scenario = { name: 'storm', title: 'The whole fleet reconnects at once', needsLocal: false, run };
