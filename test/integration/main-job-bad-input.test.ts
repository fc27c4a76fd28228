import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { describe, expect, test, type TestContext } from 'vitest';
import { collectorConfig } from '../support/collector-config.ts';
import { shareStack } from '../support/lifetimes.ts';
import { findFreePort } from '../support/ports.ts';

const stack = shareStack({ gateways: 1, coordinators: 1 });

function openRedis(context: TestContext): Redis {
  const redis = new Redis(stack().redisUrl);
  context.onTestFinished(() => redis.disconnect());
  return redis;
}

/** Everything that is stored, but for what changes by itself: signs of life, the history of each minute, the queue's own bookkeeping. */
async function storedData(redis: Redis): Promise<Record<string, string>> {
  const data: Record<string, string> = {};
  for (const key of (await redis.keys('*')).toSorted()) {
    if (/:(?:gateways?|meta|history)(?::|$)/.test(key) || /-(?:rollouts|wakes)(?::|$)/.test(key)) continue;
    data[key] = (await redis.dumpBuffer(key))?.toString('hex') ?? '';
  }
  return data;
}

describe('a request that cannot be done is refused in words that name the thing, and leaves nothing behind:', () => {
  const cases: readonly (readonly [what: string, method: string, path: string, body: unknown, status: number, names: readonly string[]])[] =
    [
      [
        'YAML that does not parse',
        'PUT',
        '/configs/bad',
        { files: { '': { body: 'receivers: [otlp\n', contentType: 'text/yaml' } } },
        422,
        ['line'],
      ],
      [
        'a config that uses an exporter it does not define',
        'PUT',
        '/configs/bad',
        { files: { '': { body: collectorConfig('x').replace('exporters: [debug]', 'exporters: [kafka]'), contentType: 'text/yaml' } } },
        422,
        ['kafka'],
      ],
      ['an empty config', 'PUT', '/configs/bad', { files: {} }, 422, ['files']],
      ['a selector that does not parse', 'PUT', '/groups/bad', { selector: 'env=prod,,' }, 422, ['selector']],
      ['a group name that cannot be one', 'PUT', '/groups/no%20group', { selector: 'env=prod' }, 400, ['name']],
      ['a rollout of an unknown group', 'POST', '/rollouts', { group: 'nobody', config: { name: 'known', version: 1 } }, 404, ['nobody']],
      [
        'a rollout of an unknown version',
        'POST',
        '/rollouts',
        { group: 'known', config: { name: 'known', version: 77 } },
        404,
        ['known', '77'],
      ],
      [
        'a rollout with an unknown field in its strategy',
        'POST',
        '/rollouts',
        { group: 'known', config: { name: 'known', version: 1 }, strategy: { speed: 'high' } },
        422,
        ['strategy.speed'],
      ],
      ['an action on an unknown rollout', 'POST', '/rollouts/nothing/pause', {}, 404, ['nothing']],
      [
        'a pin of an unknown agent',
        'PUT',
        '/agents/01900000-0000-7000-8000-000000000000/pin',
        { config: { name: 'known', version: 1 } },
        404,
        ['01900000'],
      ],
    ];
  test.for(cases)('%s', async ([, method, path, body, status, names], context) => {
    const { api } = stack();
    await api.putConfig('known', collectorConfig('known 1'));
    await api.putGroup('known', { selector: 'env=known' });
    const redis = openRedis(context);
    const before = await storedData(redis);

    const problem = await api.refusal(method, path, { body });

    expect(problem.status).toBe(status);
    expect(problem.type).toMatch(/^\/problems\//);
    const words = JSON.stringify([problem.detail, problem.errors ?? []]);
    for (const name of names) expect(words).toContain(name);
    expect(await storedData(redis)).toEqual(before);
  });
});

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a process that is expected to end by itself. */
async function runToEnd(kind: 'gateway' | 'coordinator', env: Readonly<Record<string, string>>): Promise<Ended> {
  const main = fileURLToPath(new URL(`../../packages/${kind}/dist/main.js`, import.meta.url));
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:OPAMP_|NODE_OPTIONS$|VITEST)/.test(name)));
  return await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output: Buffer.concat(chunks).toString() });
    });
  });
}

describe.concurrent.each(['gateway', 'coordinator'] as const)('a %s', (kind) => {
  const upper = kind.toUpperCase();

  test.concurrent('does not start with settings that are wrong, names every one of them, and exits with 78', async () => {
    const { code, output } = await runToEnd(kind, {
      [`OPAMP_${upper}_PORT`]: 'eighty',
      OPAMP_LOG_LEVEL: 'loud',
      OPAMP_GATEWAY_PROT: '4320',
    });
    expect(output).toContain(`OPAMP_${upper}_PORT`);
    expect(output).toContain('eighty');
    expect(output).toContain('OPAMP_LOG_LEVEL');
    expect(output).toContain('OPAMP_GATEWAY_PROT');
    expect(code).toBe(78);
  });

  test.concurrent('that cannot reach Redis says at which host and port, and does not start', async () => {
    const port = await findFreePort();
    const { code, output } = await runToEnd(kind, {
      OPAMP_REDIS_URL: `redis://user:secret@127.0.0.1:${port}`,
      [`OPAMP_${upper}_HOST`]: '127.0.0.1',
      [`OPAMP_${upper}_PORT`]: '0',
      [`OPAMP_${upper}_ADMIN_PORT`]: '0',
    });
    expect(output).toContain(`127.0.0.1:${port}`);
    expect(output).not.toContain('secret');
    expect(code).not.toBe(0);
    expect(code).not.toBeNull();
  });
});
