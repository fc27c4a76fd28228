import { fromBinary } from '@bufbuild/protobuf';
import { coordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import type { Coordinator } from '@opamp-gateway/coordinator/coordinator';
import { AgentRemoteConfigSchema } from '@opamp-gateway/proto/opamp';
import { parseSpec } from '@opamp-gateway/shared/fleet-spec';
import { configHash, toHex } from '@opamp-gateway/shared/config-hash';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

/** A config that passes validation, with a comment that makes it different from others. */
const CONFIG = (mark: number | string): string =>
  `# ${mark}\nreceivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n`;

const PREFIX = 'api-store';
const KEYS = createKeys(PREFIX);

let redis: RedisLab;
let coordinators: Coordinator[];

beforeAll(async () => {
  redis = await startRedis();
  coordinators = [1, 2].map((number) =>
    createCoordinator(coordinatorConfig({ redisUrl: redis.url, keyPrefix: PREFIX, id: `c${number}` }), { logger: createSilentLogger() }),
  );
  await Promise.all(coordinators.map((coordinator) => coordinator.start()));
});

afterAll(async () => {
  await Promise.all(coordinators.map((coordinator) => coordinator.stop()));
  await redis.stop();
});

interface Answer {
  status: number;
  body: Record<string, unknown> & { items: Record<string, unknown>[] };
}

/** Calls one of the two coordinators, taking turns. */
let turn = 0;
async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  turn += 1;
  const answer = await fetch(`${coordinators[turn % 2]?.apiUrl ?? ''}/api/v1${path}`, {
    method,
    headers: { 'content-type': typeof body === 'string' ? 'text/yaml' : 'application/json', 'x-opamp-actor': 'tester' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'] };
}

describe('configs in Redis', () => {
  it('are stored as the bytes that agents get, before any version names them', async () => {
    const { status, body } = await call('PUT', '/configs/bytes', CONFIG(1));
    expect(status).toBe(201);
    const hash = String(body['hash']);
    const bytes = await redis.client.getBuffer(KEYS.blob(hash));
    const message = fromBinary(AgentRemoteConfigSchema, bytes ?? Buffer.alloc(0));
    const file = { body: Buffer.from(CONFIG(1)), contentType: 'text/yaml' };
    expect(toHex(message.configHash)).toBe(hash);
    expect(toHex(configHash(new Map([['', file]])))).toBe(hash);
    expect(Buffer.from(message.config?.configMap['']?.body ?? []).toString()).toBe(CONFIG(1));
    expect(message.config?.configMap['']?.contentType).toBe('text/yaml');
  });

  it('get gap-free numbers from two coordinators at once, one for each content', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => call('PUT', '/configs/race', CONFIG(Math.floor(index / 3)))),
    );
    for (const { status } of answers) expect([200, 201]).toContain(status);
    const created = answers.filter(({ status }) => status === 201).map(({ body }) => Number(body['version']));
    expect(created.toSorted((a, b) => a - b)).toEqual(Array.from({ length: created.length }, (_, index) => index + 1));
    const history = await call('GET', '/configs/race/versions?limit=1000');
    const hashes = history.body.items.map(({ hash }) => hash);
    // The same content follows itself nowhere.
    for (const [index, hash] of hashes.entries()) expect(hash).not.toBe(hashes[index + 1]);
    const newest = await call('GET', '/configs/race');
    expect(newest.body).toMatchObject({ version: created.length });
  });

  it('keep who, when and why, and an audit entry', async () => {
    await call('PUT', '/configs/history', { files: { '': { body: CONFIG(1) } }, message: 'first' });
    await call('PUT', '/configs/history', {
      files: { '': { body: CONFIG(2) }, extra: { body: 'x: 1', contentType: 'text/plain' } },
      message: 'second',
    });
    const { body } = await call('GET', '/configs/history/versions');
    expect(body.items).toMatchObject([
      { version: 2, message: 'second', createdBy: 'tester', files: { extra: { contentType: 'text/plain', sizeBytes: 4 } } },
      { version: 1, message: 'first' },
    ]);
    expect(Math.abs(Date.parse(String(body.items[0]?.['createdAt'])) - Date.now())).toBeLessThan(600_000);
    const audit = await call('GET', '/audit?limit=1');
    expect(audit.body.items[0]).toMatchObject({
      actor: 'tester',
      action: 'config.put',
      target: 'config/history',
      detail: { message: 'second' },
    });
  });

  it('that would brick a supervisor are refused, and leave nothing behind', async () => {
    // What coordinators note by themselves, as the history of each minute, comes and goes.
    const stored = async (): Promise<string[]> =>
      [...(await redis.client.keys(`${KEYS.blob('')}*`)), ...(await redis.client.keys('*brick*'))].toSorted();
    await call('PUT', '/configs/sound', CONFIG('sound'));
    const before = await stored();
    expect(before).not.toEqual([]);
    for (const text of ['', 'a: [', '- list', 'a: 1\na: 2\n', `${CONFIG(1)}---\nb: 1\n`, `${CONFIG(1)}extensions: {opamp: {}}\n`]) {
      const { status, body } = await call('PUT', '/configs/brick', text);
      expect([status, body['type'], text]).toEqual([422, '/problems/invalid-config', text]);
    }
    expect((await call('GET', '/configs/brick')).status).toBe(404);
    expect(await stored()).toEqual(before);
  });
});

