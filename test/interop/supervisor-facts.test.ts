// What docs/agents.md says about the real supervisor, checked against a server that does only what it is told.
// These are facts about other people's programs: when one fails after a change in versions.ts, the page is out of date
// and every rule of ours that rests on it needs a look.
import type { KeyValue } from '@opamp-gateway/proto/anyvalue';
import { afterEach, expect, it } from 'vitest';

import { CRASHES, CUTS_OFF, GOOD, GOOD_TOO, NOT_YAML, UNKNOWN_SECTION, hashOf, offerOf } from './support/configs.ts';
import type { ConfigFiles } from './support/configs.ts';
import { ScriptedServer } from './support/scripted-server.ts';
import type { Arrival } from './support/scripted-server.ts';
import { CleanUp, describeInterop } from './support/suite.ts';
import { SUPERVISOR_CAPABILITIES, Supervisor } from './support/supervisor.ts';
import type { SupervisorOptions } from './support/supervisor.ts';
import { waitFor } from './support/wait-for.ts';
import { COLLECTOR_VERSION } from './versions.ts';

/** Values of RemoteConfigStatuses. */
const APPLIED = 1;
const APPLYING = 2;
const FAILED = 3;

/** Flags of ServerToAgent. */
const REPORT_FULL_STATE = 1n;
const REPORT_AVAILABLE_COMPONENTS = 2n;

/** For everything that takes the supervisor one or a few seconds. */
const DEADLINE_MS = 90_000;

/** The supervisor's default: a collector that has not started by then on a busy machine would be taken for a bad config. */
const CONFIG_APPLY_TIMEOUT_S = 5;

const cleanUp = new CleanUp();
afterEach(() => cleanUp.run());

