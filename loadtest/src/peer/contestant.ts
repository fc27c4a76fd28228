/** Two servers behind one interface: ours with one gateway, and the least server that the opamp-go library makes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { LoadApi } from '../harness/api.ts';
import { LocalInstallation } from '../harness/local-installation.ts';
import type { SampledProcess } from '../harness/sampler.ts';
import { RUN_ATTRIBUTE } from '../harness/run.ts';
import { buildPeer } from './build-peer.ts';

/** A server in the comparison. */
export interface Contestant {
  readonly name: string;
  readonly url: string;
  readonly redisPort: number | undefined;
  /** The process that agents talk to has the kind `gateway`. */
  processes(): readonly SampledProcess[];
  connected(): Promise<number>;
  /** Begins to push a config to every agent. */
  push(text: string): Promise<void>;
  /** How many agents the server knows to have applied the pushed config. */
  applied(): Promise<number>;
  stop(): Promise<void>;
}

const GROUP = 'peer';
const STRATEGY = {
  waves: [{ size: { percent: 100 }, soak: '0s' }],
  maxInFlight: 100_000,
  rate: 'unlimited',
  ackTimeout: '60s',
  healthHold: '0s',
  canaryMinHealthy: '0s',
  failure: { maxCount: 0 },
  onFailure: 'pause',
};

/** Ours: Redis, one coordinator, one gateway; pushes go through the rollout engine, everybody in one wave. */
export async function startOurs(): Promise<Contestant> {
  const local = await LocalInstallation.start({ gateways: 1, coordinators: 1, settings: {}, wildcard: false });
  const api = new LoadApi(local.coordinatorUrl);
  await api.putGroup(GROUP, `${RUN_ATTRIBUTE}=${GROUP}`);
  let rollout: string | undefined;
  return {
    name: 'opamp-gateway, one gateway',
    url: local.gatewayUrls[0] ?? '',
    redisPort: local.redisPort,
    processes: () => local.processes,
    connected: async () => (await api.groupCounts(GROUP)).connected,
    async push(text) {
      rollout = await api.createRollout(GROUP, await api.putConfig(GROUP, text, 'peer'), STRATEGY, 'peer');
    },
    applied: async () => (rollout === undefined ? 0 : ((await api.getRollout(rollout)).counts['applied'] ?? 0)),
    stop: async () => local.stop(),
  };
}

interface PeerStats {
  readonly connected: number;
  readonly applied: number;
}

/** The peer: one Go process that keeps everything in memory. */
export async function startPeer(): Promise<Contestant> {
  const child = spawn(await buildPeer(), [], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const base = `http://${await addressOf(child)}`;
  const stats = async (): Promise<PeerStats> => (await (await fetch(`${base}/stats`)).json()) as PeerStats;
  return {
    name: 'opamp-go, least server',
    url: `${base.replace('http:', 'ws:')}/v1/opamp`,
    redisPort: undefined,
    processes: () => [{ kind: 'gateway', name: 'opamp-go', pid: child.pid ?? 0, adminUrl: undefined }],
    connected: async () => (await stats()).connected,
    async push(text) {
      await (await fetch(`${base}/push`, { method: 'POST', body: text })).text();
    },
    applied: async () => (await stats()).applied,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const address = /listening on (\S+)\n/.exec(output)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the peer ended with exit code ${code}`)));
  });
}
