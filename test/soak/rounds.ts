import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { RolloutEvent } from '../support/api-client.ts';
import { type AgentRecord, type Fleet, startFleet } from '../support/fleet.ts';
import { Deployment, isEnded, summaryOf, waitForRollout } from '../support/rollouts.ts';
import { type Stack, type StackOptions, startStack } from '../support/stack.ts';
import { recount } from '../support/recount.ts';
import { atMost, eventsBroken, notDesired, notOn, offeredTo, offeredTooEarly, tooManyAtOnce } from '../support/truth.ts';
import { show, waitUntil, waitUntilRight } from '../support/wait-for.ts';
import { Faults } from './faults.ts';
import { FAILURES, FLEET_NAMES, FLEET_SIZE, type Kind, MAX_IN_FLIGHT, phaseOf, type RoundPlan, strategyOf } from './plan.ts';
import { Recovery } from './recovery.ts';
import type { SoakState, Verdict } from './state.ts';

/** Deadline of whatever has to happen while faults go on: ten times the usual length of a round. */
const DEADLINE_MS = 300_000;
const AUDIT_EVERY_MS = 700;
/** Short, so that minutes hold many faults and what puts them right. docs/failure-modes.md states them with its figures. */
const SOAK_TIMES = {
  gatewayEnv: {
    OPAMP_GATEWAY_LEASE_MS: '1500',
    OPAMP_GATEWAY_LEASE_RENEW_MS: '500',
    OPAMP_GATEWAY_PONG_TIMEOUT_MS: '10000',
    OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS: '10000',
    OPAMP_GATEWAY_HTTP_SILENCE_MS: '3000',
  },
  coordinatorEnv: { OPAMP_COORDINATOR_GRACE_MS: '1500' },
} as const satisfies StackOptions;
/** Slower agents than in other tests: their apply timer (5 s) must not run out because the machine is busy with starts. */
const TIME_SCALE = 0.04;
/** Shortest time from an offer to APPLIED. */
const APPLY_MS = 5_000 * TIME_SCALE;

/** A version of a fleet's config. */
interface Version {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
}

interface Running {
  readonly fleet: Fleet;
  readonly deployment: Deployment;
  readonly kind: Kind;
  readonly config: Version;
  readonly id: string;
}

/** Stack and fleets that live through many rounds. */
export class Arena {
  readonly stack: Stack;
  readonly #state: SoakState;
  readonly #fleets: readonly Fleet[];
  readonly #deployments: readonly Deployment[];
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #faults: Faults;
  readonly #recovery: Recovery;
  #random: () => number = Math.random;
  /** What each fleet runs when nothing is rolled out. */
  readonly #proven = new Map<string, Version>();
  /** Breaches of the protocol that agents have counted in former rounds. */
  readonly #known = new Map<string, string>();
  /** Hashes that cut their agents off. */
  readonly #cutOff = new Set<string>();
  /** Hashes of which their agents say nothing. */
  readonly #silent = new Set<string>();

  private constructor(
    stack: Stack,
    state: SoakState,
    fleets: readonly Fleet[],
    deployments: readonly Deployment[],
    redis: Redis,
    subscriber: Redis,
  ) {
    this.stack = stack;
    this.#state = state;
    this.#fleets = fleets;
    this.#deployments = deployments;
    this.#redis = redis;
    this.#subscriber = subscriber;
    this.#recovery = new Recovery(state.faults, redis, stack.keys, async () =>
      (await this.#records()).every((record) => record.connected || this.#isCutOff(record)),
    );
    this.#faults = new Faults({ stack, fleets, redis, subscriber, recovery: this.#recovery, random: () => this.#random() });
  }

