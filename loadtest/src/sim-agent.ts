/** One simulated supervisor with its collector, disk and connection. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AgentCapabilities,
  AgentIdentificationSchema,
  ConnectionSettingsOffersSchema,
  EffectiveConfigSchema,
  RemoteConfigStatuses,
} from '@opamp-gateway/proto/opamp';
import type { AgentAttributes } from './agent-attributes.ts';
import type { AgentConnection, ConnectionOwner } from './agent-connection.ts';
import { AgentOutbox, FULL_STATE, PART, type ReportSource } from './agent-outbox.ts';
import { type AgentBehaviour, type DurationRange, type FailureRule, findFailure } from './agent-profile.ts';
import type { AgentRecord, AgentTruth } from './agent-record.ts';
import {
  type ConfigStatus,
  type Deployment,
  isSameStatus,
  mergeErrorOf,
  NO_STATUS,
  statusName,
  SUPERVISOR_ERRORS,
} from './agent-status.ts';
import { AgentTally } from './agent-tally.ts';
import type { ComponentInventory } from './available-components.ts';
import { scanServerToAgent } from './opamp-wire.ts';
import { unitHash, uuidText } from './random.ts';
import { type CollectorEvents, SimCollector } from './sim-collector.ts';
import type { SimConfig, SimConfigStore } from './sim-config.ts';

const {
  RemoteConfigStatuses_APPLIED: APPLIED,
  RemoteConfigStatuses_APPLYING: APPLYING,
  RemoteConfigStatuses_FAILED: FAILED,
} = RemoteConfigStatuses;

const SERVER_FLAG = { reportFullState: 1, reportAvailableComponents: 2 } as const;
const CRASH_RESTART_MS = 5_000;
const BRICK_RESTART_MS = 5_000;

/** What a supervisor without a remote config runs. */
const LOCAL_EFFECTIVE_CONFIG = toBinary(
  EffectiveConfigSchema,
  create(EffectiveConfigSchema, {
    configMap: {
      configMap: { '': { body: Buffer.from('extensions:\n  opamp: {}\nservice:\n  extensions: [opamp]\n'), contentType: 'text/yaml' } },
    },
  }),
);

/** What all agents of a swarm share. */
export interface AgentEnvironment {
  readonly seed: number;
  /** Factor on all times of the profiles. */
  readonly timeScale: number;
  readonly configs: SimConfigStore;
  readonly components: ComponentInventory;
  /** Leaves out the component tree in health and the repeated description: less to encode for very large swarms. */
  readonly lean: boolean;
  /** Counts this arrival and answers how many agents of the swarm received the config before. */
  countArrival(config: SimConfig, agentIndex: number): number;
  connect(owner: ConnectionOwner, behaviour: AgentBehaviour, transport: 'ws' | 'http'): AgentConnection;
}

/** What makes one agent different from the next. */
export interface SimAgentOptions {
  readonly index: number;
  readonly instanceUid: Uint8Array;
  /** Computed when needed: kept, they would be the largest part of an idle agent. */
  readonly attributes: (index: number, uid: string) => AgentAttributes;
  readonly profile: string;
  readonly behaviour: AgentBehaviour;
  readonly transport: 'ws' | 'http';
}

/** One agent. `boot` starts it; the record says at any time what is true of it. */
export class SimAgent implements ConnectionOwner, CollectorEvents {
  readonly index: number;
  readonly #env: AgentEnvironment;
  readonly #attributes: (index: number, uid: string) => AgentAttributes;
  readonly #transport: 'ws' | 'http';
  readonly #originUid: Uint8Array;
  readonly #collector: SimCollector;
  #profile: string;
  #behaviour: AgentBehaviour;

  // On disk: survives every restart.
  #uid: Uint8Array;
  #stored: Deployment | undefined;
  #lastGood: Deployment | undefined;
  #persisted: ConfigStatus = NO_STATUS;

  // The supervisor process.
  #host: 'up' | 'down' | 'bricked' = 'down';
  readonly #outbox: AgentOutbox;
  #composed: Deployment | undefined;
  #applying: Deployment | undefined;
  #status: ConfigStatus = NO_STATUS;
  #effective: Uint8Array = LOCAL_EFFECTIVE_CONFIG;
  #connection: AgentConnection | undefined;
  #applyTimer: NodeJS.Timeout | undefined;
  #flapTimer: NodeJS.Timeout | undefined;
  #offline = false;

  readonly #tally = new AgentTally();

