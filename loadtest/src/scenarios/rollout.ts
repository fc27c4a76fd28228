/** Rollouts of growing configs: canary, then the fleet. */
import { rollOut } from '../harness/rollout.ts';
import type { Outcome, Run, Scenario } from '../harness/run.ts';
import { formatBytes } from '../report/format.ts';

async function run(stage: Run): Promise<Outcome> {
  const startedMs = Date.now();
  const outcomes = [];
  for (const configBytes of stage.settings.configBytes) {
    outcomes.push(await rollOut(stage, { label: `config of ${formatBytes(configBytes)}`, configBytes }, startedMs));
  }
  const last = outcomes.at(-1);
  if (last === undefined) throw new Error('there is no config size to roll out');
  const repeated = outcomes.filter(({ figures }) => figures.repeatedOffers > 0);
  return {
    figures: [],
    rollouts: outcomes.map(({ figures }) => figures),
    marks: outcomes.flatMap(({ marks }) => marks),
    oracle: {
      ...last.oracle,
      differences: [
        ...outcomes.flatMap(({ oracle }) => oracle.differences),
        ...repeated.map(({ figures }) => `${figures.label}: ${figures.repeatedOffers} offers were repeated though nothing had failed`),
      ],
    },
  };
}

export const rollout: Scenario = { name: 'rollout', title: 'Canary, then the fleet, by config size', needsLocal: false, run };
