import { createFleetReader } from '@opamp-gateway/coordinator/bus/fleet-reader';
import { RolloutEngine } from '@opamp-gateway/coordinator/rollout/engine';
import type { GateQuestion } from '@opamp-gateway/coordinator/rollout/ports';
import { createRolloutService } from '@opamp-gateway/coordinator/rollout/rollout-service';
import type { RolloutService, RolloutView } from '@opamp-gateway/coordinator/rollout/service';
import { createConfigLookup, createRolloutStore } from '@opamp-gateway/coordinator/stores/rollout-store';
import { systemClock } from '@opamp-gateway/shared/clock';
import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import { FakeGateway, putGroup } from '../../support/fake-gateway.ts';
import { storeConfig, uidsOf } from '../../support/rollout-lab.ts';
import type { RedisLab } from '../../support/rollout-lab.ts';

/** Canary of two, half, all; no pauses; acknowledged by APPLIED alone. For {@link EngineBench}. */
export const FAST = {
  waves: [
    { size: { count: 2 }, soak: '0s' },
    { size: { percent: 50 }, soak: '0s' },
    { size: { percent: 100 }, soak: '0s' },
  ],
  rate: 'unlimited',
  maxInFlight: 1000,
  // Rows keep the time of Redis, and a machine that stops for seconds is no agent that does not answer.
  ackTimeout: '60s',
  healthHold: '0s',
  canaryMinHealthy: '0s',
};

export interface EngineBenchOptions {
  /** Whether the group has a proven version. Default true. */
  readonly stable?: boolean;
  /** Hears the questions of gates; nobody answers them otherwise. */
  readonly ask?: (bench: EngineBench, questions: readonly GateQuestion[]) => void;
}

/**
 * Engine and service of a coordinator on a real Redis, with a played gateway: a test decides who does what, one round after the
 * other, and what time it is for the coordinator.
 */
export class EngineBench {
  readonly keys: Keys;
  readonly engine: RolloutEngine;
  readonly service: RolloutService;
  readonly gateway: FakeGateway;
  readonly stable: ConfigRef;
  readonly to: ConfigRef;
  readonly #redis: RedisLab;
  #aheadMs = 0;

  private constructor(redis: RedisLab, keys: Keys, configs: { stable: ConfigRef; to: ConfigRef }, options: EngineBenchOptions) {
    const { client } = redis;
    this.#redis = redis;
    this.keys = keys;
    this.stable = configs.stable;
    this.to = configs.to;
    this.gateway = new FakeGateway({ id: 'gw-1', client, keys });
    const store = createRolloutStore({ client, keys });
    const reader = createFleetReader({ client, keys, clock: systemClock, judgeDelayMs: 0 });
    const fleet = { ...reader, nowMs: async () => (await reader.nowMs()) + this.#aheadMs };
    this.engine = new RolloutEngine({
      store,
      fleet,
      logger: createSilentLogger(),
      ask: (questions) => options.ask?.(this, questions),
    });
    this.service = createRolloutService({
      store,
      fleet,
      configs: createConfigLookup({ client, keys }),
      engine: this.engine,
      clock: { ...systemClock, nowMs: () => systemClock.nowMs() + this.#aheadMs },
      waker: { wake: () => undefined },
    });
  }

  /** Stores two versions of the config `base`, makes the group `prod` of everybody, and connects agents of one region. */
  static async create(redis: RedisLab, agents: number, options: EngineBenchOptions = {}): Promise<EngineBench> {
    const keys = redis.keys();
    const { client } = redis;
    const stable = await storeConfig(client, keys, 'base', 'one');
    const to = await storeConfig(client, keys, 'base', 'two');
    await putGroup(client, keys, { name: 'prod', selector: '', ...(options.stable === false ? {} : { stable }) });
    const bench = new EngineBench(redis, keys, { stable, to }, options);
    await bench.gateway.readSpec();
    await bench.gateway.connect(uidsOf(agents), { region: 'eu' });
    await bench.gateway.round();
    return bench;
  }

  /** What time it is for the coordinator, Unix ms. */
  async nowMs(): Promise<number> {
    const [seconds, micros] = await this.#redis.client.time();
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000) + this.#aheadMs;
  }

  /** Moves the coordinator's clock ahead; leases and rows keep the time of Redis. */
  advance(ms: number): void {
    this.#aheadMs += ms;
  }

  /** Stores one more version of the config `base`. */
  async store(text: string): Promise<ConfigRef> {
    return await storeConfig(this.#redis.client, this.keys, 'base', text);
  }

  /** Starts a rollout of the second version, or of the given one; answers its id. */
  async start(strategy: unknown, more: Record<string, unknown> = {}, to: ConfigRef = this.to): Promise<string> {
    const body = { group: 'prod', config: { name: to.name, version: to.version }, strategy, ...more };
    const outcome = await this.service.create(body, { actor: 'tester' });
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    return outcome.id;
  }

  /** The rollout as the API shows it. */
  async view(id: string): Promise<RolloutView> {
    const view = await this.service.get(id);
    if (view === undefined) throw new Error(`there is no rollout ${id}`);
    return view;
  }

  /** How many agents were ever offered this config. */
  offered(config: ConfigRef): number {
    return [...this.gateway.agents.values()].filter(({ offers }) => offers.includes(config.hash)).length;
  }

  /** Lets coordinator and gateway take turns until the rollout looks like this; `advanceMs` pass in each turn. */
  async until(id: string, isDone: (view: RolloutView) => boolean, rounds = 60, advanceMs = 0): Promise<RolloutView> {
    let view: RolloutView | undefined;
    for (let round = 0; round < rounds; round += 1) {
      await this.engine.reconcile(id);
      view = await this.service.get(id);
      if (view !== undefined && isDone(view)) return view;
      await this.gateway.round();
      this.advance(advanceMs);
    }
    throw new Error(`not reached in ${rounds} rounds: ${JSON.stringify(view, undefined, 1)}`);
  }
}
