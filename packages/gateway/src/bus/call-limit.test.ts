import { expect, it } from 'vitest';
import { CallLimit } from './call-limit.ts';

/** How many calls may go out at once after calls that took so long, one after the other; a negative time is that of a call that failed. */
async function roomAfter(...tookMs: readonly number[]): Promise<number> {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const limit = new CallLimit({ clock, most: 4 });
  for (const ms of tookMs) {
    const call = limit.run(async () => {
      clock.nowMs += Math.abs(ms);
      if (ms < 0) throw new Error('timed out');
    });
    if (ms < 0) await expect(call).rejects.toThrow('timed out');
    else await call;
  }
  let room = 0;
  for (; limit.free; room += 1) void limit.run(() => new Promise<void>(() => undefined));
  return room;
}

it('lets as many calls out as it is told, each slow answer half of that, and never less than one', async () => {
  expect(await roomAfter()).toBe(4);
  expect(await roomAfter(1_500)).toBe(2);
  expect(await roomAfter(1_500, 1_500)).toBe(1);
  expect(await roomAfter(1_500, 1_500, 1_500)).toBe(1);
});

it('lets one more out with each quick answer, up to the most', async () => {
  expect(await roomAfter(5_000, 5_000, 10)).toBe(2);
  expect(await roomAfter(5_000, 5_000, 10, 10, 10, 10, 10)).toBe(4);
});

it('stays as it is after an answer that is neither, and counts a failed call as any other', async () => {
  expect(await roomAfter(500)).toBe(4);
  expect(await roomAfter(5_000, 500)).toBe(2);
  expect(await roomAfter(-5_000)).toBe(2);
});
