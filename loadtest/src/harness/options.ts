/** The command line of the load test. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SCENARIOS } from '../scenarios/registry.ts';
import { parseTarget, type TlsMaterial } from '../server-target.ts';
import type { ReconnectManners } from '../swarm-api.ts';
import { ALL_ALIKE, type BehaviourFractions } from './behaviours.ts';
import {
  AGENTS_PER_ADDRESS,
  AGENTS_PER_WORKER,
  DEFAULT_AGENTS,
  defaultDeadlineMs,
  GATEWAY_CONNECTIONS,
  HEARTBEAT_S,
  MILLION,
  STEP_AGENTS,
  STEP_GATEWAY_CONNECTIONS,
  STEP_HEARTBEAT_S,
} from './defaults.ts';
import { leastWorkers, MOST_AGENTS_PER_WORKER } from './fleet.ts';
import type { Steps } from './run.ts';
import { durationMs, readWaves, type WaveSize } from './waves.ts';

/** Everything a run is made of. */
export interface LoadTestOptions {
  /** Local servers, or somebody's deployment. */
  readonly target:
    | {
        readonly kind: 'local';
        readonly gateways: number;
        readonly coordinators: number;
        readonly settings: Readonly<Record<string, string>>;
      }
    | { readonly kind: 'url'; readonly urls: readonly string[]; readonly apiUrl: string; readonly apiToken: string | undefined };
  readonly agents: number;
  /** What each step of the scenario million adds. */
  readonly steps: Steps;
  readonly workers: number;
  readonly seed: number;
  /** In the order in which they run; `ramp` comes first in any case. */
  readonly scenarios: readonly string[];
  readonly configBytes: readonly number[];
  readonly holdMs: number;
  readonly soak: string;
  /** Length of the scenario soak. */
  readonly soakMs: number;
  /** Sizes of the waves of rollouts; undefined: canaries, then everybody. */
  readonly waves: readonly WaveSize[] | undefined;
  /** Simulated time from an offer to APPLIED. */
  readonly applyMs: number;
  readonly heartbeatMs: number;
  readonly httpFraction: number;
  readonly connectsInFlight: number;
  readonly agentsPerAddress: number;
  readonly lean: boolean;
  readonly stuckFraction: number;
  readonly refuseFraction: number;
  /** Share of the machine's memory in use, in percent, above which the run ends. */
  readonly maxMemoryPercent: number;
  readonly deadlineMs: number;
  readonly agentToken: string | undefined;
  readonly tls: TlsMaterial | undefined;
  /** Agents that behave otherwise from the start. */
  readonly behaviours: BehaviourFractions;
  readonly reconnect: ReconnectManners;
  /** Factor on the reconnect delays of agents; 1 is what such clients do. */
  readonly reconnectScale: number;
}

/** What the command line asks for. */
export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'compare'; readonly files: readonly [string, string] }
  | {
      readonly kind: 'peer';
      readonly agents: readonly number[];
      readonly out: string;
      readonly applyMs: number;
      readonly configBytes: number;
    }
  | { readonly kind: 'run'; readonly options: LoadTestOptions; readonly out: string };

/** Thrown for a command line that means nothing. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const BYTES_PER_KB = 1_024;
/** No scenario of a run, but a run of its own. */
const PEER = 'peer';

function readText(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function numberIn(name: string, text: string, least: number, most: number, whole = true): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < least || value > most || (whole && !Number.isInteger(value))) {
    throw new UsageError(`--${name} has to be a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not "${text}"`);
  }
  return value;
}

function listOf(name: string, text: string, least: number, most: number): readonly number[] {
  return text.split(',').map((part) => numberIn(name, part, least, most));
}

function settingsOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      if (!/^OPAMP_[A-Z_]+=/.test(pair)) throw new UsageError(`--set has to be OPAMP_NAME=VALUE, not "${pair}"`);
      return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
    }),
  );
}

function wavesOf(text: string | undefined): readonly WaveSize[] | undefined {
  if (text === undefined) return undefined;
  const waves = readWaves(text);
  if (waves === undefined) throw new UsageError(`--waves has to be numbers and percentages that grow and end with 100%, not "${text}"`);
  return waves;
}

