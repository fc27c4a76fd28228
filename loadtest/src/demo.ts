/** `npm run demo`: a whole installation and a small fleet on this machine, a good rollout and two bad ones. */
import { parseOptions, type DemoOptions, UsageError, USAGE } from './demo/config.ts';
import { ApiClient } from './demo/api-client.ts';
import { demoAttributes, demoProfiles, HTTP_FRACTION, HTTP_POLL_MS, SEED, TIME_SCALE } from './demo/acts.ts';
import { type Installation, ProcessGroup, startInstallation } from './demo/processes.ts';
import { type OutsideAgent, startElasticAgent } from './demo/real-agents.ts';
import { runLab } from './demo/lab.ts';
import { type ActResult, compareLists, type Stage, tell } from './demo/story.ts';
import { formatTable, Terminal } from './demo/terminal.ts';
import { createSwarmProcess, type SwarmProcess } from './swarm-client.ts';

const GATEWAYS = 2;
const CONNECT_DEADLINE_MS = 60_000;
const POLL_MS = 100;
const INTERRUPTED_EXIT = 130;

/** Thrown out of whatever runs when the user presses Ctrl-C. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

interface Cast {
  readonly group: ProcessGroup;
  swarm: SwarmProcess | undefined;
  readonly outside: OutsideAgent[];
}

async function startSwarm(cast: Cast, { agents }: DemoOptions, { gatewayUrls }: Installation): Promise<SwarmProcess> {
  const swarm = await createSwarmProcess({
    urls: gatewayUrls,
    agents,
    seed: SEED,
    timeScale: TIME_SCALE,
    httpFraction: HTTP_FRACTION,
    httpPollMs: HTTP_POLL_MS,
    heartbeatMs: 10_000,
    profiles: demoProfiles(agents),
    attributes: demoAttributes(agents),
  });
  cast.swarm = swarm;
  await swarm.start();
  return swarm;
}

async function waitConnected(stage: Stage, api: ApiClient, wanted: number): Promise<void> {
  const deadlineMs = Date.now() + CONNECT_DEADLINE_MS;
  for (;;) {
    stage.check();
    const listed = (await api.listAgents()).filter(({ connected, group }) => connected && group !== null).length;
    stage.terminal.live([{ name: 'agents', key: String(listed === wanted), text: `  ${listed} of ${wanted} agents are connected` }]);
    if (listed >= wanted) return;
    if (Date.now() > deadlineMs) throw new Error(`only ${listed} of ${wanted} agents connected`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function printSummary(terminal: Terminal, results: readonly ActResult[], listProblems: readonly string[]): boolean {
  const rows = results.map(({ version, outcome, findings, problems, seconds }) => [
    `v${version}`,
    outcome.replaceAll('_', ' '),
    findings.touched,
    findings.applied,
    findings.failed,
    findings.right,
    `${seconds.toFixed(1)} s`,
    problems.length === 0 ? 'yes' : 'NO',
  ]);
  const isTrue = listProblems.length === 0 && results.every(({ problems }) => problems.length === 0);
  terminal.line();
  for (const line of formatTable(
    ['version', 'rollouts', 'touched', 'applied', 'failed', 'on the right version', 'took', 'as it should be'],
    rows,
  ))
    terminal.line(`  ${line}`);
  terminal.line();
  terminal.line("  Numbers are from the agents' own records, not from the gateway's counters.");
  for (const problem of listProblems) terminal.line(`  ${terminal.paint('red', problem)}`);
  if (listProblems.length === 0) terminal.line('  The API lists every agent as the agent sees itself.');
  terminal.line(
    isTrue ? terminal.paint('green', '  Everything ended as it should.') : terminal.paint('red', '  Something is not as it should be.'),
  );
  return isTrue;
}

async function printComplaints(terminal: Terminal, group: ProcessGroup): Promise<void> {
  for (const [name, lines] of await group.complaints()) {
    terminal.line(`  last complaints of ${name}:`);
    for (const line of lines) terminal.line(`    ${line}`);
  }
}

async function perform(options: DemoOptions, cast: Cast, terminal: Terminal, check: () => void): Promise<boolean> {
  terminal.line(terminal.paint('bold', `Redis, ${GATEWAYS} gateways, a coordinator and ${options.agents} agents`));
  const installation = await startInstallation(cast.group, GATEWAYS);
  check();
  const api = new ApiClient(installation.coordinatorUrl);
  terminal.line(`  coordinator  ${installation.coordinatorUrl}`);
  for (const url of installation.gatewayUrls) terminal.line(`  gateway      ${url}`);
  await api.putGroup('edge', 'env=edge', 10);
  await api.putGroup('prod', 'env=prod', 10);
  const swarm = await startSwarm(cast, options, installation);
  cast.outside.push(startElasticAgent(installation.gatewayUrls[0] ?? '', 'edge'));
  const stage: Stage = {
    api,
    swarm,
    terminal,
    outside: cast.outside,
    check: () => {
      check();
      cast.group.check();
    },
  };
  await waitConnected(stage, api, options.agents + cast.outside.length);
  const results = await tell(stage);
  const listProblems = await compareLists(stage);
  const labIsTrue = options.real === undefined || (await runLab(stage, cast.group, installation, options.real));
  const isTrue = printSummary(terminal, results, listProblems) && labIsTrue;
  if (options.keep) {
    terminal.line();
    terminal.line(
      `  Still running: ${installation.coordinatorUrl} (API below /api/v1), agents on ${installation.gatewayUrls.join(' and ')}`,
    );
    terminal.line(`  Probes and metrics: ${installation.adminUrls.join(', ')}; logs in ${cast.group.directory}`);
    terminal.line('  Ctrl-C stops and removes everything.');
    for (;;) {
      try {
        stage.check();
      } catch (error) {
        if (error instanceof Interrupted) return isTrue;
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
  return isTrue;
}

async function main(): Promise<number> {
  const terminal = new Terminal(process.stdout);
  let options;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 1;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const cast: Cast = { group: await ProcessGroup.create(), swarm: undefined, outside: [] };
  try {
    const isTrue = await perform(options, cast, terminal, () => {
      if (interrupted) throw new Interrupted('interrupted');
    });
    if (!isTrue) await printComplaints(terminal, cast.group);
    return isTrue ? 0 : 1;
  } catch (error) {
    if (interrupted) {
      terminal.line('  interrupted: stopping');
      return INTERRUPTED_EXIT;
    }
    terminal.line(terminal.paint('red', `  ${error instanceof Error ? error.message : String(error)}`));
    await printComplaints(terminal, cast.group);
    return 1;
  } finally {
    await Promise.all(cast.outside.map((agent) => agent.stop().catch(() => undefined)));
    await cast.swarm?.close(interrupted);
    await cast.group.stop();
  }
}

process.exitCode = await main();
