// Tokens of agents: who is let in, what a token allows, and that taking it back ends connections at once, on real gateways.
import { tokenHash } from '@opamp-gateway/shared/agent-token';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { uidText } from '../conformance/wire.ts';
import { waitUntil } from '../support/wait-for.ts';
import { AuthLab, bearer } from './support/auth-lab.ts';

const TRANSPORTS = ['ws', 'http'] as const;
const CONFIG = (mark: string): string =>
  `# ${mark}\nreceivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n`;
const STRATEGY = { waves: [{ size: { percent: 100 }, soak: '0s' }], rate: 'unlimited', ackTimeout: '30s', healthHold: '0s' };

let lab: AuthLab;
beforeAll(async () => {
  const auth = { OPAMP_AGENT_AUTH: 'token' };
  lab = await AuthLab.start({ gateways: [auth, auth] });
});
afterEach(() => lab.disconnect());
afterAll(() => lab?.stop());

/** The agent as the API shows it. */
async function shown(uid: Uint8Array): Promise<Record<string, unknown>> {
  return (await lab.call('GET', `/agents/${uidText(uid)}`)).body;
}

describe.each(TRANSPORTS)('over %s', (transport) => {
  const accepted = transport === 'ws' ? 101 : 200;

  it('refuses without a token and with a wrong one, before anything is stored', async () => {
    const { text, id } = await lab.token({});
    const wrong = `${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`;
    const unknown = text.replace(id, '0'.repeat(20));
    for (const headers of [[], bearer('nonsense'), bearer(wrong), bearer(unknown), [['Authorization', `Basic ${text}`]] as const])
      expect(await lab.status({ transport, headers })).toBe(401);
    expect(await lab.strangers()).toEqual([]);
    expect(await lab.status({ transport, headers: bearer(text) })).toBe(accepted);
    // An enrolment token is for enrolling, whatever it looks like.
    expect(await lab.status({ transport, headers: bearer(text.replace('oat_', 'oet_')) })).toBe(401);
  });

  it('refuses an expired token', async () => {
    const past = new Date(Date.now() - 1_000).toISOString();
    const { text } = await lab.token({ expiresAt: past });
    expect(await lab.status({ transport, headers: bearer(text) })).toBe(401);
    expect(await lab.strangers()).toEqual([]);
  });

  it('refuses a revoked token, and says who revoked it', async () => {
    const { text, id } = await lab.token({});
    expect(await lab.status({ transport, headers: bearer(text) })).toBe(accepted);
    expect((await lab.call('DELETE', `/tokens/${id}?reason=leaked`)).status).toBe(204);
    await waitUntil(
      '401 on both gateways',
      async () => {
        const statuses = await Promise.all([0, 1].map((gateway) => lab.status({ transport, gateway, headers: bearer(text) })));
        return statuses.every((status) => status === 401);
      },
      Boolean,
    );
    expect((await lab.audit()).find(({ action, target }) => action === 'token.revoke' && target === `token/${id}`)).toMatchObject({
      actor: 'tester',
      reason: 'leaked',
    });
    expect((await lab.call('GET', `/tokens/${id}`)).body).toMatchObject({ state: 'revoked' });
    expect((await lab.call('PATCH', `/tokens/${id}`, { groups: null })).status).toBe(409);
  });

  it('keeps an agent out of the groups that its token is not for', async () => {
    const mark = `scope-${transport}`;
    for (const group of [`${mark}-own`, `${mark}-other`])
      expect((await lab.call('PUT', `/groups/${group}`, { selector: `team=${group}` })).status).toBe(201);
    const { text, id } = await lab.token({ groups: [`${mark}-own`] });
    const stranger = await lab.dial({ transport, headers: bearer(text) }, { attributes: { team: `${mark}-other` } });
    const member = await lab.dial({ transport, headers: bearer(text) }, { attributes: { team: `${mark}-own` } });
    await stranger.first();
    await member.first();
    await waitUntil(
      'the groups',
      () => shown(member.uid),
      ({ group }) => group === `${mark}-own`,
    );
    await waitUntil(
      'the stranger to be in no group',
      () => shown(stranger.uid),
      ({ connected, group, attributes }) => connected === true && group === null && JSON.stringify(attributes).includes(`${mark}-other`),
    );

    const config = (await lab.call('PUT', `/configs/${mark}`, CONFIG(mark))).body;
    const rollout = await lab.call('POST', '/rollouts', {
      group: `${mark}-other`,
      config: { name: mark, version: config['version'] },
      strategy: STRATEGY,
    });
    expect(rollout.status).toBe(202);
    const path = `/rollouts/${String(rollout.body['id'])}`;
    await waitUntil(
      'a rollout that finds nobody',
      () => lab.call('GET', path),
      ({ body }) => JSON.stringify(body['holds']).includes('no_agents'),
    );
    for (let i = 0; i < 3; i += 1) await stranger.beat();
    expect(stranger.offers).toEqual([]);
    expect((await shown(stranger.uid))['rollouts']).toEqual({});
    // Once its token allows the group, it is in it, and gets what is due.
    expect((await lab.call('PATCH', `/tokens/${id}`, { groups: [`${mark}-own`, `${mark}-other`] })).status).toBe(200);
    expect((await stranger.untilOffer()).files['']).toContain(mark);
    await lab.call('POST', `${path}/abort`, { reason: 'the end of the test' });
  });

  it('takes labels from the token, which the agent cannot say and operators cannot override', async () => {
    const { text, id } = await lab.token({ labels: { tenant: 'acme' } });
    const name = `labels-${transport}`;
    await lab.call('PUT', `/groups/${name}`, { selector: `label.tenant=acme,team=${name}` });
    const agent = await lab.dial(
      { transport, headers: bearer(text) },
      { attributes: { team: name, 'label.tenant': 'mine', 'label.free': 'x' } },
    );
    await agent.first();
    await waitUntil(
      'the group by label',
      () => shown(agent.uid),
      ({ group }) => group === name,
    );
    const byLabel = async (selector: string): Promise<unknown[]> =>
      (await lab.call('GET', `/agents?selector=${encodeURIComponent(`team=${name},${selector}`)}`)).body.items;
    const expectOne = async (selector: string): Promise<void> =>
      void (await waitUntil(
        `the agent by ${selector}`,
        () => byLabel(selector),
        (agents) => agents.length === 1,
      ));
    await expectOne('label.tenant=acme');
    expect(await byLabel('label.tenant=mine')).toHaveLength(0);
    expect(await byLabel('label.free')).toHaveLength(0);
    await lab.call('PUT', `/agents/${uidText(agent.uid)}/labels`, { labels: { tenant: 'operator', rack: '7' } });
    await expectOne('label.tenant=acme,label.rack=7');

    // Another tenant: the agent moves on with what its token says now.
    expect((await lab.call('PATCH', `/tokens/${id}`, { labels: { tenant: 'other' } })).status).toBe(200);
    await waitUntil(
      'the agent without a group',
      async () => {
        await agent.beat();
        return await shown(agent.uid);
      },
      ({ group, credential }) => group === null && JSON.stringify(credential).includes('other'),
    );
  });

  it('does not let one tenant speak for the agents of another', async () => {
    const owner = await lab.token({ labels: { tenant: 'a' } });
    const same = await lab.token({ labels: { tenant: 'a' } });
    const thief = await lab.token({ labels: { tenant: 'b' } });
    const plain = await lab.token({});
    const agent = await lab.dial({ transport, headers: bearer(owner.text) });
    await agent.first();
    // Whose it is: the rest of the record may still be on its way.
    const key = async (): Promise<(string | null)[]> =>
      await lab.redis.client.hmget(recordKey(agent.uid), 'realm', 'token', 'tokenLabels', 'tokenGroups', 'owner', 'epoch');
    const before = await waitUntil('the record', key, ([realm]) => realm !== null);
    for (const gateway of [0, 1]) {
      for (const { text } of [thief, plain]) {
        const other = await lab.dial({ transport, gateway, headers: bearer(text) }, { uid: agent.uid });
        expect(await other.first()).toMatchObject({ errorResponse: { type: 1 } });
      }
    }
    expect(await key()).toEqual(before);
    expect((await agent.beat()).errorResponse).toBeUndefined();
    // Rotation: a new token that allows the same.
    const rotated = await lab.dial(
      { transport, gateway: 1, headers: bearer(same.text) },
      { uid: agent.uid, sequenceNum: agent.sequenceNum },
    );
    expect((await rotated.first()).errorResponse).toBeUndefined();
  });
});

