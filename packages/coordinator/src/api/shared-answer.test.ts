import { describe, expect, it } from 'vitest';
import { createSharedAnswers } from './shared-answer.ts';

describe('createSharedAnswers', () => {
  it('answers everybody who asks meanwhile, and for a time after, with one asking', async () => {
    let nowMs = 0;
    let asked = 0;
    const share = createSharedAnswers(() => nowMs);
    const ask = async (): Promise<number> => {
      asked += 1;
      await Promise.resolve();
      nowMs += 1_000;
      return asked;
    };
    expect(await Promise.all([share('a', ask), share('a', ask), share('a', ask)])).toEqual([1, 1, 1]);
    nowMs += 19_999;
    expect(await share('a', ask)).toBe(1);
    nowMs += 1;
    expect(await share('a', ask)).toBe(2);
    expect(await share('b', ask)).toBe(3);
  });

  it('does not keep what cost nothing, nor what failed', async () => {
    const share = createSharedAnswers(() => 5);
    let asked = 0;
    const ask = async (): Promise<number> => (asked += 1);
    expect(await share('a', ask)).toBe(1);
    expect(await share('a', ask)).toBe(2);
    let nowMs = 0;
    const slow = createSharedAnswers(() => (nowMs += 100));
    await expect(
      slow('a', async () => {
        throw new Error('away');
      }),
    ).rejects.toThrow('away');
    expect(await slow('a', async () => 'back')).toBe('back');
  });

  it('remembers a bounded number of questions', async () => {
    let nowMs = 0;
    const share = createSharedAnswers(() => (nowMs += 100));
    let asked = 0;
    for (let index = 0; index < 200; index += 1) await share(String(index), async () => (asked += 1));
    expect(await share('0', async () => (asked += 1))).toBe(201);
  });
});
