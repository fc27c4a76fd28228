import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const HOST = '127.0.0.1';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** A trap has sprung on it: nothing passes any more, in either direction. */
  isCaught: boolean;
}

/** What a {@link Trap} waits for. */
export interface Bait {
  /** `request`: from the process to the server. */
  readonly on: 'request' | 'reply';
  /** Whether this piece of data is the one; asked about every piece in that direction, on every connection. */
  readonly fits: (data: Buffer) => boolean;
  /** The request itself still passes, and what is held back is the answer. Default false: it is the first that does not pass. */
  readonly passes?: boolean;
}

/** Stops one connection of a process at an exact point of its talk with the server, so that it can be killed there. */
export interface Trap {
  /** The piece has come; with `passes` also that the server has answered something since. */
  readonly isSprung: boolean;
  /** The piece; undefined before it has come. */
  readonly caught: Buffer | undefined;
}

class SetTrap implements Trap {
  readonly bait: Bait;
  isSprung = false;
  caught: Buffer | undefined;

  constructor(bait: Bait) {
    this.bait = bait;
  }
}

/**
 * A TCP proxy on the loopback address that can misbehave: let nothing through while every connection stays up, delay what
 * it passes on, reset all connections, refuse new ones.
 */
export class TcpProxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pairs = new Set<Pair>();
  #isBlackhole = false;
  #refuses = false;
  #latencyMs = 0;
  #trap: SetTrap | undefined;
  /** A trap whose request has passed and whose answer has not come. */
  readonly #expecting = new Map<Pair, SetTrap>();

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((near) => this.#accept(near));
  }

  /** Starts a proxy in front of a local port. */
  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    proxy.#server.listen(0, HOST);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** From now on nothing arrives on either side; connections stay up and new ones are accepted. */
  blackhole(): void {
    this.#isBlackhole = true;
    for (const { near, far } of this.#pairs) {
      near.pause();
      far.pause();
    }
  }

  /** Delays each piece of data in either direction by this many milliseconds; 0 = not at all. */
  delay(latencyMs: number): void {
    this.#latencyMs = latencyMs;
  }

  /** Sets a trap, in place of the last one that did not spring. It springs once; {@link heal} resets the connection on which it did. */
  trap(bait: Bait): Trap {
    this.#trap = new SetTrap(bait);
    return this.#trap;
  }

  /** Takes the trap away that has not sprung. */
  disarm(): void {
    this.#trap = undefined;
  }

  /** Ends every connection with a reset. */
  resetAll(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** Resets every connection, and each new one at once, until {@link heal}. */
  refuse(): void {
    this.#refuses = true;
    this.resetAll();
  }

  /** Behaves again. What was held back by a blackhole arrives now; what was held back by a trap is lost. */
  heal(): void {
    this.#trap = undefined;
    for (const { near, isCaught } of this.#pairs) if (isCaught) near.resetAndDestroy();
    this.#isBlackhole = false;
    this.#refuses = false;
    this.#latencyMs = 0;
    for (const { near, far } of this.#pairs) {
      near.resume();
      far.resume();
    }
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    await closed;
  }

  #accept(near: Socket): void {
    if (this.#refuses) {
      near.on('error', () => undefined);
      near.resetAndDestroy();
      return;
    }
    const far = connect({ host: HOST, port: this.#targetPort, noDelay: true });
    near.setNoDelay(true);
    const pair: Pair = { near, far, isCaught: false };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      this.#expecting.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (data) => {
        if (this.#passes(pair, from === near ? 'request' : 'reply', data)) this.#forward(data, to);
      });
      from.on('close', end);
      from.on('error', end);
      if (this.#isBlackhole) from.pause();
    }
  }

  /** False for what a trap holds back. */
  #passes(pair: Pair, direction: Bait['on'], data: Buffer): boolean {
    if (pair.isCaught) {
      const expecting = this.#expecting.get(pair);
      if (expecting !== undefined && direction === 'reply') {
        this.#expecting.delete(pair);
        expecting.isSprung = true;
      }
      return false;
    }
    const trap = this.#trap;
    if (trap === undefined || trap.bait.on !== direction || !trap.bait.fits(data)) return true;
    this.#trap = undefined;
    pair.isCaught = true;
    trap.caught = data;
    if (trap.bait.passes !== true) {
      trap.isSprung = true;
      return false;
    }
    this.#expecting.set(pair, trap);
    return true;
  }

  #forward(data: Buffer, to: Socket): void {
    if (this.#latencyMs === 0) to.write(data);
    else setTimeout(() => to.destroyed || to.write(data), this.#latencyMs);
  }
}
