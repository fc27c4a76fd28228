import { createFleetReader } from '@opamp-gateway/coordinator/bus/fleet-reader';
import { systemClock } from '@opamp-gateway/shared/clock';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, finishRollout, flushAgents, settleRollout } from '@opamp-gateway/shared/redis/agent-scripts';
import type { RowWrite } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const ROLLOUT = 'r1';

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
});

interface Played {
  readonly uid: string;
  readonly version: string;
  readonly region: string;
  epoch: string;
}

function lab(keys: Keys = redis.keys()) {
  const { client } = redis;
  const shardFor = (uid: string): ShardKeys => keys.shards[shardOf(uid)] as ShardKeys;
  const fleet = createFleetReader({ client, keys, clock: systemClock });
  return {
    keys,
    fleet,
    async connect(count: number, describeAgent: (index: number) => { version: string; region: string }): Promise<Played[]> {
      return await Promise.all(
        uidsOf(count).map(async (uid, index): Promise<Played> => {
          const [reply] = await claimAgents(client, shardFor(uid), { gateway: 'gw', mode: 'force', uids: [uid] });
          if (reply?.kind !== 'ok') throw new Error(`agent ${uid} was not claimed`);
          return { uid, epoch: reply.epoch, ...describeAgent(index) };
        }),
      );
    },
    async report(agents: readonly Played[], status: RowWrite['status'], error = '', attempt = 1, deadlineInMs = 60_000): Promise<void> {
      await Promise.all(
        agents.map(({ uid, epoch, version, region }) =>
          flushAgents(client, shardFor(uid), 'gw', [
            {
              uid,
              epoch,
              release: false,
              group: 'prod',
              takesConfig: true,
              facets: ['group=prod', `version=${version}`].join('\n'),
              effective: undefined,
              set: {
                attributes: JSON.stringify({ identifying: { 'os.type': 'linux' }, nonIdentifying: { region, 'os.type': 'other' } }),
                labels: JSON.stringify({ ring: 'one' }),
              },
              del: [],
              rows: [{ rollout: ROLLOUT, wave: '0', status, attempt, deadlineInMs, ackTimeoutMs: deadlineInMs, soft: false, error }],
            },
          ]),
        ),
      );
    },
    settle: (): Promise<unknown> =>
      Promise.all(keys.shards.map((shard) => settleRollout(client, shard, { rollout: ROLLOUT, judge: true, limit: 1_000 }))),
    groups: () => fleet.failureGroups(ROLLOUT),
  };
}

const refusal = (index: number): string => `'exporters' unknown type: "kafka2" in /etc/otel/${index}/a.yaml at 10.0.0.${index % 250}:4317`;
const NORMALISED = `'exporters' unknown type: "kafka2" in <path> at <address>`;

