import { describe, expect, it } from 'vitest';
import { watchFailedRate } from './failed-rate-watch.ts';
import type { AlertStore } from './ports.ts';

function lab() {
  let state = '';
  const told: string[] = [];
  const store: Pick<AlertStore, 'stateOf' | 'change'> = {
    stateOf: async () => state,
    async change({ from, to, alert }) {
      if (from !== state) return false;
      state = to;
      told.push(alert.type);
      return true;
    },
  };
  const look = (failed: number, connected = 1_000) => watchFailedRate(store, { percent: 5, minAgents: 20 }, { connected, failed });
  return { look, told };
}

describe('watchFailedRate', () => {
  it('tells once above the limit and once when it is well below it', async () => {
    const { look, told } = lab();
    const outcomes = [];
    for (const failed of [0, 49, 50, 60, 30, 25, 24, 0]) outcomes.push(await look(failed));
    expect(outcomes).toEqual(['unchanged', 'unchanged', 'raised', 'unchanged', 'unchanged', 'unchanged', 'cleared', 'unchanged']);
    expect(told).toEqual(['fleet.failed_rate', 'fleet.failed_rate_over']);
  });

  it('is not disturbed by a few agents, nor by an empty fleet', async () => {
    const { look, told } = lab();
    await look(19, 19);
    await look(0, 0);
    expect(told).toEqual([]);
  });
});
