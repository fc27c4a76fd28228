import fc from 'fast-check';
import { expect, it } from 'vitest';
import { planRebalance } from './rebalance.ts';

const gateway = (id: string, connected: number, rest = {}) => ({ id, connected, alive: true, draining: false, ...rest });

it('has the full ones send away what is above the mean', () => {
  expect(planRebalance([gateway('a', 300), gateway('b', 100), gateway('c', 200)], 10)).toEqual({
    mean: 200,
    sheds: [{ id: 'a', connected: 300, count: 100 }],
  });
});

it('leaves a difference within the tolerance alone', () => {
  expect(planRebalance([gateway('a', 105), gateway('b', 95)], 10).sheds).toEqual([]);
  expect(planRebalance([gateway('a', 105), gateway('b', 95)], 4).sheds).toEqual([{ id: 'a', connected: 105, count: 5 }]);
});

it('does not count gateways that are gone or drain', () => {
  const gateways = [gateway('a', 100), gateway('b', 100), gateway('gone', 0, { alive: false }), gateway('drains', 0, { draining: true })];
  expect(planRebalance(gateways, 10)).toEqual({ mean: 100, sheds: [] });
});

it('never sends more away than the others may take up to the mean', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(10_000), { maxLength: 20 }), fc.nat(100), (loads, tolerance) => {
      const { mean, sheds } = planRebalance(
        loads.map((load, index) => gateway(String(index), load)),
        tolerance,
      );
      const room = loads.reduce((sum, load) => sum + Math.max(0, mean - load), 0);
      expect(sheds.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(room);
      expect(sheds.every(({ count, connected }) => count > 0 && count < connected)).toBe(true);
    }),
  );
});
