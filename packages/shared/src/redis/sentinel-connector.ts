import { SentinelConnector } from 'ioredis';

/** What the base class keeps to itself: its connections to Sentinels, on which it hears of failovers. */
interface Watch {
  readonly sentinels: readonly { readonly client: { on(event: 'error', listener: () => void): unknown } }[];
  cleanup(): void;
}

/**
 * Finds the master and hears of failovers as ioredis does, and lets go of the Sentinels when the connection has ended: after QUIT the
 * base class would stay subscribed, and keep the process from ending. Copies that BullMQ makes of a client have it too.
 */
export class ClosingSentinelConnector extends SentinelConnector {
  override async connect(...args: Parameters<SentinelConnector['connect']>): ReturnType<SentinelConnector['connect']> {
    const stream = await super.connect(...args);
    const onConnect = (): void => {
      // A Sentinel that is away is no news: the master is what counts, and errors of its connection are logged.
      for (const { client } of this.#watch?.sentinels ?? []) client.on('error', () => undefined);
    };
    stream.once('connect', onConnect);
    stream.once('secureConnect', onConnect);
    stream.once('close', () => this.#watch?.cleanup());
    return stream;
  }

  get #watch(): Watch | null {
    return (this as unknown as { failoverDetector: Watch | null }).failoverDetector;
  }
}
