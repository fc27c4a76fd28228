// Other people's OpAMP clients against our gateways: everything that an agent goes through but a rollout.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { RedisServer } from '../support/redis-server.ts';
import type { InteropBinaries } from './build.ts';
import { Api } from './support/api.ts';
import { GOOD, GOOD_TOO } from './support/configs.ts';
import { ElasticClient } from './support/elastic-client.ts';
import { GoClient } from './support/go-client.ts';
import type { GoClientStart } from './support/go-client.ts';
import { moveAgent } from './support/move.ts';
import { startStack } from './support/stack.ts';
import type { Stack } from './support/stack.ts';
import { CleanUp, describeInterop } from './support/suite.ts';
import { Tap } from './support/tap.ts';
import { waitFor } from './support/wait-for.ts';

/** Status, remote config and its status, effective config, restart, health, heartbeat, components. */
const CAPABILITIES = 0x7c07;

const CUSTOM_CAPABILITY = 'io.example.interop';
const HEARTBEAT_MS = 200;
const DEADLINE_MS = 60_000;

const REPORT_FULL_STATE = 1n;
const REPORT_AVAILABLE_COMPONENTS = 2n;

/** Builds and transports; what differs is whether a reconnect over WebSocket brings the full state. */
const CLIENTS = [
  { program: 'opampGo', scheme: 'ws', isFullOnReconnect: false },
  { program: 'opampGo', scheme: 'http', isFullOnReconnect: false },
  { program: 'opampGoBeforeDelta', scheme: 'ws', isFullOnReconnect: true },
  { program: 'opampGoBeforeDelta', scheme: 'http', isFullOnReconnect: false },
] as const satisfies readonly { program: keyof InteropBinaries; scheme: 'ws' | 'http'; isFullOnReconnect: boolean }[];

type ClientKind = Pick<(typeof CLIENTS)[number], 'program' | 'scheme'>;

let stack: Stack;
let api: Api;
beforeAll(async () => {
  stack = await startStack();
  api = new Api(stack.apiUrl);
});
afterAll(() => stack?.stop());

const cleanUp = new CleanUp();
afterEach(() => cleanUp.run());

function gatewayUrl(index: number): string {
  const url = stack.gatewayUrls[index];
  if (url === undefined) {
    throw new Error(`there is no gateway ${index}`);
  }
  return url;
}

async function tapOn(url: string): Promise<Tap> {
  return cleanUp.add(await Tap.start(url), (tap) => tap.stop());
}

/** How often the gateways asked for that flag since the first `after` records. */
function asked(tap: Tap, flag: bigint, after = 0): number {
  return tap.fromServer(after).filter((message) => (message.flags & flag) !== 0n).length;
}

/** How often a config was offered. */
function offers(tap: Tap, hash: string, after = 0): number {
  return tap
    .fromServer(after)
    .filter(({ remoteConfig }) => remoteConfig !== undefined && Buffer.from(remoteConfig.configHash).toString('hex') === hash).length;
}

/** Waits until the agent has sent `count` more messages and each was answered. */
async function exchanges(tap: Tap, count: number): Promise<void> {
  const after = tap.records.length;
  await waitFor(
    `${count} exchanges`,
    DEADLINE_MS,
    () => tap.fromAgent(after).length >= count && tap.fromServer(after).length >= count,
    () => tap.describe(),
  );
}