describe('failures of a rollout', () => {
  it('are counted by what they have in common, and stay when the agents are taken back', async () => {
    const { connect, report, groups, fleet } = lab();
    await fleet.countFailuresBy(ROLLOUT, ['region', 'os.type', 'label.ring']);
    const agents = await connect(60, (index) => ({ version: index < 50 ? '0.149.0' : '0.150.0', region: index % 3 === 0 ? 'eu' : 'us' }));
    await report(agents, 'offered');
    for (const [index, agent] of agents.entries()) await report([agent], 'failed', index < 40 ? refusal(index) : 'out of memory');
    const expected = {
      total: 60,
      omitted: 0,
      byMessage: [
        { status: 'failed', message: NORMALISED, count: 40 },
        { status: 'failed', message: 'out of memory', count: 20 },
      ],
      byVersion: [
        { version: '0.149.0', count: 50 },
        { version: '0.150.0', count: 10 },
      ],
      byStratum: [
        { stratum: { region: 'us', 'os.type': 'linux', 'label.ring': 'one' }, count: 40 },
        { stratum: { region: 'eu', 'os.type': 'linux', 'label.ring': 'one' }, count: 20 },
      ],
    };
    expect(await groups()).toMatchObject(expected);
    const [first] = (await groups()).byMessage;
    expect(first?.examples.length).toBe(5);
    expect(agents.slice(0, 40).map(({ uid }) => uid)).toEqual(expect.arrayContaining(first?.examples ?? []));

    await report(agents, 'restoring');
    await report(agents, 'restored');
    expect(await groups()).toMatchObject(expected);
    expect(await fleet.failures(ROLLOUT, 1_000)).toMatchObject({ total: 60, items: { length: 60 } });
  });

  it('are listed up to a limit, each once, without reading the others', async () => {
    const { connect, report, fleet, keys } = lab();
    const agents = await connect(700, () => ({ version: '1', region: 'eu' }));
    await report(agents, 'failed', 'no'.repeat(40));
    const lists = await Promise.all([0, 1, 250, 700, 5_000].map(async (limit) => await fleet.failures(ROLLOUT, limit)));
    expect(lists.map(({ items, total }) => [items.length, total])).toEqual([
      [0, 700],
      [1, 700],
      [250, 700],
      [700, 700],
      [700, 700],
    ]);
    const uids = lists.map(({ items }) => items.map(({ uid }) => uid));
    for (const list of uids) expect(new Set(list).size).toBe(list.length);
    expect(new Set(uids[4])).toEqual(new Set(agents.map(({ uid }) => uid)));
    expect(uids[2]).toEqual(uids[4]?.slice(0, 250));
    expect(lists[2]?.items[0]).toMatchObject({ status: 'failed', wave: '0', error: 'no'.repeat(40) });
    // The fields that nobody asked for stay where they are.
    const shards = await Promise.all(keys.shards.map(async (shard) => await redis.client.hlen(shard.rolloutFailures(ROLLOUT))));
    expect(shards.reduce((sum, size) => sum + size, 0)).toBe(700);
  });

  it('are counted once for each agent, under what it failed with last, and no more once it has applied it', async () => {
    const { connect, report, groups, settle } = lab();
    const agents = await connect(10, () => ({ version: '1', region: 'eu' }));
    await report(agents, 'offered', '', 1, 0);
    await settle();
    expect((await groups()).byMessage).toMatchObject([{ status: 'timedOut', message: 'did not answer the offer in time', count: 10 }]);
    for (let times = 0; times < 3; times += 1) await report(agents.slice(0, 4), 'failed', refusal(1));
    expect((await groups()).byMessage).toMatchObject([
      { status: 'timedOut', count: 6 },
      { status: 'failed', message: NORMALISED, count: 4 },
    ]);
    await report(agents.slice(4), 'applied');
    await report(agents.slice(0, 3), 'offered', '', 2);
    await report(agents.slice(0, 3), 'applied', '', 2);
    const left = await groups();
    expect(left).toMatchObject({
      total: 1,
      byMessage: [{ status: 'failed', count: 1 }],
      byVersion: [{ version: '1', count: 1 }],
      byStratum: [],
    });
    expect(left.byMessage[0]?.examples).toEqual([agents[3]?.uid]);
  });

  it('go with the rollout', async () => {
    const { connect, report, keys } = lab();
    const agents = await connect(3, () => ({ version: '1', region: 'eu' }));
    await report(agents, 'failed', 'no');
    const shard = keys.shards[shardOf(agents[0]?.uid ?? '')] as ShardKeys;
    for (const key of [shard.rolloutFailureGroups(ROLLOUT), shard.rolloutFailing(ROLLOUT)]) expect(await redis.client.ttl(key)).toBe(-1);
    await finishRollout(redis.client, shard, ROLLOUT, 60);
    for (const key of [shard.rolloutFailureGroups(ROLLOUT), shard.rolloutFailing(ROLLOUT)])
      expect(await redis.client.ttl(key)).toBeGreaterThan(0);
  });
});
