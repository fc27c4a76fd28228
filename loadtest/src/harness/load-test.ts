/** One run: a deployment, a fleet, and scenarios one after the other. */
import { randomBytes } from 'node:crypto';
import { toError } from '@opamp-gateway/shared/errors';
import type { Terminal } from '../demo/terminal.ts';
import type { RunResults, ScenarioResult } from '../report/results.ts';
import { SCENARIOS } from '../scenarios/registry.ts';
import { LoadApi } from './api.ts';
import { ALL_ALIKE, sharesOf } from './behaviours.ts';
import { Fleet } from './fleet.ts';
import { describeLimits, MemoryWatch } from './limits.ts';
import { LocalInstallation } from './local-installation.ts';
import { currentLoad, describeMachine } from './machine.ts';
import { AGENTS_PER_ADDRESS, MILLION } from './defaults.ts';
import type { LoadTestOptions } from './options.ts';
import { probeUrls } from './probe.ts';
import { type Run, RUN_ATTRIBUTE, type Scenario, toResult } from './run.ts';
import { Sampler, type SampledProcess } from './sampler.ts';

/** A supervisor's shortest time of applying, which `applyMs` replaces by scaling all times. */
const SUPERVISOR_APPLY_MS = 5_000;

/** What a run reports to. */
export interface LoadTestContext {
  readonly terminal: Terminal;
  /** The command line, for the report. */
  readonly command: string;
  /** Throws when the user wants it to end. */
  check(): void;
}

/** Runs the scenarios; what goes wrong on the way stands in the result's `error`. Everything that it started has ended when it resolves. */
export async function runLoadTest(options: LoadTestOptions, context: LoadTestContext): Promise<RunResults> {
  const startedAt = new Date().toISOString();
  const load = currentLoad();
  const scenarios: ScenarioResult[] = [];
  const stage: Stage = { local: undefined, fleet: undefined, api: undefined, group: undefined, redis: undefined };
  let error: string | undefined;
  let wasInterrupted = false;
  try {
    const run = await prepare(options, context, stage);
    for (const name of options.scenarios) {
      const scenario = SCENARIOS.find((candidate) => candidate.name === name);
      if (scenario !== undefined) await perform(scenario, run, scenarios);
    }
  } catch (thrown) {
    error = toError(thrown).message;
    wasInterrupted = hasEnded(context);
    if (!wasInterrupted) for (const line of (await stage.local?.complaints()) ?? []) context.terminal.line(`  ${line}`);
  } finally {
    await tearDown(stage, wasInterrupted, context.terminal);
  }
  return {
    format: 1,
    startedAt,
    command: context.command,
    machine: await describeMachine(stage.redis, load),
    setup: setupOf(options),
    scenarios,
    ...(error === undefined ? {} : { error }),
  };
}

interface Stage {
  local: LocalInstallation | undefined;
  fleet: Fleet | undefined;
  api: LoadApi | undefined;
  group: string | undefined;
  redis: string | undefined;
}

function hasEnded({ check }: LoadTestContext): boolean {
  try {
    check();
    return false;
  } catch {
    return true;
  }
}

async function prepare(options: LoadTestOptions, context: LoadTestContext, stage: Stage): Promise<Run> {
  const { target, agents, scenarios, steps } = options;
  const { terminal } = context;
  const isStepwise = scenarios.includes(MILLION);
  const memory = new MemoryWatch(options.maxMemoryPercent);
  tellLimits(options, terminal);
  const group = `loadtest-${randomBytes(4).toString('hex')}`;
  if (target.kind === 'local') {
    const gateways = isStepwise ? `${steps.gateways} gateways for each ${steps.agents} agents` : `${target.gateways} gateways`;
    terminal.line(terminal.paint('bold', `Redis, ${gateways}, ${target.coordinators} coordinators, ${agents} agents`));
    stage.local = await LocalInstallation.start({
      ...target,
      gateways: isStepwise ? 0 : target.gateways,
      growingLog: isStepwise,
      wildcard: options.agentsPerAddress > 0,
    });
  } else {
    terminal.line(terminal.paint('bold', `${agents} agents for ${target.urls.join(', ')}`));
    await probeUrls(target.urls, options);
  }
  context.check();
  const { local } = stage;
  const api = target.kind === 'local' ? new LoadApi(local?.coordinatorUrl ?? '') : new LoadApi(target.apiUrl, target.apiToken);
  stage.api = api;
  await api.putGroup(group, `${RUN_ATTRIBUTE}=${group}`);
  stage.group = group;
  const fleet = await createFleet(
    isStepwise ? { ...options, agents: 0, smallHeap: true } : options,
    group,
    target.kind === 'local' ? (local?.gatewayUrls ?? []) : target.urls,
  );
  stage.fleet = fleet;
  const sampler = new Sampler({ processes: () => watched(local, fleet), redisPort: local?.redisPort });
  stage.redis = (await sampler.snapshot()).redis?.version;
  return {
    settings: options,
    api,
    fleet,
    local,
    sampler,
    terminal,
    group,
    selector: `${RUN_ATTRIBUTE}=${group}`,
    current: undefined,
    check() {
      context.check();
      memory.check();
      local?.check();
    },
    checkProcesses() {
      context.check();
      local?.check();
    },
  };
}

