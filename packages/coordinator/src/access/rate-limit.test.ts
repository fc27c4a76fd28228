import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limit.ts';

describe('the rate limit', () => {
  it('lets a burst through, then so many a second, each caller for itself', () => {
    let nowMs = 0;
    const limiter = new RateLimiter({ perSecond: 2, burst: 3, now: () => nowMs });
    expect([1, 2, 3, 4].map(() => limiter.take('a'))).toEqual([0, 0, 0, 1]);
    expect(limiter.take('b')).toBe(0);
    nowMs = 500;
    expect([limiter.take('a'), limiter.take('a')]).toEqual([0, 1]);
    nowMs = 1_000_000;
    expect([1, 2, 3, 4].map(() => limiter.take('a'))).toEqual([0, 0, 0, 1]);
  });

  it('says how long to wait, and forgets who was quiet for longest', () => {
    const limiter = new RateLimiter({ perSecond: 0.1, burst: 1, now: () => 0 });
    expect([limiter.take('a'), limiter.take('a')]).toEqual([0, 10]);
    for (let n = 0; n < 10_000; n += 1) limiter.take(`other-${n}`);
    expect(limiter.take('a')).toBe(0);
  });
});
