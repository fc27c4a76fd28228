import { describe, expect, it } from 'vitest';
import { createManualClock, systemClock } from './clock.ts';
import { CancelledError } from './errors.ts';

describe('system clock', () => {
  it('runs a timer once, repeats an interval, and cancels both', async () => {
    const seen: string[] = [];
    systemClock.after(1, () => seen.push('cancelled')).cancel();
    await new Promise<void>((resolve) => {
      const timer = systemClock.every(
        1,
        () => {
          seen.push('tick');
          if (seen.length < 3) return;
          timer.cancel();
          resolve();
        },
        { keepAlive: true },
      );
    });
    await systemClock.sleep(5);
    expect(seen).toEqual(['tick', 'tick', 'tick']);
  });

  it('ends a sleep on its signal', async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(3_600_000, controller.signal);
    controller.abort();
    await expect(sleeping).rejects.toBeInstanceOf(CancelledError);
    await expect(systemClock.sleep(1, controller.signal)).rejects.toBeInstanceOf(CancelledError);
  });

  it('measures forward', () => {
    const start = systemClock.monotonicMs();
    expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(start);
    expect(systemClock.nowMs()).toBeGreaterThan(1_600_000_000_000);
  });
});

describe('manual clock', () => {
  it('runs what falls due in order of time, each at its own time', () => {
    const clock = createManualClock(1000);
    const seen: [string, number][] = [];
    const note = (name: string) => () => seen.push([name, clock.nowMs()]);
    clock.after(30, note('c'));
    clock.after(10, note('a'));
    clock.after(10, note('b'));
    const timer = clock.every(20, note('tick'));
    clock.advance(45);
    timer.cancel();
    clock.advance(100);
    expect(seen).toEqual([
      ['a', 1010],
      ['b', 1010],
      ['tick', 1020],
      ['c', 1030],
      ['tick', 1040],
    ]);
    expect([clock.nowMs(), clock.monotonicMs(), clock.pendingTimers]).toEqual([1145, 145, 0]);
  });

  it('runs timers that timers set, within the same move', () => {
    const clock = createManualClock(0);
    const seen: number[] = [];
    clock.after(1, () => clock.after(1, () => seen.push(clock.nowMs())));
    clock.advance(2);
    expect(seen).toEqual([2]);
  });

  it('resolves and cancels sleeps', async () => {
    const clock = createManualClock();
    const controller = new AbortController();
    const first = clock.sleep(10);
    const second = clock.sleep(10, controller.signal);
    controller.abort();
    clock.advance(10);
    await expect(first).resolves.toBeUndefined();
    await expect(second).rejects.toBeInstanceOf(CancelledError);
    expect(clock.pendingTimers).toBe(0);
  });
});
