import { expect, test } from 'vitest';
import { DeadlineError } from './deadline.ts';
import { Mailbox } from './mailbox.ts';

const DEADLINE_MS = 10_000;

test('items come in order, to those who want them', async () => {
  const box = new Mailbox<number>();
  box.push(1);
  box.push(2);
  const even = box.take('an even number', DEADLINE_MS, (item) => item % 2 === 0);
  const later = box.take('a big number', DEADLINE_MS, (item) => item > 10);
  box.push(3);
  box.push(11);
  await expect(Promise.all([even, later])).resolves.toEqual([2, 11]);
  expect([box.poll(), box.poll(), box.poll()]).toEqual([1, 3, undefined]);
});

test('a reader that gave up takes nothing away from the next', async () => {
  const box = new Mailbox<string>();
  await expect(box.take('anything', 10)).rejects.toThrow(DeadlineError);
  box.push('x');
  await expect(box.take('x', DEADLINE_MS)).resolves.toBe('x');
});

test('after the end, what is there can be read and then the reason comes', async () => {
  const box = new Mailbox<string>();
  const waiting = box.take('b', DEADLINE_MS, (item) => item === 'b');
  box.push('a');
  box.end(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  await expect(box.take('a', DEADLINE_MS)).resolves.toBe('a');
  await expect(box.take('more', DEADLINE_MS)).rejects.toThrow('gone');
});
