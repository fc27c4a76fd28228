import { describe, expect, it } from 'vitest';
import { addGroup, agentFields, createFakeApi, uidOf } from '../../../test-support/api-fakes.ts';
import type { FakeApi } from '../../../test-support/api-fakes.ts';

const BODY = 'exporters: {debug: {verbosity: basic}}\n';

/** A group whose stable version is BODY, and agents that say they applied it. */
async function withFleet(effective: readonly (string | undefined)[]): Promise<FakeApi> {
  const api = await createFakeApi();
  const { body } = await api.call('PUT', '/configs/base', BODY);
  const hash = String(body['hash']);
  addGroup(api.state, 'prod', 'env=prod', { stable: { name: 'base', version: 1, hash } });
  for (const [index, text] of effective.entries()) {
    api.state.agents.set(uidOf(index), agentFields({ group: 'prod', reportedHash: hash, reportedStatus: 'APPLIED' }));
    const files = { '': { body: text ?? '', contentType: 'text/yaml' } };
    if (text !== undefined) api.state.effective.set(uidOf(index), { atMs: 0, files, truncated: false });
  }
  return api;
}

const driftOf = async (api: FakeApi, index: number): Promise<unknown> => (await api.call('GET', `/agents/${uidOf(index)}`)).body['drift'];

describe('GET /agents/{uid} drift', () => {
  it('says what an agent runs otherwise', async () => {
    const api = await withFleet([BODY, 'exporters: {debug: {verbosity: detailed}}']);
    expect(await driftOf(api, 0)).toMatchObject({ state: 'none', differences: [] });
    expect(await driftOf(api, 1)).toMatchObject({
      state: 'drifted',
      differences: [{ path: 'exporters::debug::verbosity', change: 'changed', desired: 'basic', effective: 'detailed' }],
    });
  });

  it('is pending until the agent has applied what is desired, and unknown where nothing is', async () => {
    const api = await withFleet([BODY, BODY, undefined, BODY]);
    Object.assign(api.state.agents.get(uidOf(0)) ?? {}, { reportedStatus: 'APPLYING' });
    Object.assign(api.state.agents.get(uidOf(1)) ?? {}, { attributes: JSON.stringify({ identifying: {}, nonIdentifying: {} }) });
    // Takes configs and never says what became of them: judged by what it runs.
    Object.assign(api.state.agents.get(uidOf(3)) ?? {}, { capabilities: '7', reportedStatus: 'UNSET', reportedHash: '' });
    expect(await driftOf(api, 0)).toMatchObject({ state: 'pending', reason: 'base@1 has not been applied yet' });
    expect(await driftOf(api, 1)).toMatchObject({ state: 'unknown', reason: 'no config is desired' });
    expect(await driftOf(api, 2)).toMatchObject({ state: 'unknown', reason: 'no effective config has been reported yet' });
    expect(await driftOf(api, 3)).toMatchObject({ state: 'none' });
  });
});

describe('GET /fleet/drift', () => {
  it('counts states and lists the drifted', async () => {
    const api = await withFleet([BODY, 'exporters: {}', undefined]);
    const { body } = await api.call('GET', '/fleet/drift?selector=env%3Dprod');
    expect(body).toMatchObject({ agents: 3, compared: 3, sampled: false, states: { none: 1, drifted: 1, pending: 0, unknown: 1 } });
    expect(body.items).toMatchObject([
      { uid: uidOf(1), group: 'prod', desired: { name: 'base', version: 1 }, drift: { state: 'drifted' } },
    ]);
    expect((await api.call('GET', '/fleet/drift?group=-')).body).toMatchObject({ agents: 0, compared: 0, items: [] });
    expect((await api.call('GET', '/fleet/drift?selector=a%3D%3D')).status).toBe(422);
  });

  it('compares a choice and lists a part where there is more', async () => {
    const api = await withFleet(Array.from({ length: 30 }, () => 'exporters: {}'));
    const { body } = await api.call('GET', '/fleet/drift?compare=10&limit=3');
    expect(body).toMatchObject({ agents: 30, compared: 10, sampled: true, states: { drifted: 10 } });
    expect(body.items).toHaveLength(3);
    expect((await api.call('GET', '/fleet/drift?compare=2001')).status).toBe(400);
  });
});

describe('GET /fleet/abilities', () => {
  it('counts what connected agents announce', async () => {
    const api = await createFakeApi();
    api.state.agents.set(uidOf(1), agentFields());
    api.state.agents.set(uidOf(2), agentFields({ capabilities: '3' }));
    api.state.agents.set(uidOf(3), agentFields({ owner: '' }));
    expect((await api.call('GET', '/fleet/abilities')).body).toEqual({
      agents: 2,
      estimated: false,
      acceptsRemoteConfig: 2,
      reportsRemoteConfig: 1,
      reportsEffectiveConfig: 1,
      reportsHealth: 1,
    });
  });
});
