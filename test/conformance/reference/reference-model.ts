import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  AgentIdentificationSchema,
  AgentRemoteConfigSchema,
  ServerToAgentSchema,
  type AgentToServer,
  type ComponentHealth,
  type ServerToAgent,
} from '@opamp-gateway/proto/opamp';
import { ALL_VIEW_PARTS, ApiRefusedError, type AgentView, type ConfigFiles, type TargetApi } from '../target.ts';
import {
  AGENT,
  CONFIG_STATUS,
  decodeAgentMessage,
  ERROR_TYPE,
  isSameBytes,
  lengthDelimitedField,
  newUid,
  REPORT_AVAILABLE_COMPONENTS,
  REPORT_FULL_STATE,
  REQUEST_INSTANCE_UID,
  SERVER,
  toHex,
} from '../wire.ts';
import type { Fault } from './faults.ts';

/** One connection as the model sees it; a polling agent has none. */
export interface Pushable {
  push(message: Uint8Array): void;
}

interface WantedConfig {
  readonly files: ConfigFiles;
  readonly hash: Uint8Array;
}

interface KnownAgent {
  readonly uid: Uint8Array;
  connection: Pushable | undefined;
  isConnected: boolean;
  sequenceNum: bigint;
  lastBytes: Uint8Array;
  capabilities: bigint;
  attributes: Record<string, string>;
  health: ComponentHealth | undefined;
  effectiveConfig: Record<string, string> | undefined;
  status: { hash: Uint8Array; status: number; error: string } | undefined;
  customCapabilities: readonly string[];
  wanted: WantedConfig[];
  offered: Uint8Array | undefined;
  readonly failed: Set<string>;
  pending: ServerToAgent[];
  commandsSent: number;
}

const CAPABILITIES = SERVER.acceptsStatus | SERVER.offersRemoteConfig | SERVER.acceptsEffectiveConfig;
const STATUS_NAMES = ['UNSET', 'APPLIED', 'APPLYING', 'FAILED'] as const;

/**
 * What an OpAMP server remembers and answers, in memory, as plainly as possible; also its management API. With a fault
 * it is wrong in one respect.
 */
export class ReferenceModel implements TargetApi {
  readonly shows = ALL_VIEW_PARTS;
  readonly reachesPollers = true;
  readonly #fault: Fault | undefined;
  readonly #agents = new Map<string, KnownAgent>();
  readonly #given = new Map<string, Uint8Array>();
  readonly #components = new Set<string>();
  readonly #connectionSequences = new Map<Pushable | undefined, bigint>();
  readonly #maxMessageBytes: number;
  #messageCount = 0;

