import { expect, it } from 'vitest';
import { completion, describe, largestOf, quantile, remainingCurve } from './quantiles.ts';

const HUNDRED = Array.from({ length: 100 }, (_, index) => 100 - index);

it('takes the nearest rank', () => {
  expect(describe(HUNDRED)).toEqual({ count: 100, p50: 50, p95: 95, p99: 99, p999: 100, max: 100 });
  expect(describe([7])).toMatchObject({ p50: 7, p999: 7, max: 7 });
  expect(describe([])).toBeUndefined();
  expect(quantile([], 0.5)).toBeNaN();
});

it('finds the largest of more numbers than a call takes arguments', () => {
  expect(largestOf(Array.from({ length: 500_000 }, (_, index) => 500_000 - index))).toBe(500_000);
  expect(largestOf([])).toBe(-Infinity);
});

it('says when a share of all expected events had happened', () => {
  expect(completion(HUNDRED, 100)).toEqual({ t50: 50, t95: 95, t99: 99, t100: 100, tailShare: 0.01 });
  const { t50, t99, t100, tailShare } = completion(HUNDRED.slice(0, 60), 100);
  expect(t50).toBe(90);
  expect([t99, t100, tailShare]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});

it('keeps the tail of a thinned curve', () => {
  const curve = remainingCurve(HUNDRED, 102, 5);
  expect(curve[0]).toEqual([0, 102]);
  expect(curve.at(-1)).toEqual([100, 2]);
  expect(curve.length).toBeLessThan(60);
});
