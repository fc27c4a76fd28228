import { BUCKET_SPACE } from '@opamp-gateway/shared/bucket';
import { specField } from '@opamp-gateway/shared/fleet-spec';
import { describe, expect, it } from 'vitest';
import { Bench, candidates, gateway, members, QUICK, START_MS } from '../../test-support/rollout-bench.ts';
import { decide, specPatch } from './decide.ts';
import { toRolloutSpec } from './document.ts';
import { toRolloutView } from './rollout-view.ts';

/** A rollout whose canary soaks. */
function soaking(strategy: unknown = QUICK): Bench {
  const bench = new Bench(strategy);
  bench.step();
  bench.step({ rows: { '0:applied:1': 1 } });
  expect(bench.wave).toBe('soaking');
  return bench;
}

describe('the way forward', () => {
  it('starts with the canary and books its agents under wave 0', () => {
    const bench = new Bench(QUICK);
    bench.step();
    expect(bench.eventTypes).toEqual(['wave.started']);
    expect(toRolloutSpec(bench.document)).toMatchObject({ wave: '0', canary: ['u0'], slices: [], held: false, direction: 'forward' });
  });

  it('is one step from the last answer of a wave to the first offers of the next', () => {
    const bench = soaking();
    expect(toRolloutSpec(bench.document)?.wave).toBe('late');
    bench.step({ afterMs: 10_000 });
    expect(bench.eventTypes).toEqual(['wave.soaked', 'wave.passed', 'wave.started']);
    expect(toRolloutSpec(bench.document)).toMatchObject({ wave: '1' });
    expect(toRolloutSpec(bench.document)?.slices[0]?.boundary).toBeGreaterThan(0);
  });

  it('does not leave assigning while a gateway lags, owes offers, or none lives', () => {
    const bench = new Bench(QUICK);
    bench.step();
    const rows = { '0:applied:1': 1 };
    for (const gateways of [[gateway({ observed: false })], [gateway({ backlog: 1 })], []]) {
      bench.step({ gateways, rows });
      expect(bench.wave).toBe('assigning');
    }
    bench.step({ gateways: [gateway()] });
    expect(bench.wave).toBe('soaking');
  });

  it('waits for pollers until enough are reached', () => {
    const bench = new Bench({ ...QUICK, waves: [{ size: { percent: 100 }, soak: '0s' }] });
    const pollers = members(10, { http: true, canary: -1 });
    bench.step({ members: pollers });
    bench.step({ rows: { '0:applied:1': 8 } });
    expect(bench.wave).toBe('assigning');
    bench.step({ rows: { '0:applied:1': 9 } });
    expect(bench.document.phase).toBe('succeeded');
  });

  it('judges no row that is overdue as settled', () => {
    const bench = new Bench(QUICK);
    bench.step();
    bench.step({ rows: { '0:offered:1': 1 } });
    expect(bench.wave).toBe('converging');
    bench.step({ rows: { '0:applied:1': 1 }, overdue: 1 });
    expect(bench.wave).toBe('converging');
  });

  it('ends with success, which leaves the spec and names the version proven', () => {
    const bench = new Bench({ ...QUICK, waves: [{ size: { percent: 100 }, soak: '0s' }] });
    bench.step();
    const decision = bench.step({ rows: { '0:applied:1': 10 } });
    expect(decision).toMatchObject({ kind: 'step', succeeded: true, ended: true });
    expect(toRolloutSpec(bench.document)).toBeNull();
    expect(specPatch(bench.document, '{}')).toEqual({ set: {}, del: [specField.rollout('r1')] });
  });

  it('never succeeds without an agent that proves it', () => {
    const bench = new Bench({
      ...QUICK,
      waves: [{ size: { percent: 100 }, soak: '0s' }],
      failure: { maxPercent: 100 },
      success: { minRatio: null },
    });
    bench.step();
    bench.step({ rows: { '0:timedOut:1': 10 } });
    expect(bench.document.phase).toBe('running');
    expect(bench.holds).toEqual(['no_agents']);
    bench.step({ rows: { '0:timedOut:1': 9, '0:applied:1': 1 } });
    expect(bench.document.phase).toBe('succeeded');
  });

  it('asks for what it needs, once it needs it', () => {
    const bench = new Bench(QUICK);
    const { candidates: _, ...view } = bench.view;
    expect(decide(bench.document, view)).toEqual({ kind: 'need', need: 'candidates' });
    const gating = soaking({ ...QUICK, gates: ['healthRegression'] });
    expect(gating.step({ afterMs: 10_000 })).toEqual({ kind: 'need', need: 'healthSamples' });
  });

  it('writes nothing when nothing changes', () => {
    const bench = soaking();
    expect(bench.step({ afterMs: 1_000 })).toEqual({ kind: 'idle', nextEvalAtMs: bench.view.nowMs + 1_000 });
  });
});

