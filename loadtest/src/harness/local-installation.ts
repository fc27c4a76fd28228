/** Redis, gateways and coordinators of a local run: real processes that scenarios may kill, drain and start again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnvironment } from '../demo/config.ts';
import { answersOk, commandOf, findFreePort, StartError } from '../demo/processes.ts';

const HOST = '127.0.0.1';
const READY_DEADLINE_MS = 60_000;
/** As the compose file has it: to write the log anew takes a core for half a minute with 200,000 agents, and Redis shares it here. */
const LOG_REWRITE_SIZE = '2gb';
/** Redis reads back what it had written; that of 200,000 agents takes longer than a minute where it shares a core. */
const REDIS_READY_DEADLINE_MS = 600_000;
const STOP_GRACE_MS = 30_000;
const POLL_MS = 50;
const TAIL_LINES = 15;
const STARTS_AT_A_TIME = 4;

type Settings = Readonly<Record<string, string>>;

/** Kinds of processes. */
export type ProcessKind = 'redis' | 'gateway' | 'coordinator';

/** What to start. */
export interface LocalOptions {
  readonly gateways: number;
  readonly coordinators: number;
  /** `OPAMP_` settings of gateways and coordinators; each process gets those that it reads. */
  readonly settings: Settings;
  /** Gateways listen on all addresses, for agents spread over 127/8. */
  readonly wildcard: boolean;
  /** Redis never writes its log anew: that takes up to its own memory once more. */
  readonly growingLog?: boolean;
}

interface Member {
  readonly kind: ProcessKind;
  readonly name: string;
  readonly port: number;
  readonly adminPort: number;
  child: ChildProcess;
  exited: Promise<void>;
  starts: number;
  isMeantToRun: boolean;
}

/** A started process. */
export interface ProcessHandle {
  readonly kind: ProcessKind;
  readonly name: string;
  readonly pid: number;
  /** Base of its admin server; undefined for Redis. */
  readonly adminUrl: string | undefined;
}

/** Everything that was started and runs: an exit of this process takes it along. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** All processes of one local run, in one temporary directory. */
export class LocalInstallation {
  readonly #options: LocalOptions;
  readonly #directory: string;
  readonly #members = new Map<string, Member>();
  /** Settings of single processes. */
  readonly #own = new Map<string, Settings>();
  readonly #taken = new Set<number>();
  /** Of the last gateway that was added: none is used twice. */
  #gatewayNumber: number;
  #isStopping = false;

  private constructor(options: LocalOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
    this.#gatewayNumber = options.gateways;
  }

  /** Starts Redis, then the rest side by side. Throws StartError with the last log lines of what does not come up. */
  static async start(options: LocalOptions): Promise<LocalInstallation> {
    const installation = new LocalInstallation(options, await mkdtemp(join(tmpdir(), 'opamp-loadtest-')));
    try {
      await installation.#add('redis', 'redis');
      const names = [
        ...Array.from({ length: options.coordinators }, (_, index) => ['coordinator', `coordinator-${index + 1}`] as const),
        ...Array.from({ length: options.gateways }, (_, index) => ['gateway', `gateway-${index + 1}`] as const),
      ];
      await installation.#addAll(names);
    } catch (error) {
      await installation.stop();
      throw error;
    }
    return installation;
  }

  /** Starts more gateways; answers their names. `settings` are theirs alone. */
  async addGateways(count: number, settings: Settings = {}): Promise<readonly string[]> {
    const names = Array.from({ length: count }, (_, index) => `gateway-${this.#gatewayNumber + index + 1}`);
    this.#gatewayNumber += count;
    for (const name of names) this.#own.set(name, settings);
    await this.#addAll(names.map((name) => ['gateway', name] as const));
    return names;
  }

  /** Drains a gateway and forgets it. */
  async remove(name: string): Promise<void> {
    await this.end(name, 'SIGTERM');
    this.#members.delete(name);
    this.#own.delete(name);
  }

