/** Redis is stopped in the middle of a rollout and comes back with its data. */
import { rollOut } from '../harness/rollout.ts';
import { figure, localOf, type Outcome, type Run, type Scenario } from '../harness/run.ts';
import { pause } from '../harness/wait-for.ts';
import { inLastWave, MIDDLE_CONFIG_BYTES, MIDDLE_PACE_MS } from './middle.ts';

const AWAY_MS = 2_000;

async function run(stage: Run): Promise<Outcome> {
  const local = localOf(stage);
  const startedMs = Date.now();
  const connectsBefore = new Map((await stage.fleet.records()).map(({ index, connects }) => [index, connects]));
  const outcome = await rollOut(
    stage,
    {
      label: 'Redis restarted',
      configBytes: MIDDLE_CONFIG_BYTES,
      paceMs: MIDDLE_PACE_MS,
      at: {
        share: inLastWave(stage),
        async do(mark) {
          await local.end('redis', 'SIGTERM');
          mark('Redis stopped');
          await pause(AWAY_MS, () => stage.check());
          await local.restart('redis');
          mark('Redis runs again');
        },
      },
    },
    startedMs,
  );
  const reconnected = outcome.oracle.records.filter(({ index, connects }) => connects !== connectsBefore.get(index)).length;
  return {
    figures: [
      figure('away', 'time without Redis, at least', AWAY_MS / 1_000, 's'),
      figure('reconnected', 'agents that lost their connection', reconnected, 'agents'),
      figure('repeated', 'offers repeated', outcome.figures.repeatedOffers),
    ],
    rollouts: [outcome.figures],
    marks: outcome.marks,
    oracle: outcome.oracle,
  };
}

export const redisRestart: Scenario = { name: 'redis-restart', title: 'Redis restarts during a rollout', needsLocal: true, run };
