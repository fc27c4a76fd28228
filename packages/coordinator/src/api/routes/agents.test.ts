import { formatRow } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { describe, expect, it } from 'vitest';
import { addGroup, agentFields, createFakeApi, uidOf } from '../../../test-support/api-fakes.ts';

const STABLE = { name: 'base', version: 1, hash: 'ab'.repeat(32) };

function row(status: RowStatus): string {
  return formatRow({ wave: '0', status, attempt: 1, deadlineMs: 0, offeredAtMs: 0, ackTimeoutMs: 0, soft: false });
}

describe('GET /agents', () => {
  it('walks over all agents page by page, each once', async () => {
    const { call, state } = await createFakeApi();
    for (let index = 0; index < 25; index += 1) state.agents.set(uidOf(index), agentFields());
    const seen: unknown[] = [];
    let cursor = '';
    do {
      const { body } = await call('GET', `/agents?limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...body.items.map(({ uid }) => uid));
      cursor = (body['nextCursor'] as string | null) ?? '';
    } while (cursor !== '');
    expect(seen).toHaveLength(25);
    expect(new Set(seen).size).toBe(25);
  });

  it('filters by every field', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(
      uidOf(1),
      agentFields({ group: 'prod', reportedStatus: 'APPLIED', 'r:r1': row('applied'), labels: '{"tier":"gold"}' }),
    );
    state.agents.set(uidOf(2), agentFields({ group: '-', health: '0', reportedStatus: 'FAILED', 'r:r1': row('failed') }));
    state.agents.set(uidOf(3), agentFields({ owner: '', group: 'prod', lastSeen: '1700000005000' }));
    state.agents.set(uidOf(4), agentFields({ owner: 'http', transport: 'http' }));
    delete state.agents.get(uidOf(4))?.['health'];
    const matching = async (query: string): Promise<number[]> => {
      const { body } = await call('GET', `/agents?${query}`);
      return body.items.map(({ uid }) => Number.parseInt(String(uid).slice(-4), 16)).toSorted((a, b) => a - b);
    };
    expect(await matching('group=prod')).toEqual([1, 3]);
    expect(await matching('group=-')).toEqual([2, 4]);
    expect(await matching('transport=http')).toEqual([4]);
    expect(await matching('transport=ws&connected=true')).toEqual([1, 2]);
    expect(await matching('health=unhealthy')).toEqual([2]);
    expect(await matching('health=unknown')).toEqual([4]);
    expect(await matching('connected=false')).toEqual([3]);
    expect(await matching('gateway=http')).toEqual([4]);
    expect(await matching('status=applied')).toEqual([1]);
    expect(await matching('rollout=r1')).toEqual([1, 2]);
    expect(await matching('rollout=r1&status=failed')).toEqual([2]);
    expect(await matching('selector=label.tier%3Dgold')).toEqual([1]);
    expect(await matching('selector=env%3Dprod,label.tier!%3Dgold&connected')).toEqual([2, 4]);
  });

  it('refuses a row status without a rollout, and a selector that cannot be read', async () => {
    const { call } = await createFakeApi();
    expect((await call('GET', '/agents?status=restoring')).body).toMatchObject({ status: 400, type: '/problems/invalid-parameter' });
    expect((await call('GET', '/agents?selector=a%3D%3D')).body).toMatchObject({ status: 422, type: '/problems/invalid-selector' });
  });
});

describe('GET /agents/{uid}', () => {
  it('says in words what is known', async () => {
    const { call, state } = await createFakeApi({});
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    const history = [
      { hash: 'aa', status: 'APPLIED', atMs: 1_700_000_000_000 },
      { hash: STABLE.hash, status: 'FAILED', atMs: 1_700_000_001_000, error: 'no' },
    ];
    state.agents.set(
      uidOf(1),
      agentFields({
        group: 'prod',
        capabilities: '3',
        reportedHash: STABLE.hash,
        reportedStatus: 'APPLIED',
        failed: 'cc:r0:2',
        seq: '17',
        history: JSON.stringify(history),
        healthTree: JSON.stringify({ healthy: true, status: '', lastError: '' }),
        'r:r1': row('applied'),
      }),
    );
    const { body } = await call('GET', `/agents/${uidOf(1).toUpperCase()}`);
    expect(body).toMatchObject({
      uid: uidOf(1),
      connected: true,
      gateway: 'gw-1',
      group: 'prod',
      attributes: { 'service.name': 'otelcol', env: 'prod' },
      health: { status: 'healthy', since: '2023-11-14T22:13:20.000Z' },
      config: { status: 'applied', hash: STABLE.hash, desired: { ...STABLE, source: 'stable' }, inSync: true },
      rollouts: { r1: { wave: '0', status: 'applied' } },
      capabilities: ['ReportsStatus', 'AcceptsRemoteConfig'],
      failedHashes: [{ hash: 'cc', by: 'r0', attempt: 2 }],
      sequenceNum: '17',
      effective: null,
      lastSeenAt: null,
    });
    // Newest first, by name where the config is one of those in use.
    expect(body['history']).toMatchObject([
      { hash: STABLE.hash, config: { name: 'base', version: 1 }, status: 'failed', error: 'no' },
      { hash: 'aa', config: null, status: 'applied' },
    ]);
  });

  it('shows the effective config without secrets', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields());
    const files = { '': { body: 'exporters: {otlp: {headers: {authorization: hush}}}\n', contentType: 'text/yaml' } };
    state.effective.set(uidOf(1), { atMs: 1_700_000_000_000, files, truncated: false });
    const { body } = await call('GET', `/agents/${uidOf(1)}`);
    expect(JSON.stringify(body['effective'])).not.toContain('hush');
    expect(JSON.stringify(body['effective'])).toContain('[redacted]');
  });

  it.each(['GET', 'DELETE'] as const)('%s answers 404 for an agent that nobody knows, and 400 for what is no uid', async (method) => {
    const { call } = await createFakeApi();
    expect((await call(method, `/agents/${uidOf(9)}`)).body).toMatchObject({ status: 404, type: '/problems/agent-not-found' });
    expect((await call(method, '/agents/nine')).body).toMatchObject({ status: 400, type: '/problems/invalid-parameter' });
  });
});

describe('GET /agents by what they run', () => {
  it('finds those that run another config, that refused it, and that cannot say', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    const other = { reportedStatus: 'APPLIED', reportedHash: 'ee' };
    state.agents.set(uidOf(1), agentFields({ reportedStatus: 'APPLIED', reportedHash: STABLE.hash, group: 'prod' }));
    state.agents.set(uidOf(2), agentFields({ ...other, group: 'prod' }));
    state.agents.set(uidOf(3), agentFields({ reportedStatus: 'FAILED', reportedHash: STABLE.hash, group: 'prod' }));
    state.agents.set(uidOf(4), agentFields({ ...other, capabilities: '3', group: 'prod' }));
    state.agents.set(uidOf(5), agentFields({ ...other, capabilities: '1', group: 'prod' }));
    const attributes = JSON.stringify({ identifying: {}, nonIdentifying: { env: 'lab' } });
    state.agents.set(uidOf(6), agentFields({ ...other, attributes, group: '-' }));
    const found = async (sync: string): Promise<unknown[]> => (await call('GET', `/agents?sync=${sync}`)).body.items.map(({ uid }) => uid);
    for (const [index, sync] of ['synced', 'drifted', 'failed', 'unverified', 'unsupported', 'none'].entries())
      expect(await found(sync), sync).toEqual([uidOf(index + 1)]);
    expect((await call('GET', '/agents?sync=perhaps')).status).toBe(400);
  });
});

describe('labels and pins', () => {
  it('replaces labels, tells the gateway to look, and keeps an audit entry', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields());
    const answer = await call('PUT', `/agents/${uidOf(1)}/labels`, { labels: { 'team/a': 'x', tier: '' } });
    expect(answer.body).toMatchObject({ labels: { 'team/a': 'x', tier: '' } });
    expect(state.hints).toEqual([{ gateway: 'gw-1', shard: shardOf(uidOf(1) as InstanceUid) }]);
    expect(state.audit[0]).toMatchObject({ action: 'agent.labels', target: `agent/${uidOf(1)}` });
  });

  it.each([
    ['65 of them', Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, ''])), 'labels'],
    ['a value of 257 characters', { a: 'x'.repeat(257) }, 'labels.a'],
    ['a value of 258 bytes', { a: 'é'.repeat(129) }, 'labels.a'],
    ['a number', { a: 1 }, 'labels.a'],
    ['a name with spaces', { 'a b': '' }, 'labels.a b'],
  ])('refuses %s', async (_what, labels, path) => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields());
    const answer = await call('PUT', `/agents/${uidOf(1)}/labels`, { labels });
    expect(answer.body).toMatchObject({ status: 422, type: '/problems/invalid-body' });
    expect(answer.body.errors.map((error) => error['path'])).toContain(path);
  });

  it('pins to a version that exists, and lets go again', async () => {
    const { call, state } = await createFakeApi();
    addGroup(state, 'prod', 'env=prod', { stable: STABLE });
    state.agents.set(uidOf(1), agentFields({ owner: 'http', offered: STABLE.hash }));
    const { body: version } = await call('PUT', '/configs/own', 'a: 1');
    const path = `/agents/${uidOf(1)}/pin`;
    expect((await call('PUT', path, { config: { name: 'own', version: 2 } })).body).toMatchObject({
      status: 404,
      type: '/problems/config-not-found',
    });
    expect((await call('PUT', path, { config: { name: 'own' } })).status).toBe(422);
    expect((await call('PUT', `${path}?dryRun=true`, { config: { name: 'own', version: 1 } })).body).toMatchObject({
      dryRun: true,
      agentsChanging: 1,
    });
    expect(state.agents.get(uidOf(1))?.['pin']).toBeUndefined();

    const pinned = await call('PUT', path, { config: { name: 'own', version: 1 } });
    expect(pinned.body).toMatchObject({ pin: { name: 'own', version: 1, hash: version['hash'] }, config: { desired: { source: 'pin' } } });
    const first = state.agents.get(uidOf(1))?.['pin'];
    await call('PUT', path, { config: { name: 'own', version: 1 } });
    // A new id, so that a FAILED hash is free again.
    expect(state.agents.get(uidOf(1))?.['pin']).not.toBe(first);

    expect((await call('DELETE', `${path}?dryRun=true`)).body).toMatchObject({ agentsChanging: 0 });
    expect((await call('DELETE', path)).body).toMatchObject({ pin: null, config: { desired: { source: 'stable' } } });
    // An agent that polls has no gateway to tell.
    expect(state.hints).toEqual([]);
  });

  it('deletes only agents that are away', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields());
    state.agents.set(uidOf(2), agentFields({ owner: '' }));
    expect((await call('DELETE', `/agents/${uidOf(1)}`)).body).toMatchObject({ status: 409, type: '/problems/agent-connected' });
    expect((await call('DELETE', `/agents/${uidOf(2)}`)).status).toBe(204);
    expect([...state.agents.keys()]).toEqual([uidOf(1)]);
  });
});

describe('commands to an agent', () => {
  const RESTARTABLE = { capabilities: String(0x400) };

  it('is sent once, to the gateway that holds the connection', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields(RESTARTABLE));
    const answer = await call('POST', `/agents/${uidOf(1)}/restart`, { reason: 'stuck' });
    expect(answer.status).toBe(202);
    expect(state.sent).toEqual([{ gateway: 'gw-1', command: { type: 'restart', uid: uidOf(1) } }]);
    expect(state.audit[0]).toMatchObject({ action: 'agent.restart', detail: { reason: 'stuck' } });
  });

  it('is 409 when the agent cannot or is away, and nothing is sent', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields({ capabilities: '1' }));
    state.agents.set(uidOf(2), agentFields({ ...RESTARTABLE, owner: '' }));
    state.agents.set(uidOf(3), agentFields({ ...RESTARTABLE, owner: 'http' }));
    expect((await call('POST', `/agents/${uidOf(1)}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-unable' });
    expect((await call('POST', `/agents/${uidOf(2)}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-away' });
    expect((await call('POST', `/agents/${uidOf(3)}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-away' });
    expect((await call('POST', `/agents/${uidOf(4)}/restart`)).body).toMatchObject({ status: 404 });
    expect(state.sent).toEqual([]);
  });

  it('is 409 when the gateway refuses and 504 when it does not answer', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields(RESTARTABLE));
    state.commandOutcome = { kind: 'refused', reason: 'the agent has gone' };
    expect((await call('POST', `/agents/${uidOf(1)}/restart`)).body).toMatchObject({
      status: 409,
      type: '/problems/agent-unable',
      detail: 'gateway gw-1 refused: the agent has gone',
    });
    state.commandOutcome = { kind: 'timeout' };
    expect((await call('POST', `/agents/${uidOf(1)}/restart`)).body).toMatchObject({ status: 504, type: '/problems/gateway-timeout' });
    expect(state.sent).toHaveLength(2);
  });

  it('sends custom messages of capabilities that the agent announced', async () => {
    const { call, state } = await createFakeApi();
    state.agents.set(uidOf(1), agentFields({ customCapabilities: '["org.example"]' }));
    const path = `/agents/${uidOf(1)}/custom-messages`;
    expect((await call('POST', path, { capability: 'org.other', messageType: 't' })).body).toMatchObject({
      status: 409,
      type: '/problems/agent-unable',
    });
    expect((await call('POST', path, { capability: 'org.example', messageType: 't', dataBase64: 'a' })).body).toMatchObject({
      status: 422,
    });
    expect((await call('POST', path, { capability: 'org.example', messageType: 't', dataBase64: 'aGk=' })).status).toBe(202);
    expect(state.sent).toEqual([
      {
        gateway: 'gw-1',
        command: { type: 'custom-message', uid: uidOf(1), capability: 'org.example', messageType: 't', dataBase64: 'aGk=' },
      },
    ]);
  });
});
