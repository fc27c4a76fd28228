/** Many simulated agents in this process. */
import { type AgentAttributes, attributesAt } from './agent-attributes.ts';
import type { AgentConnection, ConnectionOwner } from './agent-connection.ts';
import { assignProfiles, resolveProfile } from './agent-profile.ts';
import type { AgentRecord, AgentTruth } from './agent-record.ts';
import { CONTRIB_COMPONENTS, createComponentInventory } from './available-components.ts';
import { ConnectGate } from './connect-gate.ts';
import { HeartbeatWheel } from './heartbeat-wheel.ts';
import { HttpConnection, type HttpSettings } from './http-connection.ts';
import { createRandom, seededInstanceUid, unitHash } from './random.ts';
import { createSocketOpener, TargetPicker } from './server-target.ts';
import { type AgentEnvironment, SimAgent } from './sim-agent.ts';
import { type SimConfig, SimConfigStore } from './sim-config.ts';
import type { AgentSelection, RecordSelection, Swarm, SwarmAction, SwarmCounts, SwarmOptions, SwarmSummary } from './swarm-api.ts';
import { WsConnection, type WsSettings } from './ws-connection.ts';

/** A swarm in this process may compute attributes. */
export interface LocalSwarmOptions extends Omit<SwarmOptions, 'attributes'> {
  readonly attributes?: SwarmOptions['attributes'] | ((index: number, uid: string) => AgentAttributes);
}

const UID_BYTES = 16;
const COLLECTOR_VERSION = '0.159.0';
const DEFAULT_INTERVAL_MS = 30_000;
const DEFAULT_CONNECTS_IN_FLIGHT = 100;

/** Indexes of the agents that poll: an exact count, drawn by seed. */
function chooseHttpAgents(agents: number, seed: number, fraction: number): ReadonlySet<number> {
  const order = Array.from({ length: agents }, (_, index) => index);
  const rank = order.map((index) => unitHash(`${seed}:transport:${index}`));
  order.sort((left, right) => (rank[left] ?? 0) - (rank[right] ?? 0));
  return new Set(order.slice(0, Math.round(fraction * agents)));
}

class LocalSwarm implements Swarm {
  readonly #seed: number;
  readonly #agents: SimAgent[] = [];
  #stopping: Promise<void> | undefined;

  constructor(options: LocalSwarmOptions) {
    const { agents, firstIndex = 0, seed = 1, profiles = [], attributes, httpFraction = 0 } = options;
    this.#seed = seed;
    const environment = createEnvironment(options, seed);
    const choices = assignProfiles(agents, seed + firstIndex, profiles);
    const http = chooseHttpAgents(agents, seed + firstIndex, httpFraction);
    const describe =
      typeof attributes === 'function' ? attributes : (index: number, uid: string): AgentAttributes => attributesAt(index, uid, attributes);
    // All uids in one piece of memory: a piece for each would take more than twice the room.
    const uids = new Uint8Array(agents * UID_BYTES);
    choices.forEach((choice, offset) => {
      const index = firstIndex + offset;
      const instanceUid = uids.subarray(offset * UID_BYTES, (offset + 1) * UID_BYTES);
      instanceUid.set(seededInstanceUid(seed, index));
      const agent = new SimAgent(
        {
          index,
          instanceUid,
          attributes: describe,
          profile: choice.profile,
          behaviour: resolveProfile(choice),
          transport: http.has(offset) ? 'http' : 'ws',
        },
        environment,
      );
      this.#agents.push(agent);
    });
  }

