/** Every gateway in turn is stopped cleanly and started again, while a rollout runs. */
import type { AgentRecord } from '../agent-record.ts';
import { rollOut } from '../harness/rollout.ts';
import { figure, localOf, type Outcome, type Run, type Scenario, untilConnected } from '../harness/run.ts';
import { inLastWave, MIDDLE_CONFIG_BYTES, MIDDLE_PACE_MS } from './middle.ts';

function sum(records: readonly AgentRecord[], count: (record: AgentRecord) => number): number {
  return records.reduce((total, record) => total + count(record), 0);
}

/** Most agents whose newest connection, made since then, began at one gateway within the same second. */
function busiestSecond(records: readonly AgentRecord[], sinceMs: number): number {
  const counts = new Map<string, number>();
  for (const { server, connectedAtMs } of records) {
    if (server === null || connectedAtMs === undefined || connectedAtMs < sinceMs) continue;
    const second = `${server} ${Math.floor(connectedAtMs / 1_000)}`;
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

async function run(stage: Run): Promise<Outcome> {
  const local = localOf(stage);
  const startedMs = Date.now();
  const seconds: number[] = [];
  let busiest = 0;
  const before = await stage.fleet.records();
  const outcome = await rollOut(
    stage,
    {
      label: 'rolling drain',
      configBytes: MIDDLE_CONFIG_BYTES,
      // A gateway takes 10 s to drain unless told otherwise.
      paceMs: MIDDLE_PACE_MS * (local.gateways.length + 1),
      at: {
        share: inLastWave(stage),
        async do(mark) {
          for (const name of local.gateways) {
            const drainMs = Date.now();
            await local.end(name, 'SIGTERM');
            seconds.push((Date.now() - drainMs) / 1_000);
            mark(`${name} drained`);
            busiest = Math.max(busiest, busiestSecond(await stage.fleet.records(), drainMs));
            await local.restart(name);
          }
          await untilConnected(stage);
          mark('all gateways are new');
        },
      },
    },
    startedMs,
  );
  const after = await stage.fleet.records();
  return {
    figures: [
      figure(
        'reconnects',
        'agents that had to connect again, each time counted',
        sum(after, ({ connects }) => connects) - sum(before, ({ connects }) => connects),
      ),
      figure('busiest-second', 'most connections of one gateway in a second', busiest),
      figure(
        'full-states',
        'full states asked for',
        sum(after, ({ fullStateRequests }) => fullStateRequests) - sum(before, ({ fullStateRequests }) => fullStateRequests),
      ),
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