describeInterop(`opampsupervisor ${COLLECTOR_VERSION} against a scripted server`, (binaries) => {
  async function launch(server: ScriptedServer, options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
    const supervisor = await Supervisor.launch(binaries(), {
      endpoint: server.wsUrl,
      configApplyTimeoutS: CONFIG_APPLY_TIMEOUT_S,
      ...options,
    });
    return cleanUp.add(supervisor, async () => {
      await supervisor.stop();
      await supervisor.cleanUp();
    });
  }

  /** Starts a supervisor and waits for its first message. */
  async function connect(
    server: ScriptedServer,
    options: Partial<SupervisorOptions> = {},
  ): Promise<{ supervisor: Supervisor; first: Arrival }> {
    const before = server.arrivals.length;
    const supervisor = await launch(server, options);
    const first = await server.arrival('the first message', DEADLINE_MS, ({ message }) => message.agentDescription !== undefined, before);
    return { supervisor, first };
  }

  async function scripted(): Promise<ScriptedServer> {
    return cleanUp.add(await ScriptedServer.start(), (server) => server.stop());
  }

  function reports(status: number, files: ConfigFiles): (arrival: Arrival) => boolean {
    return ({ message }) =>
      message.remoteConfigStatus?.status === status && hashOf(files).equals(Buffer.from(message.remoteConfigStatus.lastRemoteConfigHash));
  }

  /** Offers and waits for that status of these very files; `before` counts the messages that came before the offer. */
  async function offer(
    server: ScriptedServer,
    uid: string,
    files: ConfigFiles,
    status: number,
  ): Promise<{ answer: Arrival; before: number }> {
    const before = server.arrivals.length;
    server.push(uid, offerOf(files));
    return { answer: await server.arrival(`status ${status}`, DEADLINE_MS, reports(status, files), before), before };
  }

  const statusesIn = (arrivals: readonly Arrival[]): number[] =>
    arrivals.flatMap(({ message }) => (message.remoteConfigStatus === undefined ? [] : [message.remoteConfigStatus.status]));

  const crashReports = (server: ScriptedServer, after: number): number =>
    server.arrivals.slice(after).filter(({ message }) => message.health?.lastError.includes('exited unexpectedly') === true).length;

  it('introduces itself with everything but the component list, and sends that when asked', async () => {
    const server = await scripted();
    const { first } = await connect(server, { attributes: { 'deployment.environment.name': 'interop' } });
    const { message } = first;
    expect(message.sequenceNum).toBe(0n);
    expect(message.capabilities).toBe(SUPERVISOR_CAPABILITIES);
    expect(message.instanceUid).toHaveLength(16);
    expect(message.health?.healthy).toBe(false);
    expect(message.remoteConfigStatus?.status).toBe(0);
    expect(message.remoteConfigStatus?.lastRemoteConfigHash).toHaveLength(0);
    expect(message.availableComponents?.hash).toHaveLength(32);
    expect(message.availableComponents?.components).toEqual({});
    const text = (list: readonly KeyValue[] = []): Record<string, unknown> =>
      Object.fromEntries(list.map(({ key, value }) => [key, value?.value.value]));
    expect(text(message.agentDescription?.identifyingAttributes)).toMatchObject({
      'service.name': 'otelcol-interop',
      'service.version': COLLECTOR_VERSION,
    });
    expect(text(message.agentDescription?.nonIdentifyingAttributes)).toMatchObject({ 'deployment.environment.name': 'interop' });

    const before = server.arrivals.length;
    server.push(first.uid, { flags: REPORT_AVAILABLE_COMPONENTS });
    const full = await server.arrival('components', DEADLINE_MS, (arrival) => arrival.message.availableComponents !== undefined, before);
    const kinds = Object.entries(full.message.availableComponents?.components ?? {}).map(
      ([kind, details]) => [kind, Object.keys(details.subComponentMap).toSorted()] as const,
    );
    expect(Object.fromEntries(kinds)).toEqual({
      receivers: ['nop', 'otlp'],
      processors: ['batch'],
      exporters: ['debug', 'nop', 'otlp', 'otlp_grpc'],
      extensions: ['health_check', 'opamp'],
      connectors: ['forward'],
    });
  });

  it('answers APPLYING with the old effective config, then shows the new one and answers APPLIED', async () => {
    const server = await scripted();
    const { first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { before } = await offer(server, first.uid, { '': GOOD_TOO }, APPLIED);
    const since = server.arrivals.slice(before);
    expect(statusesIn(since)).toEqual([APPLYING, APPLIED]);
    const bodies = since.flatMap(({ message }) => {
      const file = message.effectiveConfig?.configMap?.configMap[''];
      return file === undefined ? [] : [Buffer.from(file.body).toString('utf8')];
    });
    expect(bodies[0]).not.toContain('verbosity: Detailed');
    await server.arrival(
      'the new effective config',
      DEADLINE_MS,
      ({ message }) =>
        Buffer.from(message.effectiveConfig?.configMap?.configMap['']?.body ?? [])
          .toString('utf8')
          .includes('verbosity: Detailed'),
      before,
    );
  });

  it('answers FAILED when the collector exits, keeps starting it, and comes back on the good config', async () => {
    const server = await scripted();
    const { first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { answer, before } = await offer(server, first.uid, { '': CRASHES }, FAILED);
    expect(answer.message.remoteConfigStatus?.errorMessage).toContain(
      'Agent exited unexpectedly with exit code 1 while applying configuration',
    );
    await waitFor('a second crash', DEADLINE_MS, () => crashReports(server, before) >= 2);

    // The trap: the same offer again is answered APPLIED although the collector still crashes.
    const again = await offer(server, first.uid, { '': CRASHES }, APPLIED);
    await waitFor('a crash after APPLIED', DEADLINE_MS, () => crashReports(server, again.before) >= 1);

    const { before: repaired } = await offer(server, first.uid, { '': GOOD }, APPLIED);
    await waitFor(
      'the collector to be healthy',
      DEADLINE_MS,
      () => server.arrivals.slice(repaired).findLast(({ message }) => message.health !== undefined)?.message.health?.healthy,
    );
  });

  it('answers the second of two equal offers APPLIED at once, long before its timer', async () => {
    const server = await scripted();
    const { first } = await connect(server, { configApplyTimeoutS: 10 * (DEADLINE_MS / 1_000) });
    const { before } = await offer(server, first.uid, { '': GOOD }, APPLYING);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    expect(statusesIn(server.arrivals.slice(before))).toEqual([APPLYING, APPLIED]);
  });

  it('does not start any more after an offer that is no YAML', async () => {
    const server = await scripted();
    const { supervisor, first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { answer, before } = await offer(server, first.uid, { '': NOT_YAML }, FAILED);
    expect(answer.message.remoteConfigStatus?.errorMessage).toContain('mapping values are not allowed');
    expect(crashReports(server, before)).toBe(0);
    await supervisor.stop();

    const restarted = await launch(server, { stateDir: supervisor.stateDir });
    expect(await restarted.exited).toEqual({ code: 1, signal: null });
    expect(restarted.tail()).toContain('could not compose initial merged config');
  });

  it('starts again when the good config was offered once more before', async () => {
    const server = await scripted();
    const { supervisor, first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    await offer(server, first.uid, { '': NOT_YAML }, FAILED);
    const { before } = await offer(server, first.uid, { '': GOOD }, APPLIED);
    // An offer that changes nothing is answered without a restart.
    expect(statusesIn(server.arrivals.slice(before))).toEqual([APPLIED]);
    await supervisor.stop();

    const { first: reconnected } = await connect(server, { stateDir: supervisor.stateDir });
    expect(reconnected.uid).toBe(first.uid);
    expect(reports(APPLIED, { '': GOOD })(reconnected)).toBe(true);
    await server.arrival('health', DEADLINE_MS, ({ message }) => message.health?.healthy === true, server.arrivals.indexOf(reconnected));
  });

  it('with validate_config runs a refused config after a restart, and then refuses the good one too', async () => {
    const server = await scripted();
    const agentLines = ['validate_config: true'];
    const { supervisor, first } = await connect(server, { agentLines });
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { answer, before } = await offer(server, first.uid, { '': UNKNOWN_SECTION }, FAILED);
    expect(answer.message.remoteConfigStatus?.errorMessage).toContain('configuration validation failed');
    expect(crashReports(server, before)).toBe(0);
    await supervisor.stop();

    const restartedAt = server.arrivals.length;
    await connect(server, { agentLines, stateDir: supervisor.stateDir });
    await waitFor('a crash', DEADLINE_MS, () => crashReports(server, restartedAt) >= 1);
    // The check merges the offer with the config that the collector runs now, so nothing can pass it any more.
    const { answer: refused } = await offer(server, first.uid, { '': GOOD }, FAILED);
    expect(refused.message.remoteConfigStatus?.errorMessage).toContain('configuration validation failed');
  });

  it('with validate_config lets a config pass whose gap the running config fills', async () => {
    const server = await scripted();
    const { first } = await connect(server, { agentLines: ['validate_config: true'] });
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { answer } = await offer(server, first.uid, { '': CRASHES }, FAILED);
    expect(answer.message.remoteConfigStatus?.errorMessage).toContain('Agent exited unexpectedly');
  });

  it('reports APPLYING for ever after it was killed while applying; the same offer then gets APPLIED at once', async () => {
    const server = await scripted();
    const configApplyTimeoutS = 10 * (DEADLINE_MS / 1_000);
    const { supervisor, first } = await connect(server, { configApplyTimeoutS });
    await offer(server, first.uid, { '': GOOD }, APPLYING);
    await supervisor.kill();

    const restartedAt = server.arrivals.length;
    const { first: reconnected } = await connect(server, { configApplyTimeoutS, stateDir: supervisor.stateDir });
    expect(reconnected.message.sequenceNum).toBe(0n);
    expect(reports(APPLYING, { '': GOOD })(reconnected)).toBe(true);
    await server.arrival('health', DEADLINE_MS, ({ message }) => message.health?.healthy === true, restartedAt);
    expect(statusesIn(server.arrivals.slice(restartedAt))).toEqual([APPLYING]);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
  });

  it('fails by its timer when the config cuts the collector off, though nothing crashes', async () => {
    const server = await scripted();
    const { first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { answer, before } = await offer(server, first.uid, { '': CUTS_OFF }, FAILED);
    expect(answer.message.remoteConfigStatus?.errorMessage).toBe('Config apply timeout exceeded');
    expect(crashReports(server, before)).toBe(0);
  });

  it('stops the collector on an empty map, calls that APPLIED and healthy, and still shows the old effective config', async () => {
    const server = await scripted();
    const { first } = await connect(server);
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    const { before } = await offer(server, first.uid, {}, APPLIED);
    await server.arrival('health', DEADLINE_MS, ({ message }) => message.health?.healthy === true, before);
    const effective = server.arrivals.findLast(({ message }) => message.effectiveConfig !== undefined);
    expect(Buffer.from(effective?.message.effectiveConfig?.configMap?.configMap['']?.body ?? []).toString('utf8')).toContain('otlp');
  });

  it('merges entries in the order of their names, the empty one last, and replaces lists', async () => {
    const server = await scripted();
    const { supervisor, first } = await connect(server);
    const files = {
      '20-region': 'exporters:\n  nop:\nservice:\n  pipelines:\n    traces:\n      exporters: [nop]\n',
      '10-base': GOOD,
      '': 'exporters:\n  debug:\n',
    };
    await offer(server, first.uid, files, APPLIED);
    const merged = (await supervisor.stored('effective.yaml')) ?? '';
    expect(merged).toContain('debug: null');
    expect(merged).toMatch(/exporters:\n\s+- nop\n/);
    expect(merged).not.toMatch(/- debug\n/);
  });

  it('goes on with the next number after a reconnect, and sends everything when asked', async () => {
    const server = await scripted();
    const { first } = await connect(server);
    await server.arrival('health', DEADLINE_MS, ({ message }) => message.health?.healthy === true);
    const before = server.arrivals.length;
    server.onMessage = ({ connection, message }) =>
      connection === 2 && message.agentDescription === undefined ? { flags: REPORT_FULL_STATE } : undefined;
    server.dropAll();
    const bare = await server.arrival('a message on the new connection', DEADLINE_MS, ({ connection }) => connection === 2, before);
    expect(bare.message.agentDescription).toBeUndefined();
    expect(bare.message.sequenceNum).toBeGreaterThan(first.message.sequenceNum);
    const full = await server.arrival('the full state', DEADLINE_MS, ({ message }) => message.agentDescription !== undefined, before);
    // Something else may have been on its way when it was asked.
    const numbers = server.arrivals.filter(({ connection }) => connection === 2).map(({ message }) => message.sequenceNum);
    expect(numbers).toEqual(numbers.map((_, index) => bare.message.sequenceNum + BigInt(index)));
    expect(numbers).toContain(full.message.sequenceNum);
    expect(Object.keys(full.message.availableComponents?.components ?? {})).toHaveLength(5);
  });

  it('waits for Retry-After at a refused upgrade, and comes back without a pause when it is accepted and closed', async () => {
    const server = await scripted();
    await connect(server);
    const refusedAt = server.admissionsMs.length;
    server.admission = { kind: 'refuse', status: 503, retryAfterS: 6 };
    server.dropAll();
    await waitFor('three refusals', DEADLINE_MS, () => server.admissionsMs.length >= refusedAt + 3);
    const [firstTry = 0, secondTry = 0, thirdTry = 0] = server.admissionsMs.slice(refusedAt);
    // The client's own first pauses end at 0.75 and 1.125 s; these are seconds longer, however late this process looks.
    expect(secondTry - firstTry).toBeGreaterThan(1_500);
    expect(thirdTry - secondTry).toBeGreaterThan(1_500);

    server.admission = { kind: 'accept_then_close', code: 1012 };
    const closedAt = server.connections;
    await waitFor('a hundred connections', DEADLINE_MS, () => server.connections >= closedAt + 100);
    server.admission = { kind: 'refuse', status: 503 };
  });

  it('says goodbye on SIGINT', async () => {
    const server = await scripted();
    const { supervisor } = await connect(server);
    await server.arrival('health', DEADLINE_MS, ({ message }) => message.health?.healthy === true);
    expect(await supervisor.stop()).toEqual({ code: 0, signal: null });
    await server.arrival('its goodbye', DEADLINE_MS, ({ message }) => message.agentDisconnect !== undefined);
    expect(server.arrivals.at(-1)?.message.agentDisconnect).toBeDefined();
  });

  it('takes an offer with a poll over plain HTTP', async () => {
    const server = await scripted();
    const { first } = await connect(server, { endpoint: server.httpUrl });
    await offer(server, first.uid, { '': GOOD }, APPLIED);
    expect(server.connections).toBe(0);
  });
});
