/** Supervisors around 0.160, and heartbeat intervals of 0. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createScriptedServer, type Received, remoteConfig, type ScriptedServer, until } from '../test-support/scripted-server.ts';
import type { ProfileName } from './agent-profile.ts';
import type { Swarm, SwarmOptions } from './swarm-api.ts';
import { createSwarm } from './swarm.ts';

const GOOD = remoteConfig('receivers:\n  otlp:\n', 'a0');

let server: ScriptedServer;
let swarms: Swarm[] = [];

beforeEach(async () => {
  server = await createScriptedServer();
});

afterEach(async () => {
  await Promise.all(swarms.map((swarm) => swarm.stop()));
  swarms = [];
  await server.close();
});

async function startAs(profile: ProfileName, options: Partial<SwarmOptions> = {}): Promise<Swarm> {
  const swarm = createSwarm({
    urls: [server.url],
    agents: 1,
    seed: 7,
    timeScale: 0.02,
    heartbeatMs: 0,
    httpPollMs: 30,
    profiles: [{ profile, fraction: 1 }],
    ...options,
  });
  swarms.push(swarm);
  await swarm.start();
  return swarm;
}

/** Answers the first message with this, and no other. */
function answerFirst(answer: NonNullable<ReturnType<ScriptedServer['answer']>>): void {
  let answered = false;
  server.answer = () => {
    if (answered) return undefined;
    answered = true;
    return answer;
  };
}

const interval = (heartbeatIntervalSeconds: bigint) => ({
  connectionSettings: { hash: Buffer.from('01', 'hex'), opamp: { destinationEndpoint: server.url, heartbeatIntervalSeconds } },
});
const filesOf = ({ message }: Received): readonly string[] => Object.keys(message.effectiveConfig?.configMap?.configMap ?? {}).toSorted();
const showsConfig = (received: Received): boolean =>
  Buffer.from(received.message.effectiveConfig?.configMap?.configMap['']?.body ?? []).includes('otlp');

it('0.159 forwards the file with the empty name only, 0.160 the raw one beside it', async () => {
  answerFirst({ remoteConfig: GOOD });
  const old = await startAs('supervisor-0.159');
  expect(filesOf(await server.waitFor('an effective config', showsConfig))).toEqual(['']);
  await old.stop();
  server.received.length = 0;
  answerFirst({ remoteConfig: GOOD });
  await startAs('supervisor-0.160');
  expect(filesOf(await server.waitFor('an effective config', showsConfig))).toEqual(['', 'raw']);
});

it('0.160 can accept without reporting, and an upgrade to 0.161 makes it report, from UNSET on', async () => {
  answerFirst({ remoteConfig: GOOD });
  const swarm = await startAs('supervisor-0.160');
  await until('the config runs', async () => (await swarm.records())[0]?.running === 'a0');
  expect(server.received.slice(1).filter(({ message }) => message.remoteConfigStatus !== undefined)).toEqual([]);
  const before = server.received.length;
  await swarm.control({ do: 'set-profile', profile: 'supervisor-0.161' });
  await swarm.control({ do: 'restart-supervisor' });
  const first = await server.waitFor(
    'the first message of the new process',
    (received) => server.received.indexOf(received) >= before && received.message.sequenceNum === 0n,
  );
  expect(first.message.remoteConfigStatus?.lastRemoteConfigHash).toHaveLength(0);
  first.peer?.send({ remoteConfig: GOOD });
  await until('APPLIED', async () => (await swarm.records())[0]?.lastReported.status === 'APPLIED');
  await until('its collector to run again', async () => (await swarm.records())[0]?.running === 'a0');
  expect((await swarm.records())[0]).toMatchObject({ onDisk: 'a0', lastReported: { hash: 'a0' } });
});

it('an interval of 0 takes an HTTP supervisor of 0.159 off the air until it is started again, and does nothing to a later one', async () => {
  answerFirst(interval(0n));
  const swarm = await startAs('supervisor-0.159', { httpFraction: 1 });
  await until('its end', async () => (await swarm.records())[0]?.connected === false && server.received.length > 0);
  const before = server.received.length;
  await swarm.control({ do: 'restart-supervisor' });
  await until('its polls after a start', () => server.received.length > before + 2);
  await swarm.stop();

  answerFirst(interval(0n));
  const from = server.received.length;
  const later = await startAs('supervisor-0.161', { httpFraction: 1, seed: 8 });
  await until('its polls', () => server.received.length > from + 4);
  expect((await later.records())[0]?.connected).toBe(true);
});

it('an agent without heartbeats says nothing on a quiet WebSocket, beside one that does', async () => {
  const swarm = await startAs('no-heartbeat', { agents: 2, heartbeatMs: 20, profiles: [{ profile: 'no-heartbeat', indexes: [0] }] });
  const [quiet, loud] = (await swarm.records()).map(({ uid }) => uid.replaceAll('-', ''));
  const sent = (uid: string | undefined): readonly Received[] =>
    server.received.filter(({ message }) => Buffer.from(message.instanceUid).toString('hex') === uid);
  await until('ten heartbeats of the other', () => sent(loud).filter(({ bytes }) => bytes.length <= 26).length >= 10);
  expect(sent(quiet).length).toBeGreaterThan(0);
  expect(sent(quiet).filter(({ bytes }) => bytes.length <= 26)).toEqual([]);
});
