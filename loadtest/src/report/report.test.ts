import { expect, it } from 'vitest';
import { compareRuns } from './compare.ts';
import { formatBytes, formatFigure, formatNumber, formatSeconds } from './format.ts';
import { toHtml } from './html.ts';
import { toMarkdown } from './markdown.ts';
import { isGood, type RolloutFigures, type RunResults, type ScenarioResult } from './results.ts';
import { drawPlot } from './svg.ts';

const ROLLOUT: RolloutFigures = {
  label: 'config of 4 KB',
  configBytes: 4_096,
  agents: 100,
  phase: 'succeeded',
  counts: { applied: 100 },
  waves: [
    { name: 'canary', atS: 0.1 },
    { name: 'fleet', atS: 1.1 },
  ],
  remaining: [
    [0, 100],
    [1, 50],
    [2, 0],
  ],
  lastWave: { t50: 500, t95: 950, t99: 990, t100: 1_000, tailShare: 0.01 },
  whole: { t50: 1_500, t95: 1_950, t99: 1_990, t100: 2_000, tailShare: 0.005 },
  withoutSoaksMs: 1_000,
  offerToAckMs: { count: 100, p50: 300, p95: 310, p99: 320, p999: 330, max: 340 },
  repeatedOffers: 0,
  redisCommandsPerAgent: 12.5,
  redisScriptsPerAgent: 0.1,
  gatewayCpuUsPerAgent: null,
};

const SCENARIO: ScenarioResult = {
  name: 'rollout',
  title: 'A <rollout>',
  startedAt: '2026-01-01T00:00:00.000Z',
  seconds: 12,
  differences: [],
  comparedAgents: 100,
  figures: [{ id: 'x', label: 'connects', value: 50, unit: '/s' }],
  rollouts: [ROLLOUT],
  samples: [{ atS: 1, processes: { 'gateway-1': { rssMb: 100, cpuPercent: 20, loopP99Ms: 3 } }, redisCommandsPerS: 10 }],
  marks: [{ atS: 1, text: 'gateway-1 killed' }],
};

function runOf(scenario: ScenarioResult, error?: string): RunResults {
  return {
    format: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    command: 'npm run loadtest -- --local',
    machine: { cpu: 'CPU', cpus: 2, memoryGb: 24, os: 'Linux', loadAverage: 1, node: 'v22', redis: 'redis 7', product: '0.1.0' },
    setup: { agents: 100 },
    scenarios: [scenario],
    ...(error === undefined ? {} : { error }),
  };
}

it('shows every figure in Markdown, and a dash for what was not measured', () => {
  const text = toMarkdown(runOf(SCENARIO));
  expect(text).toContain('100 agents compared');
  expect(text).toContain(
    '| config of 4 KB | 4 KB | 0.5 s | 0.95 s | 0.99 s | 1 s | 1 s | 1% | 300 ms | 310 ms | 320 ms | 330 ms | 340 ms | 12.5 | 0.1 | – |',
  );
  expect(text).toContain('| connects | 50/s |');
});

it('lists what the oracle found, and fails', () => {
  const broken = runOf({ ...SCENARIO, figures: [], rollouts: [], comparedAgents: 0, differences: ['it did not come to its end'] });
  for (const text of [toMarkdown(broken), toHtml(broken)]) {
    expect(text).toContain('Nothing was compared');
    expect(text).toContain('it did not come to its end');
  }
  const bad = runOf({ ...SCENARIO, differences: ['agent 7 differs'] });
  expect(toMarkdown(bad)).toContain('- agent 7 differs');
  expect(isGood(bad)).toBe(false);
  expect(isGood(runOf(SCENARIO, 'gateway-1 ended by itself'))).toBe(false);
  expect(isGood(runOf(SCENARIO))).toBe(true);
});

it('makes one HTML file without scripts and addresses, with text escaped', () => {
  const html = toHtml(runOf(SCENARIO));
  expect(html).toContain('A &lt;rollout&gt;');
  expect(html).toContain('fleet begins');
  expect(html).not.toMatch(/<script|https?:|src=|href=/);
  expect(html.match(/<svg/g)?.length).toBeGreaterThanOrEqual(5);
});

it('draws zero on a logarithmic axis, and nothing for no points', () => {
  const plot = { title: 't', unit: 'agents', log: true };
  expect(
    drawPlot({
      ...plot,
      series: [
        {
          name: 'a',
          points: [
            [0, 100],
            [1, 0],
          ],
        },
      ],
    }),
  ).not.toContain('NaN');
  expect(drawPlot({ ...plot, series: [{ name: 'a', points: [] }] })).toBe('');
});

it('compares two runs figure by figure', () => {
  const other = { ...SCENARIO, figures: [{ id: 'x', label: 'connects', value: 75, unit: '/s' as const }] };
  expect(compareRuns(runOf(SCENARIO), runOf(other))).toContain('| rollout: connects | 50/s | 75/s | +50% |');
});

it('formats numbers', () => {
  expect([formatNumber(1_234.5), formatNumber(0.123_45), formatNumber(Number.NaN), formatNumber(null)]).toEqual([
    '1,235',
    '0.123',
    '–',
    '–',
  ]);
  expect([formatBytes(1_024), formatBytes(1_572_864)]).toEqual(['1 KB', '1.5 MB']);
  expect([formatSeconds(1_500), formatSeconds(null)]).toEqual(['1.5 s', '–']);
  expect(formatFigure({ value: 12, unit: 'µs' })).toBe('12 µs');
});
