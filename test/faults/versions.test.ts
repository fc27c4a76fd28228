/** Supervisors of several versions in one group: I2, I3, I7 and I9 by `expectTruth`. */
import { expect, test } from 'vitest';
import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import type { ProfileName } from '@opamp-gateway/loadtest/agent-profile';
import type { ConfigRef } from '../support/api-client.ts';
import { collectorConfig } from '../support/collector-config.ts';
import { HEARTBEAT_MS } from '../support/fleet.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, ONE_WAVE, waitForRollout } from '../support/rollouts.ts';
import { notOn } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 1 });

const EACH = 8;
const VERSIONS: readonly ProfileName[] = ['supervisor-0.159', 'supervisor-0.160', 'supervisor-0.161', 'no-heartbeat'];
/** A quarter of the fleet cannot acknowledge: it is judged by the effective config that it tells. */
const STRATEGY = { ...FAST_STRATEGY, unverified: { maxRatio: 0 } };

interface AgentDetail {
  readonly effective: { readonly files: Readonly<Record<string, unknown>> } | null;
  readonly drift: { readonly state: string; readonly reason: string };
}

const of = (records: readonly AgentRecord[], profile: ProfileName): readonly AgentRecord[] =>
  records.filter((record) => record.profile === profile);
const cannotTell = ({ profile }: AgentRecord): boolean => profile === 'supervisor-0.160';

test('supervisors before and after 0.160, and some without heartbeats, are rolled out together, each judged by what it can tell', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), {
    name: 'versions',
    agents: EACH * VERSIONS.length,
    profiles: VERSIONS.map((profile) => ({ profile, fraction: 1 / VERSIONS.length })),
  });
  const deployment = await Deployment.create(api, fleet);
  const first = await deployment.store('versions 1');
  const one = await deployment.finish(await deployment.start(first, STRATEGY), 'succeeded');
  expect(one.counts).toEqual({ applied: 3 * EACH, observed: EACH });
  await expectTruth(api, fleet, one.id, { isExcused: cannotTell, compareCounters: false });
  // Who cannot report is judged by what it shows: the whole map, or the one file that older ones forward.
  await waitUntilRight('every agent to run it and to show that it does', async () => {
    const records = await fleet.records();
    const problems = await Promise.all(
      records.map(async ({ uid, profile, running }) => {
        const { effective, drift } = (await api.call('GET', `/agents/${uid}`)) as AgentDetail;
        const files = Object.keys(effective?.files ?? {})
          .toSorted()
          .join();
        const wanted = profile === 'supervisor-0.160' || profile === 'supervisor-0.161' ? ',raw' : '';
        if (running === first.hash && files === wanted && drift.state === 'none') return [];
        return [`${profile} ${uid}: runs ${running}, shows "${files}", drift ${drift.state} ${drift.reason}`];
      }),
    );
    return problems.flat();
  });

  // Silence is no loss while the connection stands.
  const last = { sent: -1, atMs: 0 };
  await waitUntil(
    'agents without heartbeats to have said nothing for five intervals of the others',
    async () => {
      const sent = of(await fleet.records(), 'no-heartbeat').reduce((sum, { messagesSent }) => sum + messagesSent, 0);
      if (sent !== last.sent) Object.assign(last, { sent, atMs: performance.now() });
      return performance.now() - last.atMs;
    },
    (quietMs) => quietMs >= 5 * HEARTBEAT_MS,
  );
  const quiet = of(await fleet.records(), 'no-heartbeat');
  expect(quiet.filter(({ connected, connects }) => !connected || connects !== 1)).toEqual([]);

  // The upgrade from 0.160 to 0.161: agents of which nothing was known to be applied begin to report.
  const upgraded = of(await fleet.records(), 'supervisor-0.160').map(({ index }) => index);
  await fleet.control({ do: 'set-profile', profile: 'supervisor-0.161' }, { indexes: upgraded });
  await fleet.control({ do: 'restart-supervisor' }, { indexes: upgraded });
  await waitUntilRight('everybody to report the version, upgraded or not', async () => notOn(await fleet.records(), first.hash));
  const second = await deployment.store('versions 2');
  const two = await deployment.finish(await deployment.start(second, FAST_STRATEGY), 'succeeded');
  expect(two.counts).toEqual({ applied: VERSIONS.length * EACH });
  expect(notOn(await fleet.records(), second.hash)).toEqual([]);
  await expectTruth(api, fleet, two.id);
});