  constructor(maxMessageBytes: number, fault?: Fault) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#fault = fault;
  }

  /** Answers one message, given as protobuf bytes. Undefined = no answer, which only a fault causes. */
  handle(connection: Pushable | undefined, bytes: Uint8Array): Uint8Array | undefined {
    const reply = this.#reply(connection, bytes);
    return reply === undefined ? undefined : this.#encode(reply);
  }

  /** A BAD_REQUEST for bytes that could not be read. */
  badRequest(text: string, uid: Uint8Array = new Uint8Array()): Uint8Array {
    return this.#encode(this.#error(text, uid));
  }

  /** The connection is over: its agents are away, unless they have a newer one. */
  forget(connection: Pushable): void {
    if (this.#is('broken-connection-unnoticed')) return;
    for (const agent of this.#agents.values()) {
      if (agent.connection === connection) {
        agent.connection = undefined;
        agent.isConnected = false;
      } else if (this.#is('late-close-wins')) {
        agent.isConnected = false;
      }
    }
  }

  assignConfig(uid: Uint8Array, files: ConfigFiles): Promise<void> {
    return this.#change(uid, (agent) => {
      agent.wanted.push({ files, hash: this.#hash(files) });
      if (!this.#is('offers-history')) agent.wanted.splice(0, agent.wanted.length - 1);
    });
  }

  getAgent(uid: Uint8Array): Promise<AgentView | undefined> {
    const agent = this.#agents.get(toHex(uid));
    if (agent === undefined) return Promise.resolve(undefined);
    const { status, health, effectiveConfig } = agent;
    return Promise.resolve({
      isConnected: agent.isConnected,
      capabilities: this.#is('capabilities-as-32-bits') ? BigInt.asUintN(32, agent.capabilities) : agent.capabilities,
      attributes: agent.attributes,
      ...(health === undefined
        ? {}
        : {
            isHealthy: health.healthy,
            healthComponents: Object.keys(health.componentHealthMap).toSorted(),
          }),
      ...(status === undefined
        ? {}
        : {
            configStatus: STATUS_NAMES[status.status] ?? 'UNSET',
            configHash: toHex(status.hash),
            configError: status.error,
          }),
      ...(effectiveConfig === undefined ? {} : { effectiveConfig }),
    });
  }

  restart(uid: Uint8Array): Promise<void> {
    return this.#change(uid, (agent) => {
      if ((agent.capabilities & AGENT.acceptsRestartCommand) === 0n && !this.#is('command-without-bit')) {
        throw new ApiRefusedError('restart', 409, 'the agent cannot');
      }
      agent.pending.push(this.#command(uid));
      agent.commandsSent += 1;
    });
  }

  sendCustomMessage(
    uid: Uint8Array,
    message: { readonly capability: string; readonly type: string; readonly data: Uint8Array },
  ): Promise<void> {
    return this.#change(uid, (agent) => {
      if (!agent.customCapabilities.includes(message.capability) && !this.#is('custom-to-everybody')) {
        throw new ApiRefusedError('message', 409, 'the agent does not list this capability');
      }
      const push = create(ServerToAgentSchema, { instanceUid: uid, customMessage: message });
      agent.pending.push(push);
      if (this.#is('custom-twice')) agent.pending.push(push);
    });
  }

  #is(fault: Fault): boolean {
    return this.#fault === fault;
  }

  #reply(connection: Pushable | undefined, bytes: Uint8Array): ServerToAgent | undefined {
    let message: AgentToServer;
    try {
      message = decodeAgentMessage(bytes);
    } catch (error) {
      if (this.#is('silent-on-garbage')) return undefined;
      return this.#error(String(error), new Uint8Array());
    }
    const uid = message.instanceUid;
    if (uid.length !== 16 && !this.#is('any-uid-length')) {
      return this.#error('instance_uid must have 16 bytes', uid);
    }
    this.#messageCount += 1;
    if (this.#is('every-tenth-unanswered') && this.#messageCount % 10 === 0) return undefined;
    if (this.#is('error-response-always')) return this.#error('no reason', uid);
    if (this.#is('unknown-fields-refused') && message.$unknown !== undefined) {
      return this.#error('unknown field', uid);
    }
    if (this.#is('unpromised-parts-refused') && message.health !== undefined && (message.capabilities & AGENT.reportsHealth) === 0n) {
      return this.#error('health without its capability', uid);
    }
    if (this.#is('custom-refused') && message.customMessage !== undefined) {
      return this.#error('unknown capability', uid);
    }
    if (message.connectionSettingsRequest?.opamp?.certificateRequest !== undefined) {
      if (this.#is('csr-refused-with-capabilities')) {
        const refusal = this.#error('no CSRs', uid);
        refusal.capabilities = CAPABILITIES;
        return refusal;
      }
    }
    return this.#process(connection, message, bytes);
  }

  #process(connection: Pushable | undefined, message: AgentToServer, bytes: Uint8Array): ServerToAgent | undefined {
    const uid = message.instanceUid;
    const reply = create(ServerToAgentSchema, { instanceUid: uid, capabilities: this.#capabilities() });
    const former = this.#agents.get(toHex(uid));
    if (former !== undefined && this.#isDuplicate(former, connection, message)) {
      reply.agentIdentification = create(AgentIdentificationSchema, { newInstanceUid: newUid() });
      return reply;
    }
    const agent = former ?? newAgent(uid);
    this.#agents.set(toHex(uid), agent);
    const isRepeat = former !== undefined && isSameBytes(former.lastBytes, bytes);
    if (isRepeat && this.#is('repeat-unanswered')) return undefined;
    if (this.#isFullStateDue(former, connection, message, isRepeat)) reply.flags |= REPORT_FULL_STATE;
    if (isRepeat) agent.offered = undefined;
    this.#store(agent, message, bytes);
    this.#connectionSequences.set(connection, message.sequenceNum);
    agent.connection = connection;
    agent.isConnected = true;
    if (message.agentDisconnect !== undefined && !this.#is('disconnect-ignored')) {
      agent.connection = undefined;
      agent.isConnected = false;
    }
    if ((message.flags & REQUEST_INSTANCE_UID) !== 0n && !this.#is('no-new-uid')) {
      if (!this.#is('full-state-with-new-uid')) reply.flags = 0n;
      else reply.flags |= REPORT_FULL_STATE;
      reply.agentIdentification = create(AgentIdentificationSchema, {
        newInstanceUid: this.#rename(agent),
      });
      return reply;
    }
    if (this.#wantsComponents(agent, message)) reply.flags |= REPORT_AVAILABLE_COMPONENTS;
    this.#addUnasked(reply, message);
    if (!agent.isConnected) return reply;
    return this.#addDue(agent, reply);
  }

  #isDuplicate(former: KnownAgent, connection: Pushable | undefined, message: AgentToServer): boolean {
    if (connection === undefined || former.connection === connection) return false;
    if (this.#is('reconnect-is-duplicate')) return former.sequenceNum > 2n;
    if (former.connection === undefined || this.#is('duplicates-unnoticed')) return false;
    const host = attributesOf(message)?.['host.name'];
    return host !== undefined && host !== former.attributes['host.name'];
  }

  #isFullStateDue(former: KnownAgent | undefined, connection: Pushable | undefined, message: AgentToServer, isRepeat: boolean): boolean {
    if (this.#is('full-state-always')) return true;
    if (isRepeat || isComplete(message)) return false;
    if (former === undefined) return !this.#is('unknown-agents-trusted');
    if (this.#is('gaps-ignored')) return false;
    const last = this.#is('sequence-per-connection') ? (this.#connectionSequences.get(connection) ?? -2n) : former.sequenceNum;
    return this.#is('sequence-as-double') ? Number(message.sequenceNum) !== Number(last) + 1 : message.sequenceNum !== last + 1n;
  }

  #store(agent: KnownAgent, message: AgentToServer, bytes: Uint8Array): void {
    agent.sequenceNum = message.sequenceNum;
    agent.lastBytes = bytes;
    const mayChange = !this.#is('capabilities-frozen') || agent.capabilities === 0n;
    if (mayChange && (message.capabilities !== 0n || this.#is('capabilities-0-counts'))) {
      agent.capabilities = message.capabilities;
    }
    if (message.agentDisconnect !== undefined && this.#is('last-message-dropped')) return;
    const attributes = attributesOf(message);
    if (attributes !== undefined || this.#is('parts-forgotten')) agent.attributes = attributes ?? {};
    if (message.health !== undefined) {
      if (this.#is('parts-merged') && agent.health !== undefined) {
        Object.assign(message.health.componentHealthMap, agent.health.componentHealthMap);
      }
      agent.health = message.health;
    }
    if (message.effectiveConfig !== undefined) {
      agent.effectiveConfig = Object.fromEntries(
        Object.entries(message.effectiveConfig.configMap?.configMap ?? {}).map(([name, file]) => [
          name,
          Buffer.from(file.body).toString('utf8'),
        ]),
      );
    }
    if (message.customCapabilities !== undefined) {
      const { capabilities } = message.customCapabilities;
      agent.customCapabilities = this.#is('custom-list-grows') ? [...agent.customCapabilities, ...capabilities] : capabilities;
    }
    if (message.remoteConfigStatus !== undefined) this.#storeStatus(agent, message.remoteConfigStatus);
  }

  #storeStatus(agent: KnownAgent, reported: NonNullable<AgentToServer['remoteConfigStatus']>): void {
    const hash = reported.lastRemoteConfigHash;
    const isChange = agent.status !== undefined && !isSameBytes(agent.status.hash, hash);
    if (isChange && !this.#is('offers-only-once')) agent.offered = undefined;
    agent.status = { hash, status: reported.status, error: reported.errorMessage };
    if (reported.status !== CONFIG_STATUS.failed) return;
    if (this.#is('reoffers-failed')) agent.status.hash = new Uint8Array();
    else agent.failed.add(toHex(hash));
  }

  #wantsComponents(agent: KnownAgent, message: AgentToServer): boolean {
    if ((agent.capabilities & AGENT.reportsAvailableComponents) === 0n) return false;
    if (this.#is('components-always-asked')) {
      return Object.keys(message.availableComponents?.components ?? {}).length === 0;
    }
    if (message.availableComponents === undefined) return false;
    const { components, hash } = message.availableComponents;
    if (Object.keys(components).length > 0) this.#components.add(toHex(hash));
    return !this.#components.has(toHex(hash));
  }

  /** Faults that add what nobody asked for. */
  #addUnasked(reply: ServerToAgent, message: AgentToServer): void {
    const extra = create(ServerToAgentSchema, {
      packagesAvailable: { allPackagesHash: Buffer.from('01') },
      connectionSettings: { hash: Buffer.from('01') },
      customCapabilities: { capabilities: [String(message.sequenceNum)] },
    });
    if (this.#is('packages-unasked')) reply.packagesAvailable = extra.packagesAvailable;
    if (this.#is('settings-unasked')) reply.connectionSettings = extra.connectionSettings;
    if (this.#is('custom-capabilities-flicker')) reply.customCapabilities = extra.customCapabilities;
    if (this.#is('chatty-acknowledgement') && message.agentDescription === undefined) {
      reply.connectionSettings = extra.connectionSettings;
    }
  }

  /** Adds what has to be said now: a pending event alone, or an offer. */
  #addDue(agent: KnownAgent, reply: ServerToAgent): ServerToAgent {
    if (this.#is('command-repeated') && agent.commandsSent > 0) agent.pending.push(this.#command(agent.uid));
    const event = agent.pending.shift();
    if (event !== undefined) return event;
    const offer = this.#offer(agent);
    if (offer !== undefined) reply.remoteConfig = offer;
    return reply;
  }

  #offer(agent: KnownAgent) {
    if ((agent.capabilities & AGENT.acceptsRemoteConfig) === 0n && !this.#is('offers-without-bit')) {
      return undefined;
    }
    const wanted = agent.wanted[0];
    if (wanted === undefined) return undefined;
    const { hash } = wanted;
    const isSeen =
      (agent.offered !== undefined && isSameBytes(agent.offered, hash)) ||
      (agent.status !== undefined && isSameBytes(agent.status.hash, hash)) ||
      agent.failed.has(toHex(hash));
    if (isSeen && !this.#is('offers-always')) return undefined;
    agent.offered = this.#is('reoffers-failed') ? undefined : hash;
    if (agent.wanted.length > 1) agent.wanted.shift();
    const entries = Object.entries(wanted.files).map(
      ([name, { body, contentType }]) => [name, { body: Buffer.from(body), contentType }] as const,
    );
    const first = entries[0];
    if (this.#is('one-file-twice') && first !== undefined) entries.push(['copy', first[1]]);
    const configHash = this.#is('no-config-hash') ? new Uint8Array() : hash;
    return create(AgentRemoteConfigSchema, {
      config: { configMap: Object.fromEntries(entries) },
      configHash,
    });
  }

  #rename(agent: KnownAgent): Uint8Array {
    const key = toHex(agent.uid);
    const former = this.#is('new-uid-each-time') ? undefined : this.#given.get(key);
    if (former !== undefined) return former;
    const given = newUid();
    if (this.#is('uuid-v4')) given[6] = 0x40;
    this.#given.set(key, given);
    if (!this.#is('new-uid-unknown')) {
      this.#agents.set(toHex(given), { ...agent, uid: given, isConnected: false, connection: undefined });
      agent.isConnected = false;
      agent.connection = undefined;
    }
    return given;
  }

  #change(uid: Uint8Array, edit: (agent: KnownAgent) => void): Promise<void> {
    const agent = this.#agents.get(toHex(uid));
    if (agent === undefined) return Promise.reject(new ApiRefusedError('change', 404, 'no such agent'));
    try {
      edit(agent);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    const connection = agent.connection;
    if (connection === undefined || this.#is('no-push')) return Promise.resolve();
    const pushes = agent.pending.splice(0);
    const offer = this.#offer(agent);
    if (offer !== undefined) pushes.push(create(ServerToAgentSchema, { instanceUid: uid, remoteConfig: offer }));
    for (const push of pushes) {
      const encoded = this.#encode(push);
      if (encoded.length < this.#maxMessageBytes || this.#is('no-send-limit')) connection.push(encoded);
    }
    return Promise.resolve();
  }

  #command(uid: Uint8Array): ServerToAgent {
    return create(ServerToAgentSchema, {
      instanceUid: uid,
      capabilities: CAPABILITIES,
      command: {},
      ...(this.#is('command-with-config') ? { remoteConfig: { configHash: Buffer.from('01') } } : {}),
    });
  }

  #capabilities(): bigint {
    if (this.#is('no-capabilities')) return 0n;
    if (this.#is('no-status-bit')) return SERVER.offersRemoteConfig;
    if (this.#is('undefined-bit')) return CAPABILITIES | 0x80n;
    if (this.#is('capabilities-change') && this.#messageCount % 2 === 0) return SERVER.acceptsStatus;
    return CAPABILITIES;
  }

  #error(text: string, uid: Uint8Array): ServerToAgent {
    return create(ServerToAgentSchema, {
      instanceUid: uid,
      ...(this.#is('no-error-response')
        ? {}
        : {
            errorResponse: {
              type: this.#is('unknown-error-type') ? ERROR_TYPE.unknown : ERROR_TYPE.badRequest,
              errorMessage: text,
            },
          }),
      ...(this.#is('capabilities-beside-error') ? { capabilities: CAPABILITIES } : {}),
    });
  }

  #encode(reply: ServerToAgent): Uint8Array {
    if (this.#is('foreign-uid') && reply.errorResponse === undefined) reply.instanceUid = newUid();
    const encoded = toBinary(ServerToAgentSchema, reply);
    if (this.#is('repeated-file-names') && reply.remoteConfig !== undefined) {
      // A second map entry with the name of the first one, in a repeated remote_config: readers merge the two.
      const name = Object.keys(reply.remoteConfig.config?.configMap ?? {})[0] ?? '';
      const entry = lengthDelimitedField(1, lengthDelimitedField(1, Buffer.from(name)));
      return Buffer.concat([encoded, lengthDelimitedField(3, lengthDelimitedField(1, entry))]);
    }
    if (encoded.length < this.#maxMessageBytes || this.#is('no-send-limit')) return encoded;
    return toBinary(ServerToAgentSchema, create(ServerToAgentSchema, { instanceUid: reply.instanceUid, capabilities: CAPABILITIES }));
  }

  #hash(files: ConfigFiles): Uint8Array {
    const hash = createHash('sha256');
    const entries = Object.entries(files);
    if (!this.#is('order-dependent-hash')) entries.sort(([left], [right]) => (left < right ? -1 : 1));
    for (const [name, { body, contentType }] of entries) {
      hash.update(this.#is('hash-of-bodies-only') ? body : JSON.stringify([name, contentType, body]));
    }
    return hash.digest();
  }
}

const newAgent = (uid: Uint8Array): KnownAgent => ({
  uid,
  connection: undefined,
  isConnected: false,
  sequenceNum: 0n,
  lastBytes: new Uint8Array(),
  capabilities: 0n,
  attributes: {},
  health: undefined,
  effectiveConfig: undefined,
  status: undefined,
  customCapabilities: [],
  wanted: [],
  offered: undefined,
  failed: new Set(),
  pending: [],
  commandsSent: 0,
});

const attributesOf = (message: AgentToServer): Record<string, string> | undefined => {
  const description = message.agentDescription;
  if (description === undefined) return undefined;
  return Object.fromEntries(
    [...description.identifyingAttributes, ...description.nonIdentifyingAttributes].map(({ key, value }) => [
      key,
      value?.value.case === 'stringValue' ? value.value.value : '',
    ]),
  );
};

/** Whether a message brings every part that its capabilities promise. */
const isComplete = (message: AgentToServer): boolean => {
  const promises = (bit: bigint): boolean => (message.capabilities & bit) !== 0n;
  return (
    message.agentDescription !== undefined &&
    (message.health !== undefined || !promises(AGENT.reportsHealth)) &&
    (message.effectiveConfig !== undefined || !promises(AGENT.reportsEffectiveConfig)) &&
    (message.remoteConfigStatus !== undefined || !promises(AGENT.reportsRemoteConfig))
  );
};
