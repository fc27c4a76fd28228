import { describe, expect, test } from 'vitest';
import { APPLY_MS, type Fleet } from '../support/fleet.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, ONE_WAVE, waitForRollout } from '../support/rollouts.ts';
import { notOn, offeredTo, tooManyAtOnce } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 2 });

/** Switches agents off and waits until everybody knows. */
async function switchOff(fleet: Fleet, indexes: readonly number[]): Promise<void> {
  await fleet.control({ do: 'offline' }, { indexes: [...indexes] });
  await waitUntil(
    'the API to show them as away',
    async () => (await stack().api.listAgents({ selector: fleet.selector, connected: 'false' })).length,
    (count) => count === indexes.length,
  );
}

async function switchOn(fleet: Fleet, indexes: readonly number[]): Promise<void> {
  await fleet.control({ do: 'online' }, { indexes: [...indexes] });
  await waitUntil(
    'the API to show all of them as connected',
    async () => (await stack().api.listAgents({ selector: fleet.selector, connected: 'true' })).length,
    (count) => count === fleet.size,
  );
}

describe('maxInFlightPer', () => {
  test('never has two agents of one failure domain under way, by their own account', async (context) => {
    const { api } = stack();
    const racks = ['a', 'b', 'c', 'd'];
    const fleet = await useFleet(context, stack(), { name: 'racks', agents: 24, attributes: { rack: { cycle: racks } } });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('racks 1');
    const config = await deployment.store('racks 2');
    const id = await deployment.start(config, {
      ...FAST_STRATEGY,
      waves: [
        { size: { count: 3 }, soak: '0s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
      maxInFlightPer: { by: 'rack', max: 1 },
    });
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 24 });
    const records = await fleet.records();
    for (const rack of racks) {
      const inRack = records.filter(({ attributes }) => attributes['rack'] === rack);
      expect(inRack).toHaveLength(6);
      expect(tooManyAtOnce(inRack, config.hash, { maxInFlight: 1, applyMs: APPLY_MS }), `rack ${rack}`).toEqual([]);
    }
    await expectTruth(api, fleet, id);
  });
});

describe('offline', () => {
  const away = [1, 5, 9];

  test('wait: the wave is not assigned before agents that are away have come back', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'awaited', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('awaited 1');
    await switchOff(fleet, away);
    const config = await deployment.store('awaited 2');
    const id = await deployment.start(config, { ...ONE_WAVE, offline: 'wait' });
    const waiting = await waitForRollout(
      api,
      id,
      'to wait for three',
      ({ waves, counts }) => waves[0]?.awaiting === 3 && counts['applied'] === 17,
    );
    expect([waiting.phase, waiting.waves[0]?.phase, waiting.holds]).toEqual(['running', 'assigning', []]);
    expect(notOn(await fleet.records({ indexes: away }), before.hash)).toEqual([]);

    await switchOn(fleet, away);
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 20 });
    expect([rollout.waves[0]?.counts, rollout.waves[0]?.awaiting]).toEqual([{ applied: 20 }, null]);
    await expectTruth(api, fleet, id);
  });

  test('exclude: whoever was away at the start gets nothing before the end, and then what is proven', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'excluded', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('excluded 1');
    await switchOff(fleet, away);
    const config = await deployment.store('excluded 2');
    const id = await deployment.start(config, { ...ONE_WAVE, waves: [{ size: { percent: 100 }, soak: '1h' }], offline: 'exclude' });
    await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');

    await switchOn(fleet, away);
    // One that was there at the start and was gone for a moment is no such agent.
    await fleet.control({ do: 'disconnect' }, { indexes: [2] });
    await waitUntilRight('every agent to have been judged since it is back', async () => {
      const views = await api.listAgents({ selector: fleet.selector });
      return views.filter(({ config: { desired } }) => desired === null).map(({ uid }) => uid);
    });
    const records = await fleet.records({ indexes: away });
    expect(offeredTo(records, config.hash)).toEqual([]);
    expect(notOn(records, before.hash)).toEqual([]);
    expect((await api.listAgents({ rollout: id })).length).toBe(17);

    await api.act(id, 'promote');
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.counts).toEqual({ applied: 17 });
    await waitUntilRight('everybody to run what is proven', async () => notOn(await fleet.records(), config.hash));
    await expectTruth(api, fleet, id, { compareCounters: false });
  });
});