  constructor({ index, instanceUid, attributes, profile, behaviour, transport }: SimAgentOptions, environment: AgentEnvironment) {
    this.index = index;
    this.#env = environment;
    this.#uid = instanceUid;
    this.#originUid = instanceUid;
    this.#attributes = attributes;
    this.#transport = transport;
    this.#profile = profile;
    this.#behaviour = behaviour;
    this.#collector = new SimCollector(this);
    this.#outbox = new AgentOutbox(environment.components, environment.lean, this.#tally);
  }

  /** Starts host, supervisor and collector from what is on disk. */
  boot(): void {
    if (this.#host !== 'down') return;
    this.#outbox.reset(this.#behaviour.firstSequenceNum);
    this.#effective = LOCAL_EFFECTIVE_CONFIG;
    this.#applying = undefined;
    this.#status = this.#statusAtStart();
    const deployment = this.#behaviour.rollsBack && this.#persisted.status === FAILED ? this.#lastGood : this.#stored;
    this.#offline = false;
    this.#connection = this.#env.connect(this, this.#behaviour, this.#transport);
    if (deployment !== undefined && mergeErrorOf(deployment) !== undefined) {
      this.#brick();
      return;
    }
    this.#host = 'up';
    this.#composed = deployment;
    if (deployment?.config.isEmptyMap === true) this.#collector.stopForEmptyConfig();
    else this.#startCollector(deployment);
    this.#connection.start();
    this.#armFlapping();
  }

  /** Power loss: no word to anybody; disk and record stay. */
  killHost(): void {
    this.#connection?.destroy();
    this.#clearProcess();
    this.#host = 'down';
  }

  /** The supervisor process ends and a new one starts from disk. */
  restartSupervisor(): void {
    this.killHost();
    this.boot();
  }

  /** A clean stop: bad health, goodbye, close. */
  async shutdown(): Promise<void> {
    if (this.#host !== 'up') {
      this.killHost();
      return;
    }
    const connection = this.#connection;
    this.#collector.kill();
    this.#collector.setHealth(false, 'Supervisor is shutdown');
    this.#clearProcess();
    this.#host = 'down';
    await connection?.stop(this.#transport === 'ws' || this.#behaviour.disconnectOverHttp);
  }

  /** Cuts the connection; it comes back by the reconnect policy. */
  disconnect(): void {
    this.#connection?.drop();
  }

  /** The network of the host is gone; supervisor and collector run on. */
  goOffline(): void {
    this.#offline = true;
    this.#connection?.destroy();
  }

  /** The network is back. */
  goOnline(): void {
    if (!this.#offline || this.#host !== 'up') return;
    this.#offline = false;
    this.#connection = this.#env.connect(this, this.#behaviour, this.#transport);
    this.#connection.start();
  }

  /** Another behaviour from the next offer or start on. */
  setProfile(profile: string, behaviour: AgentBehaviour): void {
    this.#profile = profile;
    this.#behaviour = behaviour;
    if (behaviour.stuck) this.#connection?.pauseReading();
    this.#armFlapping();
  }

  /** The collector reports another health, whatever it runs. */
  setHealth(healthy: boolean, lastError: string): void {
    if (this.#host === 'up') this.#collector.setHealth(healthy, lastError);
  }

  /** What it says about itself; the attributes keep the uid of the first message. */
  describe(): AgentAttributes {
    return this.#attributes(this.index, uuidText(this.#originUid));
  }

  uidText(): string {
    return uuidText(this.#uid);
  }

  nextMessage(force: boolean, prefixBytes: number): Buffer | undefined {
    const message = this.#outbox.take(this.#reportSource(), force, prefixBytes);
    if (message !== undefined) this.#tally.sent += 1;
    return message;
  }

  goodbyeMessage(prefixBytes: number): Buffer {
    this.#tally.sent += 1;
    return this.#outbox.takeGoodbye(this.#reportSource(), prefixBytes);
  }

  handleConnected(server: string): void {
    this.#tally.connected = true;
    this.#tally.server = server;
    this.#tally.connects += 1;
    this.#tally.connectedAtMs = Date.now();
    if (this.#tally.connects > 1 && this.#behaviour.reconnectState === 'full') this.#outbox.add(FULL_STATE);
    if (this.#behaviour.stuck) this.#connection?.pauseReading();
  }

  handleDisconnected(lost: boolean): void {
    this.#tally.connected = false;
    if (lost) this.#tally.lostConnections += 1;
  }

  handleMessage(data: Uint8Array): void {
    this.#tally.received += 1;
    try {
      this.#handleServerToAgent(data);
    } catch {
      this.#tally.badMessages += 1;
    }
  }

  /** Both attribute lists, identifying ones winning. */
  attributes(): Readonly<Record<string, string>> {
    const { identifying, nonIdentifying } = this.describe();
    return { ...nonIdentifying, ...identifying };
  }

  isConnected(): boolean {
    return this.#tally.connected;
  }

  /** Connections that ended though nobody wanted that. */
  lostConnections(): number {
    return this.#tally.lostConnections;
  }

  isHealthy(): boolean {
    return this.#collector.health.healthy;
  }

  /** The few facts that a very large fleet is compared by. */
  truth(): AgentTruth {
    const { status, config } = this.#tally.lastReported;
    return {
      uid: uuidText(this.#uid),
      connected: this.#tally.connected,
      running: this.#collector.running?.hashHex ?? null,
      status: statusName(status),
      hash: config?.hashHex ?? null,
      violations: this.#tally.violations,
    };
  }

  /** A snapshot for comparison with the server's view. */
  record(withAttributes = true): AgentRecord {
    const { health, running, crashes } = this.#collector;
    return {
      index: this.index,
      uid: uuidText(this.#uid),
      originUid: uuidText(this.#originUid),
      profile: this.#profile,
      transport: this.#transport,
      attributes: withAttributes ? this.attributes() : {},
      host: this.#host,
      running: running?.hashHex ?? null,
      onDisk: this.#stored?.config.hashHex ?? null,
      health: { healthy: health.healthy, lastError: health.lastError },
      crashes,
      ...this.#tally.snapshot(),
    };
  }

  #reportSource(): ReportSource {
    return {
      instanceUid: this.#uid,
      behaviour: this.#behaviour,
      health: this.#collector.health,
      status: this.#status,
      effectiveConfig: this.#effective,
      attributes: () => this.describe(),
    };
  }

  #has(capability: AgentCapabilities): boolean {
    return (this.#behaviour.capabilities & capability) !== 0;
  }

  #scaled(realMs: number): number {
    return realMs * this.#env.timeScale;
  }

  /** A duration of this agent, fixed by seed and purpose. */
  #draw({ minMs, maxMs }: DurationRange, purpose: string): number {
    const share = unitHash(`${this.#env.seed}:${purpose}:${this.index}`);
    return this.#scaled(minMs + share * (maxMs - minMs));
  }

  #report(parts: number): void {
    this.#outbox.add(parts);
    this.#connection?.notify();
  }

  #handleServerToAgent(data: Uint8Array): void {
    const message = scanServerToAgent(data);
    if (message.instanceUid === undefined || Buffer.compare(message.instanceUid, this.#uid) !== 0) {
      this.#tally.badMessages += 1;
      return;
    }
    if (message.errorResponse !== undefined) {
      this.#tally.errorResponses += 1;
      return;
    }
    if (message.hasCommand && this.#has(AgentCapabilities.AgentCapabilities_AcceptsRestartCommand)) {
      // A client that takes the command looks at nothing else in the message.
      this.#tally.restartCommands += 1;
      this.#startCollector(this.#composed);
      return;
    }
    if ((message.flags & SERVER_FLAG.reportFullState) !== 0) {
      this.#tally.fullStateRequests += 1;
      this.#report(FULL_STATE);
    } else if ((message.flags & SERVER_FLAG.reportAvailableComponents) !== 0) {
      this.#report(PART.componentsFull);
    }
    if (message.remoteConfig !== undefined) this.#handleOffer(this.#env.configs.intern(message.remoteConfig));
    if (message.connectionSettings !== undefined) this.#handleConnectionSettings(message.connectionSettings);
    if (message.agentIdentification !== undefined) {
      const { newInstanceUid } = fromBinary(AgentIdentificationSchema, message.agentIdentification);
      if (newInstanceUid.length === 16) {
        // A copy: what the decoder answers points into the buffer that all sockets share.
        this.#uid = Uint8Array.from(newInstanceUid);
        this.#startCollector(this.#composed);
      }
    }
  }

  #handleConnectionSettings(bytes: Uint8Array): void {
    const { opamp } = fromBinary(ConnectionSettingsOffersSchema, bytes);
    if (opamp === undefined || !this.#has(AgentCapabilities.AgentCapabilities_ReportsHeartbeat)) return;
    const heartbeatMs = Number(opamp.heartbeatIntervalSeconds) * 1_000;
    if (heartbeatMs === 0 && this.#transport === 'http' && this.#behaviour.zeroIntervalOverHttp === 'off-air') this.#connection?.destroy();
    else this.#connection?.setHeartbeatMs(heartbeatMs);
  }

  #handleOffer(config: SimConfig): void {
    if (!this.#has(AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig)) {
      this.#tally.unacceptedOffers += 1;
      return;
    }
    this.#tally.noteOffer(config, this.#applying?.config, this.#status);
    const rule = findFailure(this.#behaviour.failOn, config, {
      seed: this.#env.seed,
      index: this.index,
      arrival: this.#env.countArrival(config, this.index),
    });
    const deployment: Deployment = { config, rule };
    // A supervisor writes the offer to disk before it looks at it.
    this.#stored = deployment;
    if (rule?.kind === 'never-answers') return;
    if (rule?.kind === 'stuck') {
      this.#connection?.pauseReading();
      return;
    }
    const mergeError = mergeErrorOf(deployment);
    if (mergeError !== undefined) {
      this.#setStatus({ status: FAILED, config, error: mergeError });
      return;
    }
    if (this.#behaviour.style === 'immediate') this.#applyAtOnce(deployment);
    else if (this.#composed?.config.mergedKey === config.mergedKey) this.#answerUnchanged(deployment);
    else this.#apply(deployment);
  }

  /** Agents without a supervisor's timer: one verdict in the next message. */
  #applyAtOnce(deployment: Deployment): void {
    const { config, rule } = deployment;
    if (this.#behaviour.unchangedOffer === 'silent' && this.#composed?.config === config) return;
    if (rule?.kind === 'crash' || rule?.kind === 'validation' || rule?.kind === 'soft-timeout') {
      this.#setStatus({ status: FAILED, config, error: rule.error ?? SUPERVISOR_ERRORS.validation });
      return;
    }
    this.#composed = deployment;
    this.#setStatus({ status: APPLIED, config, error: '' });
    this.#startCollector(deployment);
    if (rule?.kind === 'unhealthy') this.#turnUnhealthy(rule);
  }

  #answerUnchanged({ config, rule }: Deployment): void {
    // The same text runs already, or failed already: no restart and no check either way.
    if (this.#composed !== undefined) this.#composed = { config, rule };
    if (this.#collector.running !== undefined) {
      this.#collector.running = config;
      this.#tally.noteRan(config);
    }
    switch (this.#behaviour.unchangedOffer) {
      case 'applied':
        this.#setStatus({ status: APPLIED, config, error: '' });
        break;
      case 'applying-forever':
        this.#setStatus({ status: APPLYING, config, error: '' });
        break;
      case 'silent':
        break;
    }
  }

  #apply(deployment: Deployment): void {
    const { config, rule } = deployment;
    clearTimeout(this.#applyTimer);
    this.#applying = deployment;
    this.#setStatus({ status: APPLYING, config, error: '' });
    this.#report(PART.effective);
    if (rule?.kind === 'validation') {
      this.#applyTimer = setTimeout(
        () => {
          this.#applying = undefined;
          this.#setStatus({ status: FAILED, config, error: rule.error ?? SUPERVISOR_ERRORS.validation });
        },
        this.#draw(this.#behaviour.collectorStartMs, 'validate'),
      );
      return;
    }
    this.#composed = deployment;
    if (config.isEmptyMap && this.#behaviour.emptyConfig === 'stops') {
      this.#applying = undefined;
      this.#collector.stopForEmptyConfig();
      this.#setStatus({ status: APPLIED, config, error: '' });
      return;
    }
    const applyMs = this.#draw(this.#behaviour.applyMs, `apply:${config.hashHex}`);
    if (config.isNop && this.#behaviour.emptyConfig === 'failed-at-timer') this.#collector.neverStart();
    else this.#startCollector(deployment);
    // Counted from after the start, so that this is due later than that however long the lines in between took.
    const dueAtMs = performance.now() + applyMs;
    this.#applyTimer = setTimeout(() => this.#handleApplyTimer(dueAtMs), applyMs);
  }

  #startCollector(deployment: Deployment | undefined): void {
    const rule = deployment?.rule;
    const applyMs = this.#draw(this.#behaviour.applyMs, `apply:${deployment?.config.hashHex ?? ''}`);
    this.#collector.start(deployment?.config, {
      crashes: rule?.kind === 'crash' || rule?.kind === 'validation',
      startMs: Math.min(this.#draw(this.#behaviour.collectorStartMs, `start:${deployment?.config.hashHex ?? ''}`), applyMs * 0.8),
      restartMs: this.#scaled(CRASH_RESTART_MS),
      unhealthyForMs: rule?.kind === 'soft-timeout' ? applyMs * 1.2 : 0,
    });
  }

  onStarted(config: SimConfig | undefined): void {
    if (config !== undefined) {
      this.#tally.noteRan(config);
      this.#effective = this.#behaviour.effectiveFiles === 'all' ? config.effectiveWithRaw : config.effectiveConfig;
    }
    if (this.#composed?.rule?.kind === 'self-cut') {
      this.goOffline();
      return;
    }
    this.#report(this.#env.lean ? PART.effective : PART.effective | PART.description);
  }

  onHealth(): void {
    this.#report(PART.health);
  }

  onExit(): void {
    const applying = this.#applying;
    this.#report(PART.health);
    if (applying === undefined || this.#behaviour.crashNotice !== 'at-once') return;
    this.#fail(applying, applying.rule?.error ?? SUPERVISOR_ERRORS.crash);
  }

  #handleApplyTimer(dueAtMs: number): void {
    this.#applyTimer = undefined;
    this.#collector.catchUp(dueAtMs);
    const applying = this.#applying;
    if (applying === undefined) return;
    const { config, rule } = applying;
    const crashed = rule?.kind === 'crash' && this.#behaviour.crashNotice === 'reported-applied';
    if (!this.#collector.health.healthy && !crashed) {
      this.#fail(applying, rule?.error ?? SUPERVISOR_ERRORS.timeout);
      return;
    }
    this.#applying = undefined;
    this.#lastGood = applying;
    this.#setStatus({ status: APPLIED, config, error: '' });
    if (rule?.kind === 'unhealthy') this.#turnUnhealthy(rule);
  }

  #turnUnhealthy({ afterMs = 0, recoverAfterMs = 0, error = SUPERVISOR_ERRORS.unhealthy }: FailureRule): void {
    this.#collector.becomeUnhealthy(this.#scaled(afterMs), this.#scaled(recoverAfterMs), error);
  }

  #fail(applying: Deployment, error: string): void {
    clearTimeout(this.#applyTimer);
    this.#applying = undefined;
    this.#setStatus({ status: FAILED, config: applying.config, error });
    const good = this.#lastGood;
    if (!this.#behaviour.rollsBack || good === undefined || good.config === applying.config) return;
    this.#composed = good;
    this.#startCollector(good);
    this.#applyTimer = setTimeout(
      () => {
        // Told to the server, but not written down: after a restart FAILED is what the file says.
        this.#setStatus({ status: APPLIED, config: good.config, error: '' }, false);
      },
      this.#draw(this.#behaviour.applyMs, 'rollback'),
    );
  }

  #setStatus(status: ConfigStatus, persist = true): void {
    if (!this.#has(AgentCapabilities.AgentCapabilities_ReportsRemoteConfig)) return;
    const before = this.#status;
    if (persist) this.#persisted = status;
    this.#status = status;
    if (isSameStatus(before, status)) return;
    this.#report(PART.status);
  }

  #statusAtStart(): ConfigStatus {
    switch (this.#behaviour.restartStatus) {
      case 'persisted':
        return this.#persisted;
      case 'applied-from-disk':
        return this.#stored === undefined ? NO_STATUS : { status: APPLIED, config: this.#stored.config, error: '' };
      case 'unset':
        return NO_STATUS;
    }
  }

  /** The supervisor cannot compose what is on its disk: it connects, dies, and is started again. */
  #brick(): void {
    this.#host = 'bricked';
    this.#connection?.start();
    this.#applyTimer = setTimeout(() => {
      this.#connection?.destroy();
      this.#host = 'down';
      this.#applyTimer = setTimeout(() => this.boot(), this.#scaled(BRICK_RESTART_MS));
    }, 5);
  }

  #armFlapping(): void {
    clearInterval(this.#flapTimer);
    this.#flapTimer = undefined;
    const { flapMs } = this.#behaviour;
    if (flapMs > 0 && this.#host === 'up') this.#flapTimer = setInterval(() => this.disconnect(), this.#scaled(flapMs));
  }

  #clearProcess(): void {
    clearTimeout(this.#applyTimer);
    clearInterval(this.#flapTimer);
    this.#applyTimer = undefined;
    this.#flapTimer = undefined;
    this.#applying = undefined;
    this.#collector.kill();
    this.#tally.connected = false;
  }
}