describeInterop('opamp-go against the gateways', (binaries) => {
  /** A gateway that holds as many connections as it may; polls do not count against that limit. */
  async function fullGateway(): Promise<string> {
    const url = await stack.addGateway({ OPAMP_GATEWAY_MAX_CONNECTIONS: '1' });
    const holder = cleanUp.add(await GoClient.launch(binaries().opampGo), (value) => value.kill());
    await holder.start({
      url,
      instanceUid: randomUUID(),
      capabilities: CAPABILITIES,
      identifying: { 'service.name': 'holder' },
      componentsHash: '00',
    });
    await holder.event('connected');
    return url;
  }

  /** A gateway whose Redis is gone: it refuses upgrades and polls. */
  async function cutOffGateway(): Promise<string> {
    const directory = cleanUp.add(await mkdtemp(path.join(tmpdir(), 'opamp-interop-')), (dir) => rm(dir, { recursive: true, force: true }));
    const redis = cleanUp.add(await RedisServer.start({ directory }), (server) => server.stop());
    const url = await stack.addGateway({ OPAMP_REDIS_URL: redis.url });
    await redis.stop();
    return url;
  }

  async function connectAs(
    { program, scheme }: ClientKind,
    start: Partial<GoClientStart> = {},
  ): Promise<{ client: GoClient; tap: Tap; uid: string }> {
    const tap = await tapOn(gatewayUrl(0));
    const client = cleanUp.add(await GoClient.launch(binaries()[program]), (value) => value.kill());
    const uid = randomUUID();
    await client.start({
      url: tap.url(scheme),
      instanceUid: uid,
      capabilities: CAPABILITIES,
      identifying: { 'service.name': 'interop', 'service.version': client.library },
      nonIdentifying: { 'deployment.environment.name': `interop-${scheme}` },
      heartbeatMs: HEARTBEAT_MS,
      effectiveConfig: 'receivers: {}\n',
      customCapabilities: [CUSTOM_CAPABILITY],
      componentsHash: '00',
      components: { 'receivers/otlp': 'example.test/otlpreceiver v0.0.1' },
      ...start,
    });
    // The claim shows first, the report that comes with it a moment later.
    await api.agent(uid, 'connected and described', (agent) => agent.connected && agent.attributes['service.version'] === client.library);
    return { client, tap, uid };
  }

  describe.each(CLIENTS)('$program over $scheme', ({ program, scheme, isFullOnReconnect }) => {
    const connect = (start?: Partial<GoClientStart>) => connectAs({ program, scheme }, start);

    it('shows its full state in the API', async () => {
      const { client, uid, tap } = await connect();
      const agent = await api.agent(
        uid,
        'healthy, with its effective config',
        ({ health, effective }) => health.status === 'healthy' && effective !== null,
      );
      expect(agent.transport).toBe(scheme);
      expect(agent.attributes).toMatchObject({ 'service.version': client.library, 'deployment.environment.name': `interop-${scheme}` });
      expect(agent.effective?.files['']?.body).toContain('receivers');
      expect(agent.customCapabilities).toEqual([CUSTOM_CAPABILITY]);
      expect(agent.capabilities).toContain('AcceptsRemoteConfig');
      await exchanges(tap, 3);
      expect(asked(tap, REPORT_FULL_STATE)).toBe(0);
      expect(client.count('server_error')).toBe(0);
    });

    it('applies a config, fails another, and is not offered either again', async () => {
      const { client, uid, tap } = await connect();
      const good = await api.putConfig('clients', GOOD);
      await api.pin(uid, good);
      const applied = await api.agent(uid, 'in sync', ({ config }) => config.inSync === true);
      expect(applied.config.hash).toBe(good.hash);
      const withConfig = await api.agent(
        uid,
        'showing what it applied',
        ({ effective }) => effective?.files['']?.body.includes('verbosity: basic') === true,
      );
      expect(withConfig.config.status).toBe('applied');

      await client.setOnConfig('failed');
      const other = await api.putConfig('clients', GOOD_TOO);
      await api.pin(uid, other);
      const failed = await api.agent(uid, 'failed', ({ config }) => config.status === 'failed' && config.hash === other.hash);
      expect(failed.config).toMatchObject({ hash: other.hash, error: 'refused on request of the test' });
      expect(failed.failedHashes.map(({ hash }) => hash)).toContain(other.hash);
      await exchanges(tap, 5);
      expect(offers(tap, good.hash)).toBe(1);
      expect(offers(tap, other.hash)).toBe(1);
      expect(asked(tap, REPORT_FULL_STATE)).toBe(0);
    });

    it('moves to another gateway without being asked for its full state', async () => {
      const { client, uid, tap } = await connect();
      const good = await api.putConfig('clients', GOOD);
      await api.pin(uid, good);
      await api.agent(uid, 'in sync', ({ config }) => config.inSync === true);
      await exchanges(tap, 2);
      const { first, before } = await moveAgent({ tap, api, uid }, [gatewayUrl(0), gatewayUrl(1)], DEADLINE_MS);
      expect(first.agentDescription !== undefined).toBe(isFullOnReconnect);
      await api.agent(uid, 'connected there', ({ connected }) => connected);
      await exchanges(tap, 10);
      expect(asked(tap, REPORT_FULL_STATE, before)).toBe(0);
      expect(offers(tap, good.hash, before)).toBe(0);
      expect(client.count('server_error')).toBe(0);
      const agent = await api.agent(uid, 'connected and in sync', ({ connected, config }) => connected && config.inSync === true);
      expect(agent.attributes['deployment.environment.name']).toBe(`interop-${scheme}`);
    });

    it('sends its component list when nobody knows its hash yet, and nobody else of that build is asked', async () => {
      const componentsHash = randomUUID().replaceAll('-', '');
      const { tap } = await connect({ componentsHash });
      await tap.agentSays(
        'its components',
        DEADLINE_MS,
        (message) => Object.keys(message.availableComponents?.components ?? {}).length > 0,
      );
      await exchanges(tap, 3);
      expect(asked(tap, REPORT_AVAILABLE_COMPONENTS)).toBe(1);
      const { tap: second } = await connect({ componentsHash });
      await exchanges(second, 3);
      expect(asked(second, REPORT_AVAILABLE_COMPONENTS)).toBe(0);
    });

    it('gets an answer to its custom message', async () => {
      const { client, uid, tap } = await connect();
      const before = tap.records.length;
      await client.sendCustom(CUSTOM_CAPABILITY, 'hello', new Uint8Array([0, 1, 255]));
      const sent = await tap.agentSays('hello', DEADLINE_MS, ({ customMessage }) => customMessage?.type === 'hello', before);
      await exchanges(tap, 2);
      expect([...(sent.customMessage?.data ?? [])]).toEqual([0, 1, 255]);
      expect(tap.fromServer().every(({ errorResponse }) => errorResponse === undefined)).toBe(true);
      expect((await api.agent(uid, 'connected', ({ connected }) => connected)).uid).toBe(uid);
    });

    it('is refused with 503 and Retry-After by a gateway that cannot take it, and served by the next', async () => {
      const tap = await tapOn(scheme === 'ws' ? await fullGateway() : await cutOffGateway());
      const client = cleanUp.add(await GoClient.launch(binaries()[program]), (value) => value.kill());
      const uid = randomUUID();
      await client.start({
        url: tap.url(scheme),
        instanceUid: uid,
        capabilities: CAPABILITIES,
        identifying: { 'service.name': 'interop' },
        componentsHash: '00',
        heartbeatMs: HEARTBEAT_MS,
      });
      const refusal = await waitFor('a refusal', DEADLINE_MS, () => tap.responses.find(({ status }) => status !== 101 && status !== 200));
      expect(refusal.status).toBe(503);
      expect(Number(refusal.retryAfter)).toBeGreaterThanOrEqual(1);
      tap.retarget(gatewayUrl(1));
      await api.agent(uid, 'connected', ({ connected }) => connected);
    });
  });

  describe.each(CLIENTS.filter(({ scheme }) => scheme === 'ws'))('$program, what takes a connection', (kind) => {
    const connect = (start?: Partial<GoClientStart>) => connectAs(kind, start);

    it('gets a restart command alone in its message, once', async () => {
      const { client, uid, tap } = await connect();
      // The claim shows a moment before the first report does.
      await api.agent(uid, 'known to take a restart', ({ capabilities }) => capabilities.includes('AcceptsRestartCommand'));
      await api.restart(uid);
      await client.event('server_command', ({ type }) => type === 'CommandType_Restart');
      await exchanges(tap, 3);
      const commands = tap.fromServer().filter(({ command }) => command !== undefined);
      expect(commands).toHaveLength(1);
      expect(commands[0]).toMatchObject({ flags: 0n });
      expect(commands[0]?.remoteConfig).toBeUndefined();
    });

    it('gets a custom message that was sent through the API', async () => {
      const { client, uid } = await connect();
      await api.agent(uid, 'known with its custom capability', ({ customCapabilities }) => customCapabilities.length === 1);
      await api.sendCustomMessage(uid, CUSTOM_CAPABILITY, 'ping', new Uint8Array([0, 128, 255]));
      const received = await client.event('message', ({ customMessage }) => customMessage !== undefined);
      expect(received.customMessage).toEqual({
        capability: CUSTOM_CAPABILITY,
        type: 'ping',
        dataBase64: Buffer.from([0, 128, 255]).toString('base64'),
      });
    });

    it('is away as soon as it says goodbye', async () => {
      const { client, uid } = await connect();
      await client.stop();
      // Long before its lease or any silence would end.
      expect((await api.agent(uid, 'away', ({ connected }) => !connected)).gateway).toBeNull();
    });
  });
});

