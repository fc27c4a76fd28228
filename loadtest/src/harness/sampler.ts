/** Watches all processes of a run, once a second; less often when there are very many. */
import type { ProcessSample, Sample } from '../report/results.ts';
import type { ProcessHandle } from './local-installation.ts';
import { readKernel, type KernelUsage, type ProcessUsage, readProcess } from './process-usage.ts';
import { type MetricValues, readMetrics, sumOf } from './prometheus.ts';
import { readRedisInfo, type RedisInfo } from './resp.ts';

/** Every process has to be asked: a watch on many takes longer breaths. */
const SHORTEST_INTERVAL_MS = 1_000;
const INTERVAL_MS_PER_PROCESS = 60;
/** More processes of a kind than this are shown as one. */
const MOST_SHOWN = 8;
const BYTES_PER_MB = 1_048_576;

/** What is watched. */
export interface SampledProcess {
  readonly kind: ProcessHandle['kind'] | 'worker' | 'controller' | 'peer';
  readonly name: string;
  readonly pid: number;
  readonly adminUrl: string | undefined;
}

/** Sources of numbers; asked anew each time, because scenarios end and start processes. */
export interface SamplerSources {
  processes(): readonly SampledProcess[];
  /** Undefined where Redis is somebody else's. */
  readonly redisPort: number | undefined;
}

/** Everything at one time. */
export interface Snapshot {
  readonly atMs: number;
  readonly processes: readonly (SampledProcess & {
    readonly usage: ProcessUsage | undefined;
    readonly metrics: MetricValues | undefined;
  })[];
  readonly redis: RedisInfo | undefined;
  readonly kernel: KernelUsage | undefined;
}

/** Takes snapshots, and keeps one a second between `begin` and `end`. */
export class Sampler {
  readonly #sources: SamplerSources;
  #samples: Sample[] = [];
  #startedMs = 0;
  #last: Snapshot | undefined;
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> = Promise.resolve();

  constructor(sources: SamplerSources) {
    this.#sources = sources;
  }

  /** Reads everything now, and some processes more. */
  async snapshot(more: readonly SampledProcess[] = []): Promise<Snapshot> {
    const { redisPort } = this.#sources;
    const [processes, redis, kernel] = await Promise.all([
      Promise.all(
        [...this.#sources.processes(), ...more].map(async (process) => ({
          ...process,
          usage: await readProcess(process.pid),
          metrics: process.adminUrl === undefined ? undefined : await readMetrics(process.adminUrl),
        })),
      ),
      redisPort === undefined ? undefined : readRedisInfo(redisPort),
      readKernel(),
    ]);
    return { atMs: Date.now(), processes, redis, kernel };
  }

  /** Starts a series. */
  begin(): void {
    this.#samples = [];
    this.#startedMs = Date.now();
    this.#last = undefined;
    const take = async (): Promise<void> => {
      const snapshot = await this.snapshot();
      if (this.#last !== undefined) this.#samples.push(toSample(this.#last, snapshot, this.#startedMs));
      this.#last = snapshot;
      if (this.#timer !== undefined) this.#arm(take);
    };
    this.#arm(take);
    this.#underWay = take();
  }

  /** Ends the series and answers it. */
  async end(): Promise<readonly Sample[]> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#underWay;
    return this.#samples;
  }

  #arm(take: () => Promise<void>): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#underWay = take();
      },
      Math.max(SHORTEST_INTERVAL_MS, (this.#last?.processes.length ?? 0) * INTERVAL_MS_PER_PROCESS),
    );
  }
}

/** CPU time of a kind of processes between two snapshots, in milliseconds; undefined when it cannot be known. */
export function cpuBetween(before: Snapshot, after: Snapshot, kind: SampledProcess['kind']): number | undefined {
  let sum = 0;
  let known = false;
  for (const process of after.processes) {
    if (process.kind !== kind || process.usage === undefined) continue;
    const former = before.processes.find(({ pid, name }) => pid === process.pid && name === process.name);
    sum += process.usage.cpuMs - (former?.usage?.cpuMs ?? 0);
    known = true;
  }
  return known ? sum : undefined;
}

