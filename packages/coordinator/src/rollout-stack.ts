import type { Clock } from '@opamp-gateway/shared/clock';
import { createService, ReleaserStack } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { Tracer } from '@opamp-gateway/shared/tracing';
import { createFleetReader } from './bus/fleet-reader.ts';
import { createGatewayDirectory } from './bus/gateway-directory.ts';
import type { GatewayDirectory } from './bus/gateway-directory.ts';
import { createSweeps } from './bus/sweeps.ts';
import type { SweepsOptions } from './bus/sweeps.ts';
import { createGateAsker, NO_GATES, refuseGates } from './gates/gate-asker.ts';
import type { GateSettings } from './gates/gate-asker.ts';
import { createRolloutQueue } from './queue/rollout-queue.ts';
import type { RolloutQueueOptions } from './queue/rollout-queue.ts';
import { createWakeQueue } from './queue/wake-queue.ts';
import { RolloutEngine } from './rollout/engine.ts';
import type { ConfigCheck, FleetReader, Observer } from './rollout/ports.ts';
import { GateRunner } from './rollout/gate-runner.ts';
import type { GateRunnerOptions } from './rollout/gate-runner.ts';
import { createRolloutRunner } from './rollout/runner.ts';
import type { RolloutRunnerOptions } from './rollout/runner.ts';
import { createRolloutService } from './rollout/rollout-service.ts';
import type { RolloutService } from './rollout/service.ts';
import { createConfigLookup, createRolloutStore } from './stores/rollout-store.ts';
import type { RolloutStoreOptions } from './stores/rollout-store.ts';

export interface RolloutStackOptions {
  /** A connection of the role `command`. */
  client: RedisClient;
  /** Connections of the queues: role `producer` and role `worker`. Undefined = no BullMQ, the sweep alone does the work. */
  queues: { producer: RedisClient; worker: RedisClient } | undefined;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  sweepMs: number;
  minReplicas: number;
  /** Gateways' lease time: for so long nothing is judged after Redis was away. */
  leaseMs?: number;
  lagHoldMs?: number;
  fleetBreakerMs?: number;
  /** How long counters and failures of an ended rollout are kept; 0 = for ever. */
  endedTtlSeconds?: number;
  /** What gates may reach; nothing unless it is given. */
  gates?: GateSettings;
  onGateAnswer?: GateRunnerOptions['onAnswer'];
  tracer?: Tracer;
  onJob?: RolloutQueueOptions['onJob'];
  onGatewayGone?: SweepsOptions['onGatewayGone'];
  onTrailingHeld?: SweepsOptions['onTrailingHeld'];
  onEvent?: RolloutStoreOptions['onEvent'];
  onLook?: RolloutRunnerOptions['onLook'];
  /** Judges a config for its group before a rollout starts. */
  check?: ConfigCheck;
  /** Judges agents that cannot report; without one they end as unverified. */
  observer?: Observer;
}

/** Everything about rollouts in one coordinator. */
export interface RolloutStack extends Service {
  readonly rollouts: RolloutService;
  readonly gateways: GatewayDirectory;
  readonly fleet: FleetReader;
}

/** Builds the rollout engine with its stores, timers and queues. Nothing runs before `start`. */
export function createRolloutStack(options: RolloutStackOptions): RolloutStack {
  const { client, keys, clock, logger } = options;
  const store = createRolloutStore({ client, keys, minReplicas: options.minReplicas, onEvent: options.onEvent });
  const fleet = createFleetReader({
    client,
    keys,
    clock,
    ...(options.leaseMs === undefined ? {} : { judgeDelayMs: options.leaseMs }),
    ...(options.endedTtlSeconds === undefined ? {} : { endedTtlSeconds: options.endedTtlSeconds }),
  });
  const gates = options.gates ?? NO_GATES;
  const asker = createGateAsker(gates, () => clock.nowMs());
  const engine = new RolloutEngine({
    store,
    fleet,
    logger,
    ask: (questions) => questioner.ask(questions),
    ...(options.observer === undefined ? {} : { observer: options.observer }),
    ...(options.tracer === undefined ? {} : { tracer: options.tracer }),
    ...(options.lagHoldMs === undefined ? {} : { lagHoldMs: options.lagHoldMs }),
    ...(options.fleetBreakerMs === undefined ? {} : { fleetBreakerMs: options.fleetBreakerMs }),
  });
  const runner = createRolloutRunner({ engine, store, clock, logger, sweepMs: options.sweepMs, onLook: options.onLook });
  const sweeps = createSweeps({
    client,
    keys,
    clock,
    logger,
    beat: () => fleet.beat(),
    ...(options.onGatewayGone === undefined ? {} : { onGatewayGone: options.onGatewayGone }),
    ...(options.onTrailingHeld === undefined ? {} : { onTrailingHeld: options.onTrailingHeld }),
  });
  const queues = options.queues;
  const wakes =
    queues === undefined
      ? undefined
      : createWakeQueue({ producer: queues.producer, connection: queues.worker, keys, run: (id) => runner.run(id), logger });
  // In this process at once; the queue takes it to another one should this process die now.
  const wake = (id: string): void => {
    runner.wake(id);
    wakes?.wake(id);
  };
  const questioner = new GateRunner({
    asker,
    engine,
    waker: { wake },
    logger,
    ...(options.onGateAnswer === undefined ? {} : { onAnswer: options.onGateAnswer }),
  });
  const rollouts = createRolloutService({
    store,
    fleet,
    configs: createConfigLookup({ client, keys }),
    engine,
    clock,
    waker: { wake },
    ...(options.check === undefined ? {} : { check: options.check }),
    refuseStrategy: (strategy) => refuseGates(strategy.gates, gates),
    asker,
  });
  const jobs =
    queues === undefined
      ? undefined
      : createRolloutQueue({
          connection: queues.worker,
          keys,
          service: rollouts,
          logger,
          ...(options.tracer === undefined ? {} : { tracer: options.tracer }),
          ...(options.onJob === undefined ? {} : { onJob: options.onJob }),
        });
  const open = new ReleaserStack();

  const service = createService({
    name: 'rollouts',
    async start() {
      open.push('gates', () => questioner.stop());
      for (const part of [runner, sweeps, wakes, jobs]) {
        if (part === undefined) continue;
        open.push('rollout part', () => part.stop());
        await part.start();
      }
    },
    stop: () => open.releaseAll(),
  });
  return { ...service, rollouts, fleet, gateways: createGatewayDirectory({ client, keys }) };
}
