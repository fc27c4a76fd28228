/** The same work on every shape of Redis, each with real servers of its own. */
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { checkStore } from '@opamp-gateway/coordinator/stores/store-check';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import { Redis } from 'ioredis';
import { expect, test, type TestContext } from 'vitest';
import { useStack } from '../support/lifetimes.ts';
import { expectMainJob } from '../support/main-job.ts';
import { ClusterSet } from '../support/redis-cluster.ts';
import { SentinelSet } from '../support/redis-sentinels.ts';
import { findOnPath, RedisServer } from '../support/redis-server.ts';
import type { Stack } from '../support/stack.ts';
import { waitUntil } from '../support/wait-for.ts';

const LUA = fileURLToPath(new URL('../../packages/shared/lua', import.meta.url));
const SHIPPED_ACL = fileURLToPath(new URL('../../deploy/redis/opamp.acl', import.meta.url));
const run = promisify(execFile);

test('the shipped ACL file allows the coordinator every command that a script of ours uses', async () => {
  const line = (await readFile(SHIPPED_ACL, 'utf8')).split('\n').find((text) => text.startsWith('user opamp-coordinator '));
  const allowed = new Set(line?.split(' ').flatMap((word) => (word.startsWith('+') ? [word.slice(1)] : [])));
  const files = (await readdir(LUA)).filter((name) => name.endsWith('.lua'));
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    const used = (await readFile(join(LUA, file), 'utf8')).matchAll(/redis\.call\(\s*'([A-Z]+)'/g);
    for (const [, command = ''] of used) expect(allowed, `${file} uses ${command}`).toContain(command.toLowerCase());
  }
});

test('over TLS, with users of the shipped ACL file, which allows every command that is needed', async (context) => {
  let server: RedisServer | undefined;
  let ca = '';
  const stack = await useStack(context, {
    gateways: 2,
    gatewayEnv: { OPAMP_AGENT_AUTH: 'token' },
    coordinatorEnv: { OPAMP_PUBLIC_ENDPOINT: 'wss://opamp.example.com/v1/opamp' },
    store: async (directory) => {
      const tls = await makeCertificates(directory);
      ca = await readFile(tls.ca, 'utf8');
      const aclFile = join(directory, 'users.acl');
      const shipped = await readFile(SHIPPED_ACL, 'utf8');
      await writeFile(aclFile, `${shipped.replaceAll(/>CHANGE-ME-([a-z]+)/g, '>$1-secret')}user admin on >admin-secret ~* &* +@all\n`);
      const started = await RedisServer.start({ directory, tls, args: ['--aclfile', aclFile] });
      server = started;
      const urlOf = (kind: string): string => `rediss://opamp-${kind}:${kind}-secret@${started.address}`;
      return {
        url: urlOf('coordinator'),
        envOf: (kind) => ({ OPAMP_REDIS_URL: urlOf(kind), OPAMP_REDIS_CA_FILE: tls.ca }),
        stop: async () => await started.stop(),
      };
    },
  });
  const { id, token } = await enrolHost(stack);
  const agentHeaders = { Authorization: `Bearer ${token}` };
  await expectMainJob(context, stack, { tls: { ca, cert: undefined, key: undefined }, agentHeaders });
  await expectCredentialCalls(stack, id, agentHeaders);

  const admin = new Redis({ host: '127.0.0.1', port: server?.port ?? 0, username: 'admin', password: 'admin-secret', tls: { ca } });
  context.onTestFinished(() => admin.disconnect());
  expect(await admin.call('ACL', 'LOG'), 'commands, keys and channels that were refused').toEqual([]);
  await expectPolicyIsChecked(context, `rediss://admin:admin-secret@127.0.0.1:${server?.port ?? 0}`, admin, {
    tls: { ca, cert: undefined, key: undefined },
  });
  // The certificate is really looked at: without its authority nobody gets in.
  const stranger = createRedis(stack.redisUrl, 'command', createSilentLogger());
  context.onTestFinished(async () => await closeRedis(stranger));
  const refusals: string[] = [];
  stranger.on('error', (error) => refusals.push(inspect(error)));
  await waitUntil(
    'the certificate to be refused',
    () => refusals,
    (seen) => seen.some((text) => text.includes('certificate')),
  );
  expect(stranger.status).not.toBe('ready');
});

test('with Sentinels', async (context) => {
  const sets: SentinelSet[] = [];
  const store = async (directory: string): Promise<SentinelSet> => {
    const set = await SentinelSet.start({ directory, replicas: 1, downAfterMs: 30_000 });
    sets.push(set);
    return set;
  };
  const stack = await useStack(context, { gateways: 1, store });
  await expectMainJob(context, stack);
  const primary = await sets[0]?.primary();
  const admin = new Redis(primary?.url ?? '');
  context.onTestFinished(() => admin.disconnect());
  await expectPolicyIsChecked(context, stack.redisUrl, admin);
});

