import { describe, expect, it } from 'vitest';
import { addGroup, addRollout, agentFields, createFakeApi, uidOf } from '../../../test-support/api-fakes.ts';
import type { FakeState } from '../../../test-support/api-fakes.ts';

const STABLE = { name: 'base', version: 1, hash: 'ab'.repeat(32) };

function addAgents(state: FakeState, count: number, over: Record<string, string> = {}): void {
  for (let index = 0; index < count; index += 1) state.agents.set(uidOf(state.agents.size), agentFields(over));
}

describe('groups', () => {
  it('creates, replaces, lists and deletes', async () => {
    const { call, state } = await createFakeApi();
    const created = await call('PUT', '/groups/prod', { selector: ' env=prod ', priority: 10 });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      name: 'prod',
      selector: 'env=prod',
      priority: 10,
      mode: 'manage',
      stable: null,
      activeRollout: null,
    });

    state.facets.set('group=prod|1', 7).set('group=prod|0', 3).set('group-health=prod=unhealthy|1', 2);
    const replaced = await call('PUT', '/groups/prod', { selector: 'env in (prod)', mode: 'observe' });
    expect(replaced.status).toBe(200);
    expect(replaced.body).toMatchObject({
      selector: 'env in (prod)',
      priority: 0,
      mode: 'observe',
      counts: { agents: 10, connected: 7, health: { unhealthy: 2 } },
    });

    await call('PUT', '/groups/a', { selector: '' });
    expect((await call('GET', '/groups')).body.items.map(({ name }) => name)).toEqual(['a', 'prod']);
    expect((await call('DELETE', '/groups/prod')).status).toBe(204);
    expect((await call('GET', '/groups/prod')).body).toMatchObject({ status: 404, type: '/problems/group-not-found' });
    expect((await call('DELETE', '/groups/prod')).body).toMatchObject({ status: 404 });
    expect(state.audit.map(({ action }) => action)).toEqual(['group.delete', 'group.put', 'group.put', 'group.put']);
  });

  it('says where a selector cannot be read', async () => {
    const { call } = await createFakeApi();
    const answer = await call('PUT', '/groups/a', { selector: 'env=' });
    expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-selector' });
    expect(answer.body['detail']).toContain('position 4');
    expect(answer.body['errors']).toEqual([
      { path: 'selector', message: 'at position 4: expected a value (an empty one is written ""), found the end' },
    ]);
  });

  it('says in words what a name may be', async () => {
    const { call } = await createFakeApi();
    const answer = await call('PUT', '/groups/my%20group', { selector: '' });
    const message = 'must be 1 to 63 letters (a to z), digits, ".", "_" or "-", and begin with a letter or digit';
    expect(answer.body).toMatchObject({ status: 400, detail: `params.name: ${message}`, errors: [{ path: 'params.name', message }] });
  });

  it('writes nothing when nothing changes', async () => {
    const { call, state } = await createFakeApi();
    await call('PUT', '/groups/a', { selector: 'b=1,a=1' });
    const before = state.spec['generation'];
    expect((await call('PUT', '/groups/a', { selector: 'b=1,a=1' })).status).toBe(200);
    expect(state.spec['generation']).toBe(before);
  });

  it('refuses another selector, priority or mode, and deletion, while a rollout is active', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod');
    addRollout(state, 'r1', 'prod');
    for (const body of [{ selector: 'env=stage' }, { selector: 'env=prod', priority: 1 }, { selector: 'env=prod', mode: 'observe' }]) {
      expect((await call('PUT', '/groups/prod', body)).body).toMatchObject({
        status: 409,
        type: '/problems/rollout-active',
        rollout: 'r1',
      });
    }
    expect((await call('DELETE', '/groups/prod')).body).toMatchObject({ status: 409, type: '/problems/rollout-active' });
    expect((await call('PUT', '/groups/prod', { selector: '"env" in (prod)' })).status).toBe(200);
    expect((await call('PUT', '/groups/prod?dryRun=true', { selector: 'env=stage' })).body).toMatchObject({
      dryRun: true,
      activeRollout: 'r1',
    });
  });
});

describe('offers outside rollouts that were stopped', () => {
  it('go on when somebody says so, which is noted once', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    state.spec['stable:prod'] = JSON.stringify({ stable: STABLE, previous: null, trailingHeld: true });
    expect((await call('GET', '/groups/prod')).body).toMatchObject({ trailingHeld: true });
    const lifted = await call('POST', '/groups/prod/resume', { reason: 'the backend is back' });
    expect([lifted.status, lifted.body['trailingHeld'], lifted.body['stable']]).toEqual([200, false, STABLE]);
    expect((await call('POST', '/groups/prod/resume', {})).status).toBe(200);
    expect(state.audit).toMatchObject([
      { action: 'group.trailing_lifted', target: 'group/prod', detail: { reason: 'the backend is back' } },
    ]);
    expect((await call('POST', '/groups/none/resume', {})).status).toBe(404);
  });
});