  /** Where the files of this run are, until `stop`. */
  get directory(): string {
    return this.#directory;
  }

  /** URLs for agents, also of gateways that are down. */
  get gatewayUrls(): readonly string[] {
    return this.gateways.map((name) => this.urlOf(name));
  }

  /** URL of a gateway for agents. */
  urlOf(name: string): string {
    const scheme = this.#own.get(name)?.['OPAMP_GATEWAY_TLS_CERT_FILE'] === undefined ? 'ws' : 'wss';
    return `${scheme}://${HOST}:${this.#member(name).port}/v1/opamp`;
  }

  get coordinatorUrl(): string {
    return `http://${HOST}:${this.#of('coordinator')[0]?.port ?? 0}`;
  }

  get redisPort(): number {
    return this.#member('redis').port;
  }

  /** What runs now. */
  get processes(): readonly ProcessHandle[] {
    return [...this.#members.values()]
      .filter(({ isMeantToRun }) => isMeantToRun)
      .map(({ kind, name, child, adminPort }) => ({
        kind,
        name,
        pid: child.pid ?? 0,
        adminUrl: kind === 'redis' ? undefined : `http://${HOST}:${adminPort}`,
      }));
  }

  /** Names of the gateways. */
  get gateways(): readonly string[] {
    return this.#of('gateway').map(({ name }) => name);
  }

  /** Host and port of a gateway, as agents name it in their records, without the host. */
  portOf(name: string): number {
    return this.#member(name).port;
  }

  /** Throws StartError when a process has ended that nobody ended. */
  check(): void {
    for (const { name, child, isMeantToRun } of this.#members.values()) {
      if (isMeantToRun && !this.#isStopping && (child.exitCode !== null || child.signalCode !== null)) {
        throw new StartError(`${name} ended by itself (${child.signalCode ?? `exit code ${child.exitCode}`})`);
      }
    }
  }

  /** Ends a process with a signal and waits for its end. */
  async end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const member = this.#member(name);
    member.isMeantToRun = false;
    member.child.kill(signal);
    await member.exited;
  }

