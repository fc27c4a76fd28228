// Secrets that are planted wherever one can be: they are found in no log, no metric, no error and no answer to a reader, at the most
// talkative level that is used in practice; and in Redis only where no key to encrypt them is given.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEndpoint } from '../conformance/raw/endpoint.ts';
import { RawWebSocket } from '../conformance/raw/websocket-client.ts';
import { TestAgent } from '../conformance/test-agent.ts';
import { WebSocketLink } from '../conformance/websocket-link.ts';
import { uidText } from '../conformance/wire.ts';
import { Child } from '../support/child.ts';
import { findFreePort } from '../support/ports.ts';
import { RedisServer } from '../support/redis-server.ts';
import { startStack } from '../support/stack.ts';
import type { Stack } from '../support/stack.ts';
import { keysHolding } from '../support/store-scan.ts';
import { waitUntil } from '../support/wait-for.ts';

const DEADLINE_MS = 60_000;
const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** Every one of them can be searched for: none is a part of another, or of anything else. */
const PLANTED = {
  redisPassword: 'planted-redis-password-5d1c',
  encryptionKey: 'c0ffee5eed'.repeat(7).slice(0, 64),
  otherEncryptionKey: 'ba5eba11'.repeat(8),
  admin: 'planted-admin-token-77aa21',
  viewer: 'planted-viewer-token-08bb9c',
  wrongApi: 'planted-wrong-api-token-9f',
  gateSecret: 'planted-gate-secret-31d0ee',
  alertSecret: 'planted-alert-secret-aa41c7',
  alertHeader: 'planted-alert-header-b26f',
  promPassword: 'planted-prometheus-password-6e',
  wrongAgent: 'planted-wrong-agent-token-4',
  inConfig: 'planted-in-effective-config-e91',
} as const;
const KEY = `k1:${PLANTED.encryptionKey}`;
const OTHER_KEY = `k2:${PLANTED.otherEncryptionKey}`;
const EFFECTIVE = `exporters:\n  otlp:\n    headers:\n      authorization: Bearer ${PLANTED.inConfig}\n`;

let server: RedisServer;
let stack: Stack;
let client: RedisClient;
let agentToken: string;
const links: WebSocketLink[] = [];

interface Shown {
  effective: { files: Record<string, { body: string }> } | null;
  effectiveUnreadable: string | null;
  drift: { state: string; reason: string };
}

beforeAll(async () => {
  stack = await startStack({
    gateways: 0,
    coordinators: 0,
    env: { OPAMP_LOG_LEVEL: 'debug' },
    gatewayEnv: { OPAMP_AGENT_AUTH: 'token' },
    store: async (directory) => {
      server = await RedisServer.start({ directory, appendOnly: true, args: ['--requirepass', PLANTED.redisPassword] });
      return { url: `redis://:${PLANTED.redisPassword}@${server.address}`, stop: () => server.stop() };
    },
  });
  client = createRedis(stack.redisUrl, 'command', createSilentLogger());
  await waitUntilReady(client, DEADLINE_MS);
  const tokens = join(stack.directory, 'api-tokens');
  await writeFile(tokens, `root:${PLANTED.admin} role=admin\nreader:${PLANTED.viewer} role=viewer\n`, { mode: 0o600 });
  const alerts = join(stack.directory, 'alerts.yaml');
  const closed = await findFreePort();
  await writeFile(
    alerts,
    `targets:\n  - {name: ops, url: "http://127.0.0.1:${closed}/hook", minSeverity: info, attempts: 2, firstRetry: 1s, secrets: [${PLANTED.alertSecret}], headers: {Authorization: ${PLANTED.alertHeader}}}\n`,
    { mode: 0o600 },
  );
  const coordinator = {
    OPAMP_API_TOKENS_FILE: tokens,
    OPAMP_ALERTS_FILE: alerts,
    OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET: PLANTED.gateSecret,
    OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS: `http://prom:${PLANTED.promPassword}@127.0.0.1:${closed}`,
  };
  await Promise.all([
    stack.startGateway(),
    stack.startGateway({ OPAMP_ENCRYPTION_KEYS: KEY }),
    stack.startCoordinator({ ...coordinator, OPAMP_ENCRYPTION_KEYS: `${OTHER_KEY},${KEY}` }),
    stack.startCoordinator({ ...coordinator, OPAMP_ENCRYPTION_KEYS: OTHER_KEY }),
  ]);
  const made = await ask('POST', '/tokens', { token: PLANTED.admin, body: { name: 'agents' } });
  agentToken = (JSON.parse(made.text) as { token: string }).token;
}, 2 * DEADLINE_MS);

afterAll(async () => {
  for (const link of links) link.abort();
  if (client !== undefined) await closeRedis(client);
  await stack?.stop();
});

const [PLAIN, SEALING] = ['gateway-1', 'gateway-2'];
const [WITH_KEY, WITHOUT_KEY] = ['coordinator-1', 'coordinator-2'];

