/** The scenario `peer`: the same swarm on both servers in turn, never at the same time. */
import type { Terminal } from '../demo/terminal.ts';
import { configText } from '../harness/config-text.ts';
import { Fleet } from '../harness/fleet.ts';
import { currentLoad, describeMachine } from '../harness/machine.ts';
import { figure, RUN_ATTRIBUTE } from '../harness/run.ts';
import { completion, largestOf } from '../harness/quantiles.ts';
import { cpuBetween, rssOf, Sampler, type Snapshot } from '../harness/sampler.ts';
import { pause, waitFor } from '../harness/wait-for.ts';
import type { Figure, RunResults, ScenarioResult } from '../report/results.ts';
import { type Contestant, startOurs, startPeer } from './contestant.ts';

/** What to compare with. */
export interface PeerOptions {
  readonly agents: readonly number[];
  readonly applyMs: number;
  readonly configBytes: number;
}

interface Context {
  readonly terminal: Terminal;
  readonly command: string;
  check(): void;
}

const BYTES_PER_KB = 1_024;
const IDLE_MS = 20_000;
const DEADLINE_MS = 300_000;
const SUPERVISOR_APPLY_MS = 5_000;
const HEARTBEAT_MS = 30_000;

function perAgent(total: number | undefined, agents: number): number | undefined {
  return total === undefined ? undefined : total / agents;
}

function cpuUs(before: Snapshot, after: Snapshot, agents: number): number | undefined {
  return perAgent(cpuBetween(before, after, 'gateway'), agents / 1_000);
}

function rssKb(before: Snapshot, after: Snapshot, agents: number): number | undefined {
  const [from, to] = [rssOf(before, 'gateway'), rssOf(after, 'gateway')];
  return from === undefined || to === undefined ? undefined : (to - from) / agents / BYTES_PER_KB;
}

async function measure(contestant: Contestant, agents: number, options: PeerOptions, context: Context): Promise<ScenarioResult> {
  const { terminal } = context;
  const startedMs = Date.now();
  const wait = { settings: { deadlineMs: DEADLINE_MS }, check: () => context.check() };
  const fleet = await Fleet.create({
    urls: [contestant.url],
    agents,
    workers: 1,
    timeScale: options.applyMs / SUPERVISOR_APPLY_MS,
    reconnectScale: 1,
    heartbeatMs: HEARTBEAT_MS,
    attributes: { nonIdentifying: { [RUN_ATTRIBUTE]: 'peer' } },
  });
  const processes = () => [
    ...contestant.processes(),
    ...fleet.pids.map((pid) => ({ kind: 'worker' as const, name: 'worker', pid, adminUrl: undefined })),
  ];
  const sampler = new Sampler({ processes, redisPort: contestant.redisPort });
  try {
    sampler.begin();
    const empty = await sampler.snapshot();
    const connectMs = Date.now();
    await fleet.start();
    await waitFor(`${agents} agents to be connected`, async () => (await contestant.connected()) >= agents, wait);
    const connectedAt = largestOf((await fleet.records()).map(({ connectedAtMs = 0 }) => connectedAtMs));
    const connected = await sampler.snapshot();
    terminal.line(`    connected, pushing`);
    const text = configText(`peer ${agents} ${startedMs}`, options.configBytes);
    const pushMs = Date.now();
    const pushed = contestant.push(text);
    await waitFor('every agent to have applied it', async () => (await contestant.applied()) >= agents, wait);
    await pushed;
    const appliedSeenMs = Date.now();
    const applied = await sampler.snapshot();
    const records = await fleet.records();
    const times = records.flatMap(({ appliedAtMs = [] }) => (appliedAtMs[0] === undefined ? [] : [appliedAtMs[0] - pushMs]));
    await pause(IDLE_MS, () => context.check());
    const idleStart = await sampler.snapshot();
    await pause(IDLE_MS, () => context.check());
    const idleEnd = await sampler.snapshot();
    const idleS = (idleEnd.atMs - idleStart.atMs) / 1_000;
    const { t50, t99, t100 } = completion(times, agents);
    const figures: Figure[] = [
      figure('connect-rate', 'connects', (agents * 1_000) / (connectedAt - connectMs), '/s'),
      figure('rss', 'RSS per connection, connected', rssKb(empty, connected, agents), 'KB'),
      figure('rss-after', 'RSS per connection, at the end', rssKb(empty, idleEnd, agents), 'KB'),
      figure('connect-cpu', 'CPU per connect and first message', cpuUs(empty, connected, agents), 'µs'),
      figure('push-t50', 'push → half APPLIED', t50 / 1_000, 's'),
      figure('push-t99', 'push → 99 % APPLIED', t99 / 1_000, 's'),
      figure('push-t100', 'push → last APPLIED', t100 / 1_000, 's'),
      figure('push-counted', 'push → server has counted the last', (appliedSeenMs - pushMs) / 1_000, 's'),
      figure('push-cpu', 'CPU per agent of the push', cpuUs(connected, applied, agents), 'µs'),
      figure('idle-cpu', 'CPU per agent and second, idle', cpuUs(idleStart, idleEnd, agents * idleS), 'µs'),
    ];
    const missing = agents - records.filter(({ everApplied }) => everApplied.length === 1).length;
    return {
      name: `${contestant.name}, ${agents}`,
      title: `${contestant.name}: ${agents.toLocaleString('en')} agents`,
      startedAt: new Date(startedMs).toISOString(),
      seconds: (Date.now() - startedMs) / 1_000,
      differences: missing === 0 ? [] : [`the server counts ${agents} agents as applied, ${missing} of them have not`],
      comparedAgents: agents,
      figures,
      rollouts: [],
      samples: await sampler.end(),
      marks: [],
    };
  } finally {
    // A series that nobody ends would keep this process alive.
    await sampler.end().catch(() => []);
    await fleet.close(true);
  }
}

/** Measures both servers at each size. What goes wrong stands in `error`. */
export async function runPeer(options: PeerOptions, context: Context): Promise<RunResults> {
  const startedAt = new Date().toISOString();
  const load = currentLoad();
  const scenarios: ScenarioResult[] = [];
  let error: string | undefined;
  try {
    for (const agents of options.agents) {
      for (const start of [startPeer, startOurs]) {
        const contestant = await start();
        try {
          context.terminal.line(`  ${contestant.name}: ${agents} agents`);
          scenarios.push(await measure(contestant, agents, options, context));
        } finally {
          await contestant.stop();
        }
      }
    }
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  return {
    format: 1,
    startedAt,
    command: context.command,
    machine: await describeMachine(undefined, load),
    setup: { agents: options.agents.join(' '), configBytes: options.configBytes, applyMs: options.applyMs, heartbeatMs: HEARTBEAT_MS },
    scenarios,
    ...(error === undefined ? {} : { error }),
  };
}