function recordKey(uid: Uint8Array): string {
  const shard = lab.keys.shards[shardOf(uidText(uid) as InstanceUid)];
  return shard?.agent(uidText(uid)) ?? '';
}

describe('taking a token back', () => {
  it('closes its connections on every gateway, and nobody else’s', async () => {
    const revoked = await lab.token({});
    const kept = await lab.token({});
    const agents = await Promise.all(
      [0, 1, 0, 1].map((gateway, i) => lab.dial({ transport: 'ws', gateway, headers: bearer(i < 2 ? revoked.text : kept.text) })),
    );
    await Promise.all(agents.map((agent) => agent.first()));
    await lab.call('DELETE', `/tokens/${revoked.id}`);
    await waitUntil(
      'the connections closed',
      () => agents.slice(0, 2).map(({ link }) => link.isEnded),
      (ended) => ended.every(Boolean),
    );
    for (const agent of agents.slice(2)) expect((await agent.beat()).errorResponse).toBeUndefined();
    await waitUntil(
      'the agents away',
      async () => (await shown(agents[0]!.uid))['connected'],
      (connected) => connected === false,
    );
  });

  it('does not depend on the message about it', async () => {
    const { text, id } = await lab.token({});
    const agent = await lab.dial({ transport: 'ws', headers: bearer(text) });
    await agent.first();
    // What the API does, without the message.
    const stored = JSON.parse((await lab.redis.client.hget(lab.keys.tokens, id)) ?? '{}') as Record<string, unknown>;
    await lab.redis.client
      .multi()
      .hset(lab.keys.tokens, id, JSON.stringify({ ...stored, revokedAtMs: 1 }))
      .zadd(lab.keys.tokenChanges, Date.now() * 1000 + 999, id)
      .exec();
    await waitUntil('the connection closed', () => agent.link.isEnded, Boolean);
  });

  it('closes connections when the time of a token has come', async () => {
    const { text, id } = await lab.token({});
    const agent = await lab.dial({ transport: 'ws', headers: bearer(text) });
    await agent.first();
    // Only now, so that the time cannot come before the connection stands.
    const expiresAt = new Date(Date.now() + 1_500).toISOString();
    expect((await lab.call('PATCH', `/tokens/${id}`, { expiresAt })).status).toBe(200);
    await waitUntil('the connection closed', () => agent.link.isEnded, Boolean);
    expect(await lab.status({ transport: 'ws', headers: bearer(text) })).toBe(401);
  });

  it('leaves connections alone when the store has lost the token', async () => {
    const { text, id } = await lab.token({});
    const agent = await lab.dial({ transport: 'ws', headers: bearer(text) });
    await agent.first();
    await lab.redis.client
      .multi()
      .hdel(lab.keys.tokens, id)
      .zadd(lab.keys.tokenChanges, Date.now() * 1000 + 999, id)
      .exec();
    await waitUntil(
      '401 for new connections',
      () => lab.status({ transport: 'ws', headers: bearer(text) }),
      (status) => status === 401,
    );
    expect((await agent.beat()).errorResponse).toBeUndefined();
  });
});

