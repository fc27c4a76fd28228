/** What the swarm knows about its own agents: the truth that the gateway's numbers are compared with. */

export type StatusName = 'UNSET' | 'APPLIED' | 'APPLYING' | 'FAILED';

/** One config offer as it arrived. */
export interface OfferRecord {
  /** Hex of the config hash. */
  readonly hash: string;
  /** Unix time in milliseconds. */
  readonly atMs: number;
}

/** A server's breaches of the rules, as this agent saw them. All 0 with a correct server. */
export interface ViolationCounts {
  /** An offer of an empty config map. */
  readonly emptyMaps: number;
  /** The same hash offered again while it was being applied. */
  readonly repeatedWhileApplying: number;
  /** A hash offered again after the agent had reported it FAILED, and nothing else in between. */
  readonly reofferedFailed: number;
  /** A config for an agent that accepts none. */
  readonly unacceptedOffers: number;
  /** Messages that could not be decoded or carried another agent's uid. */
  readonly badMessages: number;
}

/** What very large fleets are compared by: the part of a record that has to equal the server's. */
export interface AgentTruth {
  readonly uid: string;
  readonly connected: boolean;
  /** Hex hash of the config that the collector runs. */
  readonly running: string | null;
  /** Status and hash as last reported. */
  readonly status: StatusName;
  readonly hash: string | null;
  /** Breaches of the rules by the server, all kinds together. */
  readonly violations: number;
}

/** A snapshot of one agent. Hashes are hex, uids UUID text, times Unix milliseconds. */
export interface AgentRecord {
  readonly index: number;
  readonly uid: string;
  /** The uid of its first message; another one than `uid` after a re-identification. */
  readonly originUid: string;
  readonly profile: string;
  readonly transport: 'ws' | 'http';
  readonly attributes: Readonly<Record<string, string>>;
  readonly connected: boolean;
  /** Host and port it is, or was last, connected to. */
  readonly server: string | null;
  /** `up`, `down` (host or process stopped) or `bricked` (supervisor dies at each start). */
  readonly host: 'up' | 'down' | 'bricked';
  /** Config the collector really runs; null: none, or it crashes. */
  readonly running: string | null;
  /** Last received config, which the next start will use. */
  readonly onDisk: string | null;
  readonly lastReported: { readonly status: StatusName; readonly hash: string | null; readonly error: string };
  readonly health: { readonly healthy: boolean; readonly lastError: string };
  /** The most recent offers, oldest first. */
  readonly offers: readonly OfferRecord[];
  readonly offerCount: number;
  /** Every hash it ever reported APPLIED. */
  readonly everApplied: readonly string[];
  /** When the first report of each of them left, in the same order. */
  readonly appliedAtMs?: readonly number[];
  /** Every hash it ever reported FAILED. */
  readonly everFailed: readonly string[];
  /** When the first report of each of them left, in the same order. */
  readonly failedAtMs?: readonly number[];
  /** When the last status report left; 0 = never. */
  readonly reportedAtMs?: number;
  /** Every hash its collector ever ran. */
  readonly everRan: readonly string[];
  readonly crashes: number;
  readonly restartCommands: number;
  readonly fullStateRequests: number;
  readonly errorResponses: number;
  readonly connects: number;
  /** Connections that ended though neither the agent nor its operator wanted that. */
  readonly lostConnections?: number;
  /** Time of the last connect; 0 = never. */
  readonly connectedAtMs?: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly violations: ViolationCounts;
}
