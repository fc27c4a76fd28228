import { AgentCapabilities, RemoteConfigStatuses } from '@opamp-gateway/proto/opamp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createScriptedServer, type Received, remoteConfig, type ScriptedServer, until } from '../test-support/scripted-server.ts';
import type { ProfileShare } from './agent-profile.ts';
import type { AgentRecord } from './agent-record.ts';
import { seededInstanceUid, uuidText } from './random.ts';
import { SUPERVISOR_ERRORS } from './agent-status.ts';
import type { Swarm, SwarmOptions } from './swarm-api.ts';
import { createSwarm } from './swarm.ts';

const GOOD = remoteConfig('receivers:\n  otlp:\n', 'a0');
const SAME_TEXT = remoteConfig('receivers:\n  otlp:\n', 'a1');
const BAD = remoteConfig('receivers:\n  otlp:\n# defect\n', 'b0');
const NOT_YAML = remoteConfig('- just\n- a list\n', 'c0');
const {
  RemoteConfigStatuses_APPLIED: APPLIED,
  RemoteConfigStatuses_APPLYING: APPLYING,
  RemoteConfigStatuses_FAILED: FAILED,
} = RemoteConfigStatuses;

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

async function startSwarm(options: Partial<SwarmOptions> = {}): Promise<Swarm> {
  const swarm = createSwarm({ urls: [server.url], agents: 1, seed: 7, timeScale: 0.02, heartbeatMs: 0, httpPollMs: 30, ...options });
  swarms.push(swarm);
  await swarm.start();
  return swarm;
}

async function only(swarm: Swarm): Promise<AgentRecord> {
  const [record] = await swarm.records();
  if (record === undefined) throw new Error('no agent');
  return record;
}

const statusOf = (received: Received): RemoteConfigStatuses | undefined => received.message.remoteConfigStatus?.status;
const statuses = (hash: string): (RemoteConfigStatuses | undefined)[] =>
  server.received
    .filter(({ message }) => Buffer.from(message.remoteConfigStatus?.lastRemoteConfigHash ?? []).toString('hex') === hash)
    .map((received) => statusOf(received));
const has = (status: RemoteConfigStatuses, hash: string) => (received: Received) =>
  statusOf(received) === status && Buffer.from(received.message.remoteConfigStatus?.lastRemoteConfigHash ?? []).toString('hex') === hash;

/** Answers the first message of each agent with this config. */
function offerAtFirst(config: ReturnType<typeof remoteConfig>): void {
  const offered = new Set<string>();
  server.answer = ({ message }) => {
    const uid = Buffer.from(message.instanceUid).toString('hex');
    if (offered.has(uid)) return undefined;
    offered.add(uid);
    return { remoteConfig: config };
  };
}

async function peerOf(): Promise<NonNullable<Received['peer']>> {
  await server.waitFor('a first message', () => true);
  const peer = server.received.at(-1)?.peer;
  if (peer === undefined) throw new Error('no WebSocket');
  return peer;
}

function failing(
  kind: 'crash' | 'merge-error' | 'validation' | 'soft-timeout' | 'unhealthy' | 'self-cut' | 'never-answers',
  extra: object = {},
): ProfileShare[] {
  return [{ profile: 'normal', fraction: 1, overrides: { failOn: [{ kind, match: { contains: 'defect' }, ...extra }] } }];
}

