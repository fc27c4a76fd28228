// A real supervisor with a real collector under it, against our gateways and coordinator.
import { once } from 'node:events';
import { createServer } from 'node:net';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { Api } from './support/api.ts';
import type { AgentDetail, ConfigVersion } from './support/api.ts';
import { listenOnFreePort } from './support/child.ts';
import { GOOD, GOOD_TOO, NOT_YAML, listeningOn } from './support/configs.ts';
import { moveAgent } from './support/move.ts';
import { startStack } from './support/stack.ts';
import type { Stack } from './support/stack.ts';
import { CleanUp, describeInterop } from './support/suite.ts';
import { Supervisor } from './support/supervisor.ts';
import type { SupervisorOptions } from './support/supervisor.ts';
import { Tap } from './support/tap.ts';
import { waitFor } from './support/wait-for.ts';
import { COLLECTOR_VERSION } from './versions.ts';

const DEADLINE_MS = 120_000;
const REPORT_FULL_STATE = 1n;

/** Time for a collector to get healthy, and for the supervisor to say so: shorter than its default would tell a busy machine from a good config. */
const CONFIG_APPLY_TIMEOUT_S = 5;

/** One wave over everybody; the agent's own timer is what takes the time. */
const STRATEGY = {
  waves: [{ size: { percent: 100 }, soak: '1s' }],
  maxInFlight: 100,
  rate: 'unlimited',
  ackTimeout: '60s',
  healthHold: '1s',
  failure: { maxCount: 0 },
  onFailure: 'rollback',
};

let stack: Stack;
let api: Api;
beforeAll(async () => {
  stack = await startStack();
  api = new Api(stack.apiUrl);
});
afterAll(() => stack?.stop());

const cleanUp = new CleanUp();
afterEach(() => cleanUp.run());

