/** Timing of small functions. */

/** One line of the table. */
export interface BenchResult {
  readonly name: string;
  readonly perOperationUs: number;
  readonly perSecond: number;
  readonly operations: number;
}

const WARM_UP_MS = 200;
const ROUND_MS = 300;
const ROUNDS = 5;
const BATCH = 100;

/** Runs for about `durationMs`; answers microseconds per run. */
function round(run: () => unknown, durationMs: number): { readonly us: number; readonly operations: number } {
  const startedMs = performance.now();
  let operations = 0;
  let nowMs = startedMs;
  while (nowMs - startedMs < durationMs) {
    for (let index = 0; index < BATCH; index += 1) run();
    operations += BATCH;
    nowMs = performance.now();
  }
  return { us: ((nowMs - startedMs) * 1_000) / operations, operations };
}

/** The median of five rounds after a warm-up. `run` has to return something, or it may be optimised away. */
export function measure(name: string, run: () => unknown): BenchResult {
  round(run, WARM_UP_MS);
  const rounds = Array.from({ length: ROUNDS }, () => round(run, ROUND_MS));
  return toResult(name, rounds);
}

/** As {@link measure}, for a run that waits and does `perRun` operations. */
export async function measureAsync(name: string, perRun: number, run: () => Promise<unknown>): Promise<BenchResult> {
  for (let index = 0; index < 3; index += 1) await run();
  const rounds: { us: number; operations: number }[] = [];
  for (let index = 0; index < ROUNDS; index += 1) {
    const startedMs = performance.now();
    let operations = 0;
    while (performance.now() - startedMs < ROUND_MS) {
      await run();
      operations += perRun;
    }
    rounds.push({ us: ((performance.now() - startedMs) * 1_000) / operations, operations });
  }
  return toResult(name, rounds);
}

function toResult(name: string, rounds: readonly { readonly us: number; readonly operations: number }[]): BenchResult {
  const sorted = rounds.map(({ us }) => us).toSorted((left, right) => left - right);
  const us = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return { name, perOperationUs: us, perSecond: 1e6 / us, operations: rounds.reduce((sum, { operations }) => sum + operations, 0) };
}