describe('canaries', () => {
  it('that went away before their offer are replaced, while somebody fits', () => {
    const bench = new Bench(QUICK);
    bench.step();
    expect(bench.step({ rows: {} })).toEqual({ kind: 'need', need: 'canaryStates' });
    bench.step({ canaryStates: [{ uid: 'u0', connected: false, http: false, hasRow: false }] });
    expect(bench.eventTypes).toEqual(['canary.replaced']);
    expect(toRolloutSpec(bench.document)?.canary).toEqual(['u1']);
  });

  it('that poll are waited for', () => {
    const bench = new Bench(QUICK);
    bench.step();
    expect(bench.step({ canaryStates: [{ uid: 'u0', connected: true, http: true, hasRow: false }] }).kind).toBe('idle');
  });

  it('are waited for when nobody fits', () => {
    const bench = new Bench(QUICK);
    bench.step({ candidates: candidates(10).map((candidate) => ({ ...candidate, healthy: false })) });
    expect(bench.holds).toEqual(['no_agents']);
    bench.step({ candidates: candidates(1) });
    expect(bench.holds).toEqual([]);
    expect(bench.wave).toBe('assigning');
  });
});

describe('failure', () => {
  it('comes before success: a wave that would pass is taken back', () => {
    const bench = soaking();
    bench.step({ afterMs: 10_000, rows: { '0:degraded:1': 1 } });
    expect(bench.document).toMatchObject({ phase: 'rolling_back', direction: 'back', holds: [] });
    expect(bench.eventTypes).toEqual(['rollback.started']);
    expect(toRolloutSpec(bench.document)).toMatchObject({ direction: 'back', held: false });
  });

  it('takes a rollout back that somebody paused', () => {
    const bench = soaking();
    bench.act('pause');
    bench.step({ rows: { '0:failed:1': 1 } });
    expect(bench.document.phase).toBe('rolling_back');
  });

  it('only holds when the wave says so, and resume says why it refuses', () => {
    const bench = soaking({ ...QUICK, onFailure: 'pause' });
    bench.step({ rows: { '0:failed:1': 1 } });
    expect(bench.holds).toEqual(['threshold']);
    expect(bench.act('resume')).toMatchObject({ kind: 'refused', detail: expect.stringContaining('maxCount') });
    bench.act('resume', { rows: { '0:applied:1': 1 } });
    expect(bench.holds).toEqual([]);
  });

  it('of too few acknowledgements breaks a wave as soon as all are settled', () => {
    const bench = soaking();
    bench.step({ afterMs: 10_000 });
    const boundary = bench.document.slices[0]?.boundary ?? 0;
    bench.step({ rows: { '0:applied:1': 1, '1:applied:1': 3, '1:offered:1': 1 } });
    expect(bench.wave).toBe('converging');
    bench.step({ rows: { '0:applied:1': 1, '1:applied:1': 3, '1:failed:1': 1 } });
    expect(bench.document.phase).toBe('rolling_back');
    expect(bench.document.slices[0]?.boundary).toBe(boundary);
  });

  it('of a gate breaks the wave', () => {
    const bench = soaking({ ...QUICK, gates: ['healthRegression'], onFailure: 'pause' });
    const sample = (unhealthy: boolean) => ({ stratum: '', unhealthy, reconnected: false });
    bench.step({
      afterMs: 10_000,
      healthSamples: { cohort: Array.from({ length: 30 }, () => sample(true)), control: Array.from({ length: 30 }, () => sample(false)) },
    });
    expect(bench.holds).toEqual(['threshold']);
    expect(bench.document.holds[0]?.detail).toContain('healthRegression');
    expect(bench.document.waves[0]?.gates).toBeNull();
    const shares = { agents: 30, unhealthyRatio: 1, reconnectedRatio: 0 };
    expect(toRolloutView(bench.document).waves[0]?.gates).toMatchObject([
      { gate: 'healthRegression', outcome: 'fail', comparison: { cohort: shares, control: { ...shares, unhealthyRatio: 0 } } },
    ]);
    // It has not passed by having been shown: whoever resumes has it judged again.
    bench.act('resume');
    bench.step();
    expect([bench.document.waveIndex, bench.document.phase, ...bench.holds]).toEqual([0, 'running', 'threshold']);
  });

  it('of a gate that turns the rollout back stays to be read', () => {
    const bench = soaking({ ...QUICK, gates: ['ackRatio', 'healthRegression'] });
    const sample = (unhealthy: boolean) => ({ stratum: '', unhealthy, reconnected: false });
    bench.step({
      afterMs: 10_000,
      healthSamples: { cohort: Array.from({ length: 30 }, () => sample(true)), control: Array.from({ length: 30 }, () => sample(false)) },
    });
    expect(bench.document.phase).toBe('rolling_back');
    expect(toRolloutView(bench.document).waves[0]?.gates.map(({ gate, outcome }) => [gate, outcome])).toEqual([
      ['ackRatio', 'pass'],
      ['healthRegression', 'fail'],
    ]);
  });

  it('ends in rolled_back only when every gateway has met it and no connected agent is left', () => {
    const bench = soaking();
    bench.act('abort');
    bench.step({ rows: { '0:restoring:1': 1 } });
    expect(bench.document.phase).toBe('rolling_back');
    bench.step({ gateways: [gateway({ observed: false })], rows: { '0:restored:1': 1 } });
    expect(bench.document.phase).toBe('rolling_back');
    bench.step({ gateways: [gateway()], rows: { '0:restored:1': 1, '0:applied:0': 3 } });
    expect(bench.document.phase).toBe('rolled_back');
  });

  it('ends in rollback_failed when more than one in a hundred cannot be restored, or after an hour', () => {
    const few = soaking();
    few.act('abort');
    few.step({ rows: { '0:restored:1': 99, '0:restoreFailed:1': 1 } });
    expect(few.document.phase).toBe('rolled_back');
    const many = soaking();
    many.act('abort');
    many.step({ rows: { '0:restored:1': 98, '0:restoreFailed:1': 2 } });
    expect(many.document.phase).toBe('rollback_failed');
    const slow = soaking();
    slow.act('abort');
    slow.step({ rows: { '0:restoring:1': 1 }, afterMs: 3_600_001 });
    expect(slow.document.phase).toBe('rollback_failed');
  });
});