  /** Starts an ended process again on the same ports; gateways come back under a new id, as pods do. */
  async restart(name: string): Promise<void> {
    const member = this.#member(name);
    member.starts += 1;
    Object.assign(member, await this.#spawn(member));
    member.isMeantToRun = true;
    await this.#untilReady(member);
  }

  /** The last warnings and errors of every log. */
  async complaints(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const { name } of this.#members.values()) {
      const text = await readFile(this.#logFile(name), 'utf8').catch(() => '');
      const lines = text.split('\n').filter((line) => /"level":(?:[4-6]0|"(?:warn|error|fatal)")|^\w*Error\b/.test(line));
      found.push(...lines.slice(-3).map((line) => `${name}: ${line.slice(0, 400)}`));
    }
    return found;
  }

  /** Stops everything and removes the files. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const members = [...this.#members.values()];
    const stopAll = async (kind: ProcessKind): Promise<void> => {
      await Promise.all(
        members
          .filter((member) => member.kind === kind)
          .map(async ({ child, exited }) => {
            child.kill('SIGTERM');
            const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
            await exited;
            clearTimeout(timer);
          }),
      );
    };
    await stopAll('gateway');
    await stopAll('coordinator');
    await stopAll('redis');
    await rm(this.#directory, { recursive: true, force: true });
  }

  #of(kind: ProcessKind): readonly Member[] {
    return [...this.#members.values()]
      .filter((member) => member.kind === kind)
      .toSorted((left, right) => left.name.localeCompare(right.name, 'en', { numeric: true }));
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new RangeError(`there is no process ${name}`);
    return member;
  }

  #logFile(name: string): string {
    return join(this.#directory, `${name}.log`);
  }

  /** A few at a time: all at once would starve each other beyond their deadlines. */
  async #addAll(names: readonly (readonly [ProcessKind, string])[]): Promise<void> {
    for (let start = 0; start < names.length; start += STARTS_AT_A_TIME) {
      await Promise.all(names.slice(start, start + STARTS_AT_A_TIME).map(async ([kind, name]) => this.#add(kind, name)));
    }
  }

  async #add(kind: ProcessKind, name: string): Promise<void> {
    const shell = { kind, name, port: await findFreePort(this.#taken), adminPort: await findFreePort(this.#taken), starts: 1 };
    const member: Member = { ...shell, ...(await this.#spawn(shell)), isMeantToRun: true };
    this.#members.set(name, member);
    await this.#untilReady(member);
  }

  async #spawn(member: Pick<Member, 'kind' | 'name' | 'port' | 'adminPort' | 'starts'>): Promise<Pick<Member, 'child' | 'exited'>> {
    const { kind, name, port } = member;
    if (kind === 'redis') {
      const rewrite =
        this.#options.growingLog === true ? ['--auto-aof-rewrite-percentage', '0'] : ['--auto-aof-rewrite-min-size', LOG_REWRITE_SIZE];
      const log = ['--appendonly', 'yes', ...rewrite];
      const args = ['--port', String(port), '--bind', HOST, '--dir', this.#directory, '--save', '', ...log];
      const server = await this.#run(name, ['redis-server', ...args], {});
      return server.child.pid === undefined ? this.#run(name, ['valkey-server', ...args], {}) : server;
    }
    return this.#run(name, commandOf(kind), this.#environment(member));
  }

  #environment({ kind, name, port, adminPort, starts }: Pick<Member, 'kind' | 'name' | 'port' | 'adminPort' | 'starts'>): Settings {
    const upper = kind.toUpperCase();
    const isOurs = (setting: string): boolean => !/^OPAMP_(?:GATEWAY|COORDINATOR)_/.test(setting) || setting.startsWith(`OPAMP_${upper}_`);
    return {
      OPAMP_LOG_LEVEL: 'warn',
      ...Object.fromEntries(Object.entries(this.#options.settings).filter(([setting]) => isOurs(setting))),
      OPAMP_REDIS_URL: `redis://${HOST}:${this.redisPort}`,
      [`OPAMP_${upper}_ID`]: `${name}.${starts}`,
      [`OPAMP_${upper}_HOST`]: kind === 'gateway' && this.#options.wildcard ? '0.0.0.0' : HOST,
      [`OPAMP_${upper}_PORT`]: String(port),
      [`OPAMP_${upper}_ADMIN_HOST`]: HOST,
      [`OPAMP_${upper}_ADMIN_PORT`]: String(adminPort),
      ...this.#own.get(name),
    };
  }

  async #run(name: string, [program = '', ...args]: readonly string[], environment: Settings): Promise<Pick<Member, 'child' | 'exited'>> {
    const log = openSync(this.#logFile(name), 'a');
    // In a process group of its own: the terminal's Ctrl-C is for the controller, which stops the rest in order.
    const child = spawn(program, args, {
      cwd: this.#directory,
      env: childEnvironment(environment),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    running.add(child);
    const exited = new Promise<void>((resolve) => {
      const end = (): void => {
        running.delete(child);
        resolve();
      };
      child.once('exit', end);
      child.once('error', end);
    });
    if (child.pid === undefined) await exited;
    return { child, exited };
  }

  async #untilReady({ kind, name, child, port, adminPort }: Member): Promise<void> {
    const deadlineMs = Date.now() + (kind === 'redis' ? REDIS_READY_DEADLINE_MS : READY_DEADLINE_MS);
    for (;;) {
      if (kind === 'redis' ? await answersPing(port) : await answersOk(`http://${HOST}:${adminPort}/readyz`)) return;
      const hasEnded = child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
      if (hasEnded || Date.now() > deadlineMs) {
        const tail = (await readFile(this.#logFile(name), 'utf8').catch(() => '')).trimEnd().split('\n').slice(-TAIL_LINES);
        throw new StartError(`${name} ${hasEnded ? 'ended while starting' : 'did not become ready'}:\n  ${tail.join('\n  ')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
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
