import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import type { Coordinator } from '@opamp-gateway/coordinator/coordinator';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import { waitUntil } from '../support/wait-for.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { answersOk, Child } from '../support/child.ts';
import type { ChildEnd } from '../support/child.ts';
import { findFreePort } from '../support/ports.ts';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

let redis: RedisLab;
let directory: string;
let opened: Coordinator[] = [];

beforeAll(async () => {
  redis = await startRedis();
  directory = await mkdtemp(join(tmpdir(), 'opamp-api-'));
});
afterEach(async () => {
  await Promise.all(opened.map((coordinator) => coordinator.stop()));
  opened = [];
});
afterAll(async () => {
  await redis.stop();
  await rm(directory, { recursive: true, force: true });
});

let prefixes = 0;
function build(over: Partial<Parameters<typeof coordinatorConfig>[0]> = {}): { coordinator: Coordinator; prefix: string } {
  const prefix = `api-process-${(prefixes += 1)}`;
  const coordinator = createCoordinator(coordinatorConfig({ redisUrl: redis.url, keyPrefix: prefix, ...over }), {
    logger: createSilentLogger(),
  });
  opened.push(coordinator);
  return { coordinator, prefix };
}

describe('starting', () => {
  it('writes what all processes must agree on, and puts it back when the store was emptied', async () => {
    const { coordinator, prefix } = build();
    await coordinator.start();
    const keys = createKeys(prefix);
    const first = await redis.client.hgetall(keys.meta);
    expect(first).toMatchObject({ schemaVersion: '1', shardCount: '16' });
    expect(first['incarnation']).toMatch(/^[0-9a-f]{16}$/);
    await redis.client.del(keys.meta);
    await expect.poll(() => redis.client.hget(keys.meta, 'incarnation'), { timeout: 60_000, interval: 250 }).toMatch(/^[0-9a-f]{16}$/);
    expect(await redis.client.hget(keys.meta, 'incarnation')).not.toBe(first['incarnation']);
  });

  it('refuses a Redis that evicts, and names the command that repairs it', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      await expect(build().coordinator.start()).rejects.toThrow(
        /allkeys-lru.*redis-cli -h \S+ -p \d+ CONFIG SET maxmemory-policy noeviction/,
      );
    } finally {
      await redis.client.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });

  it('refuses data of a newer release, and of another number of shards', async () => {
    for (const [field, value, text] of [
      ['schemaVersion', '2', /layout 2, this release knows 1/],
      ['shardCount', '32', /32 shards, this release uses 16/],
    ] as const) {
      const { coordinator, prefix } = build();
      await redis.client.hset(createKeys(prefix).meta, field, value);
      await expect(coordinator.start()).rejects.toThrow(text);
    }
  });

  it('names the port that it cannot have', async () => {
    const { coordinator } = build();
    await coordinator.start();
    const port = Number(new URL(coordinator.apiUrl).port);
    await expect(build({ port }).coordinator.start()).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  });
});

