/** A long time of everyday life: agents leave, come back and lose connections, new ones appear, and a config follows another. */
import type { SwarmAction } from '../swarm-api.ts';
import type { ConfigRef } from '../harness/api.ts';
import { AGENTS_PER_WORKER } from '../harness/defaults.ts';
import { follow, putConfig, wavesWithSoaks } from '../harness/rollout.ts';
import { askOracle, figure, type Outcome, type Run, type Scenario, untilConnected } from '../harness/run.ts';
import { metricBetween, rssOf, type Snapshot } from '../harness/sampler.ts';
import { pause } from '../harness/wait-for.ts';
import type { Figure, Mark } from '../report/results.ts';
import { MIDDLE_CONFIG_BYTES } from './middle.ts';

const BYTES_PER_MB = 1_048_576;
const LONGEST_TICK_MS = 10_000;
const FEWEST_TICKS = 24;
/** Share of the fleet that leaves in each tick, and for how many ticks. */
const LEAVING = 0.02;
const AWAY_TICKS = 2;
/** Share whose connections are cut in every tick. */
const FLAPPING = 0.01;
/** Share that is added on the way. */
const NEWCOMERS = 0.02;
const VERSIONS = 4;

/** Ways to leave, in turn, and back. */
const LEAVES: readonly { readonly leave: SwarmAction; readonly back: SwarmAction }[] = [
  { leave: { do: 'offline' }, back: { do: 'online' } },
  { leave: { do: 'shutdown' }, back: { do: 'boot' } },
  { leave: { do: 'kill-host' }, back: { do: 'boot' } },
  { leave: { do: 'restart-supervisor' }, back: { do: 'boot' } },
];

/** What happened. */
interface Tally {
  ticks: number;
  left: number;
  cut: number;
  added: number;
  versions: number;
}

/** One rollout under way: the churn goes on meanwhile. */
interface UnderWay {
  readonly config: ConfigRef;
  /** Its phase in the end, or why there was none. */
  readonly ended: Promise<string>;
}