describe('holds', () => {
  it('stop the clock of soaks and deadlines', () => {
    const bench = soaking();
    bench.act('pause');
    bench.step({ afterMs: 3_600_000 });
    bench.act('resume');
    expect(bench.wave).toBe('soaking');
    bench.step({ afterMs: 5_000 });
    expect(bench.wave).toBe('soaking');
    bench.step({ afterMs: 5_000 });
    expect(bench.document.waveIndex).toBe(1);
  });

  it('are a set: an operator stays in the way when another reason goes', () => {
    const bench = new Bench(QUICK);
    bench.act('pause');
    bench.step({ predecessorEnded: false });
    expect(bench.holds).toEqual(['manual', 'predecessor']);
    bench.step({ predecessorEnded: true });
    expect(bench.holds).toEqual(['manual']);
    bench.act('resume');
    expect(bench.wave).toBe('assigning');
  });

  it('tell the gateways in the same step', () => {
    const bench = soaking();
    bench.act('pause');
    expect(toRolloutSpec(bench.document)?.held).toBe(true);
  });

  it('wait for the start time', () => {
    const bench = new Bench({ ...QUICK, schedule: { startAt: new Date(START_MS + 60_000).toISOString() } });
    bench.step();
    expect(bench.holds).toEqual(['not_started']);
    expect(toRolloutSpec(bench.document)).toBeNull();
    bench.step({ afterMs: 60_000 });
    expect(bench.holds).toEqual([]);
    expect(bench.wave).toBe('assigning');
  });

  it("close with the window, and opening it cancels nobody's pause", () => {
    const minute = (atMs: number): string => new Date(atMs).toISOString().slice(11, 16);
    const bench = soaking({ ...QUICK, schedule: { windows: [{ from: minute(START_MS - 60_000), to: minute(START_MS + 600_000) }] } });
    bench.step({ afterMs: 5_000 });
    expect(bench.holds).toEqual([]);
    bench.step({ afterMs: 900_000 });
    expect(bench.holds).toEqual(['window_closed']);
    bench.act('pause');
    bench.step({ afterMs: 86_400_000 - 900_000 });
    expect(bench.holds).toEqual(['manual']);
  });

  it('wait for an approval before and after a wave', () => {
    const waves = [
      { size: { count: 1 }, soak: '0s', approval: 'after' },
      { size: { percent: 100 }, soak: '0s', approval: 'before' },
    ];
    const bench = new Bench({ ...QUICK, waves });
    bench.step();
    bench.step({ rows: { '0:applied:1': 1 } });
    expect([bench.document.waveIndex, bench.wave, ...bench.holds]).toEqual([0, 'gating', 'approval']);
    expect(bench.act('resume')).toMatchObject({ kind: 'refused', detail: expect.stringContaining('approval') });
    bench.act('promote');
    expect([bench.document.waveIndex, bench.wave, ...bench.holds]).toEqual([1, 'pending', 'approval']);
    bench.act('promote');
    expect([bench.document.waveIndex, bench.wave, ...bench.holds]).toEqual([1, 'assigning']);
  });

  it('name a gateway that lags, and lift when it is gone or has caught up', () => {
    const bench = new Bench(QUICK);
    bench.step();
    bench.step({ gateways: [gateway({ id: 'slow', observed: false, evaluated: false })], afterMs: 29_000 });
    expect(bench.holds).toEqual([]);
    bench.step({ afterMs: 2_000 });
    expect(bench.document.holds[0]).toMatchObject({ reason: 'lagging_gateway', detail: expect.stringContaining('slow') });
    // The hold is news for the gateway as well, which has not followed it either.
    for (let step = 0; step < 3; step += 1) bench.step();
    expect(bench.holds).toEqual(['lagging_gateway']);
    bench.step({ gateways: [gateway()] });
    expect(bench.holds).toEqual([]);
  });

  it('do not name a gateway that has met the spec and is still writing, however long that takes', () => {
    const bench = new Bench(QUICK);
    bench.step();
    bench.step({ gateways: [gateway({ id: 'busy', observed: false })], afterMs: 29_000 });
    bench.step({ afterMs: 60_000 });
    expect(bench.holds).toEqual([]);
    expect(bench.wave).toBe('assigning');
  });

  it('end a wave that takes too long, until somebody resumes', () => {
    const bench = new Bench({ ...QUICK, deadlines: { wave: '1m' } });
    bench.step();
    bench.step({ rows: { '0:offered:1': 1 }, afterMs: 61_000 });
    expect(bench.holds).toEqual(['deadline']);
    bench.act('resume');
    expect(bench.holds).toEqual([]);
    bench.step({ afterMs: 59_000 });
    expect(bench.holds).toEqual([]);
  });

  it('wait for agents, also before a later wave', () => {
    const bench = soaking();
    bench.step({ afterMs: 10_000, members: members(0) });
    expect([bench.document.waveIndex, bench.wave, ...bench.holds]).toEqual([1, 'pending', 'no_agents']);
    bench.step({ members: members(10) });
    expect(bench.wave).toBe('assigning');
  });

  it('wait for agents that cannot tell, unless somebody promotes', () => {
    const bench = soaking();
    bench.step({ afterMs: 10_000, rows: { '0:unverified:1': 1 } });
    expect(bench.holds).toEqual(['gate_inconclusive']);
    bench.act('promote');
    expect(bench.document.waveIndex).toBe(1);
  });

  it('follow the breaker of the whole fleet, and resume takes the fleet as it is', () => {
    const bench = soaking({ ...QUICK, waves: [{ size: { count: 1 }, soak: '1h' }] });
    const sick = { gateways: [gateway({ connected: 100, unhealthy: 30 })] };
    bench.step(sick);
    bench.step({ ...sick, afterMs: 30_000 });
    expect(bench.holds).toEqual(['fleet_breaker']);
    bench.act('resume', sick);
    bench.step({ ...sick, afterMs: 60_000 });
    expect(bench.holds).toEqual([]);
  });

  it('do not come from the breaker of the whole fleet while a version is taken back', () => {
    const bench = soaking({ ...QUICK, waves: [{ size: { count: 1 }, soak: '1h' }] });
    bench.document = { ...bench.document, revertOf: 'r0' };
    const sick = { gateways: [gateway({ connected: 100, unhealthy: 30 })] };
    bench.step(sick);
    bench.step({ ...sick, afterMs: 60_000 });
    expect(bench.holds).toEqual([]);
  });

  it('count agents under way in other rollouts as restarting, and ask for them only when too many are unhealthy', () => {
    const bench = soaking({ ...QUICK, waves: [{ size: { count: 1 }, soak: '1h' }] });
    delete bench.view.openElsewhere;
    expect(bench.step()).toMatchObject({ kind: 'idle' });
    const sick = { gateways: [gateway({ connected: 100, unhealthy: 30 })] };
    expect(bench.step(sick)).toEqual({ kind: 'need', need: 'openElsewhere' });
    // What a person asks for is done at once, whatever is not known yet.
    expect(bench.act('pause', sick)).toMatchObject({ kind: 'step' });
    bench.step({ ...sick, openElsewhere: 20 });
    bench.step({ ...sick, afterMs: 60_000 });
    expect(bench.holds).toEqual(['manual']);
    bench.step({ ...sick, openElsewhere: 10 });
    bench.step({ ...sick, afterMs: 30_000 });
    expect(bench.holds).toEqual(['manual', 'fleet_breaker']);
  });
});

