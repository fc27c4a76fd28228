/** A fleet as large as the machine can hold, in steps, each with gateways and workers of its own, until memory or patience ends. */
import { askCompactOracle } from '../harness/compact-oracle.ts';
import { MILLION } from '../harness/defaults.ts';
import { MemoryLimitError } from '../harness/limits.ts';
import { figure, localOf, type Outcome, type Run, type Scenario } from '../harness/run.ts';
import { cpuBetween, metricBetween, ownBytesOf, type SampledProcess, type Snapshot } from '../harness/sampler.ts';
import { DeadlineError, pause, waitFor } from '../harness/wait-for.ts';
import { formatNumber } from '../report/format.ts';
import type { Figure, Mark, ResultTable } from '../report/results.ts';

const BYTES_PER_KB = 1_024;
const BYTES_PER_MB = 1_048_576;
const PERCENT = 100;
const PAGE_BYTES = 4_096;

/** What the fleet costs, part by part; what is not watched is 0. */
interface Parts {
  readonly gateways: number;
  readonly workers: number;
  readonly redis: number;
  readonly rest: number;
  /** Kernel memory that cannot be reclaimed, beyond what was there before the first step. */
  readonly kernel: number;
  readonly socketBuffers: number;
}

/** One step as far as it came. */
interface Step {
  readonly agents: number;
  readonly connected: number;
  readonly gateways: number;
  readonly workers: number;
  readonly start: Snapshot;
  readonly connectedAt: Snapshot;
  readonly end: Snapshot;
  readonly parts: Parts;
  readonly lost: number;
  /** Why nothing comes after it. */
  readonly stopped?: string;
}

function partsOf(snapshot: Snapshot, empty: Snapshot): Parts {
  const { kernel } = snapshot;
  return {
    gateways: ownBytesOf(snapshot, 'gateway'),
    workers: ownBytesOf(snapshot, 'worker'),
    redis: ownBytesOf(snapshot, 'redis'),
    rest: ownBytesOf(snapshot, 'coordinator') + ownBytesOf(snapshot, 'controller'),
    kernel: (kernel?.unreclaimableBytes ?? 0) - (empty.kernel?.unreclaimableBytes ?? 0),
    socketBuffers: (kernel?.tcpMemPages ?? 0) * PAGE_BYTES,
  };
}

/** Why a step ended early; undefined for what is no reason to go on with the report. */
function stopReason(error: unknown): string | undefined {
  return error instanceof MemoryLimitError || error instanceof DeadlineError ? error.message : undefined;
}

/** Waits until all agents are connected, and the server knows. */
async function untilAllConnected(stage: Run, number: number): Promise<void> {
  const { fleet, api, group, terminal } = stage;
  await waitFor(
    `step ${number}: ${fleet.size} agents to be connected`,
    async () => {
      const { connected } = await fleet.counts();
      const known = (await api.groupCounts(group)).connected;
      terminal.live([
        {
          name: 'agents',
          key: `${number} ${Math.floor((connected * 20) / fleet.size)}`,
          text: `  step ${number}: ${connected} of ${fleet.size} agents are connected, the server knows ${known}`,
        },
      ]);
      return connected >= fleet.size && known >= fleet.size;
    },
    stage,
  );
}

async function takeStep(stage: Run, number: number, empty: Snapshot): Promise<Step> {
  const { fleet, settings, sampler, terminal } = stage;
  const local = localOf(stage);
  const agents = Math.min(settings.steps.agents, settings.agents - fleet.size);
  const before = await fleet.counts();
  let stopped: string | undefined;
  let start = await sampler.snapshot();
  let connectedAt: Snapshot | undefined;
  try {
    const names = await local.addGateways(settings.steps.gateways);
    start = await sampler.snapshot();
    await fleet.grow({ agents, workers: Math.min(agents, settings.steps.workers), urls: names.map((name) => local.urlOf(name)) });
    await untilAllConnected(stage, number);
    connectedAt = await sampler.snapshot();
    terminal.line(`  step ${number}: holding for ${settings.holdMs / 1_000} s with heartbeats`);
    await pause(settings.holdMs, () => stage.check());
  } catch (error) {
    stopped = stopReason(error);
    if (stopped === undefined) throw error;
    // Who is not connected by now gives up, so that the rest can be compared.
    await fleet.control({ do: 'kill-host' }, { connected: false });
    terminal.line(`  step ${number}: ${stopped}`);
  }
  const summary = await fleet.counts();
  const end = await sampler.snapshot();
  return {
    agents: fleet.size,
    connected: summary.connected,
    gateways: local.gateways.length,
    workers: fleet.pids.length,
    start,
    connectedAt: connectedAt ?? end,
    end,
    parts: partsOf(end, empty),
    lost: summary.lostConnections - before.lostConnections,
    ...(stopped === undefined ? {} : { stopped }),
  };
}

const HEADER: readonly string[] = [
  'step',
  'connected',
  'gateways',
  'workers',
  'connects',
  'lost',
  'gateways MB',
  'swarm MB',
  'Redis MB',
  'coordinator and controller MB',
  'kernel MB',
  'socket buffers MB',
  'machine in use',
  'CPU connecting: gateways / swarm / Redis',
  'CPU holding: gateways / swarm / Redis',
  'messages/s holding',
];