/** Resident memory of a kind of processes, in bytes; undefined when it cannot be known. */
export function rssOf(snapshot: Snapshot, kind: SampledProcess['kind']): number | undefined {
  const known = snapshot.processes.flatMap((process) =>
    process.kind === kind && process.usage !== undefined ? [process.usage.rssBytes] : [],
  );
  return known.length === 0 ? undefined : known.reduce((sum, bytes) => sum + bytes, 0);
}

/** Memory that processes of a kind have for themselves, in bytes: what they share, the program, counts for none of them. */
export function ownBytesOf(snapshot: Snapshot, kind: SampledProcess['kind']): number {
  return snapshot.processes.reduce((sum, process) => sum + (process.kind === kind ? (process.usage?.ownBytes ?? 0) : 0), 0);
}

/** Growth of a counter of all gateways; gateways that were started again count from 0. */
export function metricBetween(before: Snapshot, after: Snapshot, name: string): number | undefined {
  let sum = 0;
  let known = false;
  for (const process of after.processes) {
    if (process.metrics === undefined || process.kind !== 'gateway') continue;
    const former = before.processes.find(({ pid }) => pid === process.pid)?.metrics;
    sum += sumOf(process.metrics, name) - (former === undefined ? 0 : sumOf(former, name));
    known = true;
  }
  return known ? sum : undefined;
}

/** Growth of a counter of Redis between two snapshots; undefined after a restart of Redis. Commands inside scripts count. */
export function redisBetween(before: Snapshot, after: Snapshot, counter: 'commands' | 'scripts' = 'commands'): number | undefined {
  if (before.redis === undefined || after.redis === undefined || after.redis.commands < before.redis.commands) return undefined;
  return after.redis[counter] - before.redis[counter];
}

/** Two processes as one: sums, and the longer delays. */
function together(one: ProcessSample | undefined, other: ProcessSample): ProcessSample {
  if (one === undefined) return other;
  const longer = (key: 'loopP99Ms' | 'loopMaxMs'): Partial<ProcessSample> => {
    const known = [one[key], other[key]].filter((value) => value !== undefined);
    return known.length === 0 ? {} : { [key]: Math.max(...known) };
  };
  return {
    rssMb: one.rssMb + other.rssMb,
    cpuPercent: one.cpuPercent + other.cpuPercent,
    ...longer('loopP99Ms'),
    ...longer('loopMaxMs'),
  };
}

function toSample(before: Snapshot, after: Snapshot, startedMs: number): Sample {
  const elapsedMs = after.atMs - before.atMs;
  const processes: Record<string, ProcessSample> = {};
  let connections: number | undefined;
  const counts = new Map<SampledProcess['kind'], number>();
  for (const { kind } of after.processes) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  for (const { name: own, pid, kind, usage, metrics } of after.processes) {
    const name = (counts.get(kind) ?? 0) > MOST_SHOWN ? `all ${kind}s` : own;
    if (usage === undefined) continue;
    const former = before.processes.find((process) => process.pid === pid)?.usage;
    const prefix = kind === 'gateway' ? 'opamp_gateway' : 'opamp_coordinator';
    const delay = (quantile: string): number | undefined => metrics?.get(`${prefix}_event_loop_delay_seconds{quantile="${quantile}"}`);
    const [p99, max] = [delay('0.99'), delay('1')];
    processes[name] = together(processes[name], {
      rssMb: usage.rssBytes / BYTES_PER_MB,
      cpuPercent: former === undefined ? 0 : ((usage.cpuMs - former.cpuMs) / elapsedMs) * 100,
      ...(p99 === undefined ? {} : { loopP99Ms: p99 * 1_000 }),
      ...(max === undefined ? {} : { loopMaxMs: max * 1_000 }),
    });
    if (kind === 'gateway' && metrics !== undefined) connections = (connections ?? 0) + sumOf(metrics, 'opamp_gateway_connections');
  }
  const commands = redisBetween(before, after);
  return {
    atS: (after.atMs - startedMs) / 1_000,
    processes,
    ...(commands === undefined ? {} : { redisCommandsPerS: (commands * 1_000) / elapsedMs }),
    ...(connections === undefined ? {} : { connections }),
  };
}
