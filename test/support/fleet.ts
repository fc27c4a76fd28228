import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import type { AgentSelection, SwarmAction, SwarmOptions } from '@opamp-gateway/loadtest/swarm-api';
import { createSwarmProcess, type SwarmProcess } from '@opamp-gateway/loadtest/swarm-client';
import type { Stack } from './stack.ts';
import { waitUntil } from './wait-for.ts';

export type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';

/** A supervisor's 5 s of applying take 100 ms; 20 s take 400 ms. */
export const TIME_SCALE = 0.02;
/** Shortest time from an offer to APPLIED of a normal agent. */
export const APPLY_MS = 5_000 * TIME_SCALE;
/** Agents come back within a second, as Retry-After allows. */
const RECONNECT_SCALE = 0.2;
/** Silence after which an agent sends a heartbeat. */
export const HEARTBEAT_MS = 1_000;
const POLL_MS = 500;

let nextSeed = 1;

export interface FleetOptions extends Partial<Omit<SwarmOptions, 'agents' | 'attributes'>> {
  readonly agents: number;
  /** Value of the attribute `env` of all its agents; the selector is `env=<name>`. */
  readonly name: string;
  /** Further attributes. */
  readonly attributes?: NonNullable<SwarmOptions['attributes']>['nonIdentifying'];
}

/** Simulated agents in a process of their own. Their records are the truth that everything else is compared with. */
export class Fleet {
  readonly name: string;
  readonly size: number;
  readonly #swarm: SwarmProcess;

  constructor(name: string, size: number, swarm: SwarmProcess) {
    this.name = name;
    this.size = size;
    this.#swarm = swarm;
  }

  get selector(): string {
    return `env=${this.name}`;
  }

  /** Boots all agents, without waiting for anything. */
  async boot(): Promise<void> {
    await this.#swarm.start();
  }

  async records(selection?: AgentSelection): Promise<readonly AgentRecord[]> {
    return await this.#swarm.records(selection);
  }

  /** The one agent with this index. */
  async record(index: number): Promise<AgentRecord> {
    const [record] = await this.#swarm.records({ indexes: [index] });
    if (record === undefined) throw new Error(`the fleet has no agent ${index}`);
    return record;
  }

  /** Does something to agents; answers to how many. */
  async control(action: SwarmAction, selection?: AgentSelection): Promise<number> {
    return await this.#swarm.control(action, selection);
  }

  /** A fleet of thousands takes minutes on a machine that has other things to do. */
  get patience(): { readonly deadlineMs: number } {
    return { deadlineMs: Math.max(60_000, this.size * 100) };
  }

  /** Waits until this many agents (all by default) have a connection, by their own account. */
  async waitUntilConnected(count: number = this.size): Promise<void> {
    await waitUntil(
      `${count} agents of ${this.name} to be connected`,
      async () => (await this.records()).filter(({ connected }) => connected).length,
      (connected) => connected === count,
      this.patience,
    );
  }

  async close(): Promise<void> {
    await this.#swarm.close();
  }
}

/** Makes a fleet whose agents know all gateways of the stack; nothing connects before `boot`. */
export async function createFleet(stack: Stack, options: FleetOptions): Promise<Fleet> {
  const { name, attributes = {}, agents, ...rest } = options;
  const seed = nextSeed;
  nextSeed += 1;
  const swarm = await createSwarmProcess({
    urls: stack.gatewayUrls,
    seed,
    timeScale: TIME_SCALE,
    reconnectScale: RECONNECT_SCALE,
    heartbeatMs: HEARTBEAT_MS,
    httpPollMs: POLL_MS,
    ...rest,
    agents,
    attributes: { nonIdentifying: { env: name, ...attributes } },
  });
  return new Fleet(name, agents, swarm);
}

/** Makes a fleet and waits until all of it is connected and known to the API. */
export async function startFleet(stack: Stack, options: FleetOptions): Promise<Fleet> {
  const fleet = await createFleet(stack, options);
  try {
    await fleet.boot();
    await fleet.waitUntilConnected();
    await waitUntil(
      `the API to show ${fleet.size} agents of ${fleet.name} as connected`,
      async () => {
        const shown = new Set((await stack.api.listAgents({ selector: fleet.selector, connected: 'true' })).map(({ uid }) => uid));
        return (await fleet.records()).filter(({ uid }) => shown.has(uid)).length;
      },
      (known) => known === fleet.size,
      fleet.patience,
    );
  } catch (error) {
    await fleet.close();
    throw error;
  }
  return fleet;
}