function cpuText(before: Snapshot, after: Snapshot): string {
  const elapsedMs = after.atMs - before.atMs;
  if (elapsedMs <= 0) return '–';
  const share = (kind: SampledProcess['kind']): string => {
    const cpuMs = cpuBetween(before, after, kind);
    return cpuMs === undefined ? '–' : `${formatNumber((cpuMs * PERCENT) / elapsedMs)}%`;
  };
  return `${share('gateway')} / ${share('worker')} / ${share('redis')}`;
}

function usedPercent({ kernel }: Snapshot): number {
  return kernel === undefined || kernel.totalBytes === 0
    ? Number.NaN
    : ((kernel.totalBytes - kernel.availableBytes) * PERCENT) / kernel.totalBytes;
}

function connectRate(step: Step, before: number): number {
  return ((step.connected - before) * 1_000) / Math.max(1, step.connectedAt.atMs - step.start.atMs);
}

function rowOf(step: Step, index: number, previous: number): readonly string[] {
  const mb = (bytes: number): string => formatNumber(Math.round(bytes / BYTES_PER_MB));
  const { parts, connectedAt, end } = step;
  const heldS = (end.atMs - connectedAt.atMs) / 1_000;
  const messages = heldS > 0 ? metricBetween(connectedAt, end, 'opamp_gateway_messages_total') : undefined;
  return [
    step.stopped === undefined ? String(index + 1) : `${index + 1} (stopped)`,
    formatNumber(step.connected),
    String(step.gateways),
    String(step.workers),
    `${formatNumber(connectRate(step, previous))}/s`,
    formatNumber(step.lost),
    mb(parts.gateways),
    mb(parts.workers),
    mb(parts.redis),
    mb(parts.rest),
    mb(parts.kernel),
    mb(parts.socketBuffers),
    `${formatNumber(usedPercent(end))}%`,
    cpuText(step.start, connectedAt),
    cpuText(connectedAt, end),
    messages === undefined ? '–' : formatNumber(messages / heldS),
  ];
}

/** Memory per agent, everything included: what a step's agents, gateways and workers added. */
function costs(steps: readonly Step[]): readonly Figure[] {
  const whole = steps.filter(({ stopped }) => stopped === undefined);
  const last = whole.at(-1) ?? steps.at(-1);
  if (last === undefined || last.connected === 0) return [];
  const per = (bytes: number): number => bytes / last.connected / BYTES_PER_KB;
  const { parts } = last;
  return [
    figure('gateway-memory', 'gateways, per connection, the processes themselves included', per(parts.gateways), 'KB'),
    figure('worker-memory', 'load generator, per agent, the processes themselves included', per(parts.workers), 'KB'),
    figure('redis-memory', 'Redis, per agent', per(parts.redis), 'KB'),
    figure('kernel-memory', 'kernel, per connection, both ends (whole machine)', per(parts.kernel), 'KB'),
  ];
}

async function run(stage: Run): Promise<Outcome> {
  const { fleet, settings, sampler, terminal } = stage;
  const startedMs = Date.now();
  const marks: Mark[] = [];
  const empty = await sampler.snapshot();
  const steps: Step[] = [];
  while (fleet.size < settings.agents && steps.at(-1)?.stopped === undefined) {
    const step = await takeStep(stage, steps.length + 1, empty);
    steps.push(step);
    marks.push({ atS: (Date.now() - startedMs) / 1_000, text: `${step.connected} agents` });
    terminal.line(
      `  step ${steps.length}: ${rowOf(step, steps.length - 1, steps.at(-2)?.connected ?? 0)
        .slice(1)
        .join(' · ')}`,
    );
  }
  const last = steps.at(-1);
  const oracle = await askCompactOracle(stage, () => stage.checkProcesses());
  const lost = steps.reduce((sum, step) => sum + step.lost, 0);
  const table: ResultTable = {
    title: 'After each step; memory is what the processes of a kind have for themselves',
    header: HEADER,
    rows: steps.map((step, index) => rowOf(step, index, steps[index - 1]?.connected ?? 0)),
  };
  return {
    figures: [
      figure('reached', 'agents connected at the end', oracle.compared, 'agents'),
      figure('wanted', 'agents wanted', settings.agents, 'agents'),
      figure('lost', 'connections lost', lost),
      figure('memory-used', 'memory of the machine in use at the end', last === undefined ? undefined : usedPercent(last.end), '%'),
      ...costs(steps),
    ],
    rollouts: [],
    marks,
    notes: [last?.stopped ?? 'All steps were taken.'],
    tables: [table],
    // A run that compared nobody has shown nothing.
    oracle: oracle.compared > 0 ? oracle : { ...oracle, differences: [...oracle.differences, 'no agent was connected at the end'] },
  };
}

export const million: Scenario = { name: MILLION, title: 'As many agents as the machine holds, in steps', needsLocal: true, run };
