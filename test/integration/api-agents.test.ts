import { coordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import type { Coordinator } from '@opamp-gateway/coordinator/coordinator';
import { createAgentReader } from '@opamp-gateway/coordinator/bus/agent-reader';
import { encodeEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { claimAgents, flushAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem } from '@opamp-gateway/shared/redis/agent-scripts';
import { renewLease } from '@opamp-gateway/shared/redis/fleet-scripts';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, uidsOf } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const PREFIX = 'api-agents';
const KEYS = createKeys(PREFIX);
const GATEWAY = 'gw-1';
const AGENTS = 300;
const UIDS = uidsOf(AGENTS);
const RESTARTABLE = String(0x3c00 | 0x403);

let redis: RedisLab;
let coordinator: Coordinator;

interface Answer {
  status: number;
  body: Record<string, unknown> & { items: Record<string, unknown>[] };
}

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${coordinator.apiUrl}/api/v1${path}`, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'] };
}

/** Writes agents as a gateway does. */
async function report(
  uids: readonly string[],
  item: (uid: string, index: number) => Partial<FlushItem>,
  transport: 'ws' | 'http' = 'ws',
): Promise<void> {
  for (const [index, uid] of uids.entries()) {
    const shard = KEYS.shards[shardOf(uid as InstanceUid)];
    if (shard === undefined) throw new Error('no such shard');
    const claim = { gateway: GATEWAY, mode: 'force', uids: [uid], ...(transport === 'http' ? { silenceMs: 60_000 } : {}) } as const;
    const [reply] = await claimAgents(redis.client, shard, claim);
    const epoch = reply?.kind === 'ok' ? reply.epoch : '0';
    const rest = {
      release: false,
      group: undefined,
      takesConfig: true,
      facets: undefined,
      effective: undefined,
      set: {},
      del: [],
      rows: [],
      ...item(uid, index),
    };
    await flushAgents(redis.client, shard, GATEWAY, [{ uid, epoch, ...rest }]);
  }
}

beforeAll(async () => {
  redis = await startRedis();
  coordinator = createCoordinator(coordinatorConfig({ redisUrl: redis.url, keyPrefix: PREFIX, id: 'c1', commandTimeoutMs: 5_000 }), {
    logger: createSilentLogger(),
  });
  await coordinator.start();
  const info = {
    address: '',
    version: '1',
    draining: false,
    observed: '',
    evaluated: '',
    backlog: {},
    connected: AGENTS,
    unhealthy: 0,
    startedAtMs: 1,
    trailing: {},
  };
  await renewLease(redis.client, KEYS, { id: GATEWAY, leaseMs: 3_600_000, info });
  await report(UIDS, (_uid, index) => ({
    group: index % 3 === 0 ? 'prod' : '-',
    facets: [`group=${index % 3 === 0 ? 'prod' : '-'}`, `health=${index % 10 === 0 ? 'unhealthy' : 'healthy'}`].join('\n'),
    release: index % 5 === 4,
    set: {
      capabilities: RESTARTABLE,
      attributes: JSON.stringify({
        identifying: { 'service.name': 'otelcol' },
        nonIdentifying: { env: index % 3 === 0 ? 'prod' : 'dev', n: String(index) },
      }),
      health: index % 10 === 0 ? '0' : '1',
      componentsHash: index % 2 === 0 ? 'build-a' : '',
    },
  }));
});

afterAll(async () => {
  await coordinator.stop();
  await redis.stop();
});

describe('listing agents', () => {
  it('yields each agent once, in the same order every time, also while others come', async () => {
    const walk = async (limit: number, onPage?: () => Promise<void>): Promise<string[]> => {
      const seen: string[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const { body }: Answer = await call('GET', `/agents?limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`);
        seen.push(...body.items.map(({ uid }) => String(uid)));
        cursor = body['nextCursor'] as string | null;
        await onPage?.();
      }
      return seen;
    };
    const all = await walk(1000);
    expect(all).toHaveLength(AGENTS);
    expect(new Set(all)).toEqual(new Set(UIDS));
    const newcomers = uidsOf(20, 5_000);
    const paged = await walk(23, async () => await report(newcomers.splice(0, 1), () => ({ release: true })));
    expect(paged.filter((uid) => UIDS.includes(uid))).toEqual(all);
    expect(new Set(paged).size).toBe(paged.length);
  });

  it('filters, and looks at a bounded number of records for a page', async () => {
    const prod = await call('GET', '/agents?selector=env%3Dprod&limit=1000');
    expect(prod.body.items).toHaveLength(AGENTS / 3);
    expect(prod.body['nextCursor']).toBeNull();
    const away = await call('GET', '/agents?connected=false&group=prod&limit=1000');
    expect(away.body.items.map(({ connected }) => connected)).toEqual(Array.from({ length: AGENTS / 15 }, () => false));

    const reader = createAgentReader({ client: redis.client, keys: KEYS });
    const page = await reader.page({ after: undefined, limit: 1000, scanLimit: 100, rollouts: [], accept: () => false });
    expect(page.records).toEqual([]);
    expect(page.next).toBeDefined();
  });

  it('samples the same share of every shard', async () => {
    const reader = createAgentReader({ client: redis.client, keys: KEYS });
    const seen = new Set<string>();
    const { read, total } = await reader.sample({
      limit: 64,
      rollouts: [],
      visit: (records) => records.forEach(({ uid }) => seen.add(uid)),
    });
    expect(total).toBeGreaterThanOrEqual(AGENTS);
    expect(seen.size).toBe(read);
    expect(read).toBeGreaterThanOrEqual(64);
    expect(read).toBeLessThan(64 + 16);
    const whole: string[] = [];
    await reader.sample({ limit: 10_000, rollouts: [], visit: (records) => whole.push(...records.map(({ uid }) => uid)) });
    expect(new Set(whole).size).toBe(total);
  });

  it('adds the shards up', async () => {
    const { body } = await call('GET', '/fleet');
    const connected = AGENTS - AGENTS / 5;
    expect(body['agents']).toMatchObject({
      connected,
      health: { unhealthy: UIDS.filter((_, index) => index % 10 === 0 && index % 5 !== 4).length },
    });
    expect((await call('GET', '/gateways')).body.items).toMatchObject([{ id: GATEWAY, alive: true, connected: AGENTS }]);
  });

  it('compares a config with what builds contain', async () => {
    await redis.client.set(
      KEYS.components('build-a'),
      JSON.stringify({ receivers: { components: { otlp: {} } }, exporters: { components: { debug: {} } } }),
    );
    const yaml =
      'receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {kafka: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [kafka]}}}\n';
    const { body } = await call('POST', '/configs/validate', { yaml, selector: 'env=prod' });
    expect(body['preflight']).toMatchObject({
      agents: 100,
      unable: 50,
      unknown: 50,
      missing: [{ kind: 'exporters', type: 'kafka', agents: 50 }],
    });
  });
});

describe('one agent', () => {
  const uid = UIDS[1] ?? '';

  it('shows what it runs, without secrets', async () => {
    const body = Buffer.from('exporters:\n  otlp:\n    headers:\n      authorization: Bearer hush\n');
    await report([uid], () => ({ effective: encodeEffectiveConfig({ '': { body, contentType: 'text/yaml' } }, 1_700_000_000_000) }));
    const answer = await call('GET', `/agents/${uid}`);
    expect(answer.body['effective']).toEqual({
      reportedAt: '2023-11-14T22:13:20.000Z',
      truncated: false,
      files: { '': { contentType: 'text/yaml', body: 'exporters:\n  otlp:\n    headers:\n      authorization: "[redacted]"\n' } },
    });
  });

  it('is found under its former uid', async () => {
    const [former = ''] = uidsOf(1, 9_000);
    await redis.client.set(KEYS.shards[shardOf(former as InstanceUid)]?.alias(former) ?? '', uid);
    expect((await call('GET', `/agents/${former}`)).body).toMatchObject({ uid });
  });

  it('gets labels and a pin, and its gateway is told to look', async () => {
    const subscriber = await redis.connect('worker');
    const heard: unknown[] = [];
    subscriber.on('message', (_channel: string, text: string) => heard.push(JSON.parse(text)));
    await subscriber.subscribe(KEYS.channelGateway(GATEWAY));
    const shard = KEYS.shards[shardOf(uid as InstanceUid)];

    expect((await call('PUT', `/agents/${uid}/labels`, { labels: { tier: 'gold' } })).body).toMatchObject({ labels: { tier: 'gold' } });
    expect((await call('GET', '/agents?selector=label.tier%3Dgold')).body.items.map((item) => item['uid'])).toEqual([uid]);
    await expect.poll(() => heard, { timeout: 20_000 }).toContainEqual({ type: 'edited', shard: shardOf(uid as InstanceUid) });
    expect(await redis.client.zscore(shard?.edited ?? '', uid)).not.toBeNull();

    await call('PUT', '/configs/own', {
      files: {
        '': {
          body: 'receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n',
        },
      },
    });
    expect((await call('PUT', `/agents/${uid}/pin`, { config: { name: 'own', version: 1 } })).body).toMatchObject({
      pin: { name: 'own', version: 1 },
    });
    expect((await call('GET', `/agents/${uid}`)).body).toMatchObject({
      config: { desired: { name: 'own', source: 'pin' }, inSync: false },
    });
    expect((await call('DELETE', `/agents/${uid}/pin`)).body).toMatchObject({ pin: null });
    expect(await redis.client.hexists(shard?.agent(uid) ?? '', 'pin')).toBe(0);
    await subscriber.unsubscribe();
  });

  it('is forgotten only while it is away', async () => {
    const [gone = ''] = uidsOf(1, 7_000);
    await report([gone], () => ({}));
    expect((await call('DELETE', `/agents/${gone}`)).body).toMatchObject({ status: 409, type: '/problems/agent-connected' });
    await report([gone], () => ({ release: true }));
    expect((await call('DELETE', `/agents/${gone}`)).status).toBe(204);
    expect((await call('GET', `/agents/${gone}`)).status).toBe(404);
    expect((await call('DELETE', `/agents/${gone}`)).status).toBe(404);
  });
});

describe('commands', () => {
  const uid = UIDS[2] ?? '';

  it('go to the gateway of the agent, once, and wait for its answer', async () => {
    const subscriber = await redis.connect('worker');
    const heard: Record<string, string>[] = [];
    let answer: Record<string, unknown> | undefined = { ok: true };
    subscriber.on('message', (_channel: string, text: string) => {
      const command = JSON.parse(text) as Record<string, string>;
      if (command['requestId'] === undefined) return;
      heard.push(command);
      if (answer !== undefined)
        void redis.client.publish(command['replyTo'] ?? '', JSON.stringify({ requestId: command['requestId'], ...answer }));
    });
    await subscriber.subscribe(KEYS.channelGateway(GATEWAY));

    expect(await call('POST', `/agents/${uid}/restart`, { reason: 'stuck' })).toMatchObject({
      status: 202,
      body: { uid, gateway: GATEWAY },
    });
    expect(heard).toMatchObject([{ type: 'restart', uid, replyTo: KEYS.channelCoordinator('c1') }]);

    answer = { ok: false, reason: 'the agent has just gone' };
    expect((await call('POST', `/agents/${uid}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-unable' });

    answer = undefined;
    expect((await call('POST', `/agents/${uid}/restart`)).body).toMatchObject({ status: 504, type: '/problems/gateway-timeout' });
    expect(heard).toHaveLength(3);
    await subscriber.unsubscribe();
  });

  it('are refused for an agent that is away or polls', async () => {
    const away = UIDS[4] ?? '';
    expect((await call('POST', `/agents/${away}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-away' });
    const [poller = ''] = uidsOf(1, 8_000);
    await report([poller], () => ({ set: { capabilities: RESTARTABLE } }), 'http');
    expect((await call('POST', `/agents/${poller}/restart`)).body).toMatchObject({ status: 409, type: '/problems/agent-away' });
  });
});