async function ask(
  method: string,
  path: string,
  { token, body, from = WITH_KEY }: { token: string; body?: unknown; from?: string },
): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${stack.apiUrlOf(from)}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  return { status: answer.status, text: await answer.text() };
}

/** An agent that has reported a config with a secret in it, once the API knows it. */
async function reporting(gateway: string): Promise<TestAgent> {
  const endpoint = parseEndpoint(`ws://127.0.0.1:${stack.port(gateway)}/v1/opamp`);
  const connect = async (token: string): Promise<RawWebSocket> =>
    await RawWebSocket.open(endpoint, DEADLINE_MS, { headers: [['Authorization', `Bearer ${token}`]] });
  await expect(connect(PLANTED.wrongAgent)).rejects.toThrow();
  // A gateway that has not heard of a new token yet asks to come again.
  const socket = await waitUntil(
    `${gateway} to know the token`,
    () => connect(agentToken),
    () => true,
    { deadlineMs: DEADLINE_MS },
  );
  const link = new WebSocketLink(socket, DEADLINE_MS);
  links.push(link);
  const agent = new TestAgent(link, DEADLINE_MS);
  await agent.first({ effectiveConfig: { configMap: { configMap: { '': { body: Buffer.from(EFFECTIVE), contentType: 'text/yaml' } } } } });
  await waitUntil(
    `what the agent of ${gateway} runs`,
    async () => await stored(agent),
    (bytes) => bytes !== null,
  );
  return agent;
}

function keyOf(agent: TestAgent): string {
  const uid = uidText(agent.uid);
  return stack.keys.shards[shardOf(uid as InstanceUid)]?.effective(uid) ?? '';
}

async function stored(agent: TestAgent): Promise<Buffer | null> {
  return await client.getBuffer(keyOf(agent));
}

async function shown(agent: TestAgent, { token = PLANTED.viewer as string, from = WITH_KEY, query = '' } = {}): Promise<Shown> {
  const { status, text } = await ask('GET', `/agents/${uidText(agent.uid)}${query}`, { token, from });
  expect(status).toBe(200);
  return JSON.parse(text) as Shown;
}

describe('effective configs in Redis', () => {
  let plain: TestAgent;
  let sealed: TestAgent;
  beforeAll(async () => {
    [plain, sealed] = await Promise.all([reporting(PLAIN), reporting(SEALING)]);
  }, 2 * DEADLINE_MS);

  it('are found by whoever reads it without a key, and not with one', async () => {
    const keys = await keysHolding(client, PLANTED.inConfig);
    expect(keys).toEqual([keyOf(plain)]);
    expect((await stored(sealed))?.toString('latin1')).toContain('k1');
  });

  it.each([PLAIN, SEALING])('of %s are shown redacted, and whole to whoever may see them', async (gateway) => {
    const agent = gateway === PLAIN ? plain : sealed;
    const redacted = await shown(agent);
    expect(redacted.effectiveUnreadable).toBeNull();
    expect(redacted.effective?.files['']?.body).toContain('[redacted]');
    expect(JSON.stringify(redacted)).not.toContain(PLANTED.inConfig);
    const whole = await shown(agent, { token: PLANTED.admin, query: '?reveal=true' });
    expect(whole.effective?.files['']?.body).toBe(EFFECTIVE);
    expect((await ask('GET', `/agents/${uidText(agent.uid)}?reveal=true`, { token: PLANTED.viewer })).status).toBe(403);
  });

  it('are called unreadable by a coordinator that has another key, and plain ones are not', async () => {
    const config = 'receivers: {nop: {}}\nexporters: {nop: {}}\nservice: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n';
    const put = await ask('PUT', '/configs/secrets', { token: PLANTED.admin, body: { files: { '': { body: config } } } });
    expect(put.status, put.text).toBeLessThan(300);
    const pin = { config: { name: 'secrets', version: 1 } };
    const pinned = await ask('PUT', `/agents/${uidText(sealed.uid)}/pin`, { token: PLANTED.admin, body: pin });
    expect(pinned.status, pinned.text).toBeLessThan(300);
    const unreadable = await shown(sealed, { from: WITHOUT_KEY });
    expect(unreadable.effective).toBeNull();
    expect(unreadable.effectiveUnreadable).toBe('it is encrypted with a key that this process does not have: "k1" (OPAMP_ENCRYPTION_KEYS)');
    expect(unreadable.drift).toMatchObject({
      state: 'unknown',
      reason: expect.stringContaining('encrypted with a key that this process does not have'),
    });
    expect((await shown(plain, { from: WITHOUT_KEY })).effective?.files['']?.body).toContain('[redacted]');
    const survey = await ask('GET', '/fleet/drift', { token: PLANTED.viewer, from: WITHOUT_KEY });
    expect(survey.status).toBe(200);
    expect(survey.text).not.toContain(PLANTED.inConfig);
  });

  it('are not written, and so not encrypted, again by a heartbeat', async () => {
    const before = await stored(sealed);
    await sealed.beat();
    // The answer to a change that follows comes after whatever the heartbeat could have written.
    await sealed.send({ health: { healthy: false, lastError: 'after the heartbeat' } });
    await waitUntil(
      'the change',
      async () => (await ask('GET', `/agents/${uidText(sealed.uid)}`, { token: PLANTED.viewer })).text,
      (text) => text.includes('after the heartbeat'),
    );
    expect(await stored(sealed)).toEqual(before);
  });

  it('make a process refuse to start with a key that is none, without repeating it', async () => {
    const logFile = join(stack.directory, 'refused.log');
    for (const kind of ['gateway', 'coordinator']) {
      const child = new Child({
        name: `refused-${kind}`,
        command: [process.execPath, join(REPOSITORY, 'packages', kind, 'dist', 'main.js')],
        environment: { OPAMP_REDIS_URL: stack.redisUrl, OPAMP_ENCRYPTION_KEYS: PLANTED.encryptionKey },
        directory: stack.directory,
        logFile,
      });
      expect((await child.exited).code).toBe(78);
    }
    expect(await readFile(logFile, 'utf8')).toContain('OPAMP_ENCRYPTION_KEYS: expected <id>:<64 hexadecimal digits>');
  });
});

