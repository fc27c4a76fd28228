/** One gateway is killed in the middle of a rollout and comes back under another id. */
import { rollOut } from '../harness/rollout.ts';
import { figure, localOf, type Outcome, type Run, type Scenario, steadyFleet } from '../harness/run.ts';
import { describe } from '../harness/quantiles.ts';
import { waitFor } from '../harness/wait-for.ts';
import { inLastWave, MIDDLE_CONFIG_BYTES, MIDDLE_PACE_MS } from './middle.ts';

async function run(stage: Run): Promise<Outcome> {
  const local = localOf(stage);
  const startedMs = Date.now();
  const [victim = ''] = local.gateways;
  const port = String(local.portOf(victim));
  const hit = new Set(
    (await stage.fleet.records()).filter(({ server }) => server?.endsWith(`:${port}`) === true).map(({ index }) => index),
  );
  let killedMs = 0;
  const outcome = await rollOut(
    stage,
    {
      label: 'gateway killed',
      configBytes: MIDDLE_CONFIG_BYTES,
      paceMs: MIDDLE_PACE_MS,
      at: {
        share: inLastWave(stage),
        async do(mark) {
          killedMs = Date.now();
          await local.end(victim, 'SIGKILL');
          mark(`${victim} killed`);
          await waitFor(
            'its agents to be connected elsewhere',
            async () => (await stage.fleet.counts()).connected >= steadyFleet(stage),
            stage,
          );
          mark('all agents are back');
          await local.restart(victim);
          mark(`${victim} started again`);
        },
      },
    },
    startedMs,
  );
  const lost = outcome.oracle.records.filter(({ index }) => hit.has(index));
  const back = describe(lost.map(({ connectedAtMs = 0 }) => connectedAtMs - killedMs));
  return {
    figures: [
      figure('hit', 'agents on the killed gateway', lost.length, 'agents'),
      figure('back-p50', 'half of them connected elsewhere after', (back?.p50 ?? Number.NaN) / 1_000, 's'),
      figure('back-p99', '99 % of them after', (back?.p99 ?? Number.NaN) / 1_000, 's'),
      figure('back-max', 'all of them after', (back?.max ?? Number.NaN) / 1_000, 's'),
      figure('repeated', 'offers repeated, because the answer was lost with the gateway', outcome.figures.repeatedOffers),
    ],
    rollouts: [outcome.figures],
    marks: outcome.marks,
    oracle: outcome.oracle,
  };
}

export const gatewayKill: Scenario = { name: 'gateway-kill', title: 'A gateway is killed during a rollout', needsLocal: true, run };
