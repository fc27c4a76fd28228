/** One fleet of simulated agents, spread over worker processes. */
import type { AgentRecord, AgentTruth } from '../agent-record.ts';
import type { AgentSelection, SwarmAction, SwarmCounts, SwarmOptions } from '../swarm-api.ts';
import { createSwarmProcess, type SwarmProcess } from '../swarm-client.ts';

/** Leaves room below the usual limit of 20,000 open files. */
export const MOST_AGENTS_PER_WORKER = 19_000;

/** How many worker processes so many agents need, because of the limit of open files. */
export function leastWorkers(agents: number): number {
  return Math.ceil(agents / MOST_AGENTS_PER_WORKER);
}

/** How the fleet is split. */
export interface FleetOptions extends Omit<SwarmOptions, 'firstIndex'> {
  readonly workers: number;
}

/** More agents for a fleet. */
export interface FleetGrowth {
  readonly agents: number;
  readonly workers: number;
  /** Where they connect to; the same as the rest unless told otherwise. */
  readonly urls?: readonly string[];
}

/** All agents of a run. Every method rejects when a worker has died. */
export class Fleet {
  readonly #options: Omit<FleetOptions, 'agents' | 'workers'>;
  readonly #workers: SwarmProcess[] = [];
  #size = 0;

  private constructor(options: Omit<FleetOptions, 'agents' | 'workers'>) {
    this.#options = options;
  }

  /** Starts the workers; nothing connects before `start`. Throws RangeError for too many agents on a worker. */
  static async create({ workers, agents, ...options }: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    if (agents > 0) await fleet.#add({ workers, agents });
    return fleet;
  }

  /** Another fleet, as this one but for these options; it has to be started and closed by itself. */
  async another(options: Pick<FleetOptions, 'agents' | 'workers'> & Partial<FleetOptions>): Promise<Fleet> {
    return Fleet.create({ ...this.#options, ...options });
  }

  /** Adds agents in workers of their own and boots them. Throws RangeError for too many agents on a worker. */
  async grow(growth: FleetGrowth): Promise<void> {
    const added = await this.#add(growth);
    await Promise.all(added.map(async (worker) => worker.start()));
  }

  async #add({ workers: count, agents, urls = this.#options.urls }: FleetGrowth): Promise<readonly SwarmProcess[]> {
    const { connectsInFlight = 100, ...options } = this.#options;
    const perWorker = Math.ceil(agents / count);
    if (perWorker > MOST_AGENTS_PER_WORKER) {
      throw new RangeError(`${agents} agents need at least ${leastWorkers(agents)} workers`);
    }
    const parts = Array.from({ length: count }, (_, number) => ({
      firstIndex: this.#size + number * perWorker,
      agents: Math.max(0, Math.min(perWorker, agents - number * perWorker)),
    })).filter((part) => part.agents > 0);
    const started = await Promise.allSettled(
      parts.map(async (part) => createSwarmProcess({ ...options, urls, ...part, connectsInFlight: Math.ceil(connectsInFlight / count) })),
    );
    const workers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = started.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await Promise.all(workers.map(async (worker) => worker.close(true)));
      throw failed.reason;
    }
    this.#workers.push(...workers);
    this.#size += agents;
    return workers;
  }

  /** Agents, connected or not. */
  get size(): number {
    return this.#size;
  }

  /** Process ids of the workers. */
  get pids(): readonly number[] {
    return this.#workers.map(({ pid }) => pid);
  }

  /** Boots all agents. */
  async start(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.start()));
  }

  async counts(): Promise<SwarmCounts> {
    const all = await Promise.all(this.#workers.map(async (worker) => worker.counts()));
    const sum = (key: keyof SwarmCounts): number => all.reduce((total, counts) => total + counts[key], 0);
    return { connected: sum('connected'), healthy: sum('healthy'), lostConnections: sum('lostConnections') };
  }

  /** The truth, agent by agent, without the agents' attributes. */
  async records(selection: AgentSelection = {}): Promise<readonly AgentRecord[]> {
    const parts: (readonly AgentRecord[])[] = [];
    // One after the other: all of them in the making at once would cost a large fleet twice the memory.
    for (const worker of this.#workers) parts.push(await worker.records({ ...selection, attributesToo: false }));
    return parts.flat();
  }

  /** The part of the truth that has to equal the server's, worker by worker. */
  async visitTruths(visit: (truths: readonly AgentTruth[]) => void): Promise<void> {
    for (const worker of this.#workers) visit(await worker.truths());
  }

  /** Does something to agents; answers to how many. */
  async control(action: SwarmAction, selection: AgentSelection = {}): Promise<number> {
    const counts = await Promise.all(this.#workers.map(async (worker) => worker.control(action, selection)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Ends the workers; `kill` skips the agents' goodbyes. Idempotent. */
  async close(kill = false): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.close(kill)));
  }
}