describe('first message', () => {
  it('is what a supervisor sends', async () => {
    // The collector takes long to start, so that it is not healthy yet when the connection stands.
    await startSwarm({ timeScale: 100, attributes: { nonIdentifying: { env: 'edge', host: 'node-{i}' } } });
    const first = await server.waitFor('the first message', () => true);
    const { message, payload } = first;
    const uid = seededInstanceUid(7, 0);
    // Header 00, then the uid; number 0 is not on the wire, so the description follows at once.
    expect(payload.subarray(0, 20).toString('hex')).toBe(`000a10${Buffer.from(uid).toString('hex')}1a`);
    expect(message.sequenceNum).toBe(0n);
    expect(message.capabilities).toBe(0x7c47n);
    expect(message.agentDescription?.identifyingAttributes.map(({ key }) => key)).toEqual([
      'service.instance.id',
      'service.name',
      'service.version',
    ]);
    const labels = new Map(message.agentDescription?.nonIdentifyingAttributes.map(({ key, value }) => [key, value?.value.value]));
    expect(labels.get('env')).toBe('edge');
    expect(labels.get('host')).toBe('node-0');
    expect(message.health?.healthy).toBe(false);
    expect(message.remoteConfigStatus).toMatchObject({
      status: RemoteConfigStatuses.RemoteConfigStatuses_UNSET,
      lastRemoteConfigHash: new Uint8Array(0),
    });
    expect(message.packageStatuses).toBeDefined();
    expect(message.availableComponents?.hash.length).toBe(32);
    expect(message.availableComponents?.components).toEqual({});
    expect(message.effectiveConfig).toBeUndefined();
  });

  it('has the mask of an agent that cannot report, and its status is never sent again', async () => {
    const swarm = await startSwarm({ profiles: [{ profile: 'no-report', fraction: 1 }] });
    const first = await server.waitFor('the first message', () => true);
    expect(first.message.capabilities & BigInt(AgentCapabilities.AgentCapabilities_ReportsRemoteConfig)).toBe(0n);
    (await peerOf()).send({ remoteConfig: GOOD });
    await until('the config runs', async () => (await only(swarm)).running === 'a0');
    await server.waitFor('an effective config', ({ message }) =>
      Buffer.from(message.effectiveConfig?.configMap?.configMap['']?.body ?? [])
        .toString()
        .includes('otlp'),
    );
    expect(server.received.slice(1).every(({ message }) => message.remoteConfigStatus === undefined)).toBe(true);
  });
});

describe('apply', () => {
  it('goes APPLYING, effective config, healthy, APPLIED with numbers in a row', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm();
    await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    expect(statuses('a0')).toEqual([APPLYING, APPLIED]);
    const applied = server.received.findIndex(has(APPLIED, 'a0'));
    const effective = server.received.findIndex(
      ({ message }) => Buffer.from(message.effectiveConfig?.configMap?.configMap['']?.body ?? []).toString() === 'receivers:\n  otlp:\n',
    );
    const healthy = server.received.findIndex(({ message }) => message.health?.healthy === true);
    expect(effective).toBeGreaterThan(0);
    expect(effective).toBeLessThan(applied);
    expect(healthy).toBeLessThan(applied);
    expect(server.received.map(({ message }) => Number(message.sequenceNum))).toEqual(server.received.map((_received, index) => index));
    const record = await only(swarm);
    expect(record).toMatchObject({
      running: 'a0',
      onDisk: 'a0',
      offerCount: 1,
      everApplied: ['a0'],
      everRan: ['a0'],
      lastReported: { status: 'APPLIED', hash: 'a0' },
    });
    expect(Object.values(record.violations)).toEqual([0, 0, 0, 0, 0]);
  });

  it('answers an offer with the same merged text at once', async () => {
    offerAtFirst(GOOD);
    await startSwarm();
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.sendInFragments({ remoteConfig: SAME_TEXT });
    await server.waitFor('APPLIED of the other hash', has(APPLIED, 'a1'));
    expect(statuses('a1')).toEqual([APPLIED]);
  });

  it('sees a second equal offer and an empty map as violations', async () => {
    const swarm = await startSwarm();
    const peer = await peerOf();
    peer.send({ remoteConfig: GOOD });
    peer.send({ remoteConfig: GOOD });
    peer.send({ remoteConfig: { config: { configMap: {} }, configHash: Buffer.from('e0', 'hex') } });
    await until('three offers', async () => (await only(swarm)).offerCount === 3);
    expect((await only(swarm)).violations).toMatchObject({ emptyMaps: 1, repeatedWhileApplying: 1 });
    expect(await only(swarm)).toMatchObject({ running: null, health: { healthy: true } });
  });

  it("refuses other agents' messages and configs it did not ask for", async () => {
    const swarm = await startSwarm({ profiles: [{ profile: 'read-only', fraction: 1 }] });
    const peer = await peerOf();
    peer.send({ remoteConfig: GOOD });
    peer.send({ instanceUid: seededInstanceUid(7, 99) });
    await until('both', async () => {
      const { violations } = await only(swarm);
      return violations.unacceptedOffers === 1 && violations.badMessages === 1;
    });
    expect((await only(swarm)).onDisk).toBeNull();
  });
});

