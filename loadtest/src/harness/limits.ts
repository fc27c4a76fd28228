/** What the kernel allows, told before the run, and the memory of the machine, watched during it. */
import { readFileSync } from 'node:fs';

const BYTES_PER_KB = 1_024;
const BYTES_PER_GB = 1_073_741_824;
const PERCENT = 100;
/** Open files of a process beside its connections. */
const OTHER_FILES = 200;
const WATCH_INTERVAL_MS = 1_000;

/** How a fleet meets the limits. */
export interface LoadShape {
  readonly agents: number;
  readonly agentsPerWorker: number;
  /** Agents that connect to one destination address and port at most. */
  readonly agentsPerDestination: number;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Texts of the files that hold the limits; replaced in tests. */
export type LimitReader = (file: string) => string | undefined;

/** The limits that matter, a line each; those that the fleet does not fit into begin with "too low". Empty without /proc. */
export function describeLimits(
  { agents, agentsPerWorker, agentsPerDestination }: LoadShape,
  read: LimitReader = readText,
): readonly string[] {
  const lines: string[] = [];
  const check = (what: string, allowed: number, needed: number): void => {
    if (!Number.isFinite(allowed)) return;
    lines.push(`${allowed < needed ? 'too low: ' : ''}${what}: ${allowed}, needed ${needed}`);
  };
  const files = /^Max open files\s+(\d+)/m.exec(read('/proc/self/limits') ?? '')?.[1];
  check('open files of a process (ulimit -n)', Number(files ?? Number.NaN), agentsPerWorker + OTHER_FILES);
  const [from = Number.NaN, to = Number.NaN] = (read('/proc/sys/net/ipv4/ip_local_port_range') ?? '').split(/\s+/).map(Number);
  check('ports for each destination (net.ipv4.ip_local_port_range)', to - from + 1, agentsPerDestination);
  const tracked = read('/proc/sys/net/netfilter/nf_conntrack_max');
  check('tracked connections (net.netfilter.nf_conntrack_max)', Number(tracked ?? Number.NaN), agents);
  for (const name of ['tcp_mem', 'tcp_rmem', 'tcp_wmem']) {
    const text = read(`/proc/sys/net/ipv4/${name}`);
    if (text !== undefined) lines.push(`net.ipv4.${name}: ${text.replaceAll(/\s+/g, ' ')}`);
  }
  return lines;
}

/** Total and available memory of the machine in bytes; undefined without /proc. */
export function readMemory(read: LimitReader = readText): { readonly totalBytes: number; readonly availableBytes: number } | undefined {
  const text = read('/proc/meminfo') ?? '';
  const bytesOf = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * BYTES_PER_KB;
  const [totalBytes, availableBytes] = [bytesOf('MemTotal'), bytesOf('MemAvailable')];
  return Number.isFinite(totalBytes) && Number.isFinite(availableBytes) ? { totalBytes, availableBytes } : undefined;
}

/** Thrown when the machine runs out of memory. */
export class MemoryLimitError extends Error {
  override readonly name = 'MemoryLimitError';
}

/** Ends a run before the kernel does: looks at the machine's memory, once a second at most. */
export class MemoryWatch {
  readonly #mostPercent: number;
  readonly #read: LimitReader;
  #nextMs = 0;

  constructor(mostPercent: number, read: LimitReader = readText) {
    this.#mostPercent = mostPercent;
    this.#read = read;
  }

  /** Throws MemoryLimitError when more than the allowed share is in use. */
  check(nowMs: number = Date.now()): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + WATCH_INTERVAL_MS;
    const memory = readMemory(this.#read);
    if (memory === undefined) return;
    const usedBytes = memory.totalBytes - memory.availableBytes;
    if (usedBytes <= (memory.totalBytes * this.#mostPercent) / PERCENT) return;
    const gb = (bytes: number): string => (bytes / BYTES_PER_GB).toFixed(1);
    throw new MemoryLimitError(
      `stopped: ${gb(usedBytes)} of ${gb(memory.totalBytes)} GB are in use, more than ${this.#mostPercent} % (--max-memory)`,
    );
  }
}