/** A rollout that is content with whom it can reach; the rest gets the config when it comes back. */
async function begin(stage: Run, number: number, mark: (text: string) => void): Promise<UnderWay> {
  const label = `version ${number} of the soak`;
  const config = await putConfig(stage, label, MIDDLE_CONFIG_BYTES);
  const strategy = {
    waves: wavesWithSoaks(stage),
    rate: 'unlimited',
    ackTimeout: '30s',
    healthHold: '0s',
    canaryMinHealthy: '0s',
    failure: { maxCount: null, maxPercent: 50 },
    success: { minRatio: 0.5, minReached: 0.5 },
    gates: [],
    onFailure: 'pause',
  };
  mark(label);
  const id = await stage.api.createRollout(stage.group, config, strategy, label);
  const ended = follow(stage, id, { label }, mark).then(
    ({ phase }) => phase,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  return { config, ended };
}

async function tick(stage: Run, number: number, tally: Tally): Promise<void> {
  const { fleet } = stage;
  const wayOf = (index: number): (typeof LEAVES)[number] =>
    LEAVES[index % LEAVES.length] ?? { leave: { do: 'offline' }, back: { do: 'online' } };
  const who = (index: number): { readonly fraction: number; readonly salt: string } => ({ fraction: LEAVING, salt: `soak ${index}` });
  if (number >= AWAY_TICKS) await fleet.control(wayOf(number - AWAY_TICKS).back, who(number - AWAY_TICKS));
  tally.left += await fleet.control(wayOf(number).leave, who(number));
  tally.cut += await fleet.control({ do: 'disconnect' }, { fraction: FLAPPING, salt: 'flapping' });
  tally.ticks += 1;
}

async function churn(stage: Run, mark: (text: string) => void): Promise<{ readonly tally: Tally; readonly problems: readonly string[] }> {
  const { fleet, settings, terminal } = stage;
  const tickMs = Math.min(LONGEST_TICK_MS, settings.soakMs / FEWEST_TICKS);
  const startedMs = Date.now();
  const tally: Tally = { ticks: 0, left: 0, cut: 0, added: 0, versions: 0 };
  const problems: string[] = [];
  let underWay: UnderWay | undefined;
  const settle = async (): Promise<void> => {
    if (underWay === undefined) return;
    const phase = await underWay.ended;
    if (phase === 'succeeded') stage.current = underWay.config;
    else problems.push(`version ${tally.versions} of the soak: ${phase}`);
    underWay = undefined;
  };
  for (let number = 0; Date.now() - startedMs < settings.soakMs && problems.length === 0; number += 1) {
    const share = (Date.now() - startedMs) / settings.soakMs;
    if (share * VERSIONS >= tally.versions) {
      await settle();
      tally.versions += 1;
      underWay = await begin(stage, tally.versions, mark);
    }
    if (tally.added === 0 && share > 1 / 3) {
      tally.added = Math.ceil(fleet.size * NEWCOMERS);
      await fleet.grow({ agents: tally.added, workers: Math.ceil(tally.added / AGENTS_PER_WORKER) });
      mark(`${tally.added} new agents`);
    }
    await tick(stage, number, tally);
    terminal.live([
      {
        name: 'soak',
        key: String(Math.floor(share * 10)),
        text: `  ${Math.floor(share * 100)} % of ${settings.soakMs / 60_000} min: ${tally.left} left, ${tally.cut} cut, ${tally.versions} versions`,
      },
    ]);
    await pause(tickMs, () => stage.check());
  }
  await settle();
  return { tally, problems };
}

function memory(before: Snapshot, after: Snapshot): readonly Figure[] {
  const mb = (bytes: number | undefined): number | undefined => (bytes === undefined ? undefined : bytes / BYTES_PER_MB);
  return [
    figure('gateways-start', 'memory of the gateways (RSS) before', mb(rssOf(before, 'gateway')), 'MB'),
    figure('gateways-end', 'memory of the gateways (RSS) after', mb(rssOf(after, 'gateway')), 'MB'),
    figure('redis-start', 'memory of Redis (used) before', mb(before.redis?.memoryBytes), 'MB'),
    figure('redis-end', 'memory of Redis (used) after', mb(after.redis?.memoryBytes), 'MB'),
  ];
}

async function run(stage: Run): Promise<Outcome> {
  const { fleet, sampler } = stage;
  const startedMs = Date.now();
  const marks: Mark[] = [];
  const mark = (text: string): void => void marks.push({ atS: (Date.now() - startedMs) / 1_000, text });
  const before = await sampler.snapshot();
  const { lostConnections: lostBefore } = await fleet.counts();
  const { tally, problems } = await churn(stage, mark);
  // Everybody comes home.
  await fleet.control({ do: 'online' });
  await fleet.control({ do: 'boot' });
  await untilConnected(stage);
  mark('everybody is back');
  const oracle = await askOracle(stage, { hash: stage.current?.hash ?? null });
  const after = await sampler.snapshot();
  const lost = (await fleet.counts()).lostConnections - lostBefore;
  const unexpected = lost === 0 ? [] : [`${lost} connections ended though nobody had cut them`];
  return {
    figures: [
      figure('left', 'agents that left and came back, each time counted', tally.left),
      figure('cut', 'connections cut', tally.cut),
      figure('added', 'new agents', tally.added, 'agents'),
      figure('versions', 'config versions rolled out', tally.versions),
      figure('lost', 'connections that ended though nobody had cut them', lost),
      ...memory(before, after),
      figure('full-states', 'full states asked for', metricBetween(before, after, 'opamp_gateway_full_state_requests_total')),
      figure('refused', 'refused connects and messages', metricBetween(before, after, 'opamp_gateway_rejected_total')),
    ],
    rollouts: [],
    marks,
    oracle: { ...oracle, differences: [...problems, ...unexpected, ...oracle.differences] },
  };
}

export const soak: Scenario = { name: 'soak', title: 'Everyday life: agents come and go, configs change', needsLocal: false, run };
