/** Reports twice, late, about something else: I1, I2, I3, I7 and I9 by `expectTruth`, I6 by each status that must stand. */
import { expect, test, type TestContext } from 'vitest';
import type { TestAgent } from '../conformance/test-agent.ts';
import {
  AGENT,
  type AgentMessage,
  asksFullState,
  CONFIG_STATUS,
  DEFAULT_CAPABILITIES,
  encodeMessage,
  newUid,
  REQUEST_INSTANCE_UID,
  toHex,
  uidText,
  withHeader,
} from '../conformance/wire.ts';
import type { ApiClient, RolloutView } from '../support/api-client.ts';
import { shareStack } from '../support/lifetimes.ts';
import { RawAgents } from '../support/raw-agents.ts';
import { collectorConfig } from '../support/collector-config.ts';
import { Deployment, expectCountersAreRows, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 1 });

/** Everybody at once, then a soak that only `promote` ends, so that counters and rows can be looked at. */
const HELD_OPEN = { ...FAST_STRATEGY, waves: [{ size: { percent: 100 }, soak: '1h' }], ackTimeout: '60s', gates: [] };

function openAgents(context: TestContext): RawAgents {
  const agents = new RawAgents(stack());
  context.onTestFinished(() => agents.close());
  return agents;
}

/** Waits until the API knows these agents as members of the group, so that a rollout reaches all of them. */
async function waitUntilKnown(api: ApiClient, group: string, count: number): Promise<void> {
  await waitUntil(
    `the API to know ${count} agents of ${group}`,
    async () => (await api.listAgents({ group, connected: 'true' })).length,
    (known) => known === count,
  );
}

async function waitForCounts(api: ApiClient, id: string, counts: Readonly<Record<string, number>>): Promise<RolloutView> {
  const text = JSON.stringify(counts);
  return await waitForRollout(api, id, `to count ${text}`, (rollout) => JSON.stringify(rollout.counts) === text);
}

async function applyOffer(agent: TestAgent): Promise<Uint8Array> {
  const { hash } = await agent.untilOffer();
  await agent.reportConfig(hash, CONFIG_STATUS.applying);
  await agent.reportConfig(hash, CONFIG_STATUS.applied);
  return hash;
}

test('reports that come twice, late, or about an older config change nothing that was decided', async (context) => {
  const { api } = stack();
  const agents = openAgents(context);
  const attributes = { env: 'repeating' };
  const deployment = await Deployment.create(api, { name: 'repeating', selector: 'env=repeating' });
  const crew = await Promise.all(
    Array.from({ length: 4 }, async (_, index) => await agents.start(`gateway-${1 + (index % 2)}`, { attributes })),
  );
  await waitUntilKnown(api, 'repeating', 4);
  const first = await deployment.store('repeating 1');
  const firstId = await deployment.start(first, { ...FAST_STRATEGY, waves: [{ size: { percent: 100 }, soak: '0s' }] });
  await Promise.all(crew.map(applyOffer));
  await deployment.finish(firstId, 'succeeded');

  const second = await deployment.store('repeating 2');
  const id = await deployment.start(second, HELD_OPEN);
  const [twice, late, old, bytes] = crew as [TestAgent, TestAgent, TestAgent, TestAgent];
  for (const agent of crew) agent.mark();
  const offers = await Promise.all(crew.map(async (agent) => (await agent.untilOffer()).hash));
  expect(offers.map(toHex)).toEqual(new Array(4).fill(second.hash));
  const hash = offers[0] as Uint8Array;
  const firstHash = Buffer.from(first.hash, 'hex');

  await twice.reportConfig(hash, CONFIG_STATUS.applying);
  await twice.reportConfig(hash, CONFIG_STATUS.applied);
  await twice.reportConfig(hash, CONFIG_STATUS.applied);
  await twice.reportConfig(hash, CONFIG_STATUS.applying);
  // Out of order: the verdict comes before the message that it had begun.
  await late.reportConfig(hash, CONFIG_STATUS.applied);
  await late.reportConfig(hash, CONFIG_STATUS.applying);
  // The config of before, as a retry of an old message would say.
  await old.reportConfig(firstHash, CONFIG_STATUS.applied);
  await old.reportConfig(firstHash, CONFIG_STATUS.failed, 'an old failure');
  await old.reportConfig(hash, CONFIG_STATUS.applied);
  await old.reportConfig(firstHash, CONFIG_STATUS.applied);
  // The same bytes again, as a client does whose answer got lost.
  const body = encodeMessage(
    bytes.next({ remoteConfigStatus: { lastRemoteConfigHash: hash, status: CONFIG_STATUS.applied, errorMessage: '' } }),
  );
  await bytes.sendBytes(body);
  await bytes.sendBytes(body);

  await waitForCounts(api, id, { applied: 4 });
  await expectCountersAreRows(api, id);
  expect(crew.map(({ offers: all }) => all.filter(({ hashHex }) => hashHex === second.hash).length)).toEqual([1, 1, 1, 1]);
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  await api.act(id, 'promote');
  await deployment.finish(id, 'succeeded');
});

