import { describe, expect, it } from 'vitest';
import type { FieldProblem } from './service.ts';
import { parseStrategy } from './strategy-parser.ts';
import { STRATEGY_PRESETS } from './strategy.ts';
import { toStrategyView } from './strategy-view.ts';

function problemsOf(input: unknown): FieldProblem[] {
  const problems: FieldProblem[] = [];
  parseStrategy(input, problems);
  return problems;
}

function read(input: unknown): ReturnType<typeof parseStrategy> {
  const problems: FieldProblem[] = [];
  const strategy = parseStrategy(input, problems);
  expect(problems).toEqual([]);
  return strategy;
}

describe('defaults', () => {
  it('are a canary, then 5, 25, 50 and 100 percent', () => {
    const strategy = read(undefined);
    expect(strategy.waves.map((wave) => wave.size)).toEqual([
      { kind: 'share', count: 20, percent: 1 },
      { kind: 'share', count: null, percent: 5 },
      { kind: 'share', count: null, percent: 25 },
      { kind: 'share', count: null, percent: 50 },
      { kind: 'share', count: null, percent: 100 },
    ]);
    expect(strategy.waves.map((wave) => wave.soakMs / 60_000)).toEqual([10, 5, 5, 5, 15]);
    expect(strategy.waves.map((wave) => wave.canary)).toEqual([true, false, false, false, false]);
    expect(strategy).toMatchObject({
      maxInFlight: null,
      rate: { start: 10, factor: 2, per: 1000, max: 500 },
      ackTimeoutMs: 120_000,
      healthHoldMs: 30_000,
      offline: 'defer',
      gates: ['ackRatio', 'healthRegression'],
      deadlines: { waveMs: 3_600_000, totalMs: 86_400_000 },
      revertWithinMs: 72 * 3_600_000,
    });
  });

  it('judge the canary by the number of failures alone, later waves by shares', () => {
    const [canary, second] = read({}).waves;
    expect(canary).toMatchObject({
      failure: { maxCount: 0, maxPercent: null },
      success: { minRatio: null, minReached: 0.9 },
      unverifiedMaxRatio: 0,
    });
    expect(second).toMatchObject({
      failure: { maxCount: null, maxPercent: 2, minDecided: 50 },
      success: { minRatio: 0.98 },
      unverifiedMaxRatio: 0.2,
    });
  });

  it('add a last wave that reaches everybody', () => {
    const strategy = read({ waves: [{ size: { count: 3 } }] });
    expect(strategy.waves.at(-1)).toMatchObject({ size: { kind: 'share', count: null, percent: 100 }, soakMs: 900_000 });
    expect(strategy.waves).toHaveLength(2);
  });
});

describe('waves', () => {
  it('take top-level values, and override them one by one', () => {
    const strategy = read({
      waves: [
        { size: { count: 2 } },
        { size: { percent: 50 }, failure: { maxPercent: 9 }, onFailure: 'pause', soak: '2m' },
        { size: { percent: 100 } },
      ],
      soak: '1m',
      failure: { maxCount: 7, minDecided: 3 },
      success: { minRatio: 0.5 },
      onFailure: 'rollback',
    });
    expect(strategy.waves[0]).toMatchObject({
      soakMs: 60_000,
      failure: { maxCount: 7, maxPercent: null, minDecided: 3 },
      success: { minRatio: null },
    });
    expect(strategy.waves[1]).toMatchObject({
      soakMs: 120_000,
      failure: { maxCount: 7, maxPercent: 9 },
      success: { minRatio: 0.5 },
      onFailure: 'pause',
    });
    expect(strategy.waves[2]).toMatchObject({ soakMs: 60_000, onFailure: 'rollback' });
  });

  it('read the example of the interface', () => {
    const strategy = read({
      waves: [
        { size: { count: 5 }, soak: '1s' },
        { size: { percent: 50 }, soak: '1s' },
        { size: { percent: 100 }, soak: '1s', onFailure: 'pause' },
      ],
      maxInFlight: 1000,
      rate: 'unlimited',
      ackTimeout: '10s',
      healthHold: '0s',
      failure: { maxCount: 1 },
      onFailure: 'rollback',
    });
    expect(strategy).toMatchObject({ rate: 'unlimited', maxInFlight: 1000, ackTimeoutMs: 10_000, healthHoldMs: 0 });
    expect(strategy.waves.map((wave) => [wave.soakMs, wave.onFailure, wave.failure.maxCount])).toEqual([
      [1000, 'rollback', 1],
      [1000, 'rollback', 1],
      [1000, 'pause', 1],
    ]);
  });

  it('take labels, and agents in the first only', () => {
    const uid = '0192f000-0000-7000-8000-000000000001';
    expect(read({ waves: [{ size: { agents: [uid, uid] } }, { size: { labels: 'env=test' } }] }).waves.map((wave) => wave.size)).toEqual([
      { kind: 'agents', agents: [uid] },
      { kind: 'labels', selector: 'env=test', percent: 100 },
      { kind: 'share', count: null, percent: 100 },
    ]);
    expect(problemsOf({ waves: [{ size: { percent: 1 } }, { size: { agents: [uid] } }] }).map((entry) => entry.path)).toEqual([
      'strategy.waves[1].size',
    ]);
  });
});