describe('failures', () => {
  it('crash: FAILED with the real text, bad health again and again, and back with the old config', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm({ profiles: failing('crash') });
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.send({ remoteConfig: BAD });
    const failed = await server.waitFor('FAILED', has(FAILED, 'b0'));
    expect(failed.message.remoteConfigStatus?.errorMessage).toBe('Agent exited unexpectedly with exit code 1 while applying configuration');
    const crashReports = (): number =>
      server.received.filter(({ message }) => message.health?.lastError.includes('exited unexpectedly, exit code=1') === true).length;
    await until('three crash reports', () => crashReports() >= 3);
    expect((await only(swarm)).crashes).toBeGreaterThanOrEqual(3);
    expect(await only(swarm)).toMatchObject({ running: null, onDisk: 'b0', everFailed: ['b0'] });
    peer?.send({ remoteConfig: GOOD });
    await until('the old config runs again', () => statuses('a0').length === 4);
    expect(statuses('a0')).toEqual([APPLYING, APPLIED, APPLYING, APPLIED]);
    expect(await only(swarm)).toMatchObject({ running: 'a0', onDisk: 'a0', health: { healthy: true } });
  });

  it('merge error: FAILED at once, the old config runs on, the repair push is APPLIED at once', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm();
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.send({ remoteConfig: NOT_YAML });
    await server.waitFor('FAILED', has(FAILED, 'c0'));
    expect(statuses('c0')).toEqual([FAILED]);
    expect(await only(swarm)).toMatchObject({ running: 'a0', onDisk: 'c0' });
    peer?.send({ remoteConfig: GOOD });
    await until('repaired', async () => (await only(swarm)).onDisk === 'a0');
    await until('the answer', () => statuses('a0').length === 3);
    expect(statuses('a0')).toEqual([APPLYING, APPLIED, APPLIED]);
  });

  it('merge error on disk: the next start dies again and again', async () => {
    offerAtFirst(NOT_YAML);
    const swarm = await startSwarm();
    await server.waitFor('FAILED', has(FAILED, 'c0'));
    await swarm.control({ do: 'restart-supervisor' });
    await until('several starts', () => server.upgrades >= 4);
    expect((await only(swarm)).running).toBeNull();
  });

  it('validation error: FAILED before the restart', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm({ profiles: failing('validation') });
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.send({ remoteConfig: BAD });
    await server.waitFor('FAILED', has(FAILED, 'b0'));
    expect(await only(swarm)).toMatchObject({ running: 'a0', onDisk: 'b0', crashes: 0 });
  });

  it('soft timeout: FAILED, and healthy with the new config after all', async () => {
    offerAtFirst(BAD);
    const swarm = await startSwarm({ profiles: failing('soft-timeout') });
    const failed = await server.waitFor('FAILED', has(FAILED, 'b0'));
    expect(failed.message.remoteConfigStatus?.errorMessage).toBe(SUPERVISOR_ERRORS.timeout);
    await until('healthy', async () => (await only(swarm)).health.healthy);
    expect(await only(swarm)).toMatchObject({ running: 'b0', lastReported: { status: 'FAILED' } });
  });

  it('unhealthy: APPLIED, then bad health', async () => {
    offerAtFirst(BAD);
    const swarm = await startSwarm({ profiles: failing('unhealthy', { afterMs: 1_000 }) });
    await server.waitFor('APPLIED', has(APPLIED, 'b0'));
    await until('bad health', () => server.received.at(-1)?.message.health?.lastError === SUPERVISOR_ERRORS.unhealthy);
    expect(await only(swarm)).toMatchObject({ running: 'b0', lastReported: { status: 'APPLIED' }, health: { healthy: false } });
  });

  it('never answers, and self-cut', async () => {
    offerAtFirst(BAD);
    const silent = await startSwarm({ profiles: failing('never-answers') });
    await until('the offer', async () => (await only(silent)).onDisk === 'b0');
    const cut = await startSwarm({ seed: 8, profiles: failing('self-cut') });
    await until('cut off', async () => {
      const record = await only(cut);
      return record.running === 'b0' && !record.connected;
    });
    await server.waitFor('APPLYING', has(APPLYING, 'b0'));
    expect(statuses('b0')).toEqual([APPLYING]);
    expect(await only(silent)).toMatchObject({ running: null, lastReported: { status: 'UNSET' } });
  });

  it('rollback by the agent: FAILED of the new, then APPLIED of the old; after a restart FAILED again', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm({
      profiles: [
        { profile: 'supervisor-rollback', fraction: 1, overrides: { failOn: [{ kind: 'crash', match: { contains: 'defect' } }] } },
      ],
    });
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.send({ remoteConfig: BAD });
    await until('old config APPLIED', () => statuses('a0').length === 3);
    expect(await only(swarm)).toMatchObject({ running: 'a0', lastReported: { status: 'APPLIED', hash: 'a0' } });
    const before = server.received.length;
    await swarm.control({ do: 'restart-supervisor' });
    await until('the next process', () => server.received.length > before);
    expect(server.received[before]?.message).toMatchObject({ sequenceNum: 0n, remoteConfigStatus: { status: FAILED } });
    await until('the old config runs', async () => (await only(swarm)).running === 'a0');
  });

  it('spares the first agents of the swarm when the rule says so', async () => {
    offerAtFirst(BAD);
    const swarm = await startSwarm({ agents: 12, profiles: failing('crash', { afterAgents: 4 }) });
    await until('all verdicts', async () =>
      (await swarm.records()).every(({ lastReported }) => lastReported.status === 'APPLIED' || lastReported.status === 'FAILED'),
    );
    const records = await swarm.records();
    expect(records.filter(({ lastReported }) => lastReported.status === 'APPLIED')).toHaveLength(4);
  });
});