test('APPLIED that is sent in the moment in which the agent moves to another gateway is counted once', async (context) => {
  const { api } = stack();
  const agents = openAgents(context);
  const attributes = { env: 'moving-on' };
  const deployment = await Deployment.create(api, { name: 'moving-on', selector: 'env=moving-on' });
  const crew = await Promise.all(Array.from({ length: 20 }, async () => await agents.start('gateway-1', { attributes })));
  await waitUntilKnown(api, 'moving-on', 20);
  const config = await deployment.store('moving-on 1');
  const id = await deployment.start(config, HELD_OPEN);
  const offers = await Promise.all(crew.map(async (agent) => (await agent.untilOffer()).hash));
  const links = await Promise.all(crew.map(async () => await agents.connect('gateway-2')));

  await Promise.all(
    crew.map(async (agent, index) => {
      const status = { lastRemoteConfigHash: offers[index] as Uint8Array, status: CONFIG_STATUS.applied, errorMessage: '' };
      const former = agent.link;
      const link = links[index];
      if (link === undefined) throw new Error('there is no second connection');
      // Both in one tick, on two connections: the verdict to the one gateway, the next message to the other one. A third of
      // the agents breaks the first connection behind it, as a load balancer that goes away does.
      const verdict = withHeader(encodeMessage(agent.next({ remoteConfigStatus: status })));
      const next = encodeMessage(agent.next(index % 2 === 0 ? { remoteConfigStatus: status } : {}));
      if ('socket' in former) (former as typeof link).socket.sendBinary(verdict);
      agent.moveTo(link);
      const answer = agent.sendBytes(next);
      if (index % 3 === 0) former.abort();
      if (asksFullState(await answer)) await agent.send({ ...agent.fullState(), remoteConfigStatus: status });
    }),
  );

  await waitForCounts(api, id, { applied: 20 });
  await expectCountersAreRows(api, id);
  expect(crew.map(({ offers: all }) => all.length)).toEqual(new Array(20).fill(1));
  const views = await api.listAgents({ group: 'moving-on' });
  expect(new Set(views.map(({ gateway }) => gateway?.split('.')[0]))).toEqual(new Set(['gateway-2']));
  await api.act(id, 'abort');
});

test('an agent that asks for a new uid while it applies keeps its row and its version', async (context) => {
  const { api } = stack();
  const agents = openAgents(context);
  const attributes = { env: 'renamed' };
  const deployment = await Deployment.create(api, { name: 'renamed', selector: 'env=renamed' });
  const [one, two] = [await agents.start('gateway-1', { attributes }), await agents.start('gateway-2', { attributes })];
  await waitUntilKnown(api, 'renamed', 2);
  const config = await deployment.store('renamed 1');
  const id = await deployment.start(config, HELD_OPEN);
  const { hash } = await one.untilOffer();
  await applyOffer(two);

  const answer = await one.send({ flags: REQUEST_INSTANCE_UID });
  const fresh = answer.agentIdentification?.newInstanceUid ?? new Uint8Array(0);
  expect(fresh).toHaveLength(16);
  const status = { lastRemoteConfigHash: hash, status: CONFIG_STATUS.applied, errorMessage: '' };
  const message = { ...one.next({ ...one.fullState(), remoteConfigStatus: status }), instanceUid: fresh };
  await one.link.exchange(fresh, encodeMessage(message));

  await waitUntil(
    'the API to know it under its new uid, on the new version',
    async () => (await api.getAgent(uidText(fresh))).config,
    ({ status: word, hash: reported }) => word === 'applied' && reported === config.hash,
  );
  // Under whichever uid, it was offered the version once, and is not offered it again.
  expect(one.offers).toHaveLength(1);
  expect(one.link.drainInbox(fresh).filter(({ remoteConfig }) => remoteConfig !== undefined)).toEqual([]);
  await api.act(id, 'abort');
});

/** Agents that take configs, tell their effective config and cannot report what became of one. */
async function startObservable(context: TestContext, name: string): Promise<{ deployment: Deployment; crew: TestAgent[] }> {
  const { api } = stack();
  const agents = openAgents(context);
  const deployment = await Deployment.create(api, { name, selector: `env=${name}` });
  const capabilities = DEFAULT_CAPABILITIES & ~AGENT.reportsRemoteConfig;
  const crew = await Promise.all(
    Array.from({ length: 3 }, async (_, index) => {
      return await agents.start(`gateway-${1 + (index % 2)}`, { attributes: { env: name }, capabilities, uid: newUid() });
    }),
  );
  await waitUntilKnown(api, name, 3);
  return { deployment, crew };
}

