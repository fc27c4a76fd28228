import { expect, it } from 'vitest';
import { describeLimits, MemoryLimitError, MemoryWatch, readMemory } from './limits.ts';

const FILES: Readonly<Record<string, string>> = {
  '/proc/self/limits':
    'Limit  Soft Limit  Hard Limit\nMax processes  100  100\nMax open files            20000                20000                files\n',
  '/proc/sys/net/ipv4/ip_local_port_range': '32768\t60999',
  '/proc/sys/net/netfilter/nf_conntrack_max': '150000',
  '/proc/sys/net/ipv4/tcp_mem': '287901\t383869\t575802',
};
const shape = { agents: 200_000, agentsPerWorker: 18_182, agentsPerDestination: 1_700 };

it('tells the limits, and which of them a fleet does not fit into', () => {
  expect(describeLimits(shape, (file) => FILES[file])).toEqual([
    'open files of a process (ulimit -n): 20000, needed 18382',
    'ports for each destination (net.ipv4.ip_local_port_range): 28232, needed 1700',
    'too low: tracked connections (net.netfilter.nf_conntrack_max): 150000, needed 200000',
    'net.ipv4.tcp_mem: 287901 383869 575802',
  ]);
  expect(describeLimits(shape, () => undefined)).toEqual([]);
});

it('ends a run that takes more memory than it may', () => {
  let availableKb = 200;
  const read = (): string => `MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  ${availableKb} kB\n`;
  expect(readMemory(read)).toEqual({ totalBytes: 1_024_000, availableBytes: 204_800 });
  const watch = new MemoryWatch(85, read);
  watch.check(0);
  availableKb = 100;
  watch.check(500);
  expect(() => watch.check(1_500)).toThrow(MemoryLimitError);
  new MemoryWatch(85, () => undefined).check(0);
});
