import { copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeys, type Keys } from '@opamp-gateway/shared/redis/keys';
import { ApiClient } from './api-client.ts';
import { answersOk, Child, type ChildEnd, describeEnd } from './child.ts';
import { findFreePort } from './ports.ts';
import { RedisServer } from './redis-server.ts';
import type { RedisStore } from './redis-store.ts';
import { TcpProxy } from './tcp-proxy.ts';

const HOST = '127.0.0.1';
const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const STOP_GRACE_MS = 60_000;

type Settings = Readonly<Record<string, string>>;
type Kind = 'gateway' | 'coordinator';

/**
 * Times in seconds instead of minutes; everything else is as in production. What takes an agent or a process for gone outlives the
 * seconds for which a busy machine may stop any process: tests in which one has to be missed soon take {@link SHORT_LEASES}.
 */
const FAST_SETTINGS: Readonly<Record<Kind, Settings>> = {
  gateway: {
    OPAMP_GATEWAY_LEASE_MS: '15000',
    OPAMP_GATEWAY_LEASE_RENEW_MS: '1000',
    OPAMP_GATEWAY_SPEC_POLL_MS: '500',
    OPAMP_GATEWAY_DRAIN_MS: '500',
    OPAMP_GATEWAY_PING_INTERVAL_MS: '2000',
    OPAMP_GATEWAY_PONG_TIMEOUT_MS: '60000',
    OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS: '60000',
    OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS: '1000',
    OPAMP_GATEWAY_HTTP_SILENCE_MS: '6000',
    OPAMP_GATEWAY_DEGRADED_AFTER_MS: '1000',
    OPAMP_GATEWAY_RETRY_AFTER_SECONDS: '1',
    OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS: '1000',
    OPAMP_GATEWAY_OFFER_RATE: '500',
  },
  coordinator: { OPAMP_COORDINATOR_SWEEP_MS: '200', OPAMP_COORDINATOR_GRACE_MS: '15000' },
};

/** For stacks whose gateways are killed or frozen: they are missed after seconds, and may still be stopped for a few by the machine. */
export const SHORT_LEASES = {
  gatewayEnv: { OPAMP_GATEWAY_LEASE_MS: '4000', OPAMP_GATEWAY_LEASE_RENEW_MS: '500' },
  coordinatorEnv: { OPAMP_COORDINATOR_GRACE_MS: '4000' },
} as const satisfies StackOptions;

export interface StackOptions {
  /** Default 2. */
  readonly gateways?: number;
  /** Default 1. */
  readonly coordinators?: number;
  /** Settings of all processes, over the fast ones. */
  readonly env?: Settings;
  readonly gatewayEnv?: Settings;
  readonly coordinatorEnv?: Settings;
  /** Default `opamp`. */
  readonly keyPrefix?: string;
  /** Directory whose `packages` run. Default: this repository. */
  readonly root?: string;
  readonly redis?: {
    /** Keeps its data over a restart. Default false. */
    readonly appendOnly?: boolean;
    readonly args?: readonly string[];
    /** Puts a proxy of its own between each process and Redis, see {@link Stack.redisProxy}. Default false. */
    readonly proxied?: boolean;
  };
  /** Starts another Redis than one plain server; its files go into the directory. {@link Stack.redis} is not there then. */
  readonly store?: (directory: string) => Promise<RedisStore>;
}

interface Member {
  readonly kind: Kind;
  readonly name: string;
  readonly port: number;
  readonly adminPort: number;
  readonly proxy: TcpProxy | undefined;
  readonly env: Settings;
  readonly root: string;
  child: Child;
  starts: number;
  /** A test ended it on purpose. */
  wasKilled: boolean;
}

/** Redis, gateways and coordinators as real processes. */
export class Stack {
  readonly keyPrefix: string;
  readonly keys: Keys;
  readonly directory: string;
  readonly store: RedisStore;
  readonly api: ApiClient;
  readonly #options: StackOptions;
  readonly #members = new Map<string, Member>();
  readonly #counts: Record<Kind, number> = { gateway: 0, coordinator: 0 };
  #stopping: Promise<void> | undefined;