describe('older and other agents', () => {
  const as = (profile: ProfileShare['profile'], extra: Partial<ProfileShare> = {}): ProfileShare[] => [{ profile, fraction: 1, ...extra }];
  const crashing = { overrides: { failOn: [{ kind: 'crash', match: { contains: 'defect' } }] } } as const;

  it('answer an unchanged offer with APPLYING for ever, or not at all', async () => {
    offerAtFirst(GOOD);
    const forever = await startSwarm({ profiles: as('supervisor-0.124') });
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    peer?.send({ remoteConfig: SAME_TEXT });
    await server.waitFor('APPLYING', has(APPLYING, 'a1'));
    await forever.stop();
    server.received.length = 0;
    const silent = await startSwarm({ seed: 8, profiles: as('supervisor-0.135') });
    const second = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    second.peer?.send({ remoteConfig: SAME_TEXT });
    second.peer?.send({ flags: 1n });
    await server.waitFor(
      'the full state after it',
      ({ message }) => message.effectiveConfig !== undefined && message.packageStatuses !== undefined,
    );
    expect(await only(silent)).toMatchObject({ onDisk: 'a1', lastReported: { status: 'APPLIED', hash: 'a0' } });
  });

  it('report what is on disk as APPLIED after a restart, whatever became of it', async () => {
    offerAtFirst(BAD);
    const swarm = await startSwarm({ profiles: as('supervisor-0.127', crashing) });
    const failed = await server.waitFor('FAILED', has(FAILED, 'b0'));
    expect(failed.message.remoteConfigStatus?.errorMessage).toBe(SUPERVISOR_ERRORS.timeout);
    await swarm.control({ do: 'restart-supervisor' });
    await server.waitFor('the false APPLIED', has(APPLIED, 'b0'));
    expect((await only(swarm)).running).toBeNull();
  });

  it('call a crash APPLIED', async () => {
    offerAtFirst(BAD);
    const swarm = await startSwarm({ profiles: as('supervisor-0.139', crashing) });
    await server.waitFor('the false APPLIED', has(APPLIED, 'b0'));
    expect(await only(swarm)).toMatchObject({ running: null, health: { healthy: false } });
  });

  it('say everything again on each reconnect', async () => {
    const swarm = await startSwarm({ profiles: as('full-on-reconnect') });
    await until('the collector is up', async () => (await only(swarm)).health.healthy);
    const before = server.received.length;
    await swarm.control({ do: 'disconnect' });
    await server.waitFor(
      'the full state',
      (received) => server.received.indexOf(received) >= before && received.message.agentDescription !== undefined,
    );
    expect(server.received[before]?.message.sequenceNum).toBe(BigInt(before));
  });

  it('count from 1, apply at once, and leave the mask away later', async () => {
    offerAtFirst(GOOD);
    await startSwarm({ profiles: as('dotnet-client') });
    await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    expect(server.received[0]?.message).toMatchObject({ sequenceNum: 1n, capabilities: 0x7c47n });
    expect(server.received.find(has(APPLIED, 'a0'))?.message.capabilities).toBe(0n);
    expect(statuses('a0')).toEqual([APPLIED]);
  });

  it('flap, or read nothing', async () => {
    const flapping = await startSwarm({ profiles: as('flapping', { overrides: { flapMs: 1_000 } }) });
    await until('several connections', async () => (await only(flapping)).connects >= 3);
    await flapping.stop();
    const stuck = await startSwarm({ seed: 8, profiles: as('stuck') });
    const uid = seededInstanceUid(8, 0);
    const { peer } = await server.waitFor('the stuck agent', ({ message }) => Buffer.compare(message.instanceUid, uid) === 0);
    peer?.send({ remoteConfig: GOOD });
    await server.waitFor('its health', ({ message }) => Buffer.compare(message.instanceUid, uid) === 0 && message.health?.healthy === true);
    expect((await only(stuck)).offerCount).toBe(0);
  });
});