/** Process ids of the collectors that the supervisor has started, in order. */
function collectors(supervisor: Supervisor): number[] {
  return supervisor.lines.flatMap((line) => {
    const pid = /"msg":"Agent process started","pid":(\d+)/.exec(line)?.[1];
    return pid === undefined ? [] : [Number(pid)];
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Hashes of everything that was offered, in order. */
function offered(tap: Tap): string[] {
  return tap
    .fromServer()
    .flatMap(({ remoteConfig }) => (remoteConfig === undefined ? [] : [Buffer.from(remoteConfig.configHash).toString('hex')]));
}

/** What the agent says it runs. */
function effectiveText(agent: AgentDetail): string {
  return Object.values(agent.effective?.files ?? {})
    .map(({ body }) => body)
    .join('\n');
}

describeInterop(`opampsupervisor ${COLLECTOR_VERSION} against the gateways`, (binaries) => {
  let names = 0;

  /** A supervisor in a group of its own, connected through a tap. */
  async function connect(options: Partial<SupervisorOptions> = {}, scheme: 'ws' | 'http' = 'ws') {
    const group = `supervised-${++names}`;
    const tap = cleanUp.add(await Tap.start(stack.gatewayUrls[0] ?? ''), (value) => value.stop());
    const supervisor = await launch({ endpoint: tap.url(scheme), attributes: { 'deployment.environment.name': group }, ...options });
    const first = await waitFor(
      'the first message of the supervisor',
      DEADLINE_MS,
      () => tap.fromAgent().find(({ agentDescription }) => agentDescription !== undefined),
      () => supervisor.tail(),
    );
    const uid = Buffer.from(first.instanceUid)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    await api.putGroup(group, `deployment.environment.name=${group}`);
    await healthy(uid);
    return { supervisor, tap, uid, group };
  }

  async function launch(options: SupervisorOptions): Promise<Supervisor> {
    return cleanUp.add(await Supervisor.launch(binaries(), { configApplyTimeoutS: CONFIG_APPLY_TIMEOUT_S, ...options }), async (value) => {
      await value.stop();
      await value.cleanUp();
    });
  }

  async function healthy(uid: string): Promise<AgentDetail> {
    return api.agent(uid, 'connected and healthy', ({ connected, health }) => connected && health.status === 'healthy', DEADLINE_MS);
  }

  async function rollOut(group: string, { name, version }: ConfigVersion, changed: Readonly<Record<string, unknown>> = {}) {
    const id = await api.createRollout({ group, config: { name, version }, strategy: { ...STRATEGY, ...changed }, reason: 'interop' });
    return api.endOfRollout(id, DEADLINE_MS);
  }

  async function inSync(uid: string, { hash }: ConfigVersion): Promise<AgentDetail> {
    return api.agent(
      uid,
      `connected and healthy on ${hash}`,
      ({ connected, config, health }) => connected && config.status === 'applied' && config.hash === hash && health.status === 'healthy',
      DEADLINE_MS,
    );
  }

  /** Holds a port, so that a collector that wants it exits. */
  async function takenPort(): Promise<number> {
    const server = createServer();
    const port = await listenOnFreePort(server);
    cleanUp.add(server, async (value) => {
      value.close();
      await once(value, 'close');
    });
    return port;
  }

  it('takes a rollout, restarts its collector on it and shows what it runs; gives a bad one back; starts again later', async () => {
    const { supervisor, tap, uid, group } = await connect();
    const first = await api.putConfig(group, GOOD);
    expect(await rollOut(group, first)).toMatchObject({ phase: 'succeeded', counts: { applied: 1 } });
    await inSync(uid, first);

    const before = collectors(supervisor);
    const second = await api.putConfig(group, GOOD_TOO);
    expect(await rollOut(group, second)).toMatchObject({ phase: 'succeeded' });
    const updated = await api.agent(
      uid,
      'running the new config',
      (agent) => /verbosity: detailed/i.test(effectiveText(agent)),
      DEADLINE_MS,
    );
    expect(updated.config).toMatchObject({ status: 'applied', hash: second.hash, inSync: true });
    const after = await waitFor('another collector in the log', DEADLINE_MS, () => {
      const pids = collectors(supervisor);
      return pids.length > before.length ? pids : undefined;
    });
    expect(isRunning(before.at(-1) ?? 0)).toBe(false);
    expect(isRunning(after.at(-1) ?? 0)).toBe(true);

    const bad = await api.putConfig(group, listeningOn(await takenPort()));
    expect(await rollOut(group, bad)).toMatchObject({ phase: 'rolled_back' });
    const restored = await inSync(uid, second);
    expect(restored.history.find(({ hash, status }) => hash === bad.hash && status === 'failed')?.error).toContain(
      'Agent exited unexpectedly',
    );
    expect(effectiveText(restored)).toMatch(/verbosity: detailed/i);
    expect(offered(tap)).toEqual([first.hash, second.hash, bad.hash, second.hash]);

    // The bad config is off its disk as well: it comes back on the good one.
    await supervisor.stop();
    await api.agent(uid, 'away', ({ connected }) => !connected, DEADLINE_MS);
    await launch({ endpoint: tap.url('ws'), attributes: { 'deployment.environment.name': group }, stateDir: supervisor.stateDir });
    await inSync(uid, second);
  });

  it('that cannot report is judged by the effective config that it shows, and by its health', async () => {
    const { tap, uid, group } = await connect({ reportsRemoteConfig: false });
    const strategy = { unverified: { maxRatio: 0 } };
    const good = await api.putConfig(group, GOOD_TOO);
    expect(await rollOut(group, good, strategy)).toMatchObject({ phase: 'succeeded', counts: { observed: 1 } });
    expect(effectiveText(await healthy(uid))).toMatch(/verbosity: detailed/i);

    // It shows the config when its extensions have started, and only then does the receiver fail: the hold is what finds out.
    const bad = await api.putConfig(group, listeningOn(await takenPort()));
    expect(await rollOut(group, bad, { ...strategy, healthHold: '10s' })).toMatchObject({ phase: 'rolled_back', counts: { restored: 1 } });
    await api.agent(
      uid,
      'healthy on the good config again',
      (agent) => agent.health.status === 'healthy' && /verbosity: detailed/i.test(effectiveText(agent)),
      DEADLINE_MS,
    );
    expect(offered(tap)).toEqual([good.hash, bad.hash, good.hash]);
    // Nothing that it said of a config named one.
    expect(tap.fromAgent().filter(({ remoteConfigStatus }) => (remoteConfigStatus?.lastRemoteConfigHash.length ?? 0) > 0)).toEqual([]);
  });

  it('is offered the former config at once when it refuses one without trying it, and so starts again later', async () => {
    const agentLines = ['validate_config: true'];
    // A build whose components are known is not offered what it cannot load.
    const { supervisor, tap, uid, group } = await connect({ agentLines, listsComponents: false });
    const good = await api.putConfig(group, GOOD);
    expect(await rollOut(group, good)).toMatchObject({ phase: 'succeeded' });
    await inSync(uid, good);
    const before = collectors(supervisor);

    // Good for a collector that has this processor; the one here has not.
    const foreign = await api.putConfig(group, `${GOOD}processors:\n  memory_limiter:\n    check_interval: 1s\n    limit_mib: 100\n`);
    expect(await rollOut(group, foreign)).toMatchObject({ phase: 'rolled_back', counts: { restored: 1 } });
    const restored = await inSync(uid, good);
    expect(restored.history.find(({ hash, status }) => hash === foreign.hash && status === 'failed')?.error).toContain('unknown type');
    expect(offered(tap)).toEqual([good.hash, foreign.hash, good.hash]);
    expect(collectors(supervisor)).toEqual(before);

    await supervisor.stop();
    await api.agent(uid, 'away', ({ connected }) => !connected, DEADLINE_MS);
    await launch({
      endpoint: tap.url('ws'),
      attributes: { 'deployment.environment.name': group },
      agentLines,
      listsComponents: false,
      stateDir: supervisor.stateDir,
    });
    await inSync(uid, good);
  });

  it('never gets what would keep it from starting again', async () => {
    await expect(api.putConfig('unreadable', NOT_YAML)).rejects.toThrow(' 422');
  });

  it('restarts its collector when told to', async () => {
    const { supervisor, uid, group } = await connect();
    const config = await api.putConfig(group, GOOD);
    await api.pin(uid, config);
    await inSync(uid, config);
    const before = collectors(supervisor);
    await api.restart(uid);
    await waitFor(
      'another collector',
      DEADLINE_MS,
      () => collectors(supervisor).length > before.length,
      () => supervisor.tail(),
    );
    await waitFor('the former one to end', DEADLINE_MS, () => !isRunning(before.at(-1) ?? 0));
    await healthy(uid);
  });

  it('moves to another gateway without being asked for its full state', async () => {
    const { tap, uid, group } = await connect();
    const config = await api.putConfig(group, GOOD);
    await api.pin(uid, config);
    await inSync(uid, config);
    const [from = '', to = ''] = stack.gatewayUrls;
    const { before } = await moveAgent({ tap, api, uid }, [from, to], DEADLINE_MS);
    const other = await api.putConfig(group, GOOD_TOO);
    await api.pin(uid, other);
    await inSync(uid, other);
    expect(tap.fromServer(before).filter(({ flags }) => (flags & REPORT_FULL_STATE) !== 0n)).toEqual([]);
  });

  it('takes a config with its next poll over plain HTTP', async () => {
    const { tap, uid, group } = await connect({}, 'http');
    const config = await api.putConfig(group, GOOD);
    await api.pin(uid, config);
    await inSync(uid, config);
    expect(tap.connections).toBe(0);
  });
});
