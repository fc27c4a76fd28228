/** A config is compared with the builds of the agents it is for, before and while it is rolled out. */
import { CONTRIB_COMPONENTS } from '@opamp-gateway/loadtest/available-components';
import { expect, test } from 'vitest';
import type { RolloutPreflight } from '../support/api-client.ts';
import { useFleet, shareStack } from '../support/lifetimes.ts';
import { collectorConfig } from '../support/collector-config.ts';
import { Deployment, FAST_STRATEGY, ONE_WAVE } from '../support/rollouts.ts';
import { offeredTo } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const stack = shareStack({ gateways: 2, coordinators: 1 });

const GROUP = 'mixed';
const WITHOUT_KAFKA = { ...CONTRIB_COMPONENTS, exporters: ['debug', 'otlp'] };
/** A supervisor as it comes, which tells no components: 0x7c47 without 0x4000. */
const SILENT_ABOUT_COMPONENTS = [{ profile: 'normal', fraction: 1, overrides: { capabilities: 0x3c47 } }] as const;

const CANARIES = {
  waves: [
    { size: { count: 4 }, soak: '0s' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

test('agents whose build lacks a component are counted, named, passed by, and left alone for ever', async (context) => {
  const { api } = stack();
  const attributes = { tier: GROUP };
  const able = await useFleet(context, stack(), { name: 'able', agents: 20, attributes });
  const unable = await useFleet(context, stack(), { name: 'unable', agents: 10, attributes, components: WITHOUT_KAFKA });
  const silent = await useFleet(context, stack(), { name: 'silent', agents: 5, attributes, profiles: SILENT_ABOUT_COMPONENTS });
  const deployment = await Deployment.create(api, { name: GROUP, selector: `tier=${GROUP}` });
  const before = await deployment.prove('before kafka');

  // The lists are asked from one agent of each build; counters of builds follow the agents' first reports.
  const yaml = collectorConfig('kafka').replace('exporters:\n', 'exporters:\n  kafka: {}\n').replace('[debug]', '[debug, kafka]');
  const preflight = await waitUntil(
    'the preflight to know all builds',
    async () => {
      const answer = await api.call('POST', '/configs/validate', { body: { yaml, group: GROUP } });
      return (answer as { preflight: RolloutPreflight }).preflight;
    },
    ({ agents, unable: lacking, unknown }) => agents === 35 && lacking === 10 && unknown === 5,
  );
  expect(preflight.lines[0]).toBe('this config needs the `kafka` exporter; 10 of 35 selected agents (1 build) lack it');
  const bySelector = await api.call('POST', '/configs/validate', { body: { yaml, selector: `tier=${GROUP}` } });
  expect(bySelector).toMatchObject({
    preflight: { agents: 35, unable: 10, unknown: 5, estimated: false },
    unchecked: ['exporters::kafka'],
    omitted: 0,
  });

  const config = await api.putConfig(GROUP, yaml);
  const body = { group: GROUP, config: { name: config.name, version: config.version } };
  const refused = await api.refusal('POST', '/rollouts', { body: { ...body, strategy: { missingComponents: 'refuse' } } });
  expect(refused).toMatchObject({ type: '/problems/invalid-rollout', status: 422 });
  expect(refused.errors?.[0]?.message).toMatch(/`kafka` exporter; 10 of 35 selected agents \(1 build\) lack it: build [0-9a-f]{12}$/);

  const strategy = { ...FAST_STRATEGY, ...CANARIES };
  const preview = await api.call('POST', '/rollouts?dryRun=true', { body: { ...body, strategy } });
  expect(preview).toMatchObject({ preflight: { unable: 10, unknown: 5 }, problems: [], warnings: ['agents_skipped'] });
  expect(preview).toMatchObject({
    diff: { unified: expect.stringMatching(/^--- mixed@1\n\+\+\+ mixed@2\n[^]*^\+ {2}kafka: \{\}$/m), truncated: false },
    validation: { errors: 0 },
  });

  const id = await deployment.start(config, strategy);
  const rollout = await deployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 25, skipped: 10 });
  expect(rollout.warnings).toContain('agents_skipped');
  expect(rollout.preflight).toMatchObject({ agents: 35, unable: 10, unknown: 5, needs: [{ kind: 'exporters', type: 'kafka' }] });
  // Of four canaries at least two are agents that nobody knew anything of; the others are as chance has it.
  const views = await api.listAgents({ rollout: id });
  const canaries = views.filter(({ rollouts }) => rollouts[id]?.wave === '0' && rollouts[id].status === 'applied');
  expect(canaries).toHaveLength(4);
  expect(canaries.filter(({ attributes: { env } }) => env === 'silent').length).toBeGreaterThanOrEqual(2);

  expect(offeredTo(await unable.records(), config.hash)).toEqual([]);
  expect(offeredTo([...(await able.records()), ...(await silent.records())], config.hash)).toHaveLength(25);

  // It is the group's proven version now; whoever could not load it is still not offered it, also after a reconnect.
  await unable.control({ do: 'restart-supervisor' });
  await unable.waitUntilConnected();
  await deployment.finish(await deployment.start(await deployment.store('without kafka again'), ONE_WAVE), 'succeeded');
  const records = await unable.records();
  expect(offeredTo(records, config.hash)).toEqual([]);
  expect(records.map(({ offers }) => offers.map(({ hash }) => hash)).every((hashes) => hashes.includes(before.hash))).toBe(true);
});

test('a rollout that no agent of the group could follow is refused', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'nobody', agents: 3, components: WITHOUT_KAFKA });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('before kafka');
  const yaml = collectorConfig('kafka').replace('exporters:\n', 'exporters:\n  kafka: {}\n').replace('[debug]', '[debug, kafka]');
  const { name, version } = await api.putConfig('nobody', yaml);
  const body = { group: 'nobody', config: { name, version } };
  await waitUntil(
    'the rollout to be refused',
    async () => await api.call('POST', '/rollouts?dryRun=true', { body }),
    (preview) => (preview as { problems: string[] }).problems.length === 1,
  );
  expect(await api.refusal('POST', '/rollouts', { body })).toMatchObject({ status: 422, detail: expect.stringContaining('no agent') });
});

