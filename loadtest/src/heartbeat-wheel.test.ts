import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Beater, HeartbeatWheel, wheelNowMs } from './heartbeat-wheel.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => vi.useRealTimers());

/** Notes when it is woken; `again` is what it answers. */
function beaterOf(again: (nowMs: number) => number = () => 0): Beater & { readonly wokenMs: number[] } {
  const wokenMs: number[] = [];
  return {
    beatTick: 0,
    wokenMs,
    beat(nowMs) {
      wokenMs.push(nowMs);
      return again(nowMs);
    },
  };
}

it('wakes everybody at their time, and again when they ask for it', () => {
  const wheel = new HeartbeatWheel();
  const startMs = wheelNowMs();
  const [once, twice] = [beaterOf(), beaterOf((nowMs) => (nowMs < startMs + 1_000 ? nowMs + 500 : 0))];
  wheel.schedule(once, startMs + 200);
  wheel.schedule(twice, startMs + 600);
  vi.advanceTimersByTime(5_000);
  expect(once.wokenMs).toHaveLength(1);
  expect(once.wokenMs[0]).toBeGreaterThanOrEqual(startMs + 200);
  expect(twice.wokenMs).toHaveLength(2);
  expect(vi.getTimerCount()).toBe(0);
});

it('forgets a time that was replaced', () => {
  const wheel = new HeartbeatWheel();
  const beater = beaterOf();
  wheel.schedule(beater, wheelNowMs() + 10_000);
  wheel.schedule(beater, wheelNowMs() + 100);
  vi.advanceTimersByTime(20_000);
  expect(beater.wokenMs).toHaveLength(1);
  expect(beater.wokenMs[0]).toBeLessThan(1_000);
});

it('goes on after it has stood still', () => {
  const wheel = new HeartbeatWheel();
  const [first, second] = [beaterOf(), beaterOf()];
  wheel.schedule(first, wheelNowMs() + 100);
  vi.advanceTimersByTime(60_000);
  wheel.schedule(second, wheelNowMs() + 100);
  vi.advanceTimersByTime(500);
  expect([first.wokenMs.length, second.wokenMs.length]).toEqual([1, 1]);
});
