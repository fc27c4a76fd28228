/** Every gateway in turn is stopped cleanly and started again, while a rollout runs. */
import { rollOut } from '../harness/rollout.ts';
import { figure, localOf, type Outcome, type Run, type Scenario, untilConnected } from '../harness/run.ts';
import { MIDDLE_CONFIG_BYTES, MIDDLE_PACE_MS, MIDDLE_SHARE } from './middle.ts';

async function run(stage: Run): Promise<Outcome> {
  const local = localOf(stage);
  const startedMs = Date.now();
  const seconds: number[] = [];
  const outcome = await rollOut(
    stage,
    {
      label: 'rolling drain',
      configBytes: MIDDLE_CONFIG_BYTES,
      // A gateway takes 10 s to drain unless told otherwise.
      paceMs: MIDDLE_PACE_MS * (local.gateways.length + 1),
      at: {
        share: MIDDLE_SHARE,
        async do(mark) {
          for (const name of local.gateways) {
            const drainMs = Date.now();
            await local.end(name, 'SIGTERM');
            seconds.push((Date.now() - drainMs) / 1_000);
            mark(`${name} drained`);
            await local.restart(name);
          }
          await untilConnected(stage);
          mark('all gateways are new');
        },
      },
    },
    startedMs,
  );
  return {
    figures: [
      figure('drain-max', 'longest drain of a gateway', Math.max(...seconds), 's'),
      figure('repeated', 'offers repeated', outcome.figures.repeatedOffers),
    ],
    rollouts: [outcome.figures],
    marks: outcome.marks,
    oracle: outcome.oracle,
  };
}

export const drain: Scenario = {
  name: 'drain',
  title: 'All gateways are drained and restarted, one by one, during a rollout',
  needsLocal: true,
  run,
};