test('on a Cluster of three masters', async (context) => {
  const sets: ClusterSet[] = [];
  const store = async (directory: string): Promise<ClusterSet> => {
    const set = await ClusterSet.start({ directory });
    sets.push(set);
    return set;
  };
  const stack = await useStack(context, { gateways: 2, store });
  await expectMainJob(context, stack);
  // Not the one that holds what belongs to the whole fleet: every server counts.
  const admin = new Redis(sets[0]?.masters[0]?.url ?? '');
  context.onTestFinished(() => admin.disconnect());
  await expectPolicyIsChecked(context, stack.redisUrl, admin);
});

test('on Valkey', async (context) => {
  const binary = findOnPath('valkey-server');
  if (binary === undefined) {
    context.skip('no valkey-server on the PATH');
    return;
  }
  const stack = await useStack(context, { gateways: 1, store: (directory) => RedisServer.start({ directory, binary }) });
  await expectMainJob(context, stack);
});

/** Exchanges an enrolment token as an install script does. */
async function enrolHost(stack: Stack): Promise<{ id: string; token: string }> {
  const made = (await stack.api.call('POST', '/tokens', { body: { kind: 'enrolment', name: 'shape', groups: ['shape'] } })) as {
    token: string;
  };
  const answer = await fetch(`${stack.apiUrl}/api/v1/enrol`, {
    method: 'POST',
    headers: { authorization: `Bearer ${made.token}`, 'content-type': 'application/json' },
    body: '{}',
  });
  expect(answer.status).toBe(201);
  return (await answer.json()) as { id: string; token: string };
}

/** What Redis is asked about credentials beside connecting with one: reading, changing, ending. */
async function expectCredentialCalls(stack: Stack, id: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const { api } = stack;
  const [url = ''] = stack.gatewayUrls;
  const poll = async (): Promise<number> =>
    (
      await fetch(url.replace(/^ws/, 'http'), {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/x-protobuf' },
        body: new Uint8Array(),
      })
    ).status;
  expect(await poll()).not.toBe(401);
  // Written beside the answer, which does not wait for it.
  await waitUntil(
    'the use of the token to be noted',
    async () => ((await api.call('GET', `/tokens/${id}`)) as { lastUsedAt: string | null }).lastUsedAt,
    (lastUsedAt) => lastUsedAt !== null,
  );
  await api.call('PATCH', `/tokens/${id}`, { body: { labels: { ring: 'two' } } });
  await api.call('DELETE', `/tokens/${id}`, { body: { reason: 'test' } });
  await waitUntil('the gateway to refuse the revoked token', poll, (status) => status === 401);
}

/** A coordinator does not start on a server that evicts, and says what to run. `admin` is connected to one server of that store. */
async function expectPolicyIsChecked(
  context: TestContext,
  url: string,
  admin: Redis,
  { tls }: { readonly tls?: RedisTls } = {},
): Promise<void> {
  const client = createRedis(url, 'command', createSilentLogger(), tls);
  context.onTestFinished(async () => await closeRedis(client));
  await waitUntilReady(client, 60_000);
  const keys = createKeys();
  await expect(checkStore(client, keys)).resolves.toEqual([]);
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  const { host = '', port = 0 } = admin.options;
  await expect(checkStore(client, keys)).rejects.toThrow(
    `Redis at ${host}:${port} has maxmemory-policy allkeys-lru, which drops configs and agents when memory runs out: run "redis-cli -h ${host} -p ${port} CONFIG SET maxmemory-policy noeviction"`,
  );
  await admin.config('SET', 'maxmemory-policy', 'noeviction');
  await expect(checkStore(client, keys)).resolves.toEqual([]);
}

/** An authority and a certificate for 127.0.0.1, by openssl. */
async function makeCertificates(directory: string): Promise<{ ca: string; cert: string; key: string }> {
  const file = (name: string): string => join(directory, name);
  const openssl = async (...args: string[]): Promise<void> => void (await run('openssl', args));
  const extensions = file('extensions.cnf');
  await writeFile(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...newKey, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-days', '2', '-subj', '/CN=test authority');
  await openssl('req', ...newKey, '-keyout', file('redis.key'), '-out', file('redis.csr'), '-subj', '/CN=redis');
  const sign = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', extensions];
  await openssl('x509', '-req', '-in', file('redis.csr'), ...sign, '-out', file('redis.pem'));
  return { ca: file('ca.pem'), cert: file('redis.pem'), key: file('redis.key') };
}