describe('actions', () => {
  it('promote cuts a soak short, and is refused when nothing waits for it', () => {
    const bench = soaking();
    bench.act('promote');
    expect(bench.document.waveIndex).toBe(1);
    expect(bench.act('promote')).toMatchObject({ kind: 'refused', detail: expect.stringContaining('assigning') });
  });

  it('cancel works while nobody was offered anything', () => {
    const bench = new Bench(QUICK);
    bench.step();
    expect(bench.act('cancel')).toMatchObject({ kind: 'step', ended: true });
    expect(bench.document.phase).toBe('cancelled');
    const late = soaking();
    expect(late.act('cancel')).toMatchObject({ kind: 'refused', detail: expect.stringContaining('abort') });
  });

  it('retry raises the attempt, and judges failures only once every gateway has met it', () => {
    const bench = soaking({ ...QUICK, onFailure: 'pause' });
    bench.step({ rows: { '0:failed:1': 1 } });
    expect(bench.act('retry')).toMatchObject({ kind: 'step' });
    expect([bench.document.attempt, bench.wave, ...bench.holds]).toEqual([2, 'assigning']);
    bench.step({ gateways: [gateway({ observed: false })] });
    expect(bench.holds).toEqual([]);
    bench.step({ gateways: [gateway()] });
    expect(bench.holds).toEqual(['threshold']);
    expect(soaking().act('retry')).toMatchObject({ kind: 'refused' });
  });

  it('abort of a rollout that has not started cancels it at once, also out of a hold', () => {
    const bench = new Bench({ ...QUICK, schedule: { startAt: new Date(START_MS + 3_600_000).toISOString() } });
    bench.step();
    expect(bench.holds).toEqual(['not_started']);
    bench.step({}, { action: 'abort', reason: 'superseded by rollout r2' });
    expect(bench.eventTypes).toEqual(['rollout.cancelled']);
    expect(bench.document).toMatchObject({
      phase: 'cancelled',
      holds: [],
      cleanup: 'pending',
      outcome: 'aborted by me: superseded by rollout r2; nobody had been offered it',
    });
  });

  it('abort before the first offer ends in cancelled, once every gateway has met it', () => {
    const bench = new Bench(QUICK);
    bench.step();
    bench.act('abort');
    expect([bench.document.phase, ...bench.eventTypes]).toEqual(['rolling_back', 'rollback.started']);
    bench.step({ gateways: [gateway({ observed: false })] });
    bench.step({ gateways: [gateway({ backlog: 1 })] });
    expect(bench.document.phase).toBe('rolling_back');
    const decision = bench.step({ gateways: [gateway()], rows: { '0:skipped:1': 2 } });
    expect(decision).toMatchObject({ kind: 'step', ended: true, events: [{ type: 'rollout.cancelled' }] });
    expect([bench.document.phase, bench.document.outcome]).toEqual(['cancelled', 'aborted by me; nobody had been offered it']);
  });

  it('an offer that was booked while it was being aborted is taken back, and not cancelled', () => {
    const bench = new Bench(QUICK);
    bench.step();
    bench.act('abort');
    bench.step({ rows: { '0:restored:1': 1 } });
    expect(bench.document.phase).toBe('rolled_back');
  });

  it('are refused once it has ended, and say in which state', () => {
    const bench = new Bench(QUICK);
    bench.act('abort');
    for (const action of ['pause', 'resume', 'promote', 'abort', 'retry', 'cancel'] as const) {
      expect(bench.act(action), action).toEqual({ kind: 'refused', detail: 'it was cancelled' });
    }
  });

  it('pause twice is pause once', () => {
    const bench = soaking();
    bench.act('pause');
    expect(bench.act('pause').kind).toBe('idle');
  });
});

