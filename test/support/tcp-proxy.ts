import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const HOST = '127.0.0.1';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
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

  /** Behaves again. What was held back by a blackhole arrives now. */
  heal(): void {
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
    const pair: Pair = { near, far };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (data) => this.#forward(data, to));
      from.on('close', end);
      from.on('error', end);
      if (this.#isBlackhole) from.pause();
    }
  }

  #forward(data: Buffer, to: Socket): void {
    if (this.#latencyMs === 0) to.write(data);
    else setTimeout(() => to.destroyed || to.write(data), this.#latencyMs);
  }
}
