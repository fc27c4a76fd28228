import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Fleet } from '../support/fleet.ts';
import type { Stack } from '../support/stack.ts';
import type { RoundPlan, Special } from './plan.ts';
import type { Recovery } from './recovery.ts';

const RESTART_ATTEMPTS = 5;
/** Longest wait for a commit before a kill happens anyway. */
const COMMIT_WAIT_MS = 2_000;
/** Twice the time for which a coordinator keeps a rollout to itself. */
const FROZEN_COORDINATOR_MS = 6_500;
/** Twice the lease of the stacks' gateways. */
const FROZEN_GATEWAY_MS = 3_500;
const EMPTY_EVERY_MS = 150;

/** Names of what is counted. */
export const FAULT = {
  randomKill: 'coordinator killed at a random moment',
  commitKill: 'coordinator killed right after a commit',
  gatewayKill: 'gateway killed',
  redisKill: 'Redis killed and started again',
  frozenCoordinator: 'coordinator frozen for 6.5 s',
  frozenGateway: 'gateway frozen for 3.5 s, more than twice its lease',
  emptiedQueues: 'keys of the queues deleted',
  cutConnections: 'half of the connections cut at once',
} as const;

export interface FaultOptions {
  readonly stack: Stack;
  readonly fleets: readonly Fleet[];
  readonly redis: Redis;
  /** A connection that may subscribe. */
  readonly subscriber: Redis;
  readonly recovery: Recovery;
  readonly random: () => number;
}

/** Injects the faults of a round, side by side, until it is told to stop; then everything runs again. */
export class Faults {
  readonly #options: FaultOptions;
  readonly #problems: string[] = [];
  /** Processes that one injector has in hand: no other one touches them meanwhile. */
  readonly #inHand = new Set<string>();
  #stopped = true;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: FaultOptions) {
    this.#options = options;
  }

  start({ specials }: RoundPlan): void {
    this.#stopped = false;
    const injectors: Readonly<Record<Special, () => Promise<void>>> = {
      'gateway kills': () => this.#killGateways(),
      'redis restart': () => this.#restartRedis(),
      'frozen coordinator': () => this.#freeze('coordinator', FROZEN_COORDINATOR_MS),
      'frozen gateway': () => this.#freeze('gateway', FROZEN_GATEWAY_MS),
      'emptied queues': () => this.#emptyQueues(),
      'cut connections': () => this.#cutConnections(),
    };
    const coordinators = this.#options.stack.names('coordinator').map((name) => () => this.#killCoordinator(name));
    const all = [...coordinators, ...[...specials].map((special) => injectors[special])];
    this.#running = Promise.all(
      all.map(async (inject) => {
        try {
          await inject();
        } catch (error) {
          this.#problems.push(`a fault could not be injected or undone: ${error instanceof Error ? error.message : String(error)}`);
        }
      }),
    );
  }

  /** Ends the injecting and waits until every process runs again. Answers what went wrong. */
  async stop(): Promise<readonly string[]> {
    this.#stopped = true;
    await this.#running;
    return this.#problems.splice(0);
  }

  /** Every coordinator has a killer of its own, so that at times all are down together. */
  async #killCoordinator(name: string): Promise<void> {
    const { random, recovery } = this.#options;
    while (!this.#stopped) {
      const afterCommit = random() < 0.5;
      await this.#pause(random() * (afterCommit ? 1_500 : 3_000));
      if (afterCommit) await this.#nextCommit();
      if (this.#stopped || this.#inHand.has(name)) continue;
      await this.#killAndRestart(name, () => recovery.note(afterCommit ? FAULT.commitKill : FAULT.randomKill, 'step'));
    }
  }

  async #killGateways(): Promise<void> {
    const { stack, random, recovery } = this.#options;
    const names = stack.names('gateway');
    while (!this.#stopped) {
      await this.#pause(300 + random() * 3_000);
      const name = names[Math.floor(random() * names.length)] as string;
      if (this.#stopped || this.#inHand.has(name)) continue;
      await this.#killAndRestart(name, () => recovery.note(FAULT.gatewayKill, 'connected'));
    }
  }

  async #restartRedis(): Promise<void> {
    const { stack, random, recovery } = this.#options;
    await this.#pause(random() * 4_000);
    if (this.#stopped) return;
    await stack.stopRedis('SIGKILL');
    recovery.note(FAULT.redisKill, 'step');
    await sleep(random() * 1_500);
    await stack.startRedis();
  }

  async #freeze(kind: 'coordinator' | 'gateway', forMs: number): Promise<void> {
    const { stack, random, recovery } = this.#options;
    const names = stack.names(kind);
    await this.#pause(random() * 3_000);
    const name = names.filter((candidate) => !this.#inHand.has(candidate))[Math.floor(random() * names.length)];
    if (this.#stopped || name === undefined) return;
    this.#inHand.add(name);
    stack.signal(name, 'SIGSTOP');
    recovery.note(kind === 'gateway' ? FAULT.frozenGateway : FAULT.frozenCoordinator, 'step');
    // Not cut short by the end of the rollouts: it has to wake up as a stranger.
    await sleep(forMs);
    stack.signal(name, 'SIGCONT');
    await stack.waitUntilReady(name);
    this.#inHand.delete(name);
  }

  async #emptyQueues(): Promise<void> {
    const { stack, redis, recovery } = this.#options;
    const { queuePrefix, queueRollouts, queueWakes } = stack.keys;
    while (!this.#stopped) {
      try {
        const found = (
          await Promise.all([queueRollouts, queueWakes].map(async (queue) => await redis.keys(`${queuePrefix}:${queue}*`)))
        ).flat();
        if (found.length > 0) {
          await redis.del(found);
          recovery.note(FAULT.emptiedQueues, 'step');
        }
      } catch {
        // Redis is away; the next look.
      }
      await this.#pause(EMPTY_EVERY_MS);
    }
  }

  async #cutConnections(): Promise<void> {
    const { fleets, random, recovery } = this.#options;
    await this.#pause(random() * 3_000);
    if (this.#stopped) return;
    await Promise.all(fleets.map(async (fleet) => await fleet.control({ do: 'disconnect' }, { fraction: 0.5, salt: String(random()) })));
    recovery.note(FAULT.cutConnections, 'connected');
  }

  /** SIGKILL and a new start. While Redis is away a start may fail, as under an init system, which tries again. */
  async #killAndRestart(name: string, onKilled: () => void): Promise<void> {
    this.#inHand.add(name);
    try {
      await this.#options.stack.kill(name);
      onKilled();
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.#options.stack.restart(name);
          return;
        } catch (error) {
          if (attempt === RESTART_ATTEMPTS) throw error;
        }
      }
    } finally {
      this.#inHand.delete(name);
    }
  }

  /** The moment at which a commit that changed the spec is published, within its own transaction. */
  async #nextCommit(): Promise<void> {
    const { subscriber } = this.#options;
    await once(subscriber, 'message', { signal: AbortSignal.timeout(COMMIT_WAIT_MS) }).catch(() => undefined);
  }

  async #pause(ms: number): Promise<void> {
    const endMs = performance.now() + ms;
    while (!this.#stopped && performance.now() < endMs) await sleep(Math.min(100, Math.max(1, endMs - performance.now())));
  }
}