function chooseScenarios(names: readonly string[], isLocal: boolean): readonly string[] {
  const wanted = new Set(names.flatMap((name) => name.split(',')));
  if (wanted.has(PEER)) throw new UsageError(`the scenario ${PEER} runs alone`);
  const isAll = wanted.delete('all');
  if (wanted.has(MILLION) && (isAll || wanted.size > 1)) throw new UsageError(`the scenario ${MILLION} runs alone`);
  for (const name of wanted) {
    const scenario = SCENARIOS.find((candidate) => candidate.name === name);
    if (scenario === undefined)
      throw new UsageError(`unknown scenario "${name}": there are ${[...SCENARIOS.map((known) => known.name), 'all', PEER].join(', ')}`);
    if (scenario.needsLocal && !isLocal) throw new UsageError(`the scenario ${name} ends processes and needs --local`);
  }
  if (wanted.has(MILLION)) return [MILLION];
  return SCENARIOS.filter(({ name }) => name !== MILLION)
    .filter(({ name, needsLocal }) => name === 'ramp' || (isAll ? isLocal || !needsLocal : wanted.has(name)))
    .map(({ name }) => name);
}

const OPTIONS = {
  local: { type: 'boolean', default: false },
  gateways: { type: 'string' },
  coordinators: { type: 'string', default: '1' },
  set: { type: 'string', multiple: true },
  url: { type: 'string', multiple: true },
  api: { type: 'string' },
  'api-token-file': { type: 'string' },
  'agent-token-file': { type: 'string' },
  ca: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  agents: { type: 'string', default: String(DEFAULT_AGENTS) },
  step: { type: 'string' },
  workers: { type: 'string' },
  scenario: { type: 'string', multiple: true },
  'config-kb': { type: 'string', default: '1,4,16,64' },
  hold: { type: 'string', default: '30' },
  soak: { type: 'string', default: '1s' },
  'soak-minutes': { type: 'string', default: '10' },
  waves: { type: 'string' },
  'apply-ms': { type: 'string', default: '300' },
  heartbeat: { type: 'string' },
  'http-fraction': { type: 'string', default: '0' },
  'connects-in-flight': { type: 'string', default: '100' },
  'agents-per-address': { type: 'string' },
  'slow-fraction': { type: 'string', default: '0' },
  'failed-fraction': { type: 'string', default: '0' },
  'flapping-fraction': { type: 'string', default: '0' },
  reconnect: { type: 'string', default: 'opamp-go' },
  'reconnect-scale': { type: 'string', default: '1' },
  'stuck-fraction': { type: 'string', default: '0.05' },
  'refuse-fraction': { type: 'string', default: '0.05' },
  'max-memory': { type: 'string', default: '85' },
  lean: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
  deadline: { type: 'string' },
  out: { type: 'string', default: 'loadtest-results' },
  compare: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Reads the command line. Throws UsageError. `environment` gives defaults for the API's address and token. */
export function parseCommand(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>): Command {
  const { values, positionals } = parse(argv);
  if (values.help) return { kind: 'help' };
  if (values.compare) {
    const [first, second, ...rest] = positionals;
    if (first === undefined || second === undefined || rest.length > 0) throw new UsageError('--compare needs two results.json');
    return { kind: 'compare', files: [first, second] };
  }
  if (positionals.length > 0) throw new UsageError(`unexpected argument "${positionals.join(' ')}"`);
  const { scenario = ['ramp,rollout'], url = [], out } = values;
  const applyMs = numberIn('apply-ms', values['apply-ms'], 0, 3_600_000);
  const configBytes = listOf('config-kb', values['config-kb'], 1, 1_000).map((kib) => kib * BYTES_PER_KB);
  if (scenario.includes(PEER)) {
    if (!values.local || url.length > 0) throw new UsageError(`the scenario ${PEER} starts its own servers and needs --local`);
    const agents = listOf('agents', values.agents, 1, MOST_AGENTS_PER_WORKER);
    return { kind: 'peer', agents, out, applyMs, configBytes: configBytes[1] ?? configBytes[0] ?? BYTES_PER_KB };
  }
  if (values.local === url.length > 0) throw new UsageError('say either --local or --url');
  const agents = numberIn('agents', values.agents, 1, 2_000_000);
  const spread = values['agents-per-address'] ?? (values.local && agents > AGENTS_PER_ADDRESS ? String(AGENTS_PER_ADDRESS) : '0');
  const tls = tlsOf(values);
  const scenarios = chooseScenarios(scenario, values.local);
  const steps = stepsOf(values, agents);
  if (Number.isNaN(durationMs(values.soak))) throw new UsageError(`--soak has to be a duration such as 1s or 2m30s, not "${values.soak}"`);
  if (!values.local) refuseLocal(values);
  const usualS = scenarios.includes(MILLION) ? STEP_HEARTBEAT_S : HEARTBEAT_S;
  const heartbeatMs = numberIn('heartbeat', values.heartbeat ?? String(usualS), 0, 86_400, false) * 1_000;
  const most = scenarios.includes(MILLION) ? steps.agents : agents;
  const target = values.local ? localTarget(values, agents, heartbeatMs) : urlTarget(values, environment);
  if (target.kind === 'local' && target.gateways < 2 && scenarios.includes('gateway-kill'))
    throw new UsageError('the scenario gateway-kill needs --gateways of 2 and more: its agents have to connect elsewhere');
  const options: LoadTestOptions = {
    target,
    agents,
    steps,
    workers: scenarios.includes(MILLION) ? steps.workers * Math.ceil(agents / steps.agents) : workersOf(values, agents),
    seed: numberIn('seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
    scenarios,
    configBytes,
    holdMs: numberIn('hold', values.hold, 0, 1e6, false) * 1_000,
    soak: values.soak,
    soakMs: numberIn('soak-minutes', values['soak-minutes'], 0.1, 100_000, false) * 60_000,
    waves: wavesOf(values.waves),
    applyMs,
    heartbeatMs,
    httpFraction: numberIn('http-fraction', values['http-fraction'], 0, 1, false),
    connectsInFlight: numberIn('connects-in-flight', values['connects-in-flight'], 1, 10_000),
    agentsPerAddress: values.local ? numberIn('agents-per-address', spread, 0, 28_000) : 0,
    lean: values.lean || agents > AGENTS_PER_ADDRESS,
    stuckFraction: numberIn('stuck-fraction', values['stuck-fraction'], 0, 0.4, false),
    refuseFraction: numberIn('refuse-fraction', values['refuse-fraction'], 0.001, 1, false),
    maxMemoryPercent: numberIn('max-memory', values['max-memory'], 1, 100),
    deadlineMs: values.deadline === undefined ? defaultDeadlineMs(most) : numberIn('deadline', values.deadline, 1, 86_400) * 1_000,
    agentToken: readText(values['agent-token-file']),
    tls,
    behaviours: behavioursOf(values, scenarios, applyMs),
    reconnect: mannersOf(values.reconnect),
    reconnectScale: numberIn('reconnect-scale', values['reconnect-scale'], 0, 100, false),
  };
  return { kind: 'run', options, out };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    // After its first sentence Node explains how to write arguments that begin with a dash.
    throw new UsageError(error instanceof Error ? error.message.replace(/\. To specify a positional[^]*$/, '') : String(error));
  }
}

type Values = ReturnType<typeof parse>['values'];

function workersOf({ workers }: Values, agents: number): number {
  const count = numberIn('workers', workers ?? String(Math.ceil(agents / AGENTS_PER_WORKER)), 1, 500);
  const least = leastWorkers(agents);
  if (count < least) throw new UsageError(`${agents} agents need --workers of ${least} and more, not ${count}`);
  return count;
}

/** What would be taken for something that the deployment was given. */
function refuseLocal(values: Values): void {
  const given = (['gateways', 'set', 'agents-per-address'] as const).find((name) => values[name] !== undefined);
  if (given !== undefined) throw new UsageError(`--${given} is for the servers of --local: a deployment has its own`);
}

function stepsOf({ step, gateways, workers }: Values, agents: number): Steps {
  const most = Math.min(agents, numberIn('step', step ?? String(STEP_AGENTS), 1, 2_000_000));
  return {
    agents: most,
    gateways: numberIn('gateways', gateways ?? String(Math.ceil(most / STEP_GATEWAY_CONNECTIONS)), 1, 200),
    workers: numberIn('workers', workers ?? String(leastWorkers(most)), 1, 500),
  };
}

/** Gateways that know how seldom their agents speak: otherwise they would ping them in between, and then give them up. */
function paced(heartbeatMs: number): Readonly<Record<string, string>> {
  if (heartbeatMs <= HEARTBEAT_S * 1_000) return {};
  return {
    OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS: String(heartbeatMs),
    OPAMP_GATEWAY_PING_INTERVAL_MS: String(heartbeatMs * 1.5),
    OPAMP_GATEWAY_PONG_TIMEOUT_MS: String(heartbeatMs * 3),
  };
}

/** Scenarios with behaviours of their own, which would be mistaken for these. */
const UNMIXED = ['refuse', MILLION];
/** More than this would let rollouts fail, or leave hardly anybody to compare. */
const MOST_FAILED = 0.4;

function behavioursOf(values: Values, scenarios: readonly string[], applyMs: number): BehaviourFractions {
  const behaviours = {
    slow: numberIn('slow-fraction', values['slow-fraction'], 0, 1, false),
    failed: numberIn('failed-fraction', values['failed-fraction'], 0, MOST_FAILED, false),
    flapping: numberIn('flapping-fraction', values['flapping-fraction'], 0, MOST_FAILED, false),
  };
  const { slow, failed, flapping } = behaviours;
  if (slow + failed + flapping === 0) return ALL_ALIKE;
  if (slow + failed + flapping > 1) throw new UsageError('--slow-fraction, --failed-fraction and --flapping-fraction come to more than 1');
  const unmixed = scenarios.find((name) => UNMIXED.includes(name));
  if (unmixed !== undefined)
    throw new UsageError(`the scenario ${unmixed} goes without --slow-fraction, --failed-fraction and --flapping-fraction`);
  if (applyMs === 0) throw new UsageError('--slow-fraction, --failed-fraction and --flapping-fraction need --apply-ms of 1 and more');
  return behaviours;
}

function mannersOf(text: string): ReconnectManners {
  if (text === 'opamp-go' || text === 'polite') return text;
  throw new UsageError(`--reconnect has to be opamp-go or polite, not "${text}"`);
}

function localTarget(values: Values, agents: number, heartbeatMs: number): LoadTestOptions['target'] {
  const enough = Math.max(2, Math.ceil(agents / GATEWAY_CONNECTIONS) + 1);
  return {
    kind: 'local',
    gateways: numberIn('gateways', values.gateways ?? String(enough), 1, 200),
    coordinators: numberIn('coordinators', values.coordinators, 1, 10),
    settings: { ...paced(heartbeatMs), ...settingsOf(values.set ?? []) },
  };
}

function checkUrl(name: string, url: string, parseUrl: (url: string) => unknown): void {
  try {
    parseUrl(url);
  } catch (error) {
    throw new UsageError(`--${name} "${url}": ${error instanceof Error ? error.message : String(error)}`);
  }
}

function urlTarget(values: Values, environment: Readonly<Record<string, string | undefined>>): LoadTestOptions['target'] {
  const apiUrl = values.api ?? environment['OPAMP_API_URL'];
  if (apiUrl === undefined) throw new UsageError('--url needs --api, the address of the coordinator');
  for (const url of values.url ?? []) checkUrl('url', url, parseTarget);
  checkUrl('api', apiUrl, (text) => {
    if (!/^https?:$/.test(new URL(text).protocol)) throw new TypeError('it has to be http or https');
  });
  return { kind: 'url', urls: values.url ?? [], apiUrl, apiToken: readText(values['api-token-file']) ?? environment['OPAMP_API_TOKEN'] };
}

function tlsOf({ ca, cert, key }: Values): TlsMaterial | undefined {
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  const [caText, certText, keyText] = [readText(ca), readText(cert), readText(key)];
  return {
    ...(caText === undefined ? {} : { ca: caText }),
    ...(certText === undefined ? {} : { cert: certText }),
    ...(keyText === undefined ? {} : { key: keyText }),
  };
}
