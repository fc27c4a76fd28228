/** Some agents stop reading, and a large config is rolled out to everybody. */
import { rollOut } from '../harness/rollout.ts';
import { figure, type Outcome, type Run, type Scenario } from '../harness/run.ts';
import { rssOf } from '../harness/sampler.ts';

const CONFIG_BYTES = 256 * 1_024;
const BYTES_PER_MB = 1_048_576;

async function run(stage: Run): Promise<Outcome> {
  const { fleet, sampler, settings } = stage;
  const startedMs = Date.now();
  const stuck = await fleet.control({ do: 'set-profile', profile: 'stuck' }, { fraction: settings.stuckFraction, salt: 'stuck' });
  const before = await sampler.snapshot();
  const outcome = await rollOut(
    stage,
    { label: 'config of 256 KB, some agents stuck', configBytes: CONFIG_BYTES, mute: ['stuck'], ackTimeout: '30s' },
    startedMs,
  );
  const after = await sampler.snapshot();
  const [rssBefore, rssAfter] = [rssOf(before, 'gateway'), rssOf(after, 'gateway')];
  return {
    figures: [
      figure('stuck', 'agents that read nothing', stuck, 'agents'),
      figure(
        'rss-growth',
        'growth of all gateways together',
        rssBefore === undefined || rssAfter === undefined ? undefined : (rssAfter - rssBefore) / BYTES_PER_MB,
        'MB',
      ),
    ],
    rollouts: [outcome.figures],
    marks: outcome.marks,
    oracle: outcome.oracle,
  };
}

export const stuckAgents: Scenario = { name: 'stuck', title: 'Agents that stop reading, and a config of 256 KB', needsLocal: false, run };
