/** Connects the whole fleet, gives it its first config, and lets it idle. */
import type { AgentRecord } from '../agent-record.ts';
import { isFlapping } from '../harness/behaviours.ts';
import { largestOf } from '../harness/quantiles.ts';
import { rollOut } from '../harness/rollout.ts';
import { askOracle, figure, type Outcome, type Run, type Scenario, untilConnected } from '../harness/run.ts';
import { cpuBetween, metricBetween, redisBetween, rssOf, type Snapshot } from '../harness/sampler.ts';
import { pause } from '../harness/wait-for.ts';

const BYTES_PER_KB = 1_024;

function memoryPer(agents: number, before: Snapshot, after: Snapshot, kind: 'gateway' | 'worker' | 'redis'): number | undefined {
  const [from, to] = [rssOf(before, kind), kind === 'redis' ? undefined : rssOf(after, kind)];
  if (kind === 'redis') {
    const [fromBytes, toBytes] = [before.redis?.memoryBytes, after.redis?.memoryBytes];
    return fromBytes === undefined || toBytes === undefined ? undefined : (toBytes - fromBytes) / agents / BYTES_PER_KB;
  }
  return from === undefined || to === undefined ? undefined : (to - from) / agents / BYTES_PER_KB;
}

/** Connects of all agents that stay when nothing happens. */
function steadyConnects(records: readonly AgentRecord[]): number {
  return records.reduce((sum, record) => sum + (isFlapping(record) ? 0 : record.connects), 0);
}

async function run(stage: Run): Promise<Outcome> {
  const { fleet, sampler, settings, terminal } = stage;
  const startedMs = Date.now();
  const empty = await sampler.snapshot();
  await fleet.start();
  await untilConnected(stage);
  const records = await fleet.records();
  const connectMs = largestOf(records.map(({ connectedAtMs = 0 }) => connectedAtMs)) - startedMs;
  const connected = await sampler.snapshot();
  const first = await rollOut(stage, { label: 'first config', configBytes: settings.configBytes[0] ?? 1_024, oneWave: true }, startedMs);
  const holdStart = await sampler.snapshot();
  const connectsBefore = steadyConnects(first.oracle.records);
  terminal.line(`  holding for ${settings.holdMs / 1_000} s with heartbeats`);
  await pause(settings.holdMs, () => stage.check());
  const holdEnd = await sampler.snapshot();
  const oracle = await askOracle(stage, { hash: stage.current?.hash ?? null });
  const connectsAfter = steadyConnects(oracle.records);
  const holdS = (holdEnd.atMs - holdStart.atMs) / 1_000;
  const idleCpuMs = cpuBetween(holdStart, holdEnd, 'gateway');
  const commands = redisBetween(holdStart, holdEnd);
  const differences = [...oracle.differences];
  if (connectsAfter !== connectsBefore) differences.push(`${connectsAfter - connectsBefore} connections were lost while nothing happened`);
  return {
    figures: [
      figure('connect-time', 'time until all agents were connected', connectMs / 1_000, 's'),
      figure('connect-rate', 'connects', (fleet.size * 1_000) / connectMs, '/s'),
      figure('gateway-rss', 'gateway RSS per connection, connected', memoryPer(fleet.size, empty, connected, 'gateway'), 'KB'),
      figure(
        'gateway-rss-held',
        'gateway RSS per connection, after first config and hold',
        memoryPer(fleet.size, empty, holdEnd, 'gateway'),
        'KB',
      ),
      figure('worker-rss', 'load generator RSS per connection', memoryPer(fleet.size, empty, connected, 'worker'), 'KB'),
      figure('redis-memory', 'Redis memory per agent', memoryPer(fleet.size, empty, holdEnd, 'redis'), 'KB'),
      figure(
        'kernel-memory',
        'unreclaimable kernel memory per connection, both ends (whole machine)',
        empty.kernel === undefined || connected.kernel === undefined
          ? undefined
          : (connected.kernel.unreclaimableBytes - empty.kernel.unreclaimableBytes) / fleet.size / BYTES_PER_KB,
        'KB',
      ),
      figure(
        'machine-memory',
        'memory that the machine lost meanwhile, to everything on it',
        empty.kernel === undefined || holdEnd.kernel === undefined
          ? undefined
          : (empty.kernel.availableBytes - holdEnd.kernel.availableBytes) / BYTES_PER_KB / BYTES_PER_KB,
        'MB',
      ),
      figure(
        'connect-cpu',
        'gateway CPU per connect, with the first full state and its storage',
        cpuPer(cpuBetween(empty, connected, 'gateway'), fleet.size),
        'µs',
      ),
      figure('idle-cpu', 'gateway CPU per agent and second while idle', cpuPer(idleCpuMs, fleet.size * holdS), 'µs'),
      figure('idle-commands', 'Redis commands while idle', commands === undefined ? undefined : commands / holdS, '/s'),
      figure('hold-messages', 'messages while idle', metricPer(holdStart, holdEnd, holdS), '/s'),
      figure('refused', 'refused connects and messages', metricBetween(empty, holdEnd, 'opamp_gateway_rejected_total')),
      figure('listen-drops', 'connects that the kernel dropped', dropsBetween(empty, holdEnd)),
    ],
    rollouts: [first.figures],
    marks: first.marks,
    oracle: { ...oracle, differences: [...first.oracle.differences, ...differences] },
  };
}

function cpuPer(cpuMs: number | undefined, divisor: number): number | undefined {
  return cpuMs === undefined ? undefined : (cpuMs * 1_000) / divisor;
}

function metricPer(before: Snapshot, after: Snapshot, seconds: number): number | undefined {
  const messages = metricBetween(before, after, 'opamp_gateway_messages_total');
  return messages === undefined ? undefined : messages / seconds;
}

/** Connects that the kernel's accept queues dropped, on the whole machine. */
export function dropsBetween(before: Snapshot, after: Snapshot): number | undefined {
  if (before.kernel === undefined || after.kernel === undefined) return undefined;
  return after.kernel.listenDrops - before.kernel.listenDrops;
}

export const ramp: Scenario = { name: 'ramp', title: 'Ramp, first config, and hold with heartbeats', needsLocal: false, run };