describe('API tokens', () => {
  it('come from a file that may change while the coordinator runs', async () => {
    const file = join(directory, 'tokens');
    await writeFile(file, 'alice:aaaaaaaaaaaaaaaaaaaa\n');
    const { coordinator } = build({ apiTokensFile: file });
    await coordinator.start();
    const status = async (token: string): Promise<number> =>
      (await fetch(`${coordinator.apiUrl}/api/v1/configs`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await status('aaaaaaaaaaaaaaaaaaaa')).toBe(200);
    expect(await status('bbbbbbbbbbbbbbbbbbbb')).toBe(401);
    await writeFile(file, '{"bob":"bbbbbbbbbbbbbbbbbbbb"}');
    await expect.poll(() => status('bbbbbbbbbbbbbbbbbbbb'), { timeout: 60_000, interval: 250 }).toBe(200);
    expect(await status('aaaaaaaaaaaaaaaaaaaa')).toBe(401);
  });

  it('that cannot be read keep the coordinator from starting', async () => {
    await expect(build({ apiTokensFile: join(directory, 'nope') }).coordinator.start()).rejects.toThrow(
      /OPAMP_API_TOKENS_FILE: .*nope: cannot be read/,
    );
  });
});

describe('Redis away', () => {
  it('answers 503 and is not ready, and recovers by itself', async () => {
    const lab = await startRedis();
    const coordinator = createCoordinator(coordinatorConfig({ redisUrl: lab.url }), { logger: createSilentLogger() });
    try {
      await coordinator.start();
      const statusOf = async (url: string): Promise<number> => (await fetch(url)).status;
      expect(await statusOf(`${coordinator.adminUrl}/readyz`)).toBe(200);
      await lab.server.kill('SIGKILL');
      await expect.poll(() => statusOf(`${coordinator.adminUrl}/readyz`), { timeout: 60_000 }).toBe(503);
      const answer = await fetch(`${coordinator.apiUrl}/api/v1/configs`);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
      expect(await answer.json()).toMatchObject({ type: '/problems/unavailable' });
      expect(await statusOf(`${coordinator.adminUrl}/healthz`)).toBe(200);
      await lab.server.start();
      await expect.poll(() => statusOf(`${coordinator.apiUrl}/api/v1/configs`), { timeout: 60_000 }).toBe(200);
      await expect.poll(() => statusOf(`${coordinator.adminUrl}/readyz`), { timeout: 60_000 }).toBe(200);
    } finally {
      await coordinator.stop();
      await lab.stop();
    }
  });
});

describe('the process', () => {
  const run = (name: string, environment: Record<string, string>): { child: Child; logFile: string } => {
    const logFile = join(directory, `${name}.log`);
    const command = [
      process.execPath,
      '--conditions=source',
      '--disable-warning=ExperimentalWarning',
      'packages/coordinator/src/main.ts',
    ] as const;
    return { child: new Child({ name, command, environment, directory: REPOSITORY, logFile }), logFile };
  };
  const ended = async (name: string, environment: Record<string, string>): Promise<{ end: ChildEnd; text: string }> => {
    const { child, logFile } = run(name, environment);
    const end = await child.exited;
    return { end, text: await readFile(logFile, 'utf8') };
  };

  it('exits 78 for a setting that is wrong, naming all of them', async () => {
    const { end, text } = await ended('bad-settings', { OPAMP_COORDINATOR_PORT: 'x', OPAMP_COORDINATOR_COLOUR: 'red' });
    expect(end.code).toBe(78);
    expect(text).toContain('OPAMP_COORDINATOR_PORT');
    expect(text).toContain('OPAMP_COORDINATOR_COLOUR');
  });

  it('exits 78 when others could reach it without a token', async () => {
    const { end, text } = await ended('no-tokens', { OPAMP_COORDINATOR_HOST: '0.0.0.0' });
    expect(end.code).toBe(78);
    expect(text).toContain('OPAMP_API_TOKENS_FILE');
  });

  it('exits 1 when Redis cannot be reached, naming where it looked but no password', async () => {
    const port = await findFreePort();
    const { end, text } = await ended('no-redis', {
      OPAMP_REDIS_URL: `redis://:hush@127.0.0.1:${port}`,
      OPAMP_COORDINATOR_PORT: '0',
      OPAMP_COORDINATOR_ADMIN_PORT: '0',
    });
    expect(end.code).toBe(1);
    expect(text).toContain(`127.0.0.1:${port}`);
    expect(text).not.toContain('hush');
  });

  it('ends with code 0 on SIGTERM, also while somebody follows a stream', async () => {
    const [port, adminPort] = [await findFreePort(), await findFreePort()];
    const { child, logFile } = run('sigterm', {
      OPAMP_REDIS_URL: redis.url,
      OPAMP_KEY_PREFIX: 'api-sigterm',
      OPAMP_COORDINATOR_PORT: String(port),
      OPAMP_COORDINATOR_ADMIN_PORT: String(adminPort),
    });
    await child.waitUntilReady(async () => await answersOk(`http://127.0.0.1:${adminPort}/readyz`));
    const api = `http://127.0.0.1:${port}/api/v1`;
    const send = async (method: string, path: string, body: unknown): Promise<{ id: string }> => {
      const answer = await fetch(`${api}${path}`, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
      expect(answer.ok).toBe(true);
      return (await answer.json()) as { id: string };
    };
    const yaml =
      'receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n';
    await send('PUT', '/configs/base', { files: { '': { body: yaml } } });
    await send('PUT', '/groups/all', { selector: '' });
    const { id } = await send('POST', '/rollouts', { group: 'all', config: { name: 'base', version: 1 } });
    const stream = await fetch(`${api}/rollouts/${id}/events`);
    let text = '';
    const reading = (async (): Promise<void> => {
      for await (const chunk of stream.body ?? []) text += Buffer.from(chunk).toString();
    })();
    await waitUntil(
      'the stream to tell of the creation',
      () => text,
      (seen) => seen.includes('rollout.created'),
    );
    expect(await child.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    await reading;
    expect(await readFile(logFile, 'utf8')).toContain('coordinator has stopped');
  });
});
