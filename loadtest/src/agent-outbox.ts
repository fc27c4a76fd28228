/** What an agent has to say, collected until the transport asks for the next message. */
import { AgentCapabilities } from '@opamp-gateway/proto/opamp';
import { type AgentAttributes, encodeDescription } from './agent-attributes.ts';
import type { AgentBehaviour } from './agent-profile.ts';
import { type ConfigStatus, encodeStatus } from './agent-status.ts';
import type { ComponentInventory } from './available-components.ts';
import { encodeHealth } from './health-report.ts';
import { AGENT_FIELD, encodeAgentToServer, type EncodedField } from './opamp-wire.ts';
import type { CollectorHealth } from './sim-collector.ts';

/** Parts of the state that can be pending; combined with `|`. */
export const PART = { description: 1, health: 2, effective: 4, status: 8, packages: 16, componentsHash: 32, componentsFull: 64 } as const;

/** What the first message of a process carries. */
export const FIRST_MESSAGE = PART.description | PART.health | PART.status | PART.packages | PART.componentsHash;

/** What ReportFullState asks for. */
export const FULL_STATE = PART.description | PART.health | PART.effective | PART.status | PART.packages | PART.componentsFull;

const EMPTY = new Uint8Array(0);

/** The state that a message is made of. */
export interface ReportSource {
  readonly instanceUid: Uint8Array;
  readonly behaviour: AgentBehaviour;
  readonly health: CollectorHealth;
  readonly status: ConfigStatus;
  /** An encoded EffectiveConfig. */
  readonly effectiveConfig: Uint8Array;
  readonly attributes: () => AgentAttributes;
}

/** Hears of each status that leaves with a message. */
export interface StatusListener {
  noteReported(status: ConfigStatus): void;
}

/** Pending parts and the sequence number of one supervisor process. */
export class AgentOutbox {
  readonly #components: ComponentInventory;
  readonly #lean: boolean;
  readonly #listener: StatusListener;
  #sequenceNum = 0;
  #pending = 0;

  /** `lean` leaves component trees out. */
  constructor(components: ComponentInventory, lean: boolean, listener: StatusListener) {
    this.#components = components;
    this.#lean = lean;
    this.#listener = listener;
  }

  /** A new process: everything is pending, and the numbers start again. */
  reset(firstSequenceNum: number): void {
    this.#sequenceNum = firstSequenceNum;
    this.#pending = FIRST_MESSAGE;
  }

  add(parts: number): void {
    this.#pending |= parts;
  }

  /** The next message, bare if nothing is pending and `force` is set; spends a sequence number. */
  take(source: ReportSource, force: boolean, prefixBytes: number): Buffer | undefined {
    if (this.#pending === 0 && !force) return undefined;
    const isFull = (this.#pending & PART.packages) !== 0;
    return this.#encode(source, this.#takePending(source), isFull, prefixBytes);
  }

  /** The last message, with `agent_disconnect`. */
  takeGoodbye(source: ReportSource, prefixBytes: number): Buffer {
    return this.#encode(source, [...this.#takePending(source), { field: AGENT_FIELD.agentDisconnect, bytes: EMPTY }], false, prefixBytes);
  }

  #takePending({ behaviour, health, status, effectiveConfig, attributes }: ReportSource): EncodedField[] {
    const parts = this.#pending;
    this.#pending = 0;
    const fields: EncodedField[] = [];
    const has = (capability: AgentCapabilities): boolean => (behaviour.capabilities & capability) !== 0;
    const add = (field: number, bytes: Uint8Array): void => {
      fields.push({ field, bytes });
    };
    if ((parts & PART.description) !== 0) add(AGENT_FIELD.agentDescription, encodeDescription(attributes()));
    if ((parts & PART.health) !== 0 && has(AgentCapabilities.AgentCapabilities_ReportsHealth)) {
      add(AGENT_FIELD.health, encodeHealth(health, !this.#lean));
    }
    if ((parts & PART.effective) !== 0 && has(AgentCapabilities.AgentCapabilities_ReportsEffectiveConfig)) {
      add(AGENT_FIELD.effectiveConfig, effectiveConfig);
    }
    if ((parts & PART.status) !== 0) {
      this.#listener.noteReported(status);
      add(AGENT_FIELD.remoteConfigStatus, encodeStatus(status));
    }
    if ((parts & PART.packages) !== 0) add(AGENT_FIELD.packageStatuses, EMPTY);
    if (has(AgentCapabilities.AgentCapabilities_ReportsAvailableComponents)) {
      if ((parts & PART.componentsFull) !== 0) add(AGENT_FIELD.availableComponents, this.#components.full);
      else if ((parts & PART.componentsHash) !== 0) add(AGENT_FIELD.availableComponents, this.#components.hashOnly);
    }
    return fields;
  }

  #encode({ instanceUid, behaviour }: ReportSource, fields: readonly EncodedField[], isFull: boolean, prefixBytes: number): Buffer {
    const capabilities = behaviour.capabilitiesAlways || isFull ? behaviour.capabilities : 0;
    const message = encodeAgentToServer({ instanceUid, sequenceNum: this.#sequenceNum, capabilities, flags: 0 }, fields, prefixBytes);
    this.#sequenceNum += 1;
    return message;
  }
}