  constructor(options: StackOptions, directory: string, store: RedisStore) {
    this.#options = options;
    this.directory = directory;
    this.store = store;
    this.keyPrefix = options.keyPrefix ?? 'opamp';
    this.keys = createKeys(this.keyPrefix);
    this.api = new ApiClient(() => this.apiUrls);
  }

  /** WebSocket URLs of all gateways, also of those that are down. */
  get gatewayUrls(): readonly string[] {
    return this.#of('gateway').map(({ port }) => `ws://${HOST}:${port}/v1/opamp`);
  }

  /** Bases of the REST APIs, those of running coordinators first. */
  get apiUrls(): readonly string[] {
    const members = this.#of('coordinator');
    const isDown = ({ child }: Member): number => (child.ended === undefined ? 0 : 1);
    return members.toSorted((left, right) => isDown(left) - isDown(right)).map(({ port }) => `http://${HOST}:${port}`);
  }

  get apiUrl(): string {
    const [url] = this.apiUrls;
    if (url === undefined) throw new Error('the stack has no coordinator');
    return url;
  }

  /** Base of the REST API of one coordinator. */
  apiUrlOf(name: string): string {
    return `http://${HOST}:${this.port(name)}`;
  }

  get redisUrl(): string {
    return this.store.url;
  }

  /** The one plain server. Throws when the stack was started on something else. */
  get redis(): RedisServer {
    if (this.store instanceof RedisServer) return this.store;
    throw new Error('the stack does not run on one plain server');
  }

  /** Names of the gateways or coordinators, in the order of starting. */
  names(kind: Kind): readonly string[] {
    return this.#of(kind).map(({ name }) => name);
  }

  pid(name: string): number {
    return this.#member(name).child.pid;
  }

  /** Port for agents of a gateway, API port of a coordinator. */
  port(name: string): number {
    return this.#member(name).port;
  }

  /** The proxy between one process and Redis. Throws when the stack was started without. */
  redisProxy(name: string): TcpProxy {
    const { proxy } = this.#member(name);
    if (proxy === undefined) throw new Error('start the stack with redis: { proxied: true }');
    return proxy;
  }

  /** Starts one more gateway, of another root when one is given; answers its name. */
  async startGateway(env: Settings = {}, root?: string): Promise<string> {
    return await this.#add('gateway', env, root);
  }

  /** Starts one more coordinator, of another root when one is given; answers its name. */
  async startCoordinator(env: Settings = {}, root?: string): Promise<string> {
    return await this.#add('coordinator', env, root);
  }

  /** Ends a process with a signal, SIGKILL by default, and waits for its end. */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<ChildEnd> {
    const member = this.#member(name);
    member.wasKilled = true;
    return await member.child.kill(signal);
  }

  /** Sends a signal and does not wait: SIGSTOP and SIGCONT. */
  signal(name: string, signal: NodeJS.Signals): void {
    this.#member(name).child.signal(signal);
  }

  /** Starts a process again on the same ports, as an init system would. Kills it first when it runs. */
  async restart(name: string): Promise<void> {
    const member = this.#member(name);
    await this.kill(name);
    member.starts += 1;
    member.child = this.#spawn(member, member.starts);
    member.wasKilled = false;
    await this.#ready(member);
  }

  /** Ends Redis: SIGTERM unless told otherwise. */
  async stopRedis(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.redis.kill(signal);
  }

  /** Starts Redis again: with `appendOnly` with its data, else empty. */
  async startRedis(): Promise<void> {
    await this.redis.start();
  }

  /** Waits until a process says that it is ready for traffic. */
  async waitUntilReady(name: string): Promise<void> {
    await this.#ready(this.#member(name));
  }

