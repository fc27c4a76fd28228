import { describe, expect, it } from 'vitest';
import { Bench } from '../../test-support/rollout-bench.ts';
import type { FieldProblem } from './service.ts';
import { tuneStrategy } from './tune.ts';

const WAVES = [{ size: { count: 2 } }, { size: { percent: 50 } }, { size: { percent: 100 } }];

function tune(patch: unknown, waveIndex = 0) {
  const problems: FieldProblem[] = [];
  const { document } = new Bench({ waves: WAVES }, { waveIndex });
  return { strategy: tuneStrategy(document, patch, problems), problems };
}

describe('tuning a running rollout', () => {
  it('takes every tunable field, limits for the present wave and those after it', () => {
    const { strategy, problems } = tune(
      {
        maxInFlight: 7,
        maxInFlightPer: { by: 'rack', max: 2 },
        rate: 'unlimited',
        failure: { maxCount: 4, maxPercent: 9 },
        onFailure: 'pause',
      },
      1,
    );
    expect(problems).toEqual([]);
    expect(strategy).toMatchObject({ maxInFlight: 7, maxInFlightPer: { by: 'rack', max: 2 }, rate: 'unlimited' });
    expect(strategy.waves.map(({ failure, onFailure }) => [failure.maxCount, failure.maxPercent, onFailure])).toEqual([
      [0, null, 'rollback'],
      [4, 9, 'pause'],
      [4, 9, 'pause'],
    ]);
  });

  it('says which fields can be changed when another one is given', () => {
    const { problems } = tune({ ackTimeout: '1s', failure: { maxCount: 1, minDecided: 3 }, maxInFlight: 0 });
    expect(problems.map(({ path }) => path).toSorted()).toEqual([
      'strategy.ackTimeout',
      'strategy.failure.minDecided',
      'strategy.maxInFlight',
    ]);
    const { message } = problems.find(({ path }) => path === 'strategy.ackTimeout') ?? { message: '' };
    expect(message).toBe(
      'cannot be changed while the rollout runs; maxInFlight, maxInFlightPer, rate, failure.maxCount, failure.maxPercent and onFailure can',
    );
  });

  it.each([
    [{}, 'strategy'],
    [{ failure: {} }, 'strategy.failure'],
  ])('refuses %j, which changes nothing', (patch, path) => {
    const { problems } = tune(patch);
    expect(problems).toMatchObject([{ path, message: expect.stringContaining('names nothing to change') }]);
  });
});