test('supervisors of 0.116, whose statuses prove little: a version that changes nothing, one that crashes, one that does nothing', async (context) => {
  const { api } = stack();
  const name = 'ancient';
  const fleet = await useFleet(context, stack(), {
    name,
    agents: EACH,
    profiles: [{ profile: 'supervisor-0.116', fraction: 1, overrides: { failOn: [{ kind: 'crash', match: { contains: '(crashing)' } }] } }],
  });
  const deployment = await Deployment.create(api, fleet);
  const patient = { ...ONE_WAVE, ackTimeout: '60s', gates: ['ackRatio'] };
  const first = await deployment.prove('ancient 1');

  // The same text as two files: another hash, and nothing to do. They say APPLYING, and nothing more, for ever.
  const [receivers = '', others = ''] = collectorConfig('ancient 1').split('\nprocessors:');
  const files = {
    base: { body: receivers, contentType: 'text/yaml' },
    '': { body: `processors:${others}`, contentType: 'text/yaml' },
  };
  const same = (await api.call('PUT', `/configs/${name}`, { body: { files, message: 'two files' } })) as ConfigRef;
  expect(same.hash).not.toBe(first.hash);
  const unchanged = await deployment.start(same, { ...patient, ackTimeout: '6s', unverified: { maxRatio: 1 } });
  const { counts } = await deployment.finish(unchanged, 'succeeded');
  const ends = (await fleet.records()).map(({ running, lastReported }) => [running, lastReported.status, lastReported.hash]);
  expect(ends).toEqual(new Array(EACH).fill([same.hash, 'APPLYING', same.hash]));
  // Healthy, and without a verdict when their time is over.
  expect((counts['unverified'] ?? 0) + (counts['observed'] ?? 0) + (counts['applied'] ?? 0)).toBe(EACH);

  // Both end in "Config apply timeout exceeded" when the timer runs out, which is no verdict yet: their health has a minute to be one.
  for (const marker of ['ancient 3 (crashing)', 'ancient 4']) {
    const text = collectorConfig(marker);
    const nop = text.replace(/receivers:\n(?: .*\n)+/, 'receivers:\n  nop:\n').replace('receivers: [otlp]', 'receivers: [nop]');
    const config = await api.putConfig(name, marker.includes('crashing') ? text : nop, marker);
    const id = await deployment.start(config, patient);
    const open = { phase: 'running', counts: { verifying: EACH } };
    await waitForRollout(api, id, 'to have heard of all', ({ counts }) => counts['verifying'] === EACH);
    const failed = (await fleet.records()).map(({ lastReported: { status, error }, health }) => `${status} ${error} ${health.healthy}`);
    expect(new Set(failed)).toEqual(new Set(['FAILED Config apply timeout exceeded false']));

    // After a restart they say APPLIED of whatever is on their disks. Of a version under which they are unhealthy that is not believed.
    if (marker.includes('crashing')) {
      await fleet.control({ do: 'restart-supervisor' });
      await waitUntilRight('them to say APPLIED', async () => saying(await fleet.records(), 'APPLIED', config.hash));
      await waitUntil(
        'the API to have heard it',
        async () => (await api.listAgents({ selector: fleet.selector })).filter(({ config: { status } }) => status === 'applied').length,
        (heard) => heard === EACH,
      );
    }
    expect(await api.getRollout(id)).toMatchObject(open);
    await api.act(id, 'abort');
    const rollout = await deployment.finish(id, 'rolled_back');
    expect(rollout.counts).toEqual({ restored: EACH });
    await waitUntilRight('everybody to run the version before', async () => notOn(await fleet.records(), same.hash));
    await expectTruth(api, fleet, id);
  }
});

/** Agents whose last report is another one. */
function saying(records: readonly AgentRecord[], status: string, hash: string): readonly string[] {
  return records
    .filter(({ lastReported }) => lastReported.status !== status || lastReported.hash !== hash)
    .map(({ index, lastReported }) => `agent ${index} says ${lastReported.status} of ${lastReported.hash}`);
}