describe('a first rollout', () => {
  it('goes back to the version that is proven when it starts, not when it was asked for', () => {
    const bench = new Bench(QUICK);
    const proven = { name: 'c', version: 9, hash: 'c9' };
    bench.step({ stable: proven });
    expect(bench.document.from).toEqual(proven);
    const first = new Bench(QUICK);
    first.step({ stable: null });
    expect(first.document.warnings).toEqual(['no_way_back']);
  });

  it('of labels moves a slice of its own', () => {
    const bench = new Bench({
      ...QUICK,
      waves: [
        { size: { labels: 'a=b' }, soak: '0s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
    });
    bench.step({ members: members(4, { labels: [true], canary: -1 }) });
    expect(toRolloutSpec(bench.document)?.slices).toEqual([{ selector: 'a=b', boundary: BUCKET_SPACE }]);
  });
});

describe('agents that are away', () => {
  it('keep their wave from being assigned where the strategy waits for them', () => {
    const bench = new Bench({ ...QUICK, offline: 'wait', waves: [{ size: { percent: 100 }, soak: '0s' }] });
    bench.step();
    const rows = { '0:applied:1': 10 };
    bench.step({ rows, awaited: 3 });
    expect([bench.wave, bench.document.waves[0]?.awaiting]).toEqual(['assigning', 3]);
    bench.step({ awaited: 0 });
    expect([bench.document.phase, bench.document.waves[0]?.awaiting]).toEqual(['succeeded', null]);
  });

  it('are named to the gateways where the strategy passes them over', () => {
    const bench = new Bench({ ...QUICK, offline: 'exclude' });
    bench.step();
    expect(toRolloutSpec(bench.document)).toMatchObject({ passOverAwayAtMs: bench.document.startedAtMs });
    expect(toRolloutSpec(soaking().document)).not.toHaveProperty('passOverAwayAtMs');
  });

  it('of a domain are asked for before the boundary moves, and the hold says when a group has grown too large for that', () => {
    const bench = new Bench({ ...QUICK, maxInFlightPer: { by: 'rack', max: 1 } });
    const { domains: _, ...view } = bench.view;
    bench.view = view;
    bench.step();
    expect(bench.step()).toEqual({ kind: 'need', need: 'domains' });
    bench.step({ domains: new Map(), members: { kind: 'counted', connected: 60_000, http: 0 } });
    expect(bench.holds).toEqual(['gate_error']);
    bench.step({ members: bench.view.members });
    expect(bench.act('promote')).toMatchObject({ kind: 'refused' });
  });
});