describe('@elastic/opamp-client-node against the gateways', () => {
  it.each([true, false])('answers a config (applies it: %s) and is not offered it again', async (accepts) => {
    const tap = await tapOn(gatewayUrl(0));
    const uid = randomUUID();
    const client = cleanUp.add(
      new ElasticClient({
        url: tap.url('http'),
        instanceUid: uid,
        heartbeatIntervalS: HEARTBEAT_MS / 1_000,
        accepts,
        identifying: { 'service.name': 'elastic' },
      }),
      (value) => value.stop(),
    );
    // The claim shows first, the report that comes with it a moment later.
    await api.agent(uid, 'connected and described', (agent) => agent.connected && agent.attributes['service.name'] === 'elastic');
    const config = await api.putConfig('elastic', GOOD);
    await api.pin(uid, config);
    expect(await client.event('remote_config')).toMatchObject({ hash: config.hash, body: GOOD });
    await api.agent(
      uid,
      accepts ? 'in sync' : 'failed',
      (seen) => seen.config.status === (accepts ? 'applied' : 'failed') && seen.config.hash === config.hash,
    );
    await exchanges(tap, 5);
    expect(offers(tap, config.hash)).toBe(1);
    expect(asked(tap, REPORT_FULL_STATE)).toBe(0);
    expect(client.events.filter(({ event }) => event === 'send_failed')).toEqual([]);
  });
});
