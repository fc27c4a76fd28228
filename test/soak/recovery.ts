import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { Tally } from './state.ts';

const POLL_MS = 100;
/** After the end of a round; agents that are not back then are the checks' business. */
const GIVE_UP_MS = 60_000;

/** What shows that a fault is overcome: every rollout under way has made a step or ended; or every agent has a connection. */
export type Sign = 'step' | 'connected';

interface Wait {
  readonly fault: string;
  readonly sign: Sign;
  readonly sinceMs: number;
  /** Rollouts that have not made a step since the first look after the fault, with their revisions then. */
  stuck: Map<string, string> | undefined;
}

/**
 * Counts faults and measures how long each took to overcome. Upper bounds: it looks every 100 ms, a rollout may have nothing
 * to do but wait for its agents, and further faults may fall into the same time.
 */
export class Recovery {
  readonly #faults: Record<string, Tally>;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #areAllConnected: () => Promise<boolean>;
  #waits: Wait[] = [];
  #rollouts: readonly string[] = [];
  #stopAtMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;

  constructor(faults: Record<string, Tally>, redis: Redis, keys: Keys, areAllConnected: () => Promise<boolean>) {
    this.#faults = faults;
    this.#redis = redis;
    this.#keys = keys;
    this.#areAllConnected = areAllConnected;
  }

  start(): void {
    this.#rollouts = [];
    this.#stopAtMs = Number.POSITIVE_INFINITY;
    this.#waits = [];
    this.#running = this.#run();
  }

  /** These rollouts are under way. */
  watch(rollouts: readonly string[]): void {
    this.#rollouts = rollouts;
  }

  /** Waits until the agents of the last fault are back, and drops waits for steps: the rollouts have ended. */
  async stop(): Promise<void> {
    this.#waits = this.#waits.filter(({ sign }) => sign === 'connected');
    this.#stopAtMs = performance.now();
    await this.#running;
  }

  /** A fault happens now. */
  note(fault: string, sign: Sign): void {
    const tally = (this.#faults[fault] ??= { count: 0, recoveriesMs: [] });
    tally.count += 1;
    this.#waits.push({ fault, sign, sinceMs: performance.now(), stuck: undefined });
  }

  async #run(): Promise<void> {
    for (;;) {
      const overMs = performance.now() - this.#stopAtMs;
      if (overMs > 0 && (this.#waits.length === 0 || overMs > GIVE_UP_MS)) return;
      const lookedAtMs = performance.now();
      try {
        await this.#look(lookedAtMs);
      } catch {
        // Redis is away, which is the fault.
      }
      await sleep(POLL_MS);
    }
  }

  async #look(lookedAtMs: number): Promise<void> {
    const waits = this.#waits.filter(({ sinceMs }) => sinceMs < lookedAtMs);
    const steps = waits.filter(({ sign }) => sign === 'step');
    if (steps.length > 0 && this.#rollouts.length > 0) {
      const revs = await this.#revisions();
      for (const wait of steps) {
        wait.stuck ??= new Map(revs);
        for (const [id, rev] of wait.stuck) if (revs.get(id) !== rev) wait.stuck.delete(id);
        if (wait.stuck.size === 0) this.#settle(wait);
      }
    }
    const connects = waits.filter(({ sign }) => sign === 'connected');
    if (connects.length > 0 && (await this.#areAllConnected())) for (const wait of connects) this.#settle(wait);
  }

  /** Revisions of the rollouts that have not ended. */
  async #revisions(): Promise<ReadonlyMap<string, string>> {
    const active = new Set(await this.#redis.hvals(this.#keys.rolloutsActive));
    const ids = this.#rollouts.filter((id) => active.has(id));
    const revs = await Promise.all(ids.map(async (id) => (await this.#redis.hget(this.#keys.rollout(id), 'rev')) ?? ''));
    return new Map(ids.map((id, index) => [id, revs[index] ?? '']));
  }

  #settle(wait: Wait): void {
    this.#faults[wait.fault]?.recoveriesMs.push(Math.round(performance.now() - wait.sinceMs));
    this.#waits = this.#waits.filter((other) => other !== wait);
  }
}
