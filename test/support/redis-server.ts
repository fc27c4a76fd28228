import { accessSync, constants } from 'node:fs';
import { createConnection } from 'node:net';
import { delimiter, join } from 'node:path';
import { Child, type ChildEnd } from './child.ts';
import { findFreePort } from './ports.ts';

const HOST = '127.0.0.1';
const STOP_GRACE_MS = 10_000;

export interface RedisServerOptions {
  /** Where its files and its log go; it has to exist. */
  readonly directory: string;
  /** Keeps its data over a restart. Default false. */
  readonly appendOnly?: boolean;
  /** Further arguments, for example `--maxmemory 10mb`. */
  readonly args?: readonly string[];
}

/** The first server binary on the PATH; set-up has seen to it that there is one. */
function findBinary(): string {
  for (const name of ['redis-server', 'valkey-server']) {
    for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
      const file = join(directory, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // The next one.
      }
    }
  }
  throw new Error('neither redis-server nor valkey-server is on the PATH: run npm run setup');
}

async function answersPing(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
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

/** A real Redis on a port of its own, which it keeps when it is stopped and started again. */
export class RedisServer {
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
    return `redis://${HOST}:${this.port}`;
  }

  /** Starts it again on the same port and directory. */
  async start(): Promise<void> {
    const { directory, appendOnly = false, args = [] } = this.#options;
    const child = new Child({
      name: 'redis',
      command: [
        findBinary(),
        ...['--port', String(this.port), '--bind', HOST, '--dir', directory],
        ...['--save', '', '--appendonly', appendOnly ? 'yes' : 'no', '--maxmemory-policy', 'noeviction', ...args],
      ],
      environment: {},
      directory,
      logFile: join(directory, 'redis.log'),
    });
    this.#child = child;
    await child.waitUntilReady(async () => await answersPing(this.port));
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
