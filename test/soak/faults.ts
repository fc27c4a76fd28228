import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Fleet } from '../support/fleet.ts';
import type { Stack } from '../support/stack.ts';
import type { Bait, Trap } from '../support/tcp-proxy.ts';
import { AFTER_TIMER, AFTER_WAKE, afterOfferRecorded, beforeCommit, beforeFirstFlush, wakeUntilSprung } from '../support/aims.ts';
import { waitUntil } from '../support/wait-for.ts';
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
/** Longest wait for a trap to spring before a kill happens anyway. */
const TRAP_WAIT_MS = 2_000;
const TRAP_POLL_MS = 5;
const COORDINATOR_MOMENTS = ['random', 'after commit', 'before commit', 'timer', 'wake job'] as const;
const GATEWAY_MOMENTS = ['random', 'claim', 'offer'] as const;

/** Names of what is counted. */
export const FAULT = {
  randomKill: 'coordinator killed at a random moment',
  commitKill: 'coordinator killed right after a commit',
  beforeCommitKill: 'coordinator killed right before a commit',
  wakeKill: 'coordinator killed with work just taken (timer or wake job)',
  gatewayKill: 'gateway killed',
  claimKill: 'gateway killed between a claim and its first write',
  offerKill: 'gateway killed between recording an offer and sending it',
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
      const moment = pick(COORDINATOR_MOMENTS, random);
      await this.#pause(random() * (moment === 'random' ? 3_000 : 1_500));
      if (this.#stopped || this.#inHand.has(name)) continue;
      const fault = await this.#awaitCoordinator(name, moment);
      if (this.#isSpared(name)) continue;
      await this.#killAndRestart(name, () => recovery.note(fault, 'step'));
    }
  }

  /** Waits for the moment; when it does not come the kill is one at random. */
  async #awaitCoordinator(name: string, moment: (typeof COORDINATOR_MOMENTS)[number]): Promise<string> {
    switch (moment) {
      case 'random':
        return FAULT.randomKill;
      case 'after commit':
        await this.#nextCommit();
        return FAULT.commitKill;
      case 'before commit':
        return (await this.#caught([name], beforeCommit)).length > 0 ? FAULT.beforeCommitKill : FAULT.randomKill;
      case 'timer':
        return (await this.#caught([name], () => AFTER_TIMER)).length > 0 ? FAULT.wakeKill : FAULT.randomKill;
      case 'wake job':
        return (
          await this.#caught(
            [name],
            () => AFTER_WAKE,
            (trap) => this.#wake(trap),
          )
        ).length > 0
          ? FAULT.wakeKill
          : FAULT.randomKill;
    }
  }

  async #killGateways(): Promise<void> {
    const { stack, random, recovery } = this.#options;
    const names = stack.names('gateway');
    while (!this.#stopped) {
      await this.#pause(300 + random() * 3_000);
      if (this.#stopped) continue;
      const moment = pick(GATEWAY_MOMENTS, random);
      const [caught, ...others] = moment === 'random' ? [] : await this.#catchGateways(moment);
      for (const other of others) stack.redisProxy(other).heal();
      const name = caught ?? pick(names, random);
      if (this.#isSpared(name)) continue;
      const fault = caught === undefined ? FAULT.gatewayKill : moment === 'claim' ? FAULT.claimKill : FAULT.offerKill;
      await this.#killAndRestart(name, () => recovery.note(fault, 'connected'));
    }
  }

  /** Gateways that stand at this moment, none when it does not come. */
  async #catchGateways(moment: 'claim' | 'offer'): Promise<readonly string[]> {
    const { stack, fleets, random } = this.#options;
    // Somebody has to come to be claimed: a tenth of the agents loses its connections.
    const cut = async (): Promise<void> => {
      const salt = String(random());
      await Promise.all(fleets.map(async (fleet) => await fleet.control({ do: 'disconnect' }, { fraction: 0.1, salt })));
    };
    const names = stack.names('gateway').filter((name) => !this.#inHand.has(name));
    const bait = moment === 'claim' ? beforeFirstFlush : afterOfferRecorded;
    return await this.#caught(names, bait, moment === 'claim' ? cut : undefined);
  }

  /** Whether a process is to live on, because the round is over or another injector has it in hand; what a trap holds is let go. */
  #isSpared(name: string): boolean {
    if (!this.#stopped && !this.#inHand.has(name)) return false;
    this.#options.stack.redisProxy(name).heal();
    return true;
  }

  /** Sets a trap for each of these, does what leads into one, and waits until the first springs. Answers who was caught in time. */
  async #caught(
    names: readonly string[],
    bait: () => Bait,
    lure: (trap: Trap) => Promise<void> = async () => undefined,
  ): Promise<readonly string[]> {
    const set = names.map((name) => {
      const proxy = this.#options.stack.redisProxy(name);
      return { name, proxy, trap: proxy.trap(bait()) };
    });
    try {
      for (const { trap } of set.slice(0, 1)) await lure(trap);
      await waitUntil('a trap to spring', () => set.some(({ trap }) => trap.isSprung), Boolean, {
        deadlineMs: TRAP_WAIT_MS,
        pollMs: TRAP_POLL_MS,
      });
    } catch {
      // Nothing of the kind happened, or Redis was away.
    }
    for (const { proxy } of set) proxy.disarm();
    // Also one whose answer is still to come: its connection is held.
    return set.filter(({ trap }) => trap.caught !== undefined).map(({ name }) => name);
  }

  async #wake(trap: Trap): Promise<void> {
    const { stack, redis } = this.#options;
    const [rollout] = await redis.hvals(stack.keys.rolloutsActive);
    if (rollout !== undefined) await wakeUntilSprung(stack, rollout, trap, { deadlineMs: TRAP_WAIT_MS });
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

function pick<Item>(items: readonly Item[], random: () => number): Item {
  return items[Math.floor(random() * items.length)] as Item;
}
