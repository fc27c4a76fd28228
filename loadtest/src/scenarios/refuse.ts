/** A version that some agents refuse: the rollout has to stop early, and every touched agent has to get its former version back. */
import type { AgentRecord } from '../agent-record.ts';
import type { RolloutView } from '../harness/api.ts';
import { atMost } from '../harness/oracle.ts';
import { largestOf } from '../harness/quantiles.ts';
import { follow, putConfig } from '../harness/rollout.ts';
import { askOracle, figure, type Outcome, type Run, type Scenario } from '../harness/run.ts';
import type { Mark } from '../report/results.ts';
import { MIDDLE_CONFIG_BYTES } from './middle.ts';

/** The wave after the canary: its index, its share of the fleet, and the failures it tolerates, all by default. */
const STOPS_IN = 1;
const SECOND_WAVE = 0.05;
const TOLERATED = 0.02;
const SIGMAS = 4;

/** The default waves and limits, with short times. */
function strategyOf(soak: string): object {
  return { soak, rate: 'unlimited', healthHold: '0s', canaryMinHealthy: '0s', onFailure: 'rollback' };
}

/** Agents that were offered this config. */
function touchedBy(records: readonly AgentRecord[], hash: string): readonly AgentRecord[] {
  return records.filter(({ offers }) => offers.some((offer) => offer.hash === hash));
}

/** Whether the second wave is so large that chance does not keep it below the limit. */
function mustStopEarly({ agents, refuseFraction }: Run['settings']): boolean {
  const size = agents * SECOND_WAVE;
  return size * refuseFraction - SIGMAS * Math.sqrt(size * refuseFraction) > size * TOLERATED;
}

/** What the rollout has to have come to, beside that every agent runs its former version. */
function judge({ settings }: Run, view: RolloutView, touched: readonly AgentRecord[], bad: string): readonly string[] {
  const problems: string[] = [];
  if (view.phase !== 'rolled_back') problems.push(`the rollout ended as ${view.phase}: ${view.outcome}`);
  if (view.waveIndex > STOPS_IN && mustStopEarly(settings))
    problems.push(`it was stopped in wave ${view.waveIndex}, not in the canary or the wave after it`);
  const { restored = 0, ...others } = view.counts;
  // An offer is recorded before it is sent: it may have been called off in between.
  if (restored < touched.length) problems.push(`the server counts ${restored} restored agents, ${touched.length} were offered the version`);
  for (const [status, count] of Object.entries(others)) if (count > 0) problems.push(`the server counts ${count} agents as ${status}`);
  for (const { index, offers } of touched) {
    if (offers.filter((offer) => offer.hash === bad).length > 1) problems.push(`agent ${index} was offered the version more than once`);
  }
  return problems;
}

/** One bad version: once the canary can notice it, once it cannot. */
interface Trial {
  readonly id: string;
  readonly label: string;
  /** Agents of each worker that are spared, in the order in which they get the version. */
  readonly spared: number;
}

const SEEN: Trial = { id: 'seen', label: 'version that some refuse', spared: 0 };
const UNSEEN: Trial = { id: 'unseen', label: 'version that some refuse, but no canary', spared: 20 };

async function rollBack(stage: Run, trial: Trial, mark: (text: string) => void): Promise<Pick<Outcome, 'figures' | 'oracle'>> {
  const { fleet, settings, terminal } = stage;
  const former = stage.current;
  if (former === undefined) throw new Error('the fleet has no config to go back to');
  const bad = await putConfig(stage, trial.label, MIDDLE_CONFIG_BYTES);
  const selection = { fraction: settings.refuseFraction, salt: trial.id };
  const refusing = await fleet.control(
    {
      do: 'set-profile',
      profile: 'failing',
      overrides: { failOn: [{ kind: 'crash', match: { hash: bad.hash }, afterAgents: trial.spared }] },
    },
    selection,
  );
  terminal.line(`  ${refusing} of ${fleet.size} agents refuse the version (seed ${settings.seed})`);
  mark(trial.label);
  const id = await stage.api.createRollout(stage.group, bad, strategyOf(settings.soak), trial.label);
  const view = await follow(stage, id, { label: trial.label }, mark);
  mark(view.phase);
  const oracle = await askOracle(stage, { hash: former.hash });
  const touched = touchedBy(oracle.records, bad.hash);
  const failedAtMs = touched.flatMap(({ everFailed, failedAtMs: times = [] }) => times[everFailed.indexOf(bad.hash)] ?? []);
  const firstFailedMs = failedAtMs.reduce((first, atMs) => Math.min(first, atMs), Infinity);
  const lastRestoredMs = largestOf(touched.map(({ reportedAtMs = 0 }) => reportedAtMs));
  await fleet.control({ do: 'set-profile', profile: 'normal' }, selection);
  const named = (what: string): string => `${what}-${trial.id}`;
  return {
    figures: [
      figure(named('refusing'), `${trial.label}: would refuse it (seed ${settings.seed})`, refusing, 'agents'),
      figure(named('touched'), 'were offered it', touched.length, 'agents'),
      figure(named('called-off'), 'were about to be offered it', (view.counts['restored'] ?? 0) - touched.length, 'agents'),
      figure(named('failed'), 'reported FAILED', failedAtMs.length, 'agents'),
      figure(named('stopped-in'), 'wave in which it was stopped (0 = canary)', view.waveIndex),
      figure(named('restore-time'), 'from the first FAILED to the last agent restored', (lastRestoredMs - firstFailedMs) / 1_000, 's'),
      figure(named('rollback-time'), 'from the first FAILED to the end', (Date.parse(view.endedAt ?? '') - firstFailedMs) / 1_000, 's'),
    ],
    oracle: { ...oracle, differences: [...oracle.differences, ...atMost(judge(stage, view, touched, bad.hash))] },
  };
}

async function run(stage: Run): Promise<Outcome> {
  const startedMs = Date.now();
  const marks: Mark[] = [];
  const mark = (text: string): void => void marks.push({ atS: (Date.now() - startedMs) / 1_000, text });
  const [seen, unseen] = [await rollBack(stage, SEEN, mark), await rollBack(stage, UNSEEN, mark)];
  return {
    figures: [...seen.figures, ...unseen.figures],
    rollouts: [],
    marks,
    oracle: { ...unseen.oracle, differences: [...seen.oracle.differences, ...unseen.oracle.differences] },
  };
}

export const refuse: Scenario = { name: 'refuse', title: 'A version that some agents refuse', needsLocal: false, run };