test('the switches of a group decide what its configs may do', async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'switches', agents: 2 });
  const deployment = await Deployment.create(api, fleet);
  const provided = collectorConfig('from a file').replace('verbosity: basic', 'verbosity: ${file:/etc/verbosity}');
  const { name, version } = await api.putConfig('switches', provided);
  const body = { group: 'switches', config: { name, version }, strategy: ONE_WAVE };
  const put = async (policy: object): Promise<unknown> =>
    await api.call('PUT', '/groups/switches', { body: { selector: fleet.selector, priority: 10, policy } });

  expect(await put({ allowProviders: false })).toMatchObject({ policy: { allowProviders: false } });
  const refused = await api.refusal('POST', '/rollouts', { body });
  expect(refused).toMatchObject({ status: 422, errors: [{ path: 'config', message: expect.stringContaining('E_PROVIDER') }] });
  expect(
    await api.refusal('PUT', `/configs/switches?group=switches`, { body: { files: { '': { body: `${provided}#\n` } } } }),
  ).toMatchObject({
    type: '/problems/invalid-config',
  });

  const idle = 'receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {}\n';
  const idleBody = { files: { '': { body: idle } }, group: 'switches' };
  const idleRefused = await api.refusal('PUT', '/configs/idle', { body: idleBody });
  expect(idleRefused.errors?.map(({ code }) => code)).toContain('E_NO_PIPELINES');
  await put({ allowNoPipelines: true });
  expect(await api.call('PUT', '/configs/idle', { body: idleBody })).toMatchObject({ version: 1, validation: { errors: 0 } });
  // What one group allows another does not.
  await api.putGroup('strict', { selector: 'env=strict', priority: 5 });
  const strict = await api.refusal('POST', '/rollouts', { body: { group: 'strict', config: { name: 'idle', version: 1 } } });
  expect(strict.errors?.[0]?.message).toContain('E_NO_PIPELINES');
  await deployment.finish(await deployment.start({ name, version, hash: '' }, ONE_WAVE), 'succeeded');
});