function effectiveConfig(text: string): AgentMessage {
  return { effectiveConfig: { configMap: { configMap: { '': { body: Buffer.from(text), contentType: 'text/yaml' } } } } };
}

const EVERYBODY = [{ size: { percent: 100 }, soak: '0s' }];

test('agents that cannot report and show the version among what they run are observed, and their wave passes', async (context) => {
  const { api } = stack();
  const { deployment, crew } = await startObservable(context, 'shown');
  const config = await deployment.store('shown 1');
  const id = await deployment.start(config, { ...HELD_OPEN, waves: EVERYBODY, healthHold: '500ms' });
  // With what a supervisor adds, and in another spelling.
  const shown = `${collectorConfig('shown 1').replace('timeout: 1s', 'timeout: 1000ms')}extensions:\n  opamp: {}\n`;
  await Promise.all(
    crew.map(async (agent) => {
      await agent.untilOffer();
      await agent.send(effectiveConfig(shown));
    }),
  );
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ observed: 3 });
  await expectCountersAreRows(api, id);
});

test('agents that cannot report and go on showing what they ran before are unverified once their time is over', async (context) => {
  const { api } = stack();
  const { deployment, crew } = await startObservable(context, 'unshown');
  const config = await deployment.store('unshown 1');
  const id = await deployment.start(config, { ...HELD_OPEN, waves: EVERYBODY, ackTimeout: '5s' });
  await Promise.all(crew.map(async (agent) => await agent.untilOffer()));
  const rollout = await waitForRollout(api, id, 'to be held', ({ holds }) => holds.length > 0);
  expect(rollout.counts).toEqual({ unverified: 3 });
  await expectCountersAreRows(api, id);
  await api.act(id, 'abort');
});

test('an agent that cannot report and turns unhealthy with the version takes it back from all of them', async (context) => {
  const { api } = stack();
  const { deployment, crew } = await startObservable(context, 'unwell');
  const id = await deployment.start(await deployment.store('unwell 1'), { ...HELD_OPEN, waves: EVERYBODY });
  await Promise.all(
    crew.map(async (agent) => {
      await agent.untilOffer();
      await agent.send(effectiveConfig(collectorConfig('unwell 1')));
    }),
  );
  await deployment.finish(id, 'succeeded');
  const second = await deployment.start(await api.putConfig('unwell', collectorConfig('x').replace('4317', '4999'), 'x'), {
    ...HELD_OPEN,
    failure: { maxCount: 0 },
  });
  for (const agent of crew) agent.mark();
  await Promise.all(crew.map(async (agent) => await agent.untilOffer()));
  await crew[0]?.send({ health: { healthy: false, lastError: 'exporter is down' } });
  const rollout = await deployment.finish(second, 'rolled_back');
  expect(rollout.counts).toEqual({ restored: 3 });
  const items = await api.getFailures(second);
  expect(items.map(({ uid, error }) => ({ uid, error }))).toEqual([
    { uid: uidText(crew[0]?.uid ?? new Uint8Array(16)), error: 'exporter is down' },
  ]);
});

test('agents that can neither report nor show what they run are unverified: a wave of them is held, and none is ever called applied', async (context) => {
  const { api } = stack();
  const agents = openAgents(context);
  const attributes = { env: 'mute' };
  const deployment = await Deployment.create(api, { name: 'mute', selector: 'env=mute' });
  const capabilities = DEFAULT_CAPABILITIES & ~AGENT.reportsRemoteConfig & ~AGENT.reportsEffectiveConfig;
  const crew = await Promise.all(
    Array.from({ length: 3 }, async () => await agents.start('gateway-1', { attributes, capabilities, uid: newUid() })),
  );
  await waitUntilKnown(api, 'mute', 3);
  const config = await deployment.store('mute 1');
  const id = await deployment.start(config, { ...HELD_OPEN, waves: [{ size: { percent: 100 }, soak: '0s' }] });
  const offers = await Promise.all(crew.map(async (agent) => (await agent.untilOffer()).hash));
  expect(offers.map(toHex)).toEqual(new Array(3).fill(config.hash));

  const rollout = await waitForRollout(api, id, 'to be held', ({ holds }) => holds.length > 0);
  expect(rollout.phase).toBe('running');
  expect(rollout.counts).toEqual({ unverified: 3 });
  expect(rollout.holdDetails.map(({ detail }) => detail).join()).toMatch(/acknowledge/);
  await api.act(id, 'abort');
});