describe('groups in Redis', () => {
  it('stand in the fleet spec, and gateways are told', async () => {
    const subscriber = await redis.connect('worker');
    const heard: string[] = [];
    subscriber.on('message', (_channel: string, text: string) => heard.push(text));
    await subscriber.subscribe(KEYS.channelSpec);
    expect((await call('PUT', '/groups/prod', { selector: 'env=prod', priority: 3 })).status).toBe(201);
    const spec = parseSpec(await redis.client.hgetall(KEYS.spec));
    expect(spec.groups).toMatchObject([{ name: 'prod', selector: 'env=prod', priority: 3, mode: 'manage', stable: null }]);
    await expect.poll(() => heard, { timeout: 20_000 }).toContain(String(spec.generation));
  });

  it('cannot change while a rollout is active, whichever coordinator is asked', async () => {
    await call('PUT', '/groups/busy', { selector: 'env=busy' });
    await call('PUT', '/configs/busy', CONFIG('busy'));
    const started = await call('POST', '/rollouts', { group: 'busy', config: { name: 'busy', version: 1 } });
    expect(started.status).toBe(202);
    for (let turns = 0; turns < 2; turns += 1) {
      expect((await call('PUT', '/groups/busy', { selector: 'env=other' })).body).toMatchObject({
        status: 409,
        rollout: started.body['id'],
      });
      expect((await call('DELETE', '/groups/busy')).body).toMatchObject({ status: 409 });
    }
    expect((await call('GET', '/groups/busy')).body).toMatchObject({ activeRollout: started.body['id'] });
    expect((await call('POST', `/rollouts/${String(started.body['id'])}/cancel`, { reason: 'enough' })).body).toMatchObject({
      phase: 'cancelled',
    });
    expect((await call('PUT', '/groups/busy', { selector: 'env=other' })).status).toBe(200);
    const actions = (await call('GET', '/audit?limit=4')).body.items.map(({ action }) => action);
    expect(actions).toEqual(['group.put', 'rollout.cancel', 'rollout.create', 'config.put']);
  });

  it('freeze and unfreeze the whole fleet', async () => {
    expect((await call('POST', '/fleet/freeze', { reason: 'incident' })).body).toMatchObject({ frozen: true });
    expect(parseSpec(await redis.client.hgetall(KEYS.spec)).frozen).toBe(true);
    expect((await call('GET', '/fleet')).body).toMatchObject({ frozen: true });
    expect((await call('POST', '/fleet/unfreeze')).body).toMatchObject({ frozen: false });
  });
});

describe('rollouts over HTTP', () => {
  it('start once for an idempotency key, however often it is sent', async () => {
    await call('PUT', '/groups/once', { selector: 'env=once' });
    await call('PUT', '/configs/once', CONFIG('once'));
    const body = JSON.stringify({ group: 'once', config: { name: 'once', version: 1 } });
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const answer = await fetch(`${coordinators[index % 2]?.apiUrl ?? ''}/api/v1/rollouts`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'once-1' },
          body,
        });
        return { status: answer.status, ...((await answer.json()) as { id: string; created: boolean }) };
      }),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    await call('POST', `/rollouts/${answers[0]?.id ?? ''}/cancel`);
  });

  it('stream their events until they end', async () => {
    await call('PUT', '/groups/stream', { selector: 'env=stream' });
    await call('PUT', '/configs/stream', CONFIG('stream'));
    const { body } = await call('POST', '/rollouts', { group: 'stream', config: { name: 'stream', version: 1 } });
    const answer = await fetch(`${coordinators[0]?.apiUrl ?? ''}/api/v1/rollouts/${String(body['id'])}/events`);
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const text = answer.text();
    await call('POST', `/rollouts/${String(body['id'])}/cancel`);
    const stream = await text;
    const seqs = [...stream.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq));
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, index) => index + 1));
    expect(seqs.length).toBeGreaterThanOrEqual(2);
    expect(stream).toContain(`event: end\ndata: {"id":"${String(body['id'])}","phase":"cancelled"}`);
  });
});
