import { expect, test } from 'vitest';
import { show, waitUntil, waitUntilRight } from './wait-for.ts';

const SHORT = { deadlineMs: 30, pollMs: 1 };
const OFTEN = { pollMs: 1 };

test('answers what was seen when it is accepted', async () => {
  let looks = 0;
  expect(
    await waitUntil(
      'three',
      () => (looks += 1),
      (value) => value === 3,
      OFTEN,
    ),
  ).toBe(3);
});

test('a look that throws has not found it yet', async () => {
  let looks = 0;
  const look = async (): Promise<string> => {
    looks += 1;
    if (looks < 3) throw new Error('connection refused');
    return 'ready';
  };
  expect(await waitUntil('it', look, () => true, OFTEN)).toBe('ready');
});

test('gives up at the deadline with what was last seen, or why it saw nothing', async () => {
  await expect(
    waitUntil(
      'the end',
      () => ({ phase: 'running' }),
      () => false,
      SHORT,
    ),
  ).rejects.toThrow("waited 0.03 s for the end; last seen: { phase: 'running' }");
  const fails = (): never => {
    throw new Error('nobody there');
  };
  await expect(waitUntil('an answer', fails, () => true, SHORT)).rejects.toThrow('waited 0.03 s for an answer; last error: nobody there');
  await expect(waitUntilRight('peace', () => ['a quarrel'], SHORT)).rejects.toThrow("last seen: [ 'a quarrel' ]");
});

test('shows large values in part', () => {
  expect(show('x'.repeat(10_000)).length).toBeLessThan(5_000);
});