  /** Prometheus text of a process. */
  async metrics(name: string): Promise<string> {
    return await (await fetch(`http://${HOST}:${this.#member(name).adminPort}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
  }

  /** The last lines of every log since a time, for a failed test. */
  logs(sinceMs = 0, lines = 40): string {
    return [...this.#members.values()].map(({ name, child }) => `--- ${name}\n${child.tail(lines, sinceMs)}`).join('\n');
  }

  /** Copies the logs to a directory that stays; answers its path. */
  async keepLogs(): Promise<string> {
    const kept = await mkdtemp(join(tmpdir(), 'opamp-failed-'));
    for (const file of await readdir(this.directory)) {
      if (file.endsWith('.log')) await copyFile(join(this.directory, file), join(kept, file));
    }
    return kept;
  }

  /**
   * Ends everything and removes the files. Rejects when a process had ended by itself before, or did not end on SIGTERM in
   * a minute. Idempotent.
   */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    await this.#stopping;
  }

  async #stop(): Promise<void> {
    const problems: string[] = [];
    for (const { name, child, wasKilled } of this.#members.values()) {
      if (child.ended !== undefined && !wasKilled)
        problems.push(`${name} had ended by itself (${describeEnd(child.ended)}):\n${child.tail()}`);
    }
    await Promise.all(
      [...this.#members.values()].map(async ({ name, child, proxy }) => {
        proxy?.heal();
        if (!(await child.stop(STOP_GRACE_MS))) problems.push(`${name} did not end on SIGTERM:\n${child.tail()}`);
      }),
    );
    for (const { proxy } of this.#members.values()) await proxy?.stop();
    if (!(await this.store.stop())) problems.push('redis did not end on SIGTERM');
    await rm(this.directory, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(problems.join('\n'));
  }

  #of(kind: Kind): readonly Member[] {
    return [...this.#members.values()].filter((member) => member.kind === kind);
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`the stack has no ${name}, it has ${[...this.#members.keys()].join(', ')}`);
    return member;
  }

  async #add(kind: Kind, env: Settings, root = this.#options.root ?? REPOSITORY): Promise<string> {
    this.#counts[kind] += 1;
    const name = `${kind}-${this.#counts[kind]}`;
    const shell = {
      kind,
      name,
      env,
      root,
      port: await findFreePort(),
      adminPort: await findFreePort(),
      proxy: this.#options.redis?.proxied === true ? await TcpProxy.start(this.redis.port) : undefined,
    };
    const member: Member = { ...shell, child: this.#spawn(shell, 1), starts: 1, wasKilled: false };
    this.#members.set(name, member);
    await this.#ready(member);
    return name;
  }

  #spawn({ kind, name, port, adminPort, proxy, env, root }: Omit<Member, 'child' | 'starts' | 'wasKilled'>, start: number): Child {
    const upper = kind.toUpperCase();
    const own = kind === 'gateway' ? this.#options.gatewayEnv : this.#options.coordinatorEnv;
    return new Child({
      name,
      command: [process.execPath, '--enable-source-maps', join(root, 'packages', kind, 'dist', 'main.js')],
      environment: {
        OPAMP_REDIS_URL: proxy === undefined ? this.store.url : `redis://${HOST}:${proxy.port}`,
        ...this.store.envOf?.(kind),
        OPAMP_KEY_PREFIX: this.keyPrefix,
        [`OPAMP_${upper}_ID`]: `${name}.${start}`,
        [`OPAMP_${upper}_HOST`]: HOST,
        [`OPAMP_${upper}_PORT`]: String(port),
        [`OPAMP_${upper}_ADMIN_PORT`]: String(adminPort),
        ...FAST_SETTINGS[kind],
        ...this.#options.env,
        ...own,
        ...env,
      },
      directory: this.directory,
      logFile: join(this.directory, `${name}.log`),
    });
  }

  async #ready({ child, adminPort }: Member): Promise<void> {
    await child.waitUntilReady(async () => await answersOk(`http://${HOST}:${adminPort}/readyz`));
  }
}

/** Starts Redis, then gateways and coordinators side by side, and waits until all are ready. The packages have to be built. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const directory = await mkdtemp(join(tmpdir(), 'opamp-stack-'));
  const redisDirectory = join(directory, 'redis');
  await mkdir(redisDirectory);
  const { appendOnly = false, args = [] } = options.redis ?? {};
  const start = options.store ?? (() => RedisServer.start({ directory: redisDirectory, appendOnly, args }));
  const stack = new Stack(options, directory, await start(redisDirectory));
  const { gateways = 2, coordinators = 1 } = options;
  try {
    const starts: Promise<string>[] = [];
    for (let count = 0; count < gateways; count += 1) starts.push(stack.startGateway());
    for (let count = 0; count < coordinators; count += 1) starts.push(stack.startCoordinator());
    const failed = (await Promise.allSettled(starts)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  } catch (error) {
    await stack.stop().catch(() => undefined);
    throw error;
  }
  return stack;
}
