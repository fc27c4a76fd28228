/** What a process uses, from /proc; on systems without it nothing is known and the report says so. */
import { readFile } from 'node:fs/promises';

/** Clock ticks a second in /proc; the same on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

/** CPU time since the start of the process, and memory now. */
export interface ProcessUsage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  /** The part of it that no file backs: what this process alone takes. */
  readonly ownBytes: number;
}

/** Reads /proc/PID/stat; undefined when the process is gone, or there is no /proc. */
export async function readProcess(pid: number): Promise<ProcessUsage | undefined> {
  try {
    return parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'), await readFile(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The numbers in the text of /proc/PID/stat and /proc/PID/status. */
export function parseStat(stat: string, status: string): ProcessUsage | undefined {
  // The name in parentheses may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rssKib = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  if (rssKib === undefined) return undefined;
  const ownKib = /^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? rssKib;
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND,
    rssBytes: Number(rssKib) * 1_024,
    ownBytes: Number(ownKib) * 1_024,
  };
}

/** What the kernel counts for the whole machine. */
export interface KernelUsage {
  readonly tcpSockets: number;
  /** Pages of socket buffers. */
  readonly tcpMemPages: number;
  readonly listenOverflows: number;
  readonly listenDrops: number;
  /** Kernel memory that cannot be reclaimed. */
  readonly unreclaimableBytes: number;
  readonly totalBytes: number;
  /** Memory that is left to new work. */
  readonly availableBytes: number;
}

/** Reads /proc/net and /proc/meminfo; undefined where there are none. */
export async function readKernel(): Promise<KernelUsage | undefined> {
  try {
    const [sockstat, netstat, meminfo] = await Promise.all(
      ['/proc/net/sockstat', '/proc/net/netstat', '/proc/meminfo'].map(async (file) => readFile(file, 'utf8')),
    );
    const [names = '', values = ''] = (netstat ?? '').split('\n').filter((line) => line.startsWith('TcpExt:'));
    const tcp = new Map(names.split(' ').map((name, index) => [name, Number(values.split(' ')[index])]));
    const find = (text: string | undefined, pattern: RegExp): number => Number(pattern.exec(text ?? '')?.[1] ?? 0);
    return {
      tcpSockets: find(sockstat, /^TCP: inuse (\d+)/m),
      tcpMemPages: find(sockstat, /^TCP: .* mem (\d+)/m),
      listenOverflows: tcp.get('ListenOverflows') ?? 0,
      listenDrops: tcp.get('ListenDrops') ?? 0,
      unreclaimableBytes: find(meminfo, /^SUnreclaim:\s+(\d+) kB/m) * 1_024,
      totalBytes: find(meminfo, /^MemTotal:\s+(\d+) kB/m) * 1_024,
      availableBytes: find(meminfo, /^MemAvailable:\s+(\d+) kB/m) * 1_024,
    };
  } catch {
    return undefined;
  }
}