/** What does not fit is always told, everything for fleets that are spread over addresses. */
function tellLimits({ agents, workers, target, agentsPerAddress }: LoadTestOptions, terminal: Terminal): void {
  const destinations = target.kind === 'local' ? target.gateways : target.urls.length;
  const perAddress = agentsPerAddress > 0 ? Math.min(agents, agentsPerAddress) : agents;
  const lines = describeLimits({
    agents,
    agentsPerWorker: Math.ceil(agents / workers),
    agentsPerDestination: Math.ceil(perAddress / Math.max(1, destinations)),
  });
  for (const line of lines) if (agentsPerAddress > 0 || line.startsWith('too low')) terminal.line(`  ${line}`);
}

async function createFleet(
  options: LoadTestOptions & { readonly smallHeap?: boolean },
  group: string,
  urls: readonly string[],
): Promise<Fleet> {
  const { agents, workers, seed, applyMs, heartbeatMs, httpFraction, connectsInFlight, agentsPerAddress, lean, reconnectScale } = options;
  const timeScale = applyMs / SUPERVISOR_APPLY_MS;
  return Fleet.create({
    urls,
    agents,
    workers,
    seed,
    timeScale,
    profiles: sharesOf(options.behaviours, timeScale),
    reconnectManners: options.reconnect,
    reconnectScale,
    heartbeatMs,
    httpPollMs: heartbeatMs,
    httpFraction,
    connectsInFlight,
    agentsPerAddress,
    lean,
    smallHeap: options.smallHeap ?? false,
    attributes: { nonIdentifying: { [RUN_ATTRIBUTE]: group } },
    ...(options.agentToken === undefined ? {} : { headers: { Authorization: `Bearer ${options.agentToken}` } }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  });
}

function watched(local: LocalInstallation | undefined, fleet: Fleet): readonly SampledProcess[] {
  return [
    { kind: 'controller', name: 'controller', pid: process.pid, adminUrl: undefined },
    ...(local?.processes ?? []),
    ...fleet.pids.map((pid, index) => ({ kind: 'worker' as const, name: `worker-${index + 1}`, pid, adminUrl: undefined })),
  ];
}

/** Runs one scenario and adds its result; of one that breaks off, what was sampled until then. Rejects with the reason. */
async function perform(scenario: Scenario, run: Run, results: ScenarioResult[]): Promise<void> {
  const { terminal, sampler } = run;
  terminal.line();
  terminal.line(terminal.paint('bold', `${scenario.title} (${scenario.name})`));
  const startedMs = Date.now();
  sampler.begin();
  try {
    const outcome = await scenario.run(run);
    const result = toResult(scenario, outcome, startedMs, await sampler.end());
    const isRight = result.differences.length === 0;
    terminal.line(
      isRight
        ? terminal.paint('green', `  oracle: equal, ${result.comparedAgents} agents compared`)
        : terminal.paint('red', `  oracle: ${result.differences.length} differences`),
    );
    for (const text of result.differences) terminal.line(`    ${text}`);
    results.push(result);
  } catch (error) {
    const why = `the scenario did not come to its end: ${toError(error).message}`;
    const unfinished = { figures: [], rollouts: [], marks: [], oracle: { differences: [why], compared: 0, records: [] } };
    results.push(toResult(scenario, unfinished, startedMs, await sampler.end().catch(() => [])));
    throw error;
  }
}

async function tearDown({ local, fleet, api, group }: Stage, wasInterrupted: boolean, terminal: Terminal): Promise<void> {
  // Agents of a local run need no goodbye: their servers end next. Very many would take long to say it.
  const isLarge = fleet !== undefined && fleet.size > AGENTS_PER_ADDRESS;
  await fleet?.close(local !== undefined && (wasInterrupted || isLarge));
  if (local === undefined && group !== undefined) {
    await api?.deleteGroup(group).catch((error: unknown) => {
      terminal.line(`  the group ${group} is left: ${toError(error).message}`);
    });
  }
  await local?.stop();
}

function setupOf(options: LoadTestOptions): RunResults['setup'] {
  const { target, agents, workers, applyMs, heartbeatMs, httpFraction, soak, seed, lean, agentsPerAddress, connectsInFlight } = options;
  return {
    agents,
    ...(target.kind === 'local'
      ? { gateways: target.gateways, coordinators: target.coordinators, ...target.settings }
      : { urls: target.urls.length }),
    workers,
    applyMs,
    heartbeatMs,
    httpFraction,
    soak,
    seed,
    lean,
    agentsPerAddress,
    connectsInFlight,
    ...(options.behaviours === ALL_ALIKE ? {} : { ...options.behaviours }),
    reconnect: options.reconnect,
  };
}