describe('the guard on the number of agents that change config', () => {
  it('lets 20 pass and asks for expectAgents above', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'old', 'env=prod', { stable: STABLE, priority: -1 });
    addAgents(state, 20);
    state.spec['stable:new'] = JSON.stringify({ stable: { ...STABLE, hash: 'cd'.repeat(32) }, previous: null });
    expect((await call('PUT', '/groups/new?dryRun=true', { selector: 'env=prod' })).body).toMatchObject({
      dryRun: true,
      agentsChanging: 0,
    });
    expect((await call('PUT', '/groups/new', { selector: 'env=none' })).status).toBe(201);
    expect((await call('PUT', '/groups/new?dryRun=true', { selector: 'env=prod' })).body).toMatchObject({ agentsChanging: 20, agents: 20 });
    addAgents(state, 1);
    const refused = await call('PUT', '/groups/new', { selector: 'env=prod' });
    expect(refused.body).toMatchObject({ status: 409, type: '/problems/expect-agents', agentsChanging: 21, estimated: false });
    expect((await call('PUT', '/groups/new', { selector: 'env=prod', expectAgents: 18 })).status).toBe(409);
    expect((await call('PUT', '/groups/new', { selector: 'env=prod', expectAgents: 19 })).status).toBe(200);
  });

  it('counts only agents that would be offered something new', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    addAgents(state, 1, { offered: STABLE.hash });
    addAgents(state, 1, { reportedHash: STABLE.hash });
    addAgents(state, 1, { capabilities: '1' });
    addAgents(state, 1, { pin: JSON.stringify({ id: 'p', config: { name: 'x', version: 1, hash: 'ee'.repeat(32) } }) });
    addAgents(state, 1, { failed: `${STABLE.hash}:r0:1` });
    addAgents(state, 1, { attributes: JSON.stringify({ identifying: {}, nonIdentifying: { env: 'stage' } }) });
    addAgents(state, 5);
    const widened = { selector: 'env in (prod,stage)' };
    expect((await call('PUT', '/groups/prod?dryRun=true', widened)).body).toMatchObject({ agentsChanging: 1 });
    expect((await call('PUT', '/groups/prod?dryRun=true', { ...widened, mode: 'observe' })).body).toMatchObject({ agentsChanging: 0 });
  });

  it('counts agents that leave management, and guards their number too', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    addAgents(state, 30, { reportedHash: STABLE.hash });
    addAgents(state, 1, { capabilities: '1' });
    addAgents(state, 1, { pin: JSON.stringify({ id: 'p', config: { name: 'x', version: 1, hash: 'ee'.repeat(32) } }) });
    const leaving = { agentsChanging: 0, agentsLeaving: 30, agentsAffected: 30 };
    for (const change of [{ selector: 'env=none' }, { selector: 'env=prod', mode: 'observe' }]) {
      expect((await call('PUT', '/groups/prod?dryRun=true', change)).body).toMatchObject(leaving);
      const refused = await call('PUT', '/groups/prod', change);
      expect(refused.body).toMatchObject({ status: 409, type: '/problems/expect-agents', ...leaving });
      expect(refused.body['detail']).toContain('30 would leave management');
    }
    expect((await call('DELETE', '/groups/prod?dryRun=true')).body).toMatchObject(leaving);
    expect((await call('DELETE', '/groups/prod')).status).toBe(409);
    expect((await call('DELETE', '/groups/prod?expectAgents=30')).status).toBe(204);
    expect(state.audit[0]).toMatchObject({ action: 'group.delete', detail: { agentsLeaving: 30 } });
  });

  it('projects from a sample in a large fleet, and says so', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    addAgents(state, 10, { attributes: JSON.stringify({ identifying: {}, nonIdentifying: { env: 'stage' } }) });
    addAgents(state, 10, { reportedHash: STABLE.hash });
    state.pretendTotal = 400_000;
    const answer = await call('PUT', '/groups/prod?dryRun=true', { selector: 'env in (prod,stage)' });
    expect(answer.body).toMatchObject({ agentsChanging: 200_000, estimated: true, sampled: 20, agents: 400_000 });
  });

  it('guards deletion too, by body or by query', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE, priority: 5 });
    addGroup(state, 'rest', '', { stable: { ...STABLE, hash: 'cd'.repeat(32) } });
    addAgents(state, 30, { reportedHash: STABLE.hash });
    expect((await call('DELETE', '/groups/prod?dryRun=true')).body).toMatchObject({ dryRun: true, agentsChanging: 30 });
    expect((await call('DELETE', '/groups/prod')).body).toMatchObject({ status: 409, type: '/problems/expect-agents' });
    expect((await call('DELETE', '/groups/prod', { expectAgents: 10 })).status).toBe(409);
    expect((await call('DELETE', '/groups/prod?expectAgents=30')).status).toBe(204);
  });
});
