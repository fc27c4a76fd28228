import { describe, expect, it } from 'vitest';
import { Bench, QUICK } from '../../test-support/rollout-bench.ts';
import { bookAnswer, refuseAnswer } from './asked-gates.ts';
import { toRolloutSpec } from './document.ts';
import { Draft } from './draft.ts';
import type { GateAnswer, GateQuestion } from './ports.ts';

const WAVES = [
  { size: { count: 1 }, soak: '0s' },
  { size: { percent: 100 }, soak: '0s' },
];
const PROMETHEUS = { type: 'prometheus', query: 'errors', condition: 'value < 1', interval: '10s', timeout: '2s' };
const WEBHOOK = { type: 'webhook', url: 'https://ci.test/hook', interval: '8s', timeout: '2s', deadline: '60s' };
const ROWS = { rows: { '0:applied:1': 1 } };

/** A rollout whose canary stands at its gates. */
function atGates(gates: unknown[], over: Record<string, unknown> = {}): Bench {
  const bench = new Bench({ ...QUICK, waves: WAVES, gates, ...over });
  bench.step();
  bench.step(ROWS);
  expect(bench.wave).toBe('gating');
  return bench;
}

function questions(bench: Bench): readonly GateQuestion[] {
  return bench.last?.kind === 'step' ? bench.last.questions : [];
}

function only(bench: Bench): GateQuestion {
  const [question, ...others] = questions(bench);
  expect(others).toEqual([]);
  if (question === undefined) throw new Error('nothing was asked');
  return question;
}

/** An answer arrives as the runner brings it. Why it was not taken, or null. */
function answer(bench: Bench, question: GateQuestion, outcome: GateAnswer['outcome'], detail = outcome as string): string | null {
  const refused = refuseAnswer(bench.document, question);
  if (refused !== null) return refused;
  const draft = new Draft(bench.document, bench.view.nowMs);
  bookAnswer(draft, question, { outcome, detail, evidence: 'seen' });
  draft.document.rev += 1;
  bench.document = draft.document;
  return null;
}

describe('a gate that asks', () => {
  it('is asked once, when the wave has soaked, and its pass lets the next wave begin', () => {
    const bench = atGates([PROMETHEUS]);
    const question = only(bench);
    expect(question).toMatchObject({ ask: 1, rollout: { id: 'r1', group: 'g' }, wave: { index: 0, of: 2, counts: { applied: 1 } } });
    bench.step();
    expect(questions(bench)).toEqual([]);
    expect(bench.wave).toBe('gating');
    expect(answer(bench, question, 'pass')).toBeNull();
    bench.step();
    expect([bench.document.waveIndex, bench.wave, bench.holds]).toEqual([1, 'assigning', []]);
    expect(bench.document.waves[0]?.asked[0]).toMatchObject({ outcome: 'pass', evidence: 'seen', ask: 1 });
  });

  it('turns the rollout back when it fails, or holds it where the strategy says so', () => {
    const bench = atGates([PROMETHEUS]);
    answer(bench, only(bench), 'fail', 'the value is 7');
    bench.step();
    expect(bench.document).toMatchObject({ phase: 'rolling_back', outcome: 'prometheus: the value is 7' });
    const pausing = atGates([PROMETHEUS], { onFailure: 'pause' });
    answer(pausing, only(pausing), 'fail');
    pausing.step();
    expect(pausing.holds).toEqual(['threshold']);
  });

  it('is asked again by another coordinator when the answer does not come, and an answer to the first question is dropped', () => {
    const bench = atGates([PROMETHEUS]);
    const first = only(bench);
    bench.step({ afterMs: 5_000 });
    expect(questions(bench)).toEqual([]);
    bench.step({ afterMs: 2_000 });
    const second = only(bench);
    expect(second).toMatchObject({ ask: 2, key: first.key });
    expect(answer(bench, first, 'fail')).toMatch(/asked again/);
    expect(answer(bench, second, 'pass')).toBeNull();
    expect(answer(bench, second, 'fail')).toMatch(/asked again/);
    bench.step();
    expect(bench.document.waveIndex).toBe(1);
    expect(answer(bench, second, 'fail')).toMatch(/not at its gates/);
  });

  it('drops answers of an earlier wave, of an earlier attempt and of an ended rollout', () => {
    const bench = atGates([PROMETHEUS]);
    const question = only(bench);
    bench.document.attempt = 2;
    expect(answer(bench, question, 'pass')).toMatch(/attempt/);
    bench.document.attempt = 1;
    bench.act('abort');
    expect(answer(bench, question, 'pass')).toMatch(/rolling_back/);
  });

  it('waits with everything else while the rollout is paused', () => {
    const bench = atGates([PROMETHEUS]);
    const first = only(bench);
    bench.act('pause');
    bench.step({ afterMs: 60_000 });
    expect(questions(bench)).toEqual([]);
    bench.act('resume');
    bench.step();
    const again = [...questions(bench)];
    expect(bench.document.waves[0]?.asked[0]?.ask).toBe(2);
    expect(answer(bench, first, 'pass')).toMatch(/asked again/);
    expect(again.length <= 1).toBe(true);
  });

  it('does not keep the breaker from acting', () => {
    const bench = atGates([PROMETHEUS]);
    bench.step({ rows: { '0:degraded:1': 1 } });
    expect(bench.document.phase).toBe('rolling_back');
  });
});

