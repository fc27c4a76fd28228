import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import { endLease, renewLease } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { GatewayOrders, LeaseInfo } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

export interface GatewayLeaseOptions {
  redis: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  gatewayId: string;
  leaseMs: number;
  renewMs: number;
  info(): LeaseInfo;
  /** What this gateway was told, read with every renewal. */
  onTold(orders: GatewayOrders): void;
  /** The lease had ended, or the store is another one: every session must be claimed again. */
  onLost(why: 'ended' | 'incarnation'): Promise<void> | void;
}

/** Shortest time between two writes of the lease that observations ask for. */
const PUBLISH_MIN_MS = 50;

/** This gateway's sign of life, and what it has observed. While it is not held, nothing is offered. */
export class GatewayLease {
  readonly #options: GatewayLeaseOptions;
  #heldUntilMs = 0;
  #everHeld = false;
  #incarnation = '';
  #timer: ClockTimer | undefined;
  #soon: ClockTimer | undefined;
  #renewing: Promise<void> | undefined;
  #stopped = false;
  #live = 1;

  constructor(options: GatewayLeaseOptions) {
    this.#options = options;
  }

  /** True while the last renewal is younger than the lease. Measured from before the call, on the monotonic clock. */
  get held(): boolean {
    return this.#options.clock.monotonicMs() < this.#heldUntilMs;
  }

  /** Gateways whose leases ran at the last renewal, this one among them. */
  get liveGateways(): number {
    return this.#live;
  }

  async start(): Promise<void> {
    await this.renew();
    this.#timer = this.#options.clock.every(this.#options.renewMs, () => void this.renew());
  }

  /** Writes what is observed soon, not with the next renewal only. */
  publishSoon(): void {
    if (this.#soon !== undefined || this.#stopped) return;
    this.#soon = this.#options.clock.after(PUBLISH_MIN_MS, () => {
      this.#soon = undefined;
      void this.renew();
    });
  }

  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    if (this.#stopped) return;
    const { redis, keys, clock, gatewayId, leaseMs } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      const reply = await renewLease(redis, keys, { id: gatewayId, leaseMs, info: this.#options.info() });
      // A renewal whose answer got lost may have taken the ended lease anew, so that Redis says it was held: then this
      // gateway's own reckoning, which ends no later, tells.
      const lost = this.#everHeld && (!reply.held || clock.monotonicMs() >= this.#heldUntilMs);
      const other = this.#incarnation !== '' && reply.incarnation !== '' && reply.incarnation !== this.#incarnation;
      if (reply.incarnation !== '') this.#incarnation = reply.incarnation;
      this.#everHeld = true;
      // What was claimed under the ended lease may be somebody else's by now: sessions are claimed again before offers go on.
      if (lost || other) await this.#options.onLost(other ? 'incarnation' : 'ended');
      this.#heldUntilMs = startedMs + leaseMs;
      this.#options.onTold(reply.told);
      this.#live = Math.max(1, await redis.zcount(keys.gateways, reply.nowMs, '+inf'));
    } catch (thrown) {
      this.#options.logger.warn({ error: toError(thrown).message }, 'cannot renew the lease, will try again');
    }
  }

  /**
   * Gives the lease back when every agent was released (`clean`); else lets it run out, so that a coordinator finds the
   * agents that still name this gateway.
   */
  async stop(clean: boolean): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#soon?.cancel();
    await this.#renewing;
    if (clean) await endLease(this.#options.redis, this.#options.keys, this.#options.gatewayId, false);
  }
}