describe('the API', () => {
  it('shows a secret once and stores its hash only', async () => {
    const { text, id } = await lab.token({ name: 'once' });
    expect(
      JSON.stringify([(await lab.call('GET', '/tokens')).body, (await lab.call('GET', `/tokens/${id}`)).body, await lab.audit()]),
    ).not.toContain(text);
    const stored = await lab.redis.client.hget(lab.keys.tokens, id);
    expect(stored).toContain(tokenHash(text));
    expect(stored).not.toContain(text.slice(-43));
  });

  it('notes when a token was used, and lists page by page', async () => {
    const { text, id } = await lab.token({ name: 'used' });
    await (await lab.dial({ transport: 'http', headers: bearer(text) })).first();
    await waitUntil(
      'the time of use',
      async () => (await lab.call('GET', `/tokens/${id}`)).body['lastUsedAt'],
      (at) => typeof at === 'string',
    );
    const ids: unknown[] = [];
    for (let cursor = ''; cursor !== 'null';) {
      const page = await lab.call('GET', `/tokens?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      ids.push(...page.body.items.map((item) => item['id']));
      cursor = String(page.body['nextCursor']);
    }
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain(id);
    expect(ids).toHaveLength(await lab.redis.client.hlen(lab.keys.tokens));
  });

  it.each([
    [{}, 'name'],
    [{ name: 'x', kind: 'owner' }, 'kind'],
    [{ name: 'x', maxUses: 2 }, 'maxUses'],
    [{ name: 'x', kind: 'certificate' }, 'certificate'],
    [{ name: 'x', kind: 'certificate', certificate: 'abc' }, 'certificate'],
    [{ name: 'x', certificate: 'a'.repeat(64) }, 'certificate'],
    [{ name: 'x', labels: { 'a b': 'c' } }, 'labels'],
    [{ name: 'x', labels: { a: 'ü'.repeat(200) } }, 'labels.a'],
    [{ name: 'x', groups: ['a', 'a'] }, 'groups'],
    [{ name: 'x', expiresIn: '0s' }, 'expiresIn'],
    [{ name: 'x', expiresIn: '9000d' }, 'expiresIn'],
    [{ name: 'x', expiresIn: '1d', expiresAt: null }, 'expiresIn'],
    [{ name: 'x', expiresAt: 'tomorrow' }, 'expiresAt'],
    [{ name: 'x', role: 'admin' }, 'role'],
  ])('refuses %j', async (body, path) => {
    const before = await lab.redis.client.hlen(lab.keys.tokens);
    const answer = await lab.call('POST', '/tokens', body);
    expect(answer.status).toBe(422);
    expect(answer.text).toContain(path);
    expect(await lab.redis.client.hlen(lab.keys.tokens)).toBe(before);
  });

  it('answers 404 for what there is not', async () => {
    for (const [method, body] of [['GET'], ['DELETE'], ['PATCH', { groups: null }]] as const)
      expect((await lab.call(method, '/tokens/0123456789', body)).status).toBe(404);
  });
});
