import type { Command } from 'commander';
import { ApiProblem } from '../api-client.ts';
import type { DriftSurvey, Fleet, Gateway, Group } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { ownVersion } from '../version.ts';

/** One thing that was looked at. */
interface Check {
  what: string;
  state: 'ok' | 'warning' | 'failed';
  detail: string;
}

interface Abilities {
  agents: number;
  estimated: boolean;
  acceptsRemoteConfig: number;
  reportsRemoteConfig: number;
  reportsEffectiveConfig: number;
  reportsHealth: number;
}

/** A header tells seconds only, and the answer takes its time. */
const SKEW_MS = 5000;

/** Agents whose drift is looked at. */
const COMPARED = 50;

/** `opampctl doctor` */
export function addDoctorCommand(program: Command, context: Context): void {
  program
    .command('doctor')
    .description('look whether everything is as it should be; exit code 1 when something is not')
    .action(async () => {
      const checks = await examine(context);
      context.table(
        checks,
        [
          { title: 'STATE', value: ({ state }) => state, toned: true },
          { title: 'CHECK', value: ({ what }) => what },
          { title: 'DETAIL', value: ({ detail }) => detail },
        ],
        'nothing to look at',
      );
      if (checks.some(({ state }) => state === 'failed')) context.exitCode = EXIT.error;
    });
}

async function examine(context: Context): Promise<Check[]> {
  const { url, source, token } = context.target;
  const checks: Check[] = [{ what: 'address', state: 'ok', detail: `${url} (${source})` }];
  const add = (what: string, state: Check['state'], detail: string): void => void checks.push({ what, state, detail });
  let fleet: Fleet;
  try {
    const { answer, dateMs, nowMs } = await context.api.getDated<Fleet>('/fleet', () => context.terminal.nowMs());
    fleet = answer;
    add('API', 'ok', 'answers');
    add('Redis', 'ok', 'answers to the coordinator, which starts only on Redis 6.2 or newer that evicts nothing');
    add('token', 'ok', token === undefined ? 'none needed' : 'accepted');
    addClock(add, dateMs, nowMs);
  } catch (error) {
    if (!(error instanceof CliError) || context.terminal.interrupted.aborted) throw error;
    const next = error.next === undefined ? '' : `; ${error.next}`;
    add(whatFailed(error), 'failed', `${error.message}${next}`);
    return checks;
  }
  addFleet(add, fleet);
  addGateways(add, fleet, await context.api.list<Gateway>('/gateways', {}, Number.MAX_SAFE_INTEGER));
  const groups = await context.api.list<Group & { trailingHeld?: boolean }>('/groups', {}, Number.MAX_SAFE_INTEGER);
  for (const { name, trailingHeld } of groups) {
    if (trailingHeld === true)
      add(
        `group ${name}`,
        'warning',
        `offers outside rollouts are stopped because they failed; \`opampctl group resume ${name}\` lets them go on`,
      );
  }
  await addAgents(context, add);
  return checks;
}

function whatFailed(error: CliError): string {
  if (!(error instanceof ApiProblem)) return 'API';
  if (error.problem === 'unauthenticated' || error.problem === 'forbidden') return 'token';
  return error.problem === 'unavailable' ? 'Redis' : 'API';
}

type Add = (what: string, state: Check['state'], detail: string) => void;

function addClock(add: Add, dateMs: number | undefined, nowMs: number): void {
  if (dateMs === undefined) return add('clock', 'warning', 'the answer has no Date');
  const skewMs = nowMs - dateMs;
  // The header is cut to whole seconds.
  if (skewMs > -SKEW_MS && skewMs < SKEW_MS + 1000) return add('clock', 'ok', 'within 5 s of the coordinator’s');
  return add(
    'clock',
    'warning',
    `${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'ahead of' : 'behind'} the coordinator’s; ages shown here are off`,
  );
}

function addFleet(add: Add, fleet: Fleet): void {
  const { agents, rollouts } = fleet;
  if (fleet.frozen) add('fleet', 'warning', 'frozen: no offers but rollbacks; `opampctl unfreeze` allows them again');
  add('agents', 'ok', `${agents.connected} connected, ${agents.away} away`);
  const unhealthy = agents.health['unhealthy'] ?? 0;
  if (unhealthy > 0) add('health', 'warning', `${unhealthy} agents are unhealthy; \`opampctl agents list --health unhealthy\` shows them`);
  for (const { id, group } of rollouts.filter(({ held }) => held))
    add('rollouts', 'warning', `${id} of ${group} is held; \`opampctl rollout get ${id}\` says why`);
}

function addGateways(add: Add, fleet: Fleet, gateways: readonly Gateway[]): void {
  const alive = gateways.filter((gateway) => gateway.alive);
  if (alive.length === 0) add('gateways', 'failed', 'none is alive: agents have nothing to connect to');
  else add('gateways', 'ok', `${alive.length} alive with ${alive.reduce((sum, { connected }) => sum + connected, 0)} agents`);
  for (const { id, draining } of alive) if (draining) add(`gateway ${id}`, 'warning', 'is going down');
  for (const { id, alive: isAlive } of gateways)
    if (!isAlive) add(`gateway ${id}`, 'warning', 'its lease has ended, and it said no goodbye');
  for (const { id, observed, backlog = {} } of alive) {
    const behind = fleet.generation - Number(observed.split(':', 1)[0]);
    if (behind > 0) add(`gateway ${id}`, 'warning', `is ${behind} changes of the fleet spec behind; look again in a few seconds`);
    const owed = Object.values(backlog).reduce((sum, count) => sum + count, 0);
    if (owed > 0) add(`gateway ${id}`, 'ok', `has ${owed} offers to make`);
  }
  const versions = new Set([...alive.map(({ version }) => version), ownVersion()]);
  if (versions.size > 1)
    add(
      'version',
      'warning',
      `several releases at work: gateways ${[...new Set(alive.map(({ version }) => version))].join(', ')}, opampctl ${ownVersion()}`,
    );
  else add('version', 'ok', ownVersion());
}

async function addAgents(context: Context, add: Add): Promise<void> {
  try {
    const abilities = await context.api.get<Abilities>('/fleet/abilities');
    const { agents, estimated } = abilities;
    const of = `of ${estimated ? 'a sample of ' : ''}${agents} connected agents`;
    const lacking: [count: number, what: string][] = [
      [agents - abilities.acceptsRemoteConfig, 'do not accept configs'],
      [abilities.acceptsRemoteConfig - abilities.reportsRemoteConfig, 'accept configs and cannot say what became of them'],
      [agents - abilities.reportsHealth, 'do not report health: they are judged by their status alone'],
      [agents - abilities.reportsEffectiveConfig, 'do not report what they run: drift is not seen'],
    ];
    const found = lacking.filter(([count]) => count > 0);
    for (const [count, what] of found) add('reports', 'warning', `${count} ${of} ${what}`);
    if (found.length === 0) add('reports', 'ok', `all ${of.replace(/^of /, '')} report everything`);
    const { compared, states } = await context.api.get<DriftSurvey>('/fleet/drift', { compare: COMPARED, limit: 1 });
    if (states.drifted > 0)
      add('drift', 'warning', `${states.drifted} of ${compared} agents run something else than they should; \`opampctl drift\` shows them`);
    else add('drift', 'ok', `none among ${compared} agents`);
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 404) throw error;
    add('reports', 'warning', 'this coordinator is of an older release and cannot say');
  }
}
