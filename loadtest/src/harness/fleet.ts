/** One fleet of simulated agents, spread over worker processes. */
import type { AgentRecord } from '../agent-record.ts';
import type { AgentSelection, SwarmAction, SwarmOptions } from '../swarm-api.ts';
import { createSwarmProcess, type SwarmProcess } from '../swarm-client.ts';

/** Leaves room below the usual limit of 20,000 open files. */
export const MOST_AGENTS_PER_WORKER = 19_000;

/** How the fleet is split. */
export interface FleetOptions extends Omit<SwarmOptions, 'firstIndex'> {
  readonly workers: number;
}

/** How many are where. */
export interface FleetSummary {
  readonly connected: number;
  readonly healthy: number;
}

/** All agents of a run. Every method rejects when a worker has died. */
export class Fleet {
  readonly size: number;
  readonly #workers: readonly SwarmProcess[];

  private constructor(size: number, workers: readonly SwarmProcess[]) {
    this.size = size;
    this.#workers = workers;
  }

  /** Starts the workers; nothing connects before `start`. Throws RangeError for too many agents on a worker. */
  static async create({ workers: count, agents, connectsInFlight = 100, ...options }: FleetOptions): Promise<Fleet> {
    const perWorker = Math.ceil(agents / count);
    if (perWorker > MOST_AGENTS_PER_WORKER) {
      throw new RangeError(`${agents} agents need at least ${Math.ceil(agents / MOST_AGENTS_PER_WORKER)} workers`);
    }
    const parts = Array.from({ length: count }, (_, number) => ({
      firstIndex: number * perWorker,
      agents: Math.max(0, Math.min(perWorker, agents - number * perWorker)),
    })).filter((part) => part.agents > 0);
    const started = await Promise.allSettled(
      parts.map(async (part) => createSwarmProcess({ ...options, ...part, connectsInFlight: Math.ceil(connectsInFlight / count) })),
    );
    const workers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = started.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await Promise.all(workers.map(async (worker) => worker.close(true)));
      throw failed.reason;
    }
    return new Fleet(agents, workers);
  }

  /** Process ids of the workers. */
  get pids(): readonly number[] {
    return this.#workers.map(({ pid }) => pid);
  }

  /** Boots all agents. */
  async start(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.start()));
  }

  async summary(): Promise<FleetSummary> {
    const summaries = await Promise.all(this.#workers.map(async (worker) => worker.summary()));
    const sum = (key: 'connected' | 'healthy'): number => summaries.reduce((total, summary) => total + summary[key], 0);
    return { connected: sum('connected'), healthy: sum('healthy') };
  }

  /** The truth, agent by agent. */
  async records(selection: AgentSelection = {}): Promise<readonly AgentRecord[]> {
    return (await Promise.all(this.#workers.map(async (worker) => worker.records(selection)))).flat();
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
