/** The demo's own Redis, gateways and coordinator: started on free ports, stopped and removed at the end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnvironment, REPOSITORY } from './config.ts';

const READY_DEADLINE_MS = 60_000;
const POLL_MS = 50;
/** A supervisor gives its collector 10 s to stop. */
const TERM_GRACE_MS = 15_000;
const LOG_TAIL_LINES = 15;
const KEPT_COMPLAINTS = 5;
/** A pino line of level warn and above, or a stack trace's first line. */
const COMPLAINT = /"level":(?:[4-6]0|"(?:warn|error|fatal)")|^\w*Error\b/;
const HOST = '127.0.0.1';
/** Below the range from which the kernel takes the ports of outgoing connections. */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 30_000;

/** Thrown when a part of the demo does not come up; the message ends with its last log lines. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, HOST, () => probe.close(() => resolve(true)));
  });
}

/** A free port on the loopback address that is not in `taken`; adds it there. */
export async function findFreePort(taken: Set<number>): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if (!taken.has(port) && (await isFree(port))) {
      taken.add(port);
      return port;
    }
  }
  throw new StartError(`no free port between ${LOWEST_PORT} and ${HIGHEST_PORT}`);
}

async function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: HOST, port });
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      resolve(data.toString().startsWith('+PONG'));
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

/** Whether a URL answers 200 within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

interface Started {
  readonly name: string;
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  readonly stopSignal: NodeJS.Signals;
}

/** Child processes and their directory. Stopping goes in reverse order of starting. */
export class ProcessGroup {
  readonly directory: string;
  readonly #started: Started[] = [];
  #stopping: Promise<void> | undefined;
  #failed: Error | undefined;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Makes the temporary directory that everything lives in. */
  static async create(): Promise<ProcessGroup> {
    return new ProcessGroup(await mkdtemp(join(tmpdir(), 'opamp-demo-')));
  }

