import { describe, expect, it } from 'vitest';
import { preflight } from './preflight.ts';
import type { AgentBuild } from './preflight.ts';

const USED = [
  { kind: 'receivers', type: 'kafka' },
  { kind: 'exporters', type: 'otlp_grpc' },
] as const;

const CONTRIB = { receivers: ['kafka', 'otlp'], exporters: ['otlp', 'otlp_grpc'] };
const CORE = { receivers: ['otlp'], exporters: ['otlp', 'otlp_grpc'] };
const OLD_CORE = { receivers: ['otlp'], exporters: ['otlp'] };

describe('preflight', () => {
  it('counts the agents that lack a component, and their builds', () => {
    const builds: AgentBuild[] = [
      { hash: 'c0', count: 28_796, components: CONTRIB },
      { hash: 'c1', count: 1_200, components: CORE },
      { hash: 'c2', count: 4, components: OLD_CORE },
    ];
    const report = preflight(USED, builds);
    expect(report).toMatchObject({
      agents: 30_000,
      able: 28_796,
      unable: 1_204,
      unknown: 0,
      unableBuilds: ['c1', 'c2'],
      unknownBuilds: [],
    });
    expect(report.missing).toMatchObject([
      { kind: 'receivers', type: 'kafka', agents: 1_204, builds: ['c1', 'c2'] },
      { kind: 'exporters', type: 'otlp_grpc', agents: 4, builds: ['c2'], alias: 'otlp' },
    ]);
    expect(report.lines).toEqual([
      'this config needs the `kafka` receiver; 1,204 of 30,000 selected agents (2 builds) lack it',
      'this config needs the `otlp_grpc` exporter; 4 of 30,000 selected agents (1 build) lack it; write `otlp` for builds that know it by that name',
    ]);
  });

  it('keeps builds that have told nothing apart', () => {
    const report = preflight(USED, [
      { hash: 'c0', count: 10, components: CONTRIB },
      { hash: 'x', count: 1_000_000, components: null },
    ]);
    expect(report).toMatchObject({ agents: 1_000_010, able: 10, unable: 0, unknown: 1_000_000, unknownBuilds: ['x'], missing: [] });
    expect(report.lines).toEqual([
      '1,000,000 of 1,000,010 selected agents (1 build) have not told their components: try them in the canary wave first',
    ]);
  });

  it('says nothing when everybody has everything', () => {
    expect(preflight(USED, [{ hash: 'c0', count: 3, components: CONTRIB }])).toMatchObject({ able: 3, unable: 0, missing: [], lines: [] });
    expect(preflight([], [{ hash: 'c2', count: 3, components: OLD_CORE }]).lines).toEqual([]);
    expect(preflight(USED, [])).toMatchObject({ agents: 0, able: 0, unable: 0, unknown: 0, lines: [] });
  });

  it('speaks of one agent', () => {
    expect(preflight([USED[0]], [{ hash: 'c1', count: 1, components: CORE }]).lines).toEqual([
      'this config needs the `kafka` receiver; 1 of 1 selected agents (1 build) lacks it',
    ]);
  });
});
