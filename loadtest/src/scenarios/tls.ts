/** The same agents on a gateway that ends TLS, and on one that does not, in turn. */
import { makeServerCertificate, type ServerCertificate } from '../harness/certificates.ts';
import type { Fleet } from '../harness/fleet.ts';
import { largestOf } from '../harness/quantiles.ts';
import { rollOut } from '../harness/rollout.ts';
import {
  figure,
  localOf,
  type Outcome,
  type OracleVerdict,
  type Run,
  RUN_ATTRIBUTE,
  type Scenario,
  untilConnected,
} from '../harness/run.ts';
import type { Snapshot } from '../harness/sampler.ts';
import type { Mark, ResultTable, RolloutFigures } from '../report/results.ts';
import { formatNumber, formatSeconds } from '../report/format.ts';
import { MIDDLE_CONFIG_BYTES } from './middle.ts';

const MOST_AGENTS = 10_000;
const BYTES_PER_KB = 1_024;

/** One of the two ways to connect. */
interface Trial {
  readonly id: 'plain' | 'tls';
  readonly certificate: ServerCertificate | undefined;
}

/** What it cost. */
interface Cost {
  readonly id: Trial['id'];
  readonly connectMs: number;
  readonly connectsPerS: number;
  readonly connectCpuUs: number;
  readonly workerCpuUs: number;
  readonly gatewayKb: number;
  readonly gatewayHeldKb: number;
  readonly workerKb: number;
  readonly rollout: RolloutFigures;
  readonly oracle: OracleVerdict;
}

function usageOf(
  snapshot: Snapshot,
  is: (process: Snapshot['processes'][number]) => boolean,
): { readonly ownBytes: number; readonly cpuMs: number } {
  const found = snapshot.processes.filter(is).flatMap(({ usage }) => usage ?? []);
  const sum = (key: 'ownBytes' | 'cpuMs'): number =>
    found.length === 0 ? Number.NaN : found.reduce((total, usage) => total + usage[key], 0);
  return { ownBytes: sum('ownBytes'), cpuMs: sum('cpuMs') };
}

/** The stage with another fleet and group on it. */
async function stageOf(main: Run, { id, certificate }: Trial, url: string, agents: number): Promise<Run> {
  const group = `${main.group}-${id}`;
  await main.api.putGroup(group, `${RUN_ATTRIBUTE}=${group}`);
  const fleet: Fleet = await main.fleet.another({
    urls: [url],
    agents,
    workers: 1,
    agentsPerAddress: 0,
    seed: main.settings.seed + (certificate === undefined ? 1 : 2),
    attributes: { nonIdentifying: { [RUN_ATTRIBUTE]: group } },
    ...(certificate === undefined ? {} : { tls: { ca: certificate.authority } }),
  });
  return { ...main, fleet, group, selector: `${RUN_ATTRIBUTE}=${group}`, current: undefined };
}

