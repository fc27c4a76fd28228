import type { ApiClient, ConfigRef, GroupBody, RolloutView } from './api-client.ts';
import { collectorConfig } from './collector-config.ts';
import { atMost, countersAreNotRows, countersDiffer, eventsBroken, notDesired, offeredTooEarly, violations } from './truth.ts';
import type { AgentRecord, Fleet } from './fleet.ts';
import { show, waitUntil, waitUntilRight, type WaitOptions } from './wait-for.ts';

const ENDED: ReadonlySet<string> = new Set(['succeeded', 'cancelled', 'rolled_back', 'rollback_failed']);

type Strategy = Readonly<Record<string, unknown>>;

/** Five canaries, half, all; no pauses; acknowledged by APPLIED alone. */
export const FAST_STRATEGY: Strategy = {
  waves: [
    { size: { count: 5 }, soak: '0s' },
    { size: { percent: 50 }, soak: '0s' },
    { size: { percent: 100 }, soak: '0s' },
  ],
  maxInFlight: 1_000,
  rate: 'unlimited',
  ackTimeout: '60s',
  healthHold: '0s',
  onFailure: 'rollback',
};

/** Everybody at once. */
export const ONE_WAVE: Strategy = { ...FAST_STRATEGY, waves: [{ size: { percent: 100 }, soak: '0s' }] };

/** Its last wave rests until `promote`, so that rows and counters can be compared. */
export const RESTING: Strategy = {
  ...FAST_STRATEGY,
  waves: [
    { size: { count: 5 }, soak: '0s' },
    { size: { percent: 50 }, soak: '0s' },
    { size: { percent: 100 }, soak: '1h' },
  ],
};

/** True when a rollout has ended, whichever way. */
export function isEnded({ phase }: Pick<RolloutView, 'phase'>): boolean {
  return ENDED.has(phase);
}

/** One group and config name for one fleet. */
export class Deployment {
  readonly name: string;
  readonly #api: ApiClient;

  private constructor(api: ApiClient, name: string) {
    this.#api = api;
    this.name = name;
  }

  /** Makes the group `name` of the fleet's agents. */
  static async create(api: ApiClient, fleet: Pick<Fleet, 'name' | 'selector'>, body: Partial<GroupBody> = {}): Promise<Deployment> {
    await api.putGroup(fleet.name, { selector: fleet.selector, priority: 10, ...body });
    return new Deployment(api, fleet.name);
  }

  /** Stores a version; `marker` stands in its text. */
  async store(marker: string): Promise<ConfigRef> {
    return await this.#api.putConfig(this.name, collectorConfig(marker), marker);
  }

  /** Starts a rollout; answers its id. */
  async start({ name, version }: ConfigRef, strategy: Strategy = FAST_STRATEGY): Promise<string> {
    return await this.#api.createRollout({ group: this.name, config: { name, version }, strategy, reason: 'test' });
  }

  /** Waits until the rollout has ended, which has to be in this phase. */
  async finish(id: string, phase: string, options?: WaitOptions): Promise<RolloutView> {
    const rollout = await waitForRollout(this.#api, id, 'to end', isEnded, options);
    if (rollout.phase !== phase) throw new Error(`rollout ${id} ended as ${rollout.phase}, not ${phase}: ${show(summaryOf(rollout))}`);
    return rollout;
  }

  /** Brings the whole fleet to a new version in one wave. */
  async prove(marker: string, options?: WaitOptions): Promise<ConfigRef> {
    const config = await this.store(marker);
    await this.finish(await this.start(config, ONE_WAVE), 'succeeded', options);
    return config;
  }
}

/** What matters of a rollout in an error message. */
export function summaryOf({ phase, holds, holdDetails, waveIndex, waves, late, counts, outcome }: RolloutView): object {
  return {
    phase,
    holds,
    holdDetails,
    waveIndex,
    waves: waves.map((wave) => ({ phase: wave.phase, ...wave.counts })),
    late,
    counts,
    outcome,
  };
}

/** Waits until a rollout looks as wanted. */
export async function waitForRollout(
  api: ApiClient,
  id: string,
  what: string,
  isDone: (rollout: RolloutView) => boolean,
  options?: WaitOptions,
): Promise<RolloutView> {
  let rollout: RolloutView | undefined;
  await waitUntil(
    `rollout ${id} ${what}`,
    async () => {
      rollout = await api.getRollout(id);
      return { done: isDone(rollout), ...summaryOf(rollout) };
    },
    ({ done }) => done,
    options,
  );
  return rollout as RolloutView;
}

export interface TruthOptions {
  /** Agents that may differ from what is desired, because a listed reason says so. */
  readonly isExcused?: (record: AgentRecord) => boolean;
  /** Compares the counters with the agents' own records; off for fleets that were not online all the time. Default true. */
  readonly compareCounters?: boolean;
  /** Looks whether an agent was offered anything before its wave; off where events were lost together with a store. Default true. */
  readonly compareWaves?: boolean;
}

/**
 * Holds an ended rollout against the agents' own records: everybody online reports, runs and keeps what is desired (I9), the
 * counters are those of the agents (I1), no wave began early (I2), the events are whole (I3), no agent saw a rule of the
 * protocol broken (I7). Waits for stragglers; rejects with what is wrong.
 */
export async function expectTruth(
  api: ApiClient,
  fleet: Fleet,
  id: string,
  { isExcused, compareCounters = true, compareWaves = true }: TruthOptions = {},
): Promise<void> {
  await waitUntilRight(`the agents of ${fleet.name} and the API to agree after rollout ${id}`, async () => {
    const [records, views] = await Promise.all([fleet.records(), api.listAgents({ selector: fleet.selector })]);
    return notDesired(records, views, isExcused);
  });
  const rollout = await api.getRollout(id);
  const [events, records] = await Promise.all([api.getEvents(id), fleet.records()]);
  const problems = [
    ...(compareCounters ? countersDiffer(rollout, records) : []),
    ...(compareWaves ? offeredTooEarly(rollout, events, records) : []),
    ...eventsBroken(events),
    ...violations(records),
  ];
  if (events.length !== rollout.eventSeq) problems.push(`there are ${events.length} events and eventSeq is ${rollout.eventSeq}`);
  if (problems.length > 0)
    throw new Error(`rollout ${id} and its agents disagree:\n${atMost(problems).join('\n')}\n${show(summaryOf(rollout))}`);
}

/** Waits until a rollout that rests has nobody under way, and its counters are the rows that agents have in it (I1). */
export async function expectCountersAreRows(api: ApiClient, id: string): Promise<void> {
  await waitForRollout(api, id, 'to have nobody under way', ({ counts }) =>
    ['offered', 'applying', 'verifying', 'restoring'].every((status) => (counts[status] ?? 0) === 0),
  );
  const [rollout, views] = await Promise.all([api.getRollout(id), api.listAgents({ rollout: id })]);
  const problems = countersAreNotRows(rollout, views);
  if (problems.length > 0) throw new Error(`counters and rows of rollout ${id} differ:\n${problems.join('\n')}`);
}
