import { expect, it } from 'vitest';
import { parseStat } from './process-usage.ts';
import { parseMetrics, sumOf } from './prometheus.ts';
import { parseInfo } from './resp.ts';

it('reads CPU time and memory of a process whose name has spaces', () => {
  const stat = `42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 11 0 100 1000 200`;
  const memory = 'Name:\tx\nVmRSS:\t   2048 kB\n';
  expect(parseStat(stat, `${memory}RssAnon:\t   1024 kB\n`)).toEqual({ cpuMs: 2_000, rssBytes: 2_097_152, ownBytes: 1_048_576 });
  expect(parseStat(stat, memory)).toEqual({ cpuMs: 2_000, rssBytes: 2_097_152, ownBytes: 2_097_152 });
  expect(parseStat(stat, 'Name:\tzombie\n')).toBeUndefined();
});

it('sums a metric over its labels, and no other that begins alike', () => {
  const values = parseMetrics('# HELP a x\na{r="1"} 2\na{r="2"} 3\na_total 9\nb 1.5e3\n');
  expect(sumOf(values, 'a')).toBe(5);
  expect(values.get('a{r="2"}')).toBe(3);
  expect(sumOf(values, 'b')).toBe(1_500);
});

it('reads INFO', () => {
  const info = parseInfo('# Stats\r\ntotal_commands_processed:12\r\nredis_version:7.0.1\r\n');
  expect([...info]).toEqual([
    ['total_commands_processed', '12'],
    ['redis_version', '7.0.1'],
  ]);
});
