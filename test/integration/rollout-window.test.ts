/** Maintenance windows that close and open in the middle of a wave, with a clock that the test moves: they are minutes long at least. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineBench, FAST } from './support/engine-bench.ts';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const AGENTS = 40;
const MINUTE_MS = 60_000;
const IN_FLIGHT = 5;
const minuteOf = (atMs: number): string => new Date(atMs).toISOString().slice(11, 16);

let redis: RedisLab;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(async () => {
  await redis.stop();
});

/** A rollout in its second wave with five offers that nobody has answered; its window closes ten minutes after now and the next opens after twenty. */
async function inTheMiddle(more: Record<string, unknown> = {}): Promise<{ bench: EngineBench; id: string }> {
  const bench = await EngineBench.create(redis, AGENTS);
  const nowMs = await bench.nowMs();
  const at = (minutes: number): string => minuteOf(nowMs + minutes * MINUTE_MS);
  const schedule = {
    windows: [
      { from: at(-1), to: at(10) },
      { from: at(20), to: at(40) },
    ],
  };
  for (const agent of bench.gateway.agents.values())
    agent.answer = (hash) => (hash === bench.to.hash && bench.offered(bench.to) > 2 ? 'silent' : 'applied');
  const id = await bench.start({ ...FAST, ackTimeout: '1h', gates: [], maxInFlight: IN_FLIGHT, schedule, ...more });
  await bench.until(id, ({ waveIndex, counts }) => waveIndex === 1 && counts.offered === IN_FLIGHT);
  return { bench, id };
}

describe('a window that closes in the middle of a wave', () => {
  it('lets finish what is out and offers nobody new anything until the next one opens; time between them counts for no deadline', async () => {
    const { bench, id } = await inTheMiddle({ deadlines: { wave: '18m' } });
    bench.advance(11 * MINUTE_MS);
    await bench.until(id, ({ holds }) => holds.join() === 'window_closed');
    await bench.gateway.round();
    expect(bench.gateway.spec.rollouts.get('prod')).toMatchObject({ held: true, direction: 'forward' });
    expect(await bench.service.act(id, 'resume', { actor: 'tester' })).toMatchObject({
      kind: 'problem',
      detail: expect.stringContaining('window_closed'),
    });

    // Those that have it go on; newcomers and those that come back get the version before.
    for (const agent of bench.gateway.agents.values()) agent.answer = () => 'applied';
    const [away = ''] = [...bench.gateway.agents.values()].filter(({ offers }) => !offers.includes(bench.to.hash)).map(({ uid }) => uid);
    await bench.gateway.disconnect([away]);
    await bench.gateway.connect([away, ...uidsOf(10, 1_000)], { region: 'eu' });
    for (let round = 0; round < 6; round += 1) {
      await bench.gateway.round();
      await bench.engine.reconcile(id);
      bench.advance(MINUTE_MS);
    }
    const held = await bench.view(id);
    expect(held).toMatchObject({ phase: 'running', holds: ['window_closed'], waveIndex: 1, counts: { applied: 2 + IN_FLIGHT } });
    expect(bench.offered(bench.to)).toBe(2 + IN_FLIGHT);
    expect([...bench.gateway.agents.values()].filter(({ running }) => running === bench.stable.hash)).toHaveLength(
      AGENTS + 10 - 2 - IN_FLIGHT,
    );

    // 17 minutes after the start; the next window opens after 20.
    bench.advance(4 * MINUTE_MS);
    const done = await bench.until(id, ({ phase, holds }) => phase !== 'running' || holds.length === 0);
    expect(done.phase).toBe('running');
    expect((await bench.until(id, ({ phase }) => phase !== 'running')).counts).toEqual({ applied: AGENTS + 10 });
    expect((await bench.view(id)).phase).toBe('succeeded');
    const events = (await bench.service.events(id, 0)) ?? [];
    expect(events.filter(({ type }) => type.startsWith('hold.')).map(({ type, data }) => [type, data?.['hold']])).toEqual([
      ['hold.added', 'window_closed'],
      ['hold.removed', 'window_closed'],
    ]);
  });

  it('does not keep a failure from being judged: what is out and fails takes the rollout back at once', async () => {
    const { bench, id } = await inTheMiddle({ failure: { maxCount: 1 } });
    bench.advance(11 * MINUTE_MS);
    await bench.until(id, ({ holds }) => holds.join() === 'window_closed');
    for (const agent of bench.gateway.agents.values()) agent.answer = (hash) => (hash === bench.to.hash ? 'failed' : 'applied');
    const done = await bench.until(id, ({ phase }) => phase === 'rolled_back');
    expect(done.outcome).toContain('failure.maxCount');
    expect(done.counts).toEqual({ restored: 2 + IN_FLIGHT });
    expect(bench.offered(bench.to)).toBe(2 + IN_FLIGHT);
    expect([...bench.gateway.agents.values()].filter(({ offered }) => offered !== bench.stable.hash && offered !== '')).toEqual([]);
  });

  it('does not end a pause when the next one opens', async () => {
    const { bench, id } = await inTheMiddle();
    bench.advance(11 * MINUTE_MS);
    await bench.until(id, ({ holds }) => holds.join() === 'window_closed');
    await bench.service.act(id, 'pause', { actor: 'tester' });
    bench.advance(11 * MINUTE_MS);
    const view = await bench.until(id, ({ holds }) => holds.join() === 'manual');
    expect(view.phase).toBe('running');
    expect(bench.offered(bench.to)).toBe(2 + IN_FLIGHT);
  });
});