describe('connection', () => {
  it('comes back with the next number and nothing else', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm();
    await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    const before = server.received.length;
    await swarm.control({ do: 'disconnect' });
    await until('the reconnect', () => server.received.length > before);
    const { message } = server.received[before] ?? {};
    expect(message).toMatchObject({ sequenceNum: BigInt(before), capabilities: 0x7c47n });
    expect(message?.agentDescription).toBeUndefined();
    expect(message?.remoteConfigStatus).toBeUndefined();
    expect(await only(swarm)).toMatchObject({ connects: 2, connected: true });
  });

  it('answers ReportFullState and ReportAvailableComponents', async () => {
    offerAtFirst(GOOD);
    await startSwarm();
    const { peer } = await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    const before = server.received.length;
    peer?.send({ flags: 1n });
    await until('the full state', () => server.received.length > before);
    expect(server.received[before]?.message).toMatchObject({
      sequenceNum: BigInt(before),
      remoteConfigStatus: { status: APPLIED },
      health: { healthy: true },
      agentDescription: {},
      effectiveConfig: {},
    });
    expect(Object.keys(server.received[before]?.message.availableComponents?.components ?? {})).toContain('receivers');
    peer?.send({ flags: 2n });
    await until('the components', () => server.received.length > before + 1);
    expect(server.received[before + 1]?.message.agentDescription).toBeUndefined();
    expect(Object.keys(server.received[before + 1]?.message.availableComponents?.components ?? {})).toContain('exporters');
  });

  it('takes a new uid from the next message on, and a restart command', async () => {
    const swarm = await startSwarm();
    const peer = await peerOf();
    const uid = seededInstanceUid(99, 1);
    peer.send({ agentIdentification: { newInstanceUid: uid } });
    await server.waitFor('the new uid', ({ message }) => Buffer.compare(message.instanceUid, uid) === 0);
    expect(await only(swarm)).toMatchObject({ uid: uuidText(uid), originUid: uuidText(seededInstanceUid(7, 0)) });
    peer.send({ command: {}, flags: 1n });
    await until('the command', async () => (await only(swarm)).restartCommands === 1);
    expect((await only(swarm)).fullStateRequests).toBe(0);
  });

  it('survives a restart of its process with what is on disk', async () => {
    offerAtFirst(GOOD);
    const swarm = await startSwarm();
    await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    const before = server.received.length;
    await swarm.control({ do: 'kill-host' });
    expect(await only(swarm)).toMatchObject({ host: 'down', running: null, onDisk: 'a0' });
    await swarm.control({ do: 'boot' });
    await until('the new process', () => server.received.length > before);
    expect(server.received[before]?.message).toMatchObject({ sequenceNum: 0n, remoteConfigStatus: { status: APPLIED } });
    await until('the config runs', async () => (await only(swarm)).running === 'a0');
  });

  it('says goodbye on a clean stop and closes with 1000', async () => {
    const swarm = await startSwarm();
    await peerOf();
    await swarm.control({ do: 'shutdown' });
    await server.waitFor('goodbye', ({ message }) => message.agentDisconnect !== undefined);
    await until('its Close frame', () => server.controlFrames.some(({ opcode }) => opcode === 8));
    const close = server.controlFrames.find(({ opcode }) => opcode === 8);
    expect(close?.payload.readUInt16BE(0)).toBe(1_000);
    expect(server.received.some(({ message }) => message.health?.lastError === 'Supervisor is shutdown')).toBe(true);
  });

  it('answers a ping and sends bare heartbeats', async () => {
    await startSwarm({ heartbeatMs: 40 });
    const peer = await peerOf();
    const { message } = await server.waitFor('a bare heartbeat', ({ bytes }) => bytes.length <= 26);
    expect(message.capabilities).toBe(0x7c47n);
    peer.frame(9, Buffer.from('hi'));
    await until('the pong', () => server.controlFrames.some(({ opcode }) => opcode === 10));
    expect(server.controlFrames.map(({ payload }) => payload.toString())).toEqual(['hi']);
  });

  it('takes over an offered heartbeat interval', async () => {
    await startSwarm({ heartbeatMs: 0 });
    const peer = await peerOf();
    peer.send({
      connectionSettings: { hash: Buffer.from('01', 'hex'), opamp: { destinationEndpoint: server.url, heartbeatIntervalSeconds: 1n } },
    });
    const heartbeat = await server.waitFor('a bare heartbeat', ({ bytes }) => bytes.length <= 26);
    expect(heartbeat.message.sequenceNum).toBeGreaterThan(0n);
  });

  it('tries again after a refusal and follows a redirect', async () => {
    server.refusals.push({ status: 503, headers: { 'retry-after': '0' } }, { status: 307, headers: { location: '/elsewhere' } });
    const swarm = await startSwarm();
    await server.waitFor('the first message', () => true);
    expect(server.upgrades).toBe(3);
    expect((await only(swarm)).connects).toBe(1);
  });

  it('moves to another server when its own is gone', async () => {
    const other = await createScriptedServer();
    const swarm = await startSwarm({ urls: [server.url, other.url], agents: 20 });
    await until('all connected', async () => (await swarm.summary()).connected === 20);
    expect(other.upgrades).toBeGreaterThan(0);
    expect(server.upgrades).toBeGreaterThan(0);
    const before = server.upgrades;
    const moved = other.upgrades;
    await other.close();
    await until('all on one server', () => server.upgrades >= before + moved);
    await until('all connected', async () => (await swarm.summary()).connected === 20);
  });
});

