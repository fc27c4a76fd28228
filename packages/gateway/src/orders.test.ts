import { createManualClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { expect, it } from 'vitest';
import { OrderDesk } from './orders.ts';

const NONE = { drainMs: null, shed: null };

function desk(agents: number) {
  const clock = createManualClock();
  const open = new Set(Array.from({ length: agents }, (_, index) => index));
  let changes = 0;
  const orders = new OrderDesk({
    clock,
    logger: createSilentLogger(),
    connections: () => [...open].map((index) => ({ close: () => void open.delete(index) })),
    onChanged: () => {
      changes += 1;
    },
  });
  /** Step by step: what waits for a timer sets the next one only afterwards. */
  const pass = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += 50) {
      clock.advance(50);
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  return { orders, open, pass, changes: () => changes };
}

it('drains over the window, once, however often it is told', async () => {
  const { orders, open, pass, changes } = desk(100);
  orders.follow({ ...NONE, drainMs: 1_000 });
  orders.follow({ ...NONE, drainMs: 1_000 });
  expect(orders.draining).toBe(true);
  expect(open.size).toBe(95);
  await pass(500);
  expect(open.size).toBeGreaterThan(30);
  expect(open.size).toBeLessThan(70);
  await pass(600);
  expect(open.size).toBe(0);
  expect(orders.draining).toBe(true);
  expect(changes()).toBe(1);
});

it('stops in the middle when the drain is taken back, and can drain again', async () => {
  const { orders, open, pass, changes } = desk(100);
  orders.follow({ ...NONE, drainMs: 1_000 });
  await pass(300);
  orders.follow(NONE);
  const left = open.size;
  await pass(2_000);
  expect(open.size).toBe(left);
  expect(left).toBeGreaterThan(0);
  expect(orders.draining).toBe(false);
  orders.follow({ ...NONE, drainMs: 0 });
  expect(open.size).toBe(0);
  expect(changes()).toBe(3);
});

it('sends so many away once for each order, and goes on serving', async () => {
  const { orders, open, pass } = desk(100);
  const shed = { id: 'first', count: 20, windowMs: 200 };
  orders.follow({ ...NONE, shed });
  await pass(1_000);
  orders.follow({ ...NONE, shed });
  await pass(1_000);
  expect(open.size).toBe(80);
  expect(orders.draining).toBe(false);
  orders.follow({ ...NONE, shed: { ...shed, id: 'second' } });
  await pass(1_000);
  expect(open.size).toBe(60);
  orders.follow({ ...NONE, shed: { ...shed, id: 'third', count: 500 } });
  await pass(1_000);
  expect(open.size).toBe(0);
});