  /** Three gateways, two coordinators, a Redis that keeps its data, three fleets with a proven version each. */
  static async open(root: string, state: SoakState): Promise<Arena> {
    const stack = await startStack({ root, gateways: 3, coordinators: 2, redis: { appendOnly: true, proxied: true }, ...SOAK_TIMES });
    const fleets: Fleet[] = [];
    const redis = quietRedis(stack.redisUrl);
    const subscriber = quietRedis(stack.redisUrl);
    try {
      await subscriber.subscribe(stack.keys.channelSpec);
      for (const name of FLEET_NAMES) {
        fleets.push(
          await startFleet(stack, {
            name,
            agents: FLEET_SIZE,
            timeScale: TIME_SCALE,
            profiles: [{ profile: 'normal', fraction: 1, overrides: { failOn: FAILURES } }],
          }),
        );
      }
      const deployments = await Promise.all(fleets.map(async (fleet) => await Deployment.create(stack.api, fleet)));
      const arena = new Arena(stack, state, fleets, deployments, redis, subscriber);
      await Promise.all(
        deployments.map(async (deployment) => arena.#proven.set(deployment.name, await deployment.prove('proven at first'))),
      );
      return arena;
    } catch (error) {
      redis.disconnect();
      subscriber.disconnect();
      await Promise.all(fleets.map(async (fleet) => await fleet.close()));
      await stack.stop();
      throw error;
    }
  }

  /** Ends everything. Rejects when a process had ended by itself. */
  async close(): Promise<void> {
    this.#redis.disconnect();
    this.#subscriber.disconnect();
    await Promise.all(this.#fleets.map(async (fleet) => await fleet.close()));
    await this.stack.stop();
  }

  /** Rolls out to every fleet while the faults of the plan happen, then compares. Never rejects. */
  async run(plan: RoundPlan, random: () => number): Promise<Verdict> {
    this.#random = random;
    const startedAtMs = performance.now();
    const problems: string[] = [];
    try {
      problems.push(...(await this.#run(plan)));
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
    const detail = [plan.kinds.join(', '), ...plan.specials].join('; ');
    return {
      name: `round ${plan.number}`,
      part: 'rounds',
      detail,
      seconds: Math.round((performance.now() - startedAtMs) / 1_000),
      problems,
    };
  }

  async #run(plan: RoundPlan): Promise<readonly string[]> {
    const problems: string[] = [];
    this.#recovery.start();
    this.#faults.start(plan);
    const running: Running[] = [];
    try {
      running.push(...(await Promise.all(plan.kinds.map(async (kind, index) => await this.#startRollout(plan, kind, index)))));
      this.#recovery.watch(running.map(({ id }) => id));
      const over = new AbortController();
      const audits = this.#audit(over.signal);
      try {
        await Promise.all(
          running.map(
            async ({ id }) => await waitForRollout(this.stack.api, id, 'to end among faults', isEnded, { deadlineMs: DEADLINE_MS }),
          ),
        );
      } finally {
        over.abort();
        problems.push(...(await audits));
      }
    } finally {
      problems.push(...(await this.#faults.stop()));
      await this.#recovery.stop();
    }
    await this.#bringBack();
    for (const one of running) problems.push(...(await this.#check(plan, one)));
    problems.push(...this.#newViolations(await this.#records()), ...(await this.#recount()));
    return atMost(problems);
  }

  /** Asks again until somebody answers: the coordinator may die between storing and answering, so the key is the same. */
  async #startRollout({ number }: RoundPlan, kind: Kind, index: number): Promise<Running> {
    const [fleet, deployment] = [this.#fleets[index], this.#deployments[index]];
    if (fleet === undefined || deployment === undefined) throw new Error(`there is no fleet ${index}`);
    const config = await untilAnswered('a version to be stored', async () => await deployment.store(`round ${number} (${kind})`));
    if (kind === 'cut-off') this.#cutOff.add(config.hash);
    if (kind === 'silent') this.#silent.add(config.hash);
    const body = {
      group: fleet.name,
      config: { name: config.name, version: config.version },
      strategy: strategyOf(kind),
      reason: `round ${number}`,
    };
    const key = `${this.#state.seed}-${fleet.name}-${number}`;
    const id = await untilAnswered('a rollout to be started', async () => await this.stack.api.createRollout(body, key));
    return { fleet, deployment, kind, config, id };
  }

  /** I1 again and again until the signal. Lists what was wrong. */
  async #audit(signal: AbortSignal): Promise<readonly string[]> {
    const problems: string[] = [];
    while (!signal.aborted && problems.length === 0) {
      try {
        problems.push(...(await this.#recount()));
      } catch {
        // Redis is away.
      }
      await sleep(AUDIT_EVERY_MS);
    }
    return problems;
  }

  /** All sums that Redis keeps, against all records. */
  async #recount(): Promise<readonly string[]> {
    const { problems } = await recount(this.#redis, this.stack.keys);
    this.#state.audits += this.stack.keys.shards.length;
    return atMost(problems);
  }

  /** Agents that cut themselves off come back, as a person would see to it. */
  async #bringBack(): Promise<void> {
    for (const fleet of this.#fleets) {
      const away = (await fleet.records()).filter((record) => !record.connected && this.#isCutOff(record));
      if (away.length > 0) await fleet.control({ do: 'online' }, { indexes: away.map(({ index }) => index) });
      await fleet.waitUntilConnected();
    }
  }

  async #check(plan: RoundPlan, { fleet, kind, config, id }: Running): Promise<readonly string[]> {
    const { api } = this.stack;
    const rollout = await api.getRollout(id);
    const outcome = `${kind} ${rollout.phase}`;
    this.#state.rollouts[outcome] = (this.#state.rollouts[outcome] ?? 0) + 1;
    const isRight = rollout.phase === phaseOf(kind);
    if (rollout.phase === 'succeeded') this.#proven.set(fleet.name, config);
    const proven = this.#proven.get(fleet.name);
    await waitUntilRight(`the agents of ${fleet.name} and the API to agree after rollout ${id} (${kind})`, async () => {
      const [records, views] = await Promise.all([fleet.records(), api.listAgents({ selector: fleet.selector })]);
      const others = records.filter((record) => !this.#isSilenced(record));
      return [...notOn(others, proven?.hash ?? null), ...notDesired(others, views)];
    });
    const [events, records] = await Promise.all([api.getEvents(id), fleet.records()]);
    this.#state.silenced += records.filter((record) => this.#isSilenced(record)).length;
    const isCalm = plan.specials.size === 0;
    const problems = [
      ...(isRight ? [] : [`ended as ${rollout.phase}: ${rollout.outcome}`]),
      ...offeredTooEarly(rollout, events, records),
      ...eventsBroken(events),
      ...wavesStartedTwice(events),
      ...(events.length === rollout.eventSeq ? [] : [`${events.length} events are stored, ${rollout.eventSeq} were made`]),
      ...countsWrong(kind, rollout.counts),
      // Agents that lose their connection leave their place to others, and may be offered a version again.
      ...(isCalm && kind === 'good' ? tooManyAtOnce(records, config.hash, { maxInFlight: MAX_IN_FLIGHT, applyMs: APPLY_MS }) : []),
      ...(isCalm ? offeredTwice(records, config.hash) : []),
    ];
    return problems.map((problem) => `${fleet.name}, rollout ${id} (${kind}): ${problem}; ${show(summaryOf(rollout))}`);
  }

  #newViolations(records: readonly AgentRecord[]): readonly string[] {
    return records.flatMap(({ originUid, index, violations }) => {
      const text = JSON.stringify(violations);
      const before = this.#known.get(originUid) ?? JSON.stringify(Object.fromEntries(Object.keys(violations).map((rule) => [rule, 0])));
      this.#known.set(originUid, text);
      return text === before ? [] : [`agent ${index} (${originUid}) counted breaches: ${text}, before: ${before}`];
    });
  }

  async #records(): Promise<readonly AgentRecord[]> {
    return (await Promise.all(this.#fleets.map(async (fleet) => await fleet.records()))).flat();
  }

  /**
   * It took a version without a word, and lost the connection over which it was to be taken back: its unchanged report looks like
   * the answer. It reports and runs what it should, and has the other one on disk; the protocol gives no means to see that.
   */
  #isSilenced({ onDisk, running, lastReported }: AgentRecord): boolean {
    return this.#silent.has(onDisk ?? '') && running === lastReported.hash && !this.#silent.has(running ?? '');
  }

  #isCutOff({ onDisk, running }: AgentRecord): boolean {
    return this.#cutOff.has(onDisk ?? '') || this.#cutOff.has(running ?? '');
  }
}

/** A client that says nothing about outages, which are ours. */
function quietRedis(url: string): Redis {
  const redis = new Redis(url, { retryStrategy: () => 100, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  return redis;
}

async function untilAnswered<Value>(what: string, ask: () => Promise<Value>): Promise<Value> {
  return await waitUntil(what, ask, () => true, { pollMs: 200 });
}

/** A wave of a rollout begins once, however many coordinators die over it. */
function wavesStartedTwice(events: readonly RolloutEvent[]): readonly string[] {
  const waves = events.filter(({ type }) => type === 'wave.started').map(({ to }) => to.waveIndex);
  return waves.filter((wave, index) => waves.indexOf(wave) !== index).map((wave) => `wave ${wave} was started twice`);
}

function offeredTwice(records: readonly AgentRecord[], hash: string): readonly string[] {
  return atMost(
    offeredTo(records, hash)
      .filter(({ offers }) => offers.filter((offer) => offer.hash === hash).length > 1)
      .map(({ index }) => `agent ${index} was offered ${hash.slice(0, 8)} more than once`),
  );
}

function countsWrong(kind: Kind, counts: Readonly<Record<string, number>>): readonly string[] {
  const sum = Object.values(counts).reduce((total, count) => total + count, 0);
  const problems = sum > FLEET_SIZE ? [`${sum} agents are counted, there are ${FLEET_SIZE}`] : [];
  if (kind === 'good' && Object.keys(counts).some((status) => status !== 'applied')) problems.push(`counts are ${JSON.stringify(counts)}`);
  return problems;
}
