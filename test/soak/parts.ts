import { FLEET_MUTATIONS } from '../mutations/fleet-mutations.ts';
import { type MutationResult, runFleetMutation, runGatewayMutations } from '../mutations/run-mutations.ts';
import { rolloutsOverFailovers } from './failovers.ts';
import { rolloutOverManyAgents } from '../model/many-agents.ts';
import { runNaiveControl } from './naive-control.ts';
import { rolloutOverOutage } from './outages.ts';
import { reconnectTenThousand } from './reconnects.ts';
import type { Verdict } from './state.ts';

/** A verdict before it is filed. */
export type Finding = Omit<Verdict, 'seconds' | 'part'>;

const MAX_SHOWN_CHARS = 200;

/** A part of the soak beside the rounds: may give several verdicts. */
export interface Part {
  readonly name: string;
  readonly run: (random: () => number) => Promise<readonly Finding[]>;
}

function verdictOn({ name, does, noticed }: MutationResult): Finding {
  return {
    name: `mutation ${name}`,
    detail: noticed === undefined ? does : `${does}: noticed, ${noticed.replaceAll(/\s+/g, ' ').slice(0, MAX_SHOWN_CHARS)}`,
    problems: noticed === undefined ? [`nothing noticed it: ${does}`] : [],
  };
}

/** The control has to show anomalies under each fault, or the rounds prove nothing; and none without a fault. */
async function naiveControl(random: () => number): Promise<readonly Finding[]> {
  const { anomalies, kills } = await runNaiveControl(random);
  const { none, kills: killed, freezes, 'emptied queue': emptied } = anomalies;
  const problems: string[] = [];
  const sum = Object.values(none).reduce((total: number, count: number) => total + count, 0);
  if (sum > 0) problems.push(`the control is wrong without a fault: ${JSON.stringify(none)}`);
  if (killed.wavesStartedTwice === 0) problems.push('no wave was started twice under kills');
  if (freezes.wavesStartedTwice === 0) problems.push('no wave was started twice by a frozen worker');
  if (emptied.agentsNeverUpdated === 0) problems.push('every agent was updated although the queue was deleted');
  const detail =
    `steps in job.data: ${killed.wavesStartedTwice} waves started twice by ${kills} kills, ${freezes.wavesStartedTwice} by 2 frozen workers; ` +
    `after the queue was deleted ${emptied.rolloutsUnfinished} rollouts unfinished, ${emptied.agentsNeverUpdated} agents never updated`;
  return [{ name: 'naive control', detail, problems }];
}

/** In this order, before the rounds. */
export const PARTS: readonly Part[] = [
  { name: 'naive control', run: naiveControl },
  { name: '100,000 agents', run: async () => [{ name: '100,000 agents', ...(await rolloutOverManyAgents()) }] },
  { name: '10,000 reconnects', run: async () => [{ name: '10,000 reconnects', ...(await reconnectTenThousand()) }] },
  {
    name: 'Redis killed, back after 60 s',
    run: async () => [{ name: 'Redis killed, back after 60 s', ...(await rolloutOverOutage('killed')) }],
  },
  { name: 'Redis silent for 60 s', run: async () => [{ name: 'Redis silent for 60 s', ...(await rolloutOverOutage('silent')) }] },
  { name: 'failovers by Sentinels', run: async () => [{ name: 'failovers by Sentinels', ...(await rolloutsOverFailovers()) }] },
  { name: 'mutations of the gateway', run: async () => (await runGatewayMutations()).map(verdictOn) },
  ...FLEET_MUTATIONS.map((mutation) => ({
    name: `mutation ${mutation.name}`,
    run: async () => [verdictOn(await runFleetMutation(mutation))],
  })),
];
