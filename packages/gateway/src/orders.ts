import type { Clock } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { GatewayOrders } from '@opamp-gateway/shared/redis/fleet-scripts';
import { CLOSE_REASONS } from './close-reasons.ts';
import type { CloseReason } from './close-reasons.ts';
import { drainConnections } from './drain.ts';

export interface OrderDeskOptions {
  clock: Clock;
  logger: Logger;
  connections(): readonly { close(reason: CloseReason): void }[];
  /** Whether this gateway takes agents has changed: its lease should say so. */
  onChanged(): void;
}

/**
 * Carries out what operators tell this gateway to do with its connections. Orders are a level, not an edge: they are read with
 * every renewal of the lease, so a lost hint only makes them late. Whoever comes back to a gateway that drains is refused with
 * 503, before the upgrade.
 */
export class OrderDesk {
  readonly #options: OrderDeskOptions;
  #drain: AbortController | undefined;
  #shed: string | undefined;

  constructor(options: OrderDeskOptions) {
    this.#options = options;
  }

  /** True from an order to drain until it is taken back. */
  get draining(): boolean {
    return this.#drain !== undefined;
  }

  /** Compares what the store says with what was done; does the rest. */
  follow({ drainMs, shed }: GatewayOrders): void {
    const { logger, onChanged } = this.#options;
    if (drainMs === null && this.#drain !== undefined) {
      this.#drain.abort();
      this.#drain = undefined;
      logger.info('serves agents again');
      onChanged();
    } else if (drainMs !== null && this.#drain === undefined) {
      this.#drain = new AbortController();
      logger.info({ windowMs: drainMs }, 'was told to drain: agents are sent away, nobody new is taken');
      onChanged();
      this.#close(drainMs, { signal: this.#drain.signal });
    }
    if (shed === null || shed.id === this.#shed) return;
    this.#shed = shed.id;
    logger.info({ order: shed.id, agents: shed.count, windowMs: shed.windowMs }, 'was told to send agents away');
    this.#close(shed.windowMs, { count: shed.count });
  }

  #close(windowMs: number, which: { count: number } | { signal: AbortSignal }): void {
    const { clock, logger, connections } = this.#options;
    drainConnections({ connections: connections(), windowMs, clock, reason: CLOSE_REASONS.draining, ...which }).catch((thrown: unknown) =>
      logger.error({ err: toError(thrown) }, 'agents could not be sent away'),
    );
  }
}
