/** Supervisors of several versions in one group: I2, I3, I7 and I9 by `expectTruth`. */
import { expect, test } from 'vitest';
import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import type { ProfileName } from '@opamp-gateway/loadtest/agent-profile';
import { HEARTBEAT_MS } from '../support/fleet.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY } from '../support/rollouts.ts';
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