describe('problems', () => {
  it('are reported all at once, each with its path', () => {
    const paths = problemsOf({
      waves: [
        { size: {} },
        { size: { percent: 0 } },
        { size: { percent: 101 }, soak: 'soon' },
        { soak: '1m' },
        { size: { labels: 'a in (' } },
        5,
      ],
      maxInFlight: 0,
      rate: 'fast',
      ackTimeout: 5,
      healthHold: '-1s',
      failure: { maxCount: -1, wat: 1 },
      success: 5,
      onFailure: 'explode',
      deadlines: { wave: 'x', nope: '1m' },
      spreadBy: ['a', 'b', 'c', 'd'],
      gates: ['ackRatio', 'prometheus', 'horoscope'],
      colour: 'red',
    }).map((entry) => entry.path);
    for (const path of [
      'strategy.waves[0].size',
      'strategy.waves[1].size.percent',
      'strategy.waves[2].size.percent',
      'strategy.waves[2].soak',
      'strategy.waves[3].size',
      'strategy.waves[4].size.labels',
      'strategy.waves[5]',
      'strategy.maxInFlight',
      'strategy.rate',
      'strategy.ackTimeout',
      'strategy.healthHold',
      'strategy.failure.maxCount',
      'strategy.failure.wat',
      'strategy.success',
      'strategy.onFailure',
      'strategy.deadlines.wave',
      'strategy.deadlines.nope',
      'strategy.spreadBy',
      'strategy.gates[2]',
      'strategy.colour',
    ]) {
      expect(paths, path).toContain(path);
    }
  });

  it('name the word that rate and schedule take beside an object', () => {
    expect(problemsOf({ rate: 'fast', schedule: 'later' })).toEqual([
      { path: 'strategy.rate', message: 'must be "unlimited" or an object such as { "start": 10, "max": 500 }, is "fast"' },
      { path: 'strategy.schedule', message: 'must be "now" or an object with startAt, windows or both, is "later"' },
    ]);
  });

  it('refuse shares that do not grow, and soaks that do not fit the deadline', () => {
    expect(
      problemsOf({ waves: [{ size: { percent: 50 } }, { size: { percent: 50 } }, { size: { percent: 10 } }] }).map((entry) => entry.path),
    ).toEqual(['strategy.waves[1].size.percent', 'strategy.waves[2].size.percent']);
    expect(problemsOf({ waves: [{ size: { percent: 100 }, soak: '2h' }], deadlines: { total: '2h' } }).map((entry) => entry.path)).toEqual([
      'strategy.deadlines.total',
    ]);
  });

  it('refuse windows that are none', () => {
    const windows = [{ days: ['someday'], from: '25:00', timeZone: 'Nowhere', extra: 1 }];
    expect(problemsOf({ schedule: { windows, startAt: 'tomorrow' } }).map((entry) => entry.path)).toEqual([
      'strategy.schedule.windows[0].days[0]',
      'strategy.schedule.windows[0].timeZone',
      'strategy.schedule.windows[0].from',
      'strategy.schedule.windows[0].to',
      'strategy.schedule.windows[0].extra',
      'strategy.schedule.startAt',
    ]);
  });

  it('refuse gates that are none, each by its place', () => {
    const gates = [
      'horoscope',
      'prometheus',
      { type: 'oracle' },
      { query: 'up' },
      { type: 'prometheus', query: 'up{g="{{grupe}}"}', condition: 'value ~ 1', url: 'ftp://x', wat: 1 },
      { type: 'prometheus', name: 'a b', query: '', condition: 'value < 1; drop', interval: '1ms', timeout: '2m' },
      { type: 'webhook', url: 'https://user:pass@ci.test/' },
      { type: 'webhook', name: 'ackRatio', url: 'https://ci.test/', deadline: '0s' },
    ];
    expect(problemsOf({ gates }).map(({ path, message }) => `${path.replace('strategy.', '')}: ${message.slice(0, 24)}`)).toEqual([
      'gates[0]: must be one of ackRatio,',
      'gates[1]: must be an object: { "ty',
      'gates[2].type: must be one of prometheu',
      'gates[3].type: is required: prometheus,',
      'gates[4].query: has unknown placeholders',
      'gates[4].condition: must be a comparison suc',
      'gates[4].url: must be an http:// or ht',
      'gates[4].wat: is not a known field',
      'gates[5].name: must begin with a letter',
      'gates[5].query: must be a text that is n',
      'gates[5].condition: must be a comparison suc',
      'gates[5].interval: must be from 1s to 1h, i',
      'gates[5].timeout: must be from 100ms to 1m',
      'gates[6].url: must be an http:// or ht',
      'gates[7].deadline: must be from 1s to 720h,',
      'gates[7].name: is taken: another gate i',
    ]);
    expect(problemsOf({ gates: [{ type: 'manual' }, { type: 'manual', name: 'b' }] }).map(({ path }) => path)).toEqual([
      'strategy.gates[1]',
    ]);
  });

  it('refuse what offline and maxInFlightPer cannot be', () => {
    expect(problemsOf({ offline: 'ignore', maxInFlightPer: { by: '', max: 0, per: 1 } }).map((entry) => entry.path)).toEqual([
      'strategy.maxInFlightPer.by',
      'strategy.maxInFlightPer.max',
      'strategy.maxInFlightPer.per',
      'strategy.offline',
    ]);
    expect(problemsOf({ offline: 'defer', maxInFlightPer: null, schedule: 'now', gates: [] })).toEqual([]);
  });

  it.each([5, [], true, 'breakneck', { preset: 'breakneck' }])('refuse %j as a strategy', (input) => {
    expect(problemsOf(input).length).toBeGreaterThan(0);
  });
});

