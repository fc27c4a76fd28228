import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentRecord, Fleet } from './fleet.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from './rollouts.ts';
import type { Stack, StackOptions } from './stack.ts';
import { atMost, notOn, offeredTo } from './truth.ts';

/** Agents come back in this many lots, evenly over the length of the storm. */
const LOTS = 50;
const STORM_MS = 10_000;
/** Seconds that a wave of half of the fleet takes at least, so that the storm comes in its middle. */
const WAVE_SECONDS = 8;

/** Three gateways with patience for the moments in which everybody connects at once on a busy machine. */
export const STORM_STACK: StackOptions = {
  gateways: 3,
  coordinators: 1,
  gatewayEnv: {
    OPAMP_GATEWAY_LEASE_RENEW_MS: '3000',
    OPAMP_GATEWAY_PING_INTERVAL_MS: '30000',
    OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS: '10',
  },
};

/** A fleet for {@link rolloutThroughStorm}: small messages, few heartbeats. */
export const STORM_FLEET = { lean: true, heartbeatMs: 30_000 } as const;

/**
 * Cuts the connections of all agents in the middle of the second wave of a rollout, lets them come back within ten seconds, and holds
 * the end of the rollout against what the agents know. Answers what is wrong. Rejects when a rollout does not end as it should.
 */
export async function rolloutThroughStorm(stack: Stack, fleet: Fleet): Promise<{ problems: string[]; detail: string }> {
  const { api } = stack;
  const { size } = fleet;
  const patience = { deadlineMs: 2 * fleet.patience.deadlineMs, pollMs: 250 };
  const deployment = await Deployment.create(api, fleet);
  const steady = { ...FAST_STRATEGY, maxInFlight: Math.ceil(size / 20), ackTimeout: '15m' };
  const former = await deployment.store(`${fleet.name} 1`);
  await deployment.finish(await deployment.start(former, steady), 'succeeded', patience);
  const config = await deployment.store(`${fleet.name} 2`);
  const waves = [
    { size: { count: 5 }, soak: '0s' },
    // Until the storm is over: a wave that passes in it passes by those who are there.
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ];
  // The health gate compares connections that were lost, and here all are.
  const perSecond = Math.ceil(size / 2 / WAVE_SECONDS);
  const rate = { start: perSecond, factor: 1, max: perSecond };
  const id = await deployment.start(config, { ...steady, rate, waves, gates: ['ackRatio'] });
  await waitForRollout(
    api,
    id,
    'to be in the middle of its second wave',
    ({ waveIndex, counts }) => waveIndex === 1 && (counts['applied'] ?? 0) >= size / 10,
    patience,
  );

  await fleet.control({ do: 'offline' });
  const before = await fleet.records();
  const startedMs = performance.now();
  for (let lot = 0; lot < LOTS; lot += 1) {
    const indexes = before.map(({ index }) => index).filter((index) => index % LOTS === lot);
    await fleet.control({ do: 'online' }, { indexes });
    await sleep(Math.max(0, ((lot + 1) * STORM_MS) / LOTS - (performance.now() - startedMs)));
  }
  await fleet.waitUntilConnected();
  const half = await waitForRollout(
    api,
    id,
    'to soak with everybody back who is in its second wave',
    ({ waves: [, wave], counts }) => wave?.phase === 'soaking' && counts['applied'] === size / 2,
    patience,
  );
  const inside = offeredTo(await fleet.records(), config.hash).length;
  await api.act(id, 'promote');
  const rollout = await deployment.finish(id, 'succeeded', patience);
  const endedMs = performance.now();
  await expectTruth(api, fleet, id);

  const records = await fleet.records();
  const touched = offeredTo(before, config.hash);
  const asked = sumOf(records, 'fullStateRequests') - sumOf(before, 'fullStateRequests');
  const problems = [
    ...before.filter(({ connected }) => connected).map(({ uid }) => `${uid} kept its connection`),
    ...(touched.length >= size / 10 && touched.length < size / 2
      ? []
      : [`${touched.length} of ${size} agents had an offer when all were cut`]),
    ...(inside === size / 2
      ? []
      : [`${inside} of ${size} agents had an offer in the soak of a wave of a half: ${JSON.stringify(half.counts)}`]),
    ...(rollout.counts['applied'] === size ? [] : [`counted ${JSON.stringify(rollout.counts)}`]),
    ...notOn(records, config.hash),
    ...records.flatMap((record) => [former, config].flatMap(({ hash }) => offeredOnce(record, hash))),
    // Who comes back says only what is new: its state is known on every gateway.
    ...(asked < size / 2 ? [] : [`${asked} full states were asked for`]),
    ...records.filter(({ connects }) => connects < 2).map(({ uid }) => `${uid} did not come back`),
  ];
  const detail =
    `${size} agents cut while ${touched.length} had an offer, back within ${STORM_MS / 1_000} s; ` +
    `${sumOf(records, 'connects') - sumOf(before, 'connects')} connects, ${asked} asked for their full state, ` +
    `all on the new version ${((endedMs - startedMs) / 1_000).toFixed(1)} s after the cut`;
  return { problems: [...atMost(problems)], detail };
}

function sumOf(records: readonly AgentRecord[], field: 'connects' | 'fullStateRequests'): number {
  return records.reduce((sum, record) => sum + record[field], 0);
}

/** Nothing is sent again to who has read it, whatever became of the connection. */
function offeredOnce({ uid, offers }: AgentRecord, hash: string): readonly string[] {
  const times = offers.filter((offer) => offer.hash === hash).length;
  return times === 1 ? [] : [`${uid} was offered ${hash.slice(0, 8)} ${times} times`];
}