  /** Throws when a process that should run has ended. */
  check(): void {
    if (this.#failed !== undefined && this.#stopping === undefined) throw this.#failed;
  }

  /** Starts a program and waits until it is ready; `stopSignal` is what ends it cleanly. Throws StartError. */
  async start(
    name: string,
    command: readonly string[],
    environment: Readonly<Record<string, string>>,
    isReady: () => Promise<boolean>,
    stopSignal: NodeJS.Signals = 'SIGTERM',
  ): Promise<void> {
    const [program = '', ...args] = command;
    const logFile = join(this.directory, `${name}.log`);
    const log = createWriteStream(logFile);
    const child = spawn(program, args, { cwd: this.directory, env: childEnvironment(environment), stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    let ended: string | undefined;
    let ready = false;
    const exited = new Promise<void>((resolve) => {
      const end = (reason: string): void => {
        ended ??= reason;
        if (ready) this.#failed ??= new StartError(`${name} ${reason}`);
        log.end();
        resolve();
      };
      child.once('exit', (code, signal) => end(`ended (${signal ?? `exit code ${code}`})`));
      child.once('error', (error) => end(`could not be started: ${error.message}`));
    });
    this.#started.push({ name, child, exited, stopSignal });
    const deadlineMs = Date.now() + READY_DEADLINE_MS;
    for (;;) {
      if (await isReady()) {
        ready = true;
        return;
      }
      if (ended !== undefined) throw new StartError(`${name} ${ended}${await tailOf(logFile)}`);
      if (Date.now() > deadlineMs)
        throw new StartError(`${name} was not ready after ${READY_DEADLINE_MS / 1_000} s${await tailOf(logFile)}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The last warnings and errors in the logs, by process. */
  async complaints(): Promise<ReadonlyMap<string, readonly string[]>> {
    const found = new Map<string, readonly string[]>();
    for (const { name } of this.#started) {
      const text = await readFile(join(this.directory, `${name}.log`), 'utf8').catch(() => '');
      const lines = text.split('\n').filter((line) => COMPLAINT.test(line));
      if (lines.length > 0) found.set(name, lines.slice(-KEPT_COMPLAINTS));
    }
    return found;
  }

  /** Stops everything and removes the directory. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    await this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const { child, exited, stopSignal } of this.#started.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      child.kill(stopSignal);
      const timer = setTimeout(() => child.kill('SIGKILL'), TERM_GRACE_MS);
      await exited;
      clearTimeout(timer);
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function tailOf(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines = text.trimEnd().split('\n').slice(-LOG_TAIL_LINES);
  return text === '' ? '' : `; its last lines:\n  ${lines.join('\n  ')}`;
}

/** Addresses of a running installation. */
export interface Installation {
  readonly coordinatorUrl: string;
  /** OpAMP URLs with the scheme http; agents over WebSocket use the same ports. */
  readonly gatewayUrls: readonly string[];
  readonly adminUrls: readonly string[];
}

async function startRedis(group: ProcessGroup, port: number): Promise<void> {
  const args = ['--port', String(port), '--bind', HOST, '--save', '', '--appendonly', 'no', '--dir', group.directory];
  const isReady = async (): Promise<boolean> => answersPing(port);
  try {
    await group.start('redis', ['redis-server', ...args], {}, isReady);
  } catch (error) {
    if (!(error instanceof StartError) || !error.message.includes('ENOENT')) throw error;
    await group.start('valkey', ['valkey-server', ...args], {}, isReady);
  }
}

/** Starts Redis, the gateways and a coordinator, each on free ports of the loopback address. */
export async function startInstallation(group: ProcessGroup, gateways: number): Promise<Installation> {
  const taken = new Set<number>();
  const redisPort = await findFreePort(taken);
  await startRedis(group, redisPort);
  const common = { OPAMP_REDIS_URL: `redis://${HOST}:${redisPort}`, OPAMP_LOG_LEVEL: 'info' };
  const gatewayUrls: string[] = [];
  const adminUrls: string[] = [];

  const [coordinatorPort, coordinatorAdmin] = [await findFreePort(taken), await findFreePort(taken)];
  const starts: Promise<void>[] = [];
  starts.push(
    group.start(
      'coordinator',
      commandOf('coordinator'),
      {
        ...common,
        OPAMP_COORDINATOR_HOST: HOST,
        OPAMP_COORDINATOR_PORT: String(coordinatorPort),
        OPAMP_COORDINATOR_ADMIN_PORT: String(coordinatorAdmin),
      },
      async () => answersOk(`http://${HOST}:${coordinatorAdmin}/readyz`),
    ),
  );
  adminUrls.push(`http://${HOST}:${coordinatorAdmin}`);
  for (let number = 1; number <= gateways; number += 1) {
    const [port, admin] = [await findFreePort(taken), await findFreePort(taken)];
    const settings = {
      ...common,
      OPAMP_GATEWAY_ID: `demo-gateway-${number}`,
      OPAMP_GATEWAY_HOST: HOST,
      OPAMP_GATEWAY_PORT: String(port),
      OPAMP_GATEWAY_ADMIN_PORT: String(admin),
    };
    starts.push(group.start(`gateway-${number}`, commandOf('gateway'), settings, async () => answersOk(`http://${HOST}:${admin}/readyz`)));
    gatewayUrls.push(`http://${HOST}:${port}/v1/opamp`);
    adminUrls.push(`http://${HOST}:${admin}`);
  }
  await Promise.all(starts);
  return { coordinatorUrl: `http://${HOST}:${coordinatorPort}`, gatewayUrls, adminUrls };
}

/** Node options of each program, as scripts/commands.mjs has them. */
const NODE_OPTIONS = {
  gateway: ['--enable-source-maps', '--max-semi-space-size=16', '--heap-growing-percent=40'],
  coordinator: ['--enable-source-maps'],
};

/** Program and arguments that start a gateway or a coordinator of this checkout. */
export function commandOf(kind: 'gateway' | 'coordinator'): readonly string[] {
  return [process.execPath, ...NODE_OPTIONS[kind], join(REPOSITORY, 'packages', kind, 'dist', 'main.js')];
}