  async start(): Promise<void> {
    for (const agent of this.#agents) agent.boot();
  }

  async stop(): Promise<void> {
    this.#stopping ??= Promise.all(this.#agents.map((agent) => agent.shutdown())).then(() => undefined);
    await this.#stopping;
  }

  async records({ attributesToo = true, ...selection }: RecordSelection = {}): Promise<readonly AgentRecord[]> {
    return this.#select(selection).map((agent) => agent.record(attributesToo));
  }

  async truths(): Promise<readonly AgentTruth[]> {
    return this.#agents.map((agent) => agent.truth());
  }

  async counts(): Promise<SwarmCounts> {
    let connected = 0;
    let healthy = 0;
    let lostConnections = 0;
    for (const agent of this.#agents) {
      if (agent.isConnected()) connected += 1;
      if (agent.isHealthy()) healthy += 1;
      lostConnections += agent.lostConnections();
    }
    return { connected, healthy, lostConnections };
  }

  async summary(): Promise<SwarmSummary> {
    const running: Record<string, number> = {};
    const reported: Record<string, number> = {};
    for (const agent of this.#agents) {
      const truth = agent.truth();
      const hash = truth.running ?? 'none';
      running[hash] = (running[hash] ?? 0) + 1;
      const status = `${truth.status}:${truth.hash ?? 'none'}`;
      reported[status] = (reported[status] ?? 0) + 1;
    }
    return { agents: this.#agents.length, ...(await this.counts()), running, reported };
  }

  async control(action: SwarmAction, selection: AgentSelection = {}): Promise<number> {
    const selected = this.#select(selection);
    await Promise.all(selected.map((agent) => act(agent, action)));
    return selected.length;
  }

  #select({ indexes, uids, attributes, fraction, salt = '', connected }: AgentSelection): readonly SimAgent[] {
    const wantedIndexes = indexes === undefined ? undefined : new Set(indexes);
    const wantedUids = uids === undefined ? undefined : new Set(uids);
    const selected = this.#agents.filter((agent) => {
      if (wantedIndexes?.has(agent.index) === false) return false;
      if (connected !== undefined && agent.isConnected() !== connected) return false;
      if (wantedUids?.has(agent.uidText()) === false) return false;
      if (attributes === undefined) return true;
      const own = agent.attributes();
      return Object.entries(attributes).every(([key, value]) => own[key] === value);
    });
    if (fraction === undefined) return selected;
    const rank = new Map(selected.map((agent) => [agent, unitHash(`${this.#seed}:select:${salt}:${agent.index}`)]));
    return selected
      .toSorted((left, right) => (rank.get(left) ?? 0) - (rank.get(right) ?? 0))
      .slice(0, Math.round(fraction * selected.length));
  }
}

async function act(agent: SimAgent, action: SwarmAction): Promise<void> {
  switch (action.do) {
    case 'disconnect':
      agent.disconnect();
      break;
    case 'offline':
      agent.goOffline();
      break;
    case 'online':
      agent.goOnline();
      break;
    case 'kill-host':
      agent.killHost();
      break;
    case 'boot':
      agent.boot();
      break;
    case 'restart-supervisor':
      agent.restartSupervisor();
      break;
    case 'shutdown':
      await agent.shutdown();
      break;
    case 'set-profile':
      agent.setProfile(action.profile, resolveProfile(action));
      break;
    case 'set-health':
      agent.setHealth(action.healthy, action.lastError ?? '');
      break;
  }
}

function createEnvironment(options: LocalSwarmOptions, seed: number): AgentEnvironment {
  const { urls, timeScale = 1, heartbeatMs = DEFAULT_INTERVAL_MS, httpPollMs = DEFAULT_INTERVAL_MS, headers = {} } = options;
  const random = createRandom(seed);
  const shared = {
    targets: new TargetPicker({ urls, random, agentsPerAddress: options.agentsPerAddress ?? 0 }),
    openSocket: createSocketOpener(options.tls),
    gate: new ConnectGate(options.connectsInFlight ?? DEFAULT_CONNECTS_IN_FLIGHT),
    reconnect: { scale: options.reconnectScale ?? timeScale, random, manners: options.reconnectManners ?? 'opamp-go' },
    headers,
  };
  const ws: WsSettings = { ...shared, heartbeatMs, heartbeats: new HeartbeatWheel(), realMasks: options.realMasks ?? true };
  const quiet: WsSettings = { ...ws, heartbeatMs: 0 };
  const http: HttpSettings = { ...shared, pollMs: httpPollMs, gzip: options.httpGzip ?? false };
  const arrivals = new Map<SimConfig, Map<number, number>>();
  return {
    seed,
    timeScale,
    configs: new SimConfigStore(),
    components: createComponentInventory(options.components ?? CONTRIB_COMPONENTS, COLLECTOR_VERSION),
    lean: options.lean ?? false,
    countArrival(config, agentIndex) {
      const ranks = arrivals.get(config) ?? new Map<number, number>();
      arrivals.set(config, ranks);
      const rank = ranks.get(agentIndex) ?? ranks.size;
      ranks.set(agentIndex, rank);
      return rank;
    },
    connect(owner: ConnectionOwner, { heartbeats }, transport): AgentConnection {
      if (transport === 'http') return new HttpConnection(owner, http);
      return new WsConnection(owner, heartbeats ? ws : quiet);
    },
  };
}

/** Makes a swarm in this process. Nothing runs before `start`. Throws TypeError for a bad URL. */
export function createSwarm(options: LocalSwarmOptions): Swarm {
  return new LocalSwarm(options);
}