describe('a Prometheus gate', () => {
  it('holds with gate_error after four errors in a row, and lifts that itself', () => {
    const bench = atGates([PROMETHEUS]);
    let question = only(bench);
    for (let errors = 1; errors <= 4; errors += 1) {
      expect(bench.holds).toEqual([]);
      answer(bench, question, 'error', 'ECONNREFUSED');
      bench.step({ afterMs: 1 });
      if (errors === 4) break;
      bench.step({ afterMs: 10_000 });
      question = only(bench);
    }
    expect(bench.holds).toEqual(['gate_error']);
    expect(bench.document.holds[0]?.detail).toContain('ECONNREFUSED');
    bench.step({ afterMs: 10_000 });
    question = only(bench);
    bench.step();
    expect(bench.holds).toEqual(['gate_error']);
    answer(bench, question, 'pass');
    bench.step();
    expect([bench.holds, bench.document.waveIndex]).toEqual([[], 1]);
  });

  it('holds at once when there is no data, and is asked again', () => {
    const bench = atGates([PROMETHEUS]);
    answer(bench, only(bench), 'inconclusive', 'the query has no data');
    bench.step();
    expect(bench.holds).toEqual(['gate_inconclusive']);
    expect(toRolloutSpec(bench.document)?.held).toBe(true);
    bench.step({ afterMs: 10_000 });
    answer(bench, only(bench), 'fail');
    bench.step();
    expect(bench.document.phase).toBe('rolling_back');
  });
});

describe('a webhook gate', () => {
  it('tries again with growing pauses and one key, and holds when its deadline is over', () => {
    const bench = atGates([WEBHOOK]);
    const first = only(bench);
    const pauses: number[] = [];
    let question = first;
    while (bench.holds.length === 0) {
      answer(bench, question, 'error', 'HTTP 503');
      bench.step({ afterMs: 0 });
      const from = bench.view.nowMs;
      while (questions(bench).length === 0) bench.step({ afterMs: 250 });
      pauses.push(bench.view.nowMs - from);
      question = only(bench);
      expect(question.key).toBe(first.key);
    }
    expect(bench.holds).toEqual(['gate_error']);
    expect(pauses.slice(0, 5)).toEqual([1_000, 2_000, 4_000, 8_000, 8_000]);
    expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeGreaterThanOrEqual(60_000);
  });

  it('is asked about another matter after wait, and holds when it has waited for its deadline', () => {
    const bench = atGates([WEBHOOK]);
    const first = only(bench);
    answer(bench, first, 'wait', 'tests run');
    bench.step({ afterMs: 7_000 });
    expect([questions(bench), bench.holds]).toEqual([[], []]);
    bench.step({ afterMs: 1_000 });
    const second = only(bench);
    expect(second.key).not.toBe(first.key);
    answer(bench, second, 'wait');
    bench.step({ afterMs: 60_000 });
    expect(bench.holds).toEqual(['gate_inconclusive']);
    answer(bench, only(bench), 'pass');
    bench.step();
    expect(bench.document.waveIndex).toBe(1);
  });

  it('stands by inconclusive until resume asks again; the hold stays until the answer is there', () => {
    const bench = atGates([WEBHOOK]);
    answer(bench, only(bench), 'inconclusive', 'ask Ada');
    bench.step({ afterMs: 600_000 });
    expect([questions(bench), bench.holds]).toEqual([[], ['gate_inconclusive']]);
    bench.act('resume');
    expect(bench.holds).toEqual(['gate_inconclusive']);
    const question = only(bench);
    answer(bench, question, 'error', 'gone');
    bench.step({ afterMs: 0 });
    expect(bench.holds).toEqual(['gate_error']);
    bench.step({ afterMs: 1_000 });
    answer(bench, only(bench), 'pass');
    bench.step();
    expect([bench.holds, bench.document.waveIndex]).toEqual([[], 1]);
  });
});

