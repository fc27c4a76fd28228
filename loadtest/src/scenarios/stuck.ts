/** Some agents stop reading, and a large config is rolled out to everybody; before that twice the same to a fleet of which all read. */
import { rollOut } from '../harness/rollout.ts';
import { figure, type Outcome, type Run, type Scenario } from '../harness/run.ts';
import { rssOf } from '../harness/sampler.ts';
import { pause } from '../harness/wait-for.ts';

const CONFIG_BYTES = 256 * 1_024;
const BYTES_PER_MB = 1_048_576;
const ACK_TIMEOUT = '60s';
const SETTLE_MS = 5_000;

async function run(stage: Run): Promise<Outcome> {
  const { fleet, sampler, settings } = stage;
  const startedMs = Date.now();
  const gateways = (await sampler.snapshot()).processes.filter(({ kind }) => kind === 'gateway').length;
  const memory = async (): Promise<number> => (rssOf(await sampler.snapshot(), 'gateway') ?? Number.NaN) / BYTES_PER_MB;
  const plan = { configBytes: CONFIG_BYTES, mute: ['stuck'], ackTimeout: ACK_TIMEOUT };
  const empty = await memory();
  // Agents that had a small config are faster: what is compared replaces a config of the same size.
  const first = await rollOut(stage, { ...plan, label: 'first config of 256 KB' }, startedMs);
  const healthy = await rollOut(stage, { ...plan, label: 'next config of 256 KB, everybody reads' }, startedMs);
  // What the first one left behind is given back, as far as it will be.
  await pause(SETTLE_MS, () => stage.check());
  const before = await memory();
  const stuck = await fleet.control({ do: 'set-profile', profile: 'stuck' }, { fraction: settings.stuckFraction, salt: 'stuck' });
  const outcome = await rollOut(stage, { ...plan, label: 'next config of 256 KB, some agents stuck' }, startedMs);
  const after = await memory();
  const all = [first, healthy, outcome];
  const [t99Healthy, t99] = [healthy.figures.lastWave.t99, outcome.figures.lastWave.t99];
  return {
    figures: [
      figure('stuck', 'agents that read nothing', stuck, 'agents'),
      figure('rss-growth-healthy', 'growth of a gateway while everybody reads', (before - empty) / gateways, 'MB'),
      figure('rss-growth', 'further growth of a gateway with stuck agents', (after - before) / gateways, 'MB'),
      figure('t99-ratio', 't99 of the healthy agents beside stuck ones, as a part of that without them', (t99 * 100) / t99Healthy, '%'),
    ],
    rollouts: all.map(({ figures }) => figures),
    marks: all.flatMap(({ marks }) => marks),
    oracle: { ...outcome.oracle, differences: all.flatMap(({ oracle }) => oracle.differences) },
  };
}

export const stuckAgents: Scenario = { name: 'stuck', title: 'Agents that stop reading, and a config of 256 KB', needsLocal: false, run };
