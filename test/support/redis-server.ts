import { accessSync, constants, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { connect } from 'node:tls';
import { Child, type ChildEnd } from './child.ts';
import { findFreePort } from './ports.ts';
import type { RedisStore } from './redis-store.ts';

const HOST = '127.0.0.1';
const STOP_GRACE_MS = 60_000;

export interface RedisServerOptions {
  /** Where its files and its log go; it has to exist. */
  readonly directory: string;
  /** Keeps its data over a restart. Default false. */
  readonly appendOnly?: boolean;
  /** Further arguments, for example `--maxmemory 10mb`. */
  readonly args?: readonly string[];
  /** Speaks TLS only, with these PEM files. Clients need no certificate. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** For the log's name. Default `redis`. */
  readonly name?: string;
  /** Default: `redis-server`, else `valkey-server`, from the PATH. */
  readonly binary?: string;
}

/** Path of a program on the PATH. */
export function findOnPath(name: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // The next one.
    }
  }
  return undefined;
}

/** The first server binary on the PATH; set-up has seen to it that there is one. */
function findBinary(): string {
  const file = findOnPath('redis-server') ?? findOnPath('valkey-server');
  if (file === undefined) throw new Error('neither redis-server nor valkey-server is on the PATH: run npm run setup');
  return file;
}

/** Whether something that speaks Redis answers, also when it first wants a password. */
async function answersPing(port: number, ca: string | undefined): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket: Socket =
      ca === undefined ? createConnection({ host: HOST, port }) : connect({ host: HOST, port, ca: readFileSync(ca, 'utf8') });
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once(ca === undefined ? 'connect' : 'secureConnect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      resolve(/^(?:\+PONG|-NOAUTH)/.test(data.toString()));
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

/** A real Redis on a port of its own, which it keeps when it is stopped and started again. */
export class RedisServer implements RedisStore {
  readonly port: number;
  readonly #options: RedisServerOptions;
  #child: Child | undefined;

  private constructor(options: RedisServerOptions, port: number) {
    this.#options = options;
    this.port = port;
  }

  /** Starts a server and waits until it answers. */
  static async start(options: RedisServerOptions): Promise<RedisServer> {
    const server = new RedisServer(options, await findFreePort());
    await server.start();
    return server;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? 'redis' : 'rediss'}://${this.address}`;
  }

  /** Starts it again on the same port and directory. */
  async start(): Promise<void> {
    const { directory, appendOnly = false, args = [], tls, name = 'redis', binary = findBinary() } = this.#options;
    const port = String(this.port);
    const listen =
      tls === undefined
        ? ['--port', port]
        : ['--port', '0', '--tls-port', port, '--tls-ca-cert-file', tls.ca, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key].concat([
            '--tls-auth-clients',
            'no',
          ]);
    const child = new Child({
      name,
      command: [
        binary,
        ...listen,
        ...['--bind', HOST, '--dir', directory],
        ...['--save', '', '--appendonly', appendOnly ? 'yes' : 'no', '--maxmemory-policy', 'noeviction', ...args],
      ],
      environment: {},
      directory,
      logFile: join(directory, `${name}.log`),
    });
    this.#child = child;
    await child.waitUntilReady(async () => await answersPing(this.port, tls?.ca));
  }

  /** `host:port`. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** Ends it with the signal; SIGTERM when none is given. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<ChildEnd> {
    if (this.#child === undefined) throw new Error('redis was not started');
    return await this.#child.kill(signal);
  }

  /** Sends a signal and does not wait: SIGSTOP and SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.signal(signal);
  }

  /** Ends it for good; false when it had to be forced. */
  async stop(): Promise<boolean> {
    return (await this.#child?.stop(STOP_GRACE_MS)) ?? true;
  }
}
