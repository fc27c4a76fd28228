import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { TakenAlert } from '@opamp-gateway/shared/redis/alert-scripts';
import { parseAlert, toWebhookBody } from './alert.ts';
import { wants } from './alert-targets.ts';
import type { AlertTarget, AlertTargets } from './alert-targets.ts';
import { delayAfter } from './backoff.ts';
import type { AlertStore } from './ports.ts';
import type { SendOutcome, WebhookSender } from './webhook-sender.ts';

export interface AlertDispatcherOptions {
  store: Pick<AlertStore, 'outbox' | 'admit' | 'knownTargets' | 'take' | 'settle'>;
  targets: AlertTargets;
  send: WebhookSender;
  clock: Clock;
  logger: Logger;
  /** How often it looks for what is due. */
  tickMs: number;
  /** How long a coordinator that died keeps the others from delivering. */
  leaseMs?: number;
  /** From 0 to 1. */
  chance?: () => number;
  /** Told of every attempt. */
  onAttempt?(target: string, outcome: 'delivered' | 'retry' | 'dead'): void;
}

/** Delivers alerts while it holds the lease. */
export interface AlertDispatcher extends Service {
  /** One look now. Rejects when Redis cannot be reached. */
  tick(): Promise<void>;
}

/** Requests to one target at a time. */
const PER_TARGET = 4;
const MESSAGES = 100;
/** A delivery that was taken is due again so long after its request must have ended: this coordinator is dead then. */
const HIDDEN_MARGIN_MS = 2_000;
const UNKNOWN_LIMIT = 100;
const LEASE_MS = 5_000;

/** Builds the dispatcher of one coordinator. Every coordinator has one; the lease says whose delivers. */
export function createAlertDispatcher(options: AlertDispatcherOptions): AlertDispatcher {
  const { store, targets, send, clock, logger } = options;
  const chance = options.chance ?? Math.random;
  const leaseMs = Math.max(options.leaseMs ?? LEASE_MS, 3 * options.tickMs);
  const inFlight = new Map<string, number>();
  const sending = new Set<Promise<void>>();
  const stopping = new AbortController();
  let timer: ClockTimer | undefined;
  let round: Promise<void> | undefined;
  let held = false;

  const settle = async (taken: TakenAlert, target: AlertTarget, outcome: SendOutcome): Promise<void> => {
    const attempts = taken.attempts + 1;
    const kind = outcome.kind === 'delivered' ? 'delivered' : attempts >= target.attempts ? 'dead' : 'retry';
    const error = outcome.kind === 'delivered' ? '' : outcome.error;
    const waitMs = outcome.kind === 'failed' ? outcome.retryAfterMs : undefined;
    const delayMs = Math.max(delayAfter(attempts, target.backoff, chance()), waitMs ?? 0);
    options.onAttempt?.(target.name, kind);
    const { id } = taken;
    if (kind === 'delivered') logger.info({ alert: id, target: target.name, attempts }, 'alert was delivered');
    else if (kind === 'dead')
      logger.error({ alert: id, target: target.name, attempts, error }, 'alert could not be delivered and is given up');
    else logger.warn({ alert: id, target: target.name, attempts, error, delayMs }, 'alert could not be delivered, it will be tried again');
    await store.settle({ id, target: target.name, outcome: kind, attempts, delayMs, error });
  };

  const deliver = async (taken: TakenAlert, target: AlertTarget): Promise<void> => {
    const alert = parseAlert(taken.message);
    const outcome: SendOutcome =
      alert === undefined
        ? { kind: 'failed', error: 'its message cannot be read', retryAfterMs: undefined }
        : await send(target, { id: taken.id, nowMs: clock.nowMs(), body: toWebhookBody(taken.id, alert) }, stopping.signal);
    // An attempt that our own stop cut short is nobody's failure; it is due again by itself.
    if (outcome.kind === 'failed' && stopping.signal.aborted) return;
    await settle(taken, target, outcome);
  };

  const begin = (taken: TakenAlert, target: AlertTarget): void => {
    inFlight.set(target.name, (inFlight.get(target.name) ?? 0) + 1);
    const task = deliver(taken, target)
      // What could not be noted is due again, and its receiver knows the id.
      .catch((error: unknown) =>
        logger.warn({ err: error, alert: taken.id, target: target.name }, 'outcome of a delivery could not be noted'),
      )
      .finally(() => {
        inFlight.set(target.name, (inFlight.get(target.name) ?? 1) - 1);
        sending.delete(task);
      });
    sending.add(task);
  };

  /** Takes the lease and begins what is due. */
  const takeDue = async (): Promise<void> => {
    const byName = new Map(targets.list().map((target) => [target.name, target]));
    const gone = (await store.knownTargets()).filter((name) => !byName.has(name));
    const taken = await store.take({
      leaseMs,
      targets: [
        ...[...byName.values()].map((target) => ({
          name: target.name,
          limit: Math.max(0, PER_TARGET - (inFlight.get(target.name) ?? 0)),
          hiddenMs: target.timeoutMs + HIDDEN_MARGIN_MS,
        })),
        ...gone.map((name) => ({ name, limit: UNKNOWN_LIMIT, hiddenMs: HIDDEN_MARGIN_MS })),
      ],
    });
    if (taken.held !== held)
      logger.info({ holder: taken.holder }, taken.held ? 'this coordinator delivers alerts' : 'another coordinator delivers alerts');
    held = taken.held;
    for (const due of taken.due) {
      const target = byName.get(due.target);
      if (target !== undefined) begin(due, target);
      else {
        await store.settle({
          id: due.id,
          target: due.target,
          outcome: 'dead',
          attempts: due.attempts,
          delayMs: 0,
          error: 'there is no target of this name any more',
        });
      }
    }
  };

  /** Hands new messages to the targets that want them. Returns whether there were any. */
  const admit = async (): Promise<boolean> => {
    const messages = await store.outbox(MESSAGES);
    if (messages.length === 0) return false;
    const { givenUp, dropped } = await store.admit(
      messages.map(({ id, message }) => {
        const alert = parseAlert(message);
        if (alert === undefined) logger.error({ alert: id }, 'a message of the outbox cannot be read, it is told nobody');
        return { id, targets: targets.list().flatMap((target) => (alert !== undefined && wants(target, alert) ? [target.name] : [])) };
      }),
    );
    if (givenUp > 0) logger.error({ deliveries: givenUp }, 'too many alerts wait for a target, new ones are given up');
    if (dropped > 0) logger.error({ deliveries: dropped }, 'too many alerts are given up, the oldest are forgotten');
    return true;
  };

  const look = async (): Promise<void> => {
    await takeDue();
    while (held && !stopping.signal.aborted && (await admit())) await takeDue();
  };

  const tick = (): Promise<void> => {
    round ??= look().finally(() => {
      round = undefined;
    });
    return round;
  };

  const service = createService({
    name: 'alerts',
    async start() {
      timer = clock.every(options.tickMs, () => {
        tick().catch((error: unknown) => logger.debug({ err: error }, 'alerts could not be looked at, the next look will'));
      });
    },
    async stop() {
      timer?.cancel();
      await round?.catch(() => undefined);
      stopping.abort();
      await Promise.all(sending);
      if (held) await store.take({ leaseMs: 0, targets: [] }).catch(() => undefined);
    },
  });
  return { ...service, tick };
}
