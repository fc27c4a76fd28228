import { CancelledError } from './errors.ts';

/** A pending call; cancelling it twice or after it ran does nothing. */
export interface ClockTimer {
  cancel(): void;
}

/** Options of a timer. */
export interface TimerOptions {
  /** A timer with `keepAlive: false` (the default) does not keep the process alive. */
  readonly keepAlive?: boolean;
}

/** Time as a dependency, so that tests can move it by hand. */
export interface Clock {
  /** Wall-clock time, Unix milliseconds. May jump; for records and documents. */
  nowMs(): number;
  /** Milliseconds that never go back, from an arbitrary start; for measuring. */
  monotonicMs(): number;
  /** Calls `run` once, `delayMs` from now. */
  after(delayMs: number, run: () => void, options?: TimerOptions): ClockTimer;
  /** Calls `run` every `intervalMs`, the first time one interval from now. */
  every(intervalMs: number, run: () => void, options?: TimerOptions): ClockTimer;
  /** Resolves after `delayMs`; rejects with a CancelledError when the signal aborts first. Keeps the process alive. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The clock of the machine. */
export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs: number, run: () => void, options?: TimerOptions) {
    const timer = setTimeout(run, delayMs);
    if (options?.keepAlive !== true) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(intervalMs: number, run: () => void, options?: TimerOptions) {
    const timer = setInterval(run, intervalMs);
    if (options?.keepAlive !== true) timer.unref();
    return { cancel: () => clearInterval(timer) };
  },
  sleep(delayMs: number, signal?: AbortSignal) {
    return sleepOn(systemClock, delayMs, signal);
  },
});

/** A clock that stands still until it is advanced. */
export interface ManualClock extends Clock {
  /** Moves the time on and runs everything that falls due, in order of time, each at its own time. */
  advance(byMs: number): void;
  /** How many timers are waiting. */
  readonly pendingTimers: number;
}

type Waiting = { atMs: number; order: number; run: () => void; intervalMs: number | undefined };

/** Builds a clock for tests that starts at `startMs` (Unix milliseconds). */
export function createManualClock(startMs = 1_700_000_000_000): ManualClock {
  let now = startMs;
  let order = 0;
  const waiting = new Set<Waiting>();

  const schedule = (delayMs: number, run: () => void, intervalMs: number | undefined): ClockTimer => {
    order += 1;
    const entry: Waiting = { atMs: now + Math.max(0, delayMs), order, run, intervalMs };
    waiting.add(entry);
    return { cancel: () => waiting.delete(entry) };
  };
  const nextDue = (untilMs: number): Waiting | undefined => {
    let first: Waiting | undefined;
    for (const entry of waiting) {
      if (entry.atMs > untilMs) continue;
      if (first === undefined || entry.atMs < first.atMs || (entry.atMs === first.atMs && entry.order < first.order)) first = entry;
    }
    return first;
  };

  const clock: ManualClock = {
    nowMs: () => now,
    monotonicMs: () => now - startMs,
    after: (delayMs, run) => schedule(delayMs, run, undefined),
    every: (intervalMs, run) => schedule(intervalMs, run, Math.max(1, intervalMs)),
    sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
    advance(byMs) {
      const untilMs = now + byMs;
      for (let due = nextDue(untilMs); due !== undefined; due = nextDue(untilMs)) {
        now = Math.max(now, due.atMs);
        if (due.intervalMs === undefined) waiting.delete(due);
        else due.atMs += due.intervalMs;
        due.run();
      }
      now = untilMs;
    },
    get pendingTimers() {
      return waiting.size;
    },
  };
  return clock;
}

function sleepOn(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return Promise.reject(new CancelledError('sleep was cancelled', { cause: signal.reason }));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(new CancelledError('sleep was cancelled', { cause: signal?.reason }));
    };
    const timer = clock.after(
      delayMs,
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      },
      { keepAlive: true },
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