describe('resume', () => {
  it('asks again what failed, with no moment in which newcomers would be let in', () => {
    const bench = atGates([PROMETHEUS], { onFailure: 'pause' });
    answer(bench, only(bench), 'fail', 'the value is 7');
    bench.step();
    const event = bench.act('resume');
    expect(bench.holds).toEqual(['gate_inconclusive']);
    expect(toRolloutSpec(bench.document)?.held).toBe(true);
    expect(event.kind === 'step' && event.events.every(({ to }) => to.holds.length > 0)).toBe(true);
    answer(bench, only(bench), 'fail', 'the value is 8');
    bench.step();
    expect(bench.holds).toEqual(['threshold']);
    expect(bench.document.holds[0]?.detail).toContain('8');
    bench.act('resume');
    answer(bench, only(bench), 'pass');
    bench.step();
    expect([bench.holds, bench.document.waveIndex]).toEqual([[], 1]);
  });

  it('is refused where no gate and no person holds it', () => {
    const bench = atGates([PROMETHEUS]);
    expect(bench.act('resume')).toMatchObject({ kind: 'refused', detail: 'it is not held' });
  });
});

describe('promote', () => {
  it('passes gates that could not be asked', () => {
    const bench = atGates([PROMETHEUS]);
    answer(bench, only(bench), 'inconclusive');
    bench.step();
    bench.act('promote');
    expect([bench.holds, bench.document.waveIndex]).toEqual([[], 1]);
  });
});

describe('retry', () => {
  it('asks anew once the wave has soaked again', () => {
    const bench = atGates([PROMETHEUS], { onFailure: 'pause', failure: { maxCount: 0 } });
    const first = only(bench);
    answer(bench, first, 'fail');
    bench.step({ rows: { '0:failed:1': 1 } });
    bench.act('retry');
    bench.step({ afterMs: 1, rows: { '0:offered:1': 1 } });
    bench.step({ afterMs: 1, rows: { '0:applied:1': 1 } });
    const question = only(bench);
    expect(question).toMatchObject({ ask: 2, rollout: { attempt: 2 } });
    expect(question.key).not.toBe(first.key);
    answer(bench, question, 'pass');
    bench.step();
    expect(bench.document.waveIndex).toBe(1);
  });
});

describe('a manual gate', () => {
  it('waits for a person after all other gates, and records who it was', () => {
    const bench = atGates([PROMETHEUS, { type: 'manual', name: 'release-board' }]);
    expect(bench.holds).toEqual([]);
    answer(bench, only(bench), 'pass');
    bench.step();
    expect(bench.holds).toEqual(['approval']);
    expect(bench.document.holds[0]?.detail).toBe('wave 1 waits for promote (release-board)');
    const rights = { approve: true, advance: true, identified: true };
    expect(bench.step({}, { action: 'promote', rights })).toMatchObject({ kind: 'forbidden', type: 'own-rollout' });
    bench.step({}, { action: 'promote', actor: 'ada', reason: 'looks good' });
    // What the gate that asks said before may be hours old.
    answer(bench, only(bench), 'pass');
    bench.step();
    expect(bench.document.waveIndex).toBe(1);
    expect(bench.document.waves[0]?.approvals).toMatchObject([{ what: 'after', by: 'ada', reason: 'looks good' }]);
  });

  it('is passed by nobody without the right to approve, nor by way of a gate that could not tell', () => {
    const operator = { approve: false, advance: true, identified: true };
    const approver = { approve: true, advance: false, identified: true };
    const bench = atGates([PROMETHEUS, { type: 'manual', name: 'release-board' }]);
    answer(bench, only(bench), 'inconclusive');
    bench.step();
    expect(bench.holds).toEqual(['gate_inconclusive']);
    // Judging the gate that asks is the work of operators, and passes that gate only.
    bench.step({}, { action: 'promote', actor: 'bob', rights: operator });
    bench.step();
    expect([bench.document.waveIndex, bench.holds]).toEqual([0, ['approval']]);
    for (const [actor, rights, type] of [
      ['bob', operator, 'approver-required'],
      [bench.document.createdBy, operator, 'approver-required'],
      [bench.document.createdBy, approver, 'own-rollout'],
    ] as const)
      expect(bench.step({}, { action: 'promote', actor, rights })).toMatchObject({ kind: 'forbidden', type });
    bench.act('pause');
    bench.act('resume');
    bench.step();
    expect([bench.document.waveIndex, bench.holds, bench.document.waves[0]?.approvals]).toEqual([0, ['approval'], []]);
    bench.step({}, { action: 'promote', actor: 'ada', rights: approver });
    bench.step();
    expect(bench.document.waveIndex).toBe(1);
  });

  it('takes no approval that was given too long ago', () => {
    const bench = atGates([PROMETHEUS, { type: 'manual', expires: '1m' }]);
    answer(bench, only(bench), 'pass');
    bench.step();
    bench.act('promote');
    bench.step({ afterMs: 61_000 });
    expect(bench.eventTypes).toContain('approval.expired');
    answer(bench, only(bench), 'pass');
    bench.step();
    expect([bench.document.waveIndex, bench.holds]).toEqual([0, ['approval']]);
    expect(bench.document.waves[0]?.approvals).toHaveLength(1);
  });
});
