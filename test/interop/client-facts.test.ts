// What docs/agents.md says about the client libraries, checked against a server that does only what it is told.
import { randomUUID } from 'node:crypto';

import { afterEach, describe, expect, it } from 'vitest';

import { GOOD, hashOf, offerOf } from './support/configs.ts';
import { ElasticClient } from './support/elastic-client.ts';
import { GoClient } from './support/go-client.ts';
import type { GoClientStart } from './support/go-client.ts';
import { ScriptedServer } from './support/scripted-server.ts';
import { CleanUp, describeInterop } from './support/suite.ts';
import { Tap } from './support/tap.ts';
import { waitFor } from './support/wait-for.ts';
import { OPAMP_GO_BEFORE_DELTA_VERSION, OPAMP_GO_VERSION } from './versions.ts';

/** Status, remote config and its status, effective config, restart, health, heartbeat, components. */
const CAPABILITIES = 0x7c07;

/** Values of RemoteConfigStatuses. */
const APPLIED = 1;
const FAILED = 3;

const REPORT_AVAILABLE_COMPONENTS = 2n;

const DEADLINE_MS = 60_000;

const cleanUp = new CleanUp();
afterEach(() => cleanUp.run());

async function scripted(): Promise<{ server: ScriptedServer; tap: Tap }> {
  const server = cleanUp.add(await ScriptedServer.start(), (value) => value.stop());
  const tap = cleanUp.add(await Tap.start(server.wsUrl), (value) => value.stop());
  return { server, tap };
}

function identity(): { instanceUid: string; uid: string } {
  const instanceUid = randomUUID();
  return { instanceUid, uid: instanceUid.replaceAll('-', '') };
}

describeInterop('opamp-go against a scripted server', (binaries) => {
  async function connect(
    program: string,
    tap: Tap,
    scheme: 'ws' | 'http',
    start: Partial<GoClientStart> = {},
  ): Promise<{ client: GoClient; uid: string }> {
    const client = cleanUp.add(await GoClient.launch(program), (value) => value.kill());
    const { instanceUid, uid } = identity();
    await client.start({
      url: tap.url(scheme),
      instanceUid,
      capabilities: CAPABILITIES,
      identifying: { 'service.name': 'interop' },
      componentsHash: '00ff',
      components: { 'receivers/otlp': 'example.test/otlpreceiver v0.0.1' },
      ...start,
    });
    await tap.agentSays('who it is', DEADLINE_MS, (message) => message.agentDescription !== undefined);
    await tap.serverSays('that it has heard it', DEADLINE_MS, () => true);
    return { client, uid };
  }

  it.for(['ws', 'http'] as const)('%s: reports what became of an offer, and its components when asked', async (scheme) => {
    const { server, tap } = await scripted();
    const { client, uid } = await connect(binaries().opampGo, tap, scheme, { heartbeatMs: 200 });
    expect(client.library).toBe(`v${OPAMP_GO_VERSION}`);
    const first = tap.fromAgent()[0];
    expect(first?.availableComponents?.components).toEqual({});
    server.push(uid, { ...offerOf({ '': GOOD }), flags: REPORT_AVAILABLE_COMPONENTS });
    await tap.agentSays('APPLIED', DEADLINE_MS, (message) => message.remoteConfigStatus?.status === APPLIED);
    await tap.agentSays(
      'its components',
      DEADLINE_MS,
      (message) => Object.keys(message.availableComponents?.components ?? {}).length === 1,
    );
    await client.setOnConfig('failed');
    server.push(uid, offerOf({ '': '' }));
    await tap.agentSays('FAILED', DEADLINE_MS, (message) => message.remoteConfigStatus?.status === FAILED);
  });

  it('goes on with the next number after a reconnect, and before v0.23 sends its full state instead', async () => {
    for (const [program, library, isFull] of [
      [binaries().opampGo, OPAMP_GO_VERSION, false],
      [binaries().opampGoBeforeDelta, OPAMP_GO_BEFORE_DELTA_VERSION, true],
    ] as const) {
      const { tap } = await scripted();
      const { client } = await connect(program, tap, 'ws');
      expect(client.library).toBe(`v${library}`);
      const before = tap.records.length;
      tap.cut();
      const again = await tap.agentSays('something', DEADLINE_MS, () => true, before);
      expect(again.agentDescription !== undefined).toBe(isFull);
      expect(again.sequenceNum).toBeGreaterThan(0n);
    }
  });

  it('says goodbye over WebSocket; over HTTP it just stops', async () => {
    const overWs = await scripted();
    const { client: wsClient } = await connect(binaries().opampGo, overWs.tap, 'ws');
    await wsClient.stop();
    await overWs.server.arrival('its goodbye', DEADLINE_MS, ({ message }) => message.agentDisconnect !== undefined);
    expect(overWs.server.arrivals.at(-1)?.message.agentDisconnect).toBeDefined();

    const overHttp = await scripted();
    const { client: httpClient } = await connect(binaries().opampGo, overHttp.tap, 'http');
    await httpClient.stop();
    expect(overHttp.server.arrivals.at(-1)?.message.agentDisconnect).toBeUndefined();
  });

  it.for(['ws', 'http'] as const)('%s: comes back after 503 with Retry-After', async (scheme) => {
    const { server, tap } = await scripted();
    server.admission = { kind: 'refuse', status: 503, retryAfterS: 1 };
    const client = cleanUp.add(await GoClient.launch(binaries().opampGo), (value) => value.kill());
    await client.start({
      url: tap.url(scheme),
      ...identity(),
      capabilities: CAPABILITIES,
      identifying: { 'service.name': 'interop' },
      componentsHash: '00',
    });
    await waitFor(
      'two refusals',
      DEADLINE_MS,
      () => tap.responses.filter(({ status, retryAfter }) => status === 503 && retryAfter === '1').length >= 2,
    );
    server.admission = { kind: 'accept' };
    await tap.agentSays('who it is', DEADLINE_MS, (message) => message.agentDescription !== undefined);
  });

  it('sends gzip bodies when told to compress', async () => {
    const { server, tap } = await scripted();
    await connect(binaries().opampGo, tap, 'http', { compression: true });
    expect(tap.records[0]).toMatchObject({ from: 'agent', encoding: 'gzip' });
    expect(server.arrivals[0]?.message.agentDescription).toBeDefined();
  });
});

describe('@elastic/opamp-client-node against a scripted server', () => {
  it.for([true, false])('applies (%s) a config that comes with a poll, and counts from 1', async (accepts) => {
    const { server, tap } = await scripted();
    const { instanceUid, uid } = identity();
    const client = cleanUp.add(
      new ElasticClient({
        url: tap.url('http'),
        instanceUid,
        heartbeatIntervalS: 0.2,
        accepts,
        identifying: { 'service.name': 'interop' },
      }),
      (value) => value.stop(),
    );
    const first = await tap.agentSays('who it is', DEADLINE_MS, (message) => message.agentDescription !== undefined);
    expect(first.sequenceNum).toBe(1n);
    server.push(uid, offerOf({ '': GOOD }));
    const received = await client.event('remote_config');
    expect(received).toMatchObject({ hash: hashOf({ '': GOOD }).toString('hex'), body: GOOD });
    await tap.agentSays('what became of it', DEADLINE_MS, (message) => message.remoteConfigStatus?.status === (accepts ? APPLIED : FAILED));
  });
});