describe('plain HTTP', () => {
  it('polls with the headers of a Go client and gets its config by a poll', async () => {
    let offered = false;
    const swarm = await startSwarm({ httpFraction: 1, httpGzip: true });
    await until('a few polls', () => server.received.length >= 4);
    expect(server.received[0]?.headers).toMatchObject({
      'content-type': 'application/x-protobuf',
      'content-encoding': 'gzip',
      'opamp-instance-uid': uuidText(seededInstanceUid(7, 0)),
    });
    server.answer = () => {
      if (offered) return undefined;
      offered = true;
      return { remoteConfig: GOOD };
    };
    await server.waitFor('APPLIED', has(APPLIED, 'a0'));
    expect(server.received.map(({ message }) => Number(message.sequenceNum))).toEqual(server.received.map((_received, index) => index));
    expect(await only(swarm)).toMatchObject({ transport: 'http', connected: true, running: 'a0' });
  });

  it('repeats the same bytes after 503 and loses a message to 500', async () => {
    server.refusals.push({ status: 503, headers: {} }, { status: 500, headers: {} });
    await startSwarm({ httpFraction: 1 });
    const next = await server.waitFor('a message', () => true);
    // The first message was refused, repeated and lost: what arrives is number 1 without a description.
    expect(next.message.sequenceNum).toBe(1n);
    expect(next.message.remoteConfigStatus).toBeUndefined();
  });
});

