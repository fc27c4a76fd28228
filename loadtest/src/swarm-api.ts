/** The interface of a swarm, the same in this process (`swarm.ts`) and in another one (`swarm-client.ts`). */
import type { AttributeTemplate } from './agent-attributes.ts';
import type { ProfileChoice, ProfileShare } from './agent-profile.ts';
import type { AgentRecord, AgentTruth } from './agent-record.ts';
import type { ComponentTypes } from './available-components.ts';
import type { TlsMaterial } from './server-target.ts';

/** How clients come back: `opamp-go` at once and then ever later, `polite` spread over time from the first try on. */
export type ReconnectManners = 'opamp-go' | 'polite';

/** A swarm as data. */
export interface SwarmOptions {
  /** ws, wss, http or https URLs; agents choose one by hash and another one at random after a failure. */
  readonly urls: readonly string[];
  readonly agents: number;
  /** Index of the first agent: swarms with the same seed and other indexes are parts of one fleet. Default 0. */
  readonly firstIndex?: number;
  /** Fixes uids, profiles, delays and who fails. Default 1. */
  readonly seed?: number;
  /** Parts of the swarm that are not `normal`. */
  readonly profiles?: readonly ProfileShare[];
  /** Added to what a Linux collector reports. */
  readonly attributes?: AttributeTemplate;
  /** Factor on the times of the profiles: 0.06 makes the 5 s of an apply 300 ms. Default 1. */
  readonly timeScale?: number;
  /** Factor on the reconnect delays of the client; Retry-After is never scaled. Default: `timeScale`. */
  readonly reconnectScale?: number;
  /** Default `opamp-go`. */
  readonly reconnectManners?: ReconnectManners;
  /** Share of agents that poll over plain HTTP, an exact count drawn by seed. Default 0. */
  readonly httpFraction?: number;
  /** Milliseconds between polls. Default 30,000. */
  readonly httpPollMs?: number;
  /** Compresses the bodies of HTTP requests. Default false. */
  readonly httpGzip?: boolean;
  /** Milliseconds of silence before a WebSocket heartbeat; 0 = none. Default 30,000. */
  readonly heartbeatMs?: number;
  /** Connects under way at a time. Default 100. */
  readonly connectsInFlight?: number;
  /** Added to every upgrade and request, as `Authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Masks WebSocket frames with random numbers, not with 0. Default true. */
  readonly realMasks?: boolean;
  /** Smaller messages for very large swarms. Default false. */
  readonly lean?: boolean;
  /** A process of its own collects garbage more often, for less memory. Default false. */
  readonly smallHeap?: boolean;
  /** Spreads agents over 127.1.x.y, this many on each; 0 = off. */
  readonly agentsPerAddress?: number;
  /** What the build contains. Default: a contrib collector. */
  readonly components?: ComponentTypes;
  readonly tls?: TlsMaterial;
}

/** Which agents; every given condition has to hold, none means all. */
export interface AgentSelection {
  readonly indexes?: readonly number[];
  readonly uids?: readonly string[];
  /** Attribute values that have to be equal. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** A part of those that are left, fixed by seed and salt. */
  readonly fraction?: number;
  readonly salt?: string;
  /** Only those that are connected now, or only those that are not. */
  readonly connected?: boolean;
}

/** What can be done to agents from outside. */
export type SwarmAction =
  /** Cuts the connection; the client comes back. */
  | { readonly do: 'disconnect' }
  /** Cuts the network for good, until `online`. */
  | { readonly do: 'offline' }
  | { readonly do: 'online' }
  /** Power loss, until `boot`. */
  | { readonly do: 'kill-host' }
  | { readonly do: 'boot' }
  /** Kills the supervisor process and starts it again from its disk. */
  | { readonly do: 'restart-supervisor' }
  /** Clean stop with goodbye. */
  | { readonly do: 'shutdown' }
  | ({ readonly do: 'set-profile' } & ProfileChoice)
  /** The collector reports this health, whatever it runs. */
  | { readonly do: 'set-health'; readonly healthy: boolean; readonly lastError?: string };

/** Which agents' records, and how much of them. */
export interface RecordSelection extends AgentSelection {
  /** False leaves the attributes out, the larger part of a record. Default true. */
  readonly attributesToo?: boolean;
}

/** The totals that cost next to nothing. */
export interface SwarmCounts {
  readonly connected: number;
  readonly healthy: number;
  /** Connections that ended though nobody wanted that. */
  readonly lostConnections: number;
}

/** Totals of a swarm; maps count agents by hash in hex, `none` for no config. */
export interface SwarmSummary extends SwarmCounts {
  readonly agents: number;
  readonly running: Readonly<Record<string, number>>;
  readonly reported: Readonly<Record<string, number>>;
}

/** A fleet of simulated agents. Every method may reject when the swarm's process has died. */
export interface Swarm {
  /** Boots all agents. Resolves as soon as they are on their way, not when they are connected. */
  start(): Promise<void>;
  /** Clean stop of every agent. Idempotent. */
  stop(): Promise<void>;
  /** The truth, agent by agent. */
  records(selection?: RecordSelection): Promise<readonly AgentRecord[]>;
  /** The part of it that has to equal the server's: for very large fleets. */
  truths(): Promise<readonly AgentTruth[]>;
  counts(): Promise<SwarmCounts>;
  summary(): Promise<SwarmSummary>;
  /** Does something to agents; answers to how many. */
  control(action: SwarmAction, selection?: AgentSelection): Promise<number>;
}