describe('planted secrets', () => {
  it('are in no log, metric, error or answer to a reader', async () => {
    const secrets = Object.entries({ ...PLANTED, agentToken, agentSecret: agentToken.slice(-43) });
    const texts = new Map<string, string>();
    // Whatever a reader can ask for without naming something, and what names the agents; good and bad requests alike.
    const { paths } = JSON.parse((await ask('GET', '/openapi.json', { token: PLANTED.viewer })).text) as {
      paths: Record<string, { get?: unknown }>;
    };
    const readable = Object.entries(paths)
      .filter(([path, methods]) => methods.get !== undefined && !path.includes('{') && !path.includes('/stream'))
      .map(([path]) => path.replace('/api/v1', ''));
    const uids = (JSON.parse((await ask('GET', '/agents', { token: PLANTED.viewer })).text) as { items: { uid: string }[] }).items;
    expect(uids.length).toBe(2);
    expect(readable.length).toBeGreaterThan(10);
    for (const from of [WITH_KEY, WITHOUT_KEY]) {
      for (const path of [...readable, ...uids.map(({ uid }) => `/agents/${uid}`), '/agents/no-uid', '/audit?limit=nothing'])
        texts.set(`GET ${path} of ${from}`, (await ask('GET', path, { token: PLANTED.viewer, from })).text);
      texts.set(`a wrong token at ${from}`, (await ask('GET', '/agents', { token: PLANTED.wrongApi, from })).text);
      const alert = await ask('POST', '/alerts/test', { token: PLANTED.admin, from, body: {} });
      texts.set(`test alert of ${from}`, alert.text);
      const broken = { files: { '': { body: `a: [${PLANTED.inConfig}` } } };
      texts.set(`a viewer's change at ${from}`, (await ask('PUT', '/configs/no', { token: PLANTED.viewer, from, body: broken })).text);
    }
    // An outage makes every process log errors of its connections.
    await server.kill('SIGTERM');
    await waitUntil(
      'the outage in the logs',
      async () => await logs(),
      (all) => [...all.values()].filter((log) => log.includes('ECONNREFUSED')).length >= 4,
    );
    texts.set('while Redis is away', (await ask('GET', '/agents', { token: PLANTED.viewer })).text);
    for (const name of [PLAIN, SEALING, WITH_KEY, WITHOUT_KEY])
      texts.set(`metrics of ${name} while Redis is away`, await stack.metrics(name));
    await server.start();
    for (const name of [PLAIN, SEALING, WITH_KEY, WITHOUT_KEY]) {
      await stack.waitUntilReady(name);
      texts.set(`metrics of ${name}`, await stack.metrics(name));
    }
    for (const [name, log] of await logs()) texts.set(name, log);

    expect([...texts.keys()].filter((name) => name.endsWith('.log')).length).toBeGreaterThanOrEqual(4);
    expect([...texts].filter(([name, text]) => name.startsWith('coordinator') && text.includes('"level":"debug"'))).not.toEqual([]);
    const leaks = [...texts].flatMap(([where, text]) =>
      secrets.filter(([, secret]) => text.includes(secret)).map(([what]) => `${what} in ${where}`),
    );
    expect(leaks).toEqual([]);
  });
});

/** What all processes of ours have logged. */
async function logs(): Promise<Map<string, string>> {
  const files = (await readdir(stack.directory)).filter((file) => file.endsWith('.log'));
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(join(stack.directory, file), 'utf8')] as const)));
}