describe('swarm', () => {
  it('has the same agents for the same seed, and parts of one fleet by index', async () => {
    const whole = createSwarm({ urls: [server.url], agents: 6, seed: 3, httpFraction: 0.5 });
    const part = createSwarm({ urls: [server.url], agents: 3, seed: 3, firstIndex: 3 });
    const uids = (await whole.records()).map(({ uid }) => uid);
    expect(new Set(uids).size).toBe(6);
    expect((await part.records()).map(({ uid }) => uid)).toEqual(uids.slice(3));
    expect((await whole.records()).filter(({ transport }) => transport === 'http')).toHaveLength(3);
  });

  it('selects by attribute and fraction', async () => {
    const swarm = createSwarm({
      urls: [server.url],
      agents: 20,
      seed: 3,
      attributes: {
        nonIdentifying: {
          env: {
            blocks: [
              { value: 'edge', agents: 8 },
              { value: 'prod', agents: 12 },
            ],
          },
        },
      },
    });
    expect(await swarm.records({ attributes: { env: 'edge' } })).toHaveLength(8);
    const half = await swarm.records({ attributes: { env: 'prod' }, fraction: 0.5 });
    expect(half).toHaveLength(6);
    expect(await swarm.records({ attributes: { env: 'prod' }, fraction: 0.5 })).toEqual(half);
  });

  it('keeps offline agents offline until told otherwise', async () => {
    const swarm = await startSwarm({ agents: 4 });
    await until('all connected', async () => (await swarm.summary()).connected === 4);
    await swarm.control({ do: 'offline' }, { indexes: [0, 1] });
    await until('two away', async () => (await swarm.summary()).connected === 2);
    await swarm.control({ do: 'online' }, { indexes: [0] });
    await until('one back', async () => (await swarm.summary()).connected === 3);
    expect((await swarm.records()).map(({ connected }) => connected)).toEqual([true, false, true, true]);
  });
});
