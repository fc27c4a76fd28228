/** Distributions of measured values. */

/** What is said of a distribution of milliseconds. */
export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Nearest-rank quantile of ascending values; NaN when there are none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** Describes values in any order; undefined when there are none. */
export function describe(values: readonly number[]): Distribution | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((left, right) => left - right);
  return {
    count: sorted.length,
    p50: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: quantile(sorted, 1),
  };
}

/** When half, 95 %, 99 % and all of `expected` had happened; NaN where that many never did. */
export interface Completion {
  readonly t50: number;
  readonly t95: number;
  readonly t99: number;
  readonly t100: number;
  /** (t100 − t99) ÷ t100: how much of the whole the last hundredth took. */
  readonly tailShare: number;
}

/** Completion times of events at these times. */
export function completion(timesMs: readonly number[], expected: number): Completion {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * expected) - 1)] ?? Number.NaN;
  const [t50, t95, t99, t100] = [at(0.5), at(0.95), at(0.99), at(1)];
  return { t50, t95, t99, t100, tailShare: t100 > 0 ? (t100 - t99) / t100 : Number.NaN };
}

/** How many of `expected` are left at each time, thinned to about `points`; the last points, the tail, all stay. */
export function remainingCurve(timesMs: readonly number[], expected: number, points = 300): readonly (readonly [number, number])[] {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const step = Math.max(1, Math.floor(sorted.length / points));
  const curve: [number, number][] = [[0, expected]];
  sorted.forEach((atMs, index) => {
    if (index % step === 0 || sorted.length - index <= 50) curve.push([atMs, expected - index - 1]);
  });
  return curve;
}

/** Largest of many numbers, -Infinity without any: as `Math.max`, which takes no more arguments than fit the stack. */
export function largestOf(values: readonly number[]): number {
  let largest = -Infinity;
  for (const value of values) if (value > largest) largest = value;
  return largest;
}
