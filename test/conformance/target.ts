/** A set of config files: name to content. The name of a single file is usually "". */
export type ConfigFiles = Readonly<Record<string, { readonly body: string; readonly contentType: string }>>;

/** What a server's own API shows about one agent. A part that the agent has not reported yet is left out. */
export interface AgentView {
  readonly isConnected: boolean;
  readonly capabilities?: bigint;
  /** Identifying and non-identifying attributes together, values as text. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly isHealthy?: boolean;
  /** Names of the first level of the health tree. */
  readonly healthComponents?: readonly string[];
  readonly configStatus?: 'UNSET' | 'APPLYING' | 'APPLIED' | 'FAILED';
  /** Hex of the hash that the agent reported last. */
  readonly configHash?: string;
  readonly configError?: string;
  /** File name to body. */
  readonly effectiveConfig?: Readonly<Record<string, string>>;
}

/** The parts of an {@link AgentView} that an API may or may not have. */
export type ViewPart = Exclude<keyof AgentView, 'isConnected'>;

export const ALL_VIEW_PARTS: readonly ViewPart[] = [
  'capabilities',
  'attributes',
  'isHealthy',
  'healthComponents',
  'configStatus',
  'configHash',
  'configError',
  'effectiveConfig',
];

/** The server's API refused a call that the suite made. */
export class ApiRefusedError extends Error {
  override name = 'ApiRefusedError';
  readonly status: number;

  constructor(call: string, status: number, detail: string) {
    super(`${call} was refused with ${status}: ${detail}`);
    this.status = status;
  }
}

/** The server's management side, outside OpAMP. Refusals are {@link ApiRefusedError}. */
export interface TargetApi {
  /** What {@link getAgent} shows once an agent has reported it. Checks skip the other parts. */
  readonly shows: readonly ViewPart[];
  /** Whether restarts and custom messages can be sent to agents that poll. */
  readonly reachesPollers: boolean;
  /** Makes `files` the config wanted for this agent alone. The agent has reported before. At most one config is current. */
  assignConfig(uid: Uint8Array, files: ConfigFiles): Promise<void>;
  /** Makes `files` the config wanted for all agents whose attributes have these values. */
  assignConfigToMatching?(attributes: Readonly<Record<string, string>>, files: ConfigFiles): Promise<void>;
  /** Undefined when the server does not know the agent. */
  getAgent(uid: Uint8Array): Promise<AgentView | undefined>;
  /** Asks for a restart of the agent; resolves when the server has taken the order. */
  restart?(uid: Uint8Array): Promise<void>;
  sendCustomMessage?(
    uid: Uint8Array,
    message: { readonly capability: string; readonly type: string; readonly data: Uint8Array },
  ): Promise<void>;
}

/** Power over the processes under test. Each call resolves when its effect is complete; none needs `this`. */
export interface TargetControl {
  stopStore?(): Promise<void>;
  startStore?(): Promise<void>;
  /** Empties the shared store, as a lost disk would. */
  emptyStore?(): Promise<void>;
  /** Stops a node without warning. Node 0 listens at `url`, node 1 at `secondUrl`. */
  killNode?(node: 0 | 1): Promise<void>;
  /** Starts a node that was killed or drained, at its former address; a running one is stopped gracefully before. */
  restartNode?(node: 0 | 1): Promise<void>;
  /** Shuts a node down gracefully. May resolve before its connections are closed. */
  drainNode?(node: 0 | 1): Promise<void>;
}

/** Settings that a check wants a fresh server to have; anything not named is left at the server's default. */
export interface ServerSettings {
  /** URL path; undefined = default. */
  readonly path?: string;
  /** A free port is chosen unless this is set; 'default' = give no port at all. */
  readonly port?: 'default';
  readonly maxMessageBytes?: number;
  readonly maxConnections?: number;
}

/** A fresh server that one check started. */
export interface StartedServer {
  readonly target: Target;
  stop(): Promise<void>;
}

/** Puts a server into overload and takes it out again. */
export interface OverloadControl {
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** Numbers that the suite cannot find out over the wire. */
export interface TargetLimits {
  /** Largest accepted message, both directions, uncompressed. */
  readonly maxMessageBytes?: number;
  /** Silence after which a polling agent counts as offline. */
  readonly httpSilenceMs?: number;
  /** Time over which a drain spreads its closes. */
  readonly drainWindowMs?: number;
  /** Time after which a connection that never sends a message is closed. */
  readonly firstMessageMs?: number;
}

/** A server under test: where it is, and what the suite may do to it besides speaking OpAMP. */
export interface Target {
  /** ws://host:port/path or wss. */
  readonly url: string;
  /** The same place as http:// or https://. */
  readonly httpUrl: string;
  /** Another node of the same server. */
  readonly secondUrl?: string;
  readonly secondHttpUrl?: string;
  /** Accept any TLS certificate. */
  readonly isInsecure?: boolean;
  /** Value of the Authorization header that all connections send. */
  readonly authorization?: string;
  /** Set when the server demands authentication: a value of Authorization that must be refused. */
  readonly refusedAuthorization?: string;
  readonly api?: TargetApi;
  readonly control?: TargetControl;
  readonly settings?: { start(settings: ServerSettings): Promise<StartedServer> };
  readonly overload?: OverloadControl;
  readonly limits?: TargetLimits;
}

/** What a check may need from the target beyond its address. */
export type Need = 'api' | 'second-node' | 'store-control' | 'node-control' | 'auth' | 'small-limit' | 'overload' | 'settings';

/** Above this, a message limit is not probed outside the slow checks. */
export const SMALL_LIMIT_BYTES = 8 * 1024 * 1024;

const PRESENT: Readonly<Record<Need, (target: Target) => boolean>> = {
  api: (target) => target.api !== undefined,
  'second-node': (target) => target.secondUrl !== undefined,
  'store-control': (target) => target.control?.stopStore !== undefined && target.control.startStore !== undefined,
  'node-control': (target) => target.control?.killNode !== undefined && target.control.restartNode !== undefined,
  auth: (target) => target.refusedAuthorization !== undefined,
  'small-limit': (target) => (target.limits?.maxMessageBytes ?? Infinity) <= SMALL_LIMIT_BYTES,
  overload: (target) => target.overload !== undefined,
  settings: (target) => target.settings !== undefined,
};

const REASON: Readonly<Record<Need, string>> = {
  api: "needs the server's own API (--api)",
  'second-node': 'needs a second node (--second-url)',
  'store-control': 'needs control over the store behind the server',
  'node-control': "needs control over the server's processes",
  auth: 'needs a server with authentication and a credential that it refuses (--refused-authorization)',
  'small-limit': `needs a known message limit of at most ${SMALL_LIMIT_BYTES} bytes (--max-message-bytes)`,
  overload: 'needs a way to put the server into overload',
  settings: 'needs a way to start the server with other settings',
};

/** Why a check with these needs cannot run against `target`; undefined when it can. */
export const missingNeed = (target: Target, needs: readonly Need[]): string | undefined => {
  const missing = needs.filter((need) => !PRESENT[need](target));
  return missing.length === 0 ? undefined : missing.map((need) => REASON[need]).join('; ');
};

/** The http form of a ws URL and the other way round; other URLs are returned as they are. */
export const toHttpUrl = (url: string): string => url.replace(/^ws/, 'http');
export const toWebSocketUrl = (url: string): string => url.replace(/^http/, 'ws');