describe('presets', () => {
  it.each(Object.keys(STRATEGY_PRESETS))('%s is valid, by its name and as a base', (name) => {
    expect(read(name)).toEqual(read({ preset: name }));
    expect(read({ preset: name, ackTimeout: '7s' }).ackTimeoutMs).toBe(7_000);
  });
});

describe('the view of a strategy', () => {
  it.each([
    undefined,
    ...Object.keys(STRATEGY_PRESETS),
    {
      waves: [{ size: { percent: 10 } }, { size: { labels: 'a=b', percent: 20 }, approval: 'after' }],
      rate: 'unlimited',
      unverified: { maxRatio: 1 },
    },
    {
      waves: [{ size: { count: 3 }, failure: { maxPercent: 5 }, success: { minRatio: 0.9 } }],
      schedule: { startAt: '2030-01-01T00:00:00Z' },
      gates: [],
    },
    {
      gates: [
        'ackRatio',
        { type: 'prometheus', query: 'rate(x{group="{{group}}"}[{{ waveSeconds }}])', condition: 'value <= 1e-2' },
        { type: 'webhook', url: 'https://ci.test/x', interval: '5s', timeout: '1s', deadline: '1h' },
        { type: 'manual', expires: '2h' },
      ],
      offline: 'exclude',
      maxInFlightPer: { by: 'host.rack', max: 2 },
    },
  ])('reads back as the same strategy: %j', (input) => {
    const strategy = read(input);
    expect(read(toStrategyView(strategy))).toEqual(strategy);
  });
});