async function attempt(
  main: Run,
  trial: Trial,
  agents: number,
  startedMs: number,
): Promise<{ readonly cost: Cost; readonly marks: readonly Mark[] }> {
  const local = localOf(main);
  const settings =
    trial.certificate === undefined
      ? {}
      : { OPAMP_GATEWAY_TLS_CERT_FILE: trial.certificate.certFile, OPAMP_GATEWAY_TLS_KEY_FILE: trial.certificate.keyFile };
  const [name = ''] = await local.addGateways(1, settings);
  const stage = await stageOf(main, trial, local.urlOf(name), agents);
  try {
    const pids = new Set(stage.fleet.pids);
    const isGateway = (process: Snapshot['processes'][number]): boolean => process.name === name;
    const isWorker = (process: Snapshot['processes'][number]): boolean => pids.has(process.pid);
    const workers = stage.fleet.pids.map((pid) => ({ kind: 'worker' as const, name: `worker-${trial.id}`, pid, adminUrl: undefined }));
    const look = async (): Promise<Snapshot> => main.sampler.snapshot(workers);
    const empty = await look();
    const bootedMs = Date.now();
    await stage.fleet.start();
    await untilConnected(stage);
    const connected = await look();
    const records = await stage.fleet.records();
    const connectMs = largestOf(records.map(({ connectedAtMs = 0 }) => connectedAtMs)) - bootedMs;
    const label = trial.id === 'tls' ? 'first config over TLS' : 'first config without TLS';
    const outcome = await rollOut(stage, { label, configBytes: MIDDLE_CONFIG_BYTES, oneWave: true }, startedMs);
    const held = await look();
    const per = (after: Snapshot, is: (process: Snapshot['processes'][number]) => boolean): number =>
      (usageOf(after, is).ownBytes - usageOf(empty, is).ownBytes) / agents / BYTES_PER_KB;
    return {
      marks: outcome.marks,
      cost: {
        id: trial.id,
        connectMs,
        connectsPerS: (agents * 1_000) / connectMs,
        connectCpuUs: ((usageOf(connected, isGateway).cpuMs - usageOf(empty, isGateway).cpuMs) * 1_000) / agents,
        workerCpuUs: ((usageOf(connected, isWorker).cpuMs - usageOf(empty, isWorker).cpuMs) * 1_000) / agents,
        gatewayKb: per(connected, isGateway),
        gatewayHeldKb: per(held, isGateway),
        workerKb: per(connected, isWorker),
        rollout: outcome.figures,
        oracle: outcome.oracle,
      },
    };
  } finally {
    await stage.fleet.close(true);
    await local.remove(name);
  }
}

const HEADER: readonly string[] = [
  'way',
  'all connected after',
  'connects',
  'gateway CPU per connect',
  'gateway memory per connection',
  'after the first config',
  'load generator CPU per connect',
  'load generator memory per connection',
];

function rowOf({ id, connectMs, connectsPerS, connectCpuUs, gatewayKb, gatewayHeldKb, workerCpuUs, workerKb }: Cost): readonly string[] {
  const kb = (value: number): string => `${formatNumber(value)} KB`;
  return [
    id === 'tls' ? 'wss' : 'ws',
    formatSeconds(connectMs),
    `${formatNumber(connectsPerS)}/s`,
    `${formatNumber(connectCpuUs)} µs`,
    kb(gatewayKb),
    kb(gatewayHeldKb),
    `${formatNumber(workerCpuUs)} µs`,
    kb(workerKb),
  ];
}

async function run(main: Run): Promise<Outcome> {
  const startedMs = Date.now();
  const agents = Math.min(main.settings.agents, MOST_AGENTS);
  const certificate = await makeServerCertificate(localOf(main).directory);
  const plain = await attempt(main, { id: 'plain', certificate: undefined }, agents, startedMs);
  const tls = await attempt(main, { id: 'tls', certificate }, agents, startedMs);
  const [first, second] = [plain.cost, tls.cost];
  const table: ResultTable = { title: `${agents} agents on one gateway each way`, header: HEADER, rows: [rowOf(first), rowOf(second)] };
  return {
    figures: [
      figure('connects-plain', 'connects without TLS', first.connectsPerS, '/s'),
      figure('connects-tls', 'connects over TLS', second.connectsPerS, '/s'),
      figure('connect-ratio', 'connect rate over TLS as a part of that without', (second.connectsPerS * 100) / first.connectsPerS, '%'),
      figure('memory-plain', 'gateway memory per connection without TLS', first.gatewayKb, 'KB'),
      figure('memory-tls', 'gateway memory per connection over TLS', second.gatewayKb, 'KB'),
      figure('cpu-plain', 'gateway CPU per connect without TLS', first.connectCpuUs, 'µs'),
      figure('cpu-tls', 'gateway CPU per connect over TLS', second.connectCpuUs, 'µs'),
    ],
    rollouts: [first.rollout, second.rollout],
    marks: [...plain.marks, ...tls.marks],
    tables: [table],
    oracle: {
      ...second.oracle,
      compared: first.oracle.compared + second.oracle.compared,
      differences: [...first.oracle.differences, ...second.oracle.differences],
    },
  };
}

export const tls: Scenario = { name: 'tls', title: 'Agents over TLS, beside as many without', needsLocal: true, run };
