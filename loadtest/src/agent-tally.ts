/** The bookkeeping behind an agent's record: what it was offered, said and ran, and the server's mistakes. */
import { RemoteConfigStatuses } from '@opamp-gateway/proto/opamp';
import type { AgentRecord, OfferRecord } from './agent-record.ts';
import { type ConfigStatus, NO_STATUS, statusName } from './agent-status.ts';
import type { SimConfig } from './sim-config.ts';

const KEPT_OFFERS = 64;

function addOnce(list: string[], hash: string): void {
  if (!list.includes(hash)) list.push(hash);
}

/** Counts and lists of one agent. */
export class AgentTally {
  connected = false;
  server: string | null = null;
  connects = 0;
  lostConnections = 0;
  connectedAtMs = 0;
  restartCommands = 0;
  fullStateRequests = 0;
  errorResponses = 0;
  sent = 0;
  received = 0;
  unacceptedOffers = 0;
  badMessages = 0;
  #offerCount = 0;
  #emptyMaps = 0;
  #repeatedWhileApplying = 0;
  #reofferedFailed = 0;
  #lastReported: ConfigStatus = NO_STATUS;
  readonly #offers: OfferRecord[] = [];
  readonly #everApplied: string[] = [];
  readonly #appliedAtMs: number[] = [];
  readonly #everFailed: string[] = [];
  readonly #failedAtMs: number[] = [];
  #reportedAtMs = 0;
  readonly #everRan: string[] = [];

  /** What left last. */
  get lastReported(): ConfigStatus {
    return this.#lastReported;
  }

  /** Breaches of the rules, all kinds together. */
  get violations(): number {
    return this.#emptyMaps + this.#repeatedWhileApplying + this.#reofferedFailed + this.unacceptedOffers + this.badMessages;
  }

  /** An offer has arrived while `applying` was under way and `status` was the last one. */
  noteOffer(config: SimConfig, applying: SimConfig | undefined, status: ConfigStatus): void {
    const previous = this.#offers.at(-1)?.hash;
    const hadFailed = status.status === RemoteConfigStatuses.RemoteConfigStatuses_FAILED && status.config === config;
    this.#offerCount += 1;
    if (config.isEmptyMap) this.#emptyMaps += 1;
    if (applying === config) this.#repeatedWhileApplying += 1;
    if (hadFailed && previous === config.hashHex) this.#reofferedFailed += 1;
    this.#offers.push({ hash: config.hashHex, atMs: Date.now() });
    if (this.#offers.length > KEPT_OFFERS) this.#offers.shift();
  }

  /** A status leaves with the next message. */
  noteReported(status: ConfigStatus): void {
    this.#lastReported = status;
    this.#reportedAtMs = Date.now();
    const hash = status.config?.hashHex;
    if (hash === undefined) return;
    if (status.status === RemoteConfigStatuses.RemoteConfigStatuses_APPLIED) {
      addOnce(this.#everApplied, hash);
      if (this.#appliedAtMs.length < this.#everApplied.length) this.#appliedAtMs.push(Date.now());
    }
    if (status.status === RemoteConfigStatuses.RemoteConfigStatuses_FAILED) {
      addOnce(this.#everFailed, hash);
      if (this.#failedAtMs.length < this.#everFailed.length) this.#failedAtMs.push(Date.now());
    }
  }

  /** The collector runs this config. */
  noteRan(config: SimConfig): void {
    addOnce(this.#everRan, config.hashHex);
  }

  /** This side of the record. */
  snapshot(): Omit<
    AgentRecord,
    'index' | 'uid' | 'originUid' | 'profile' | 'transport' | 'attributes' | 'host' | 'running' | 'onDisk' | 'health' | 'crashes'
  > {
    const { status, config, error } = this.#lastReported;
    return {
      connected: this.connected,
      server: this.server,
      lastReported: { status: statusName(status), hash: config?.hashHex ?? null, error },
      offers: [...this.#offers],
      offerCount: this.#offerCount,
      everApplied: [...this.#everApplied],
      appliedAtMs: [...this.#appliedAtMs],
      everFailed: [...this.#everFailed],
      failedAtMs: [...this.#failedAtMs],
      reportedAtMs: this.#reportedAtMs,
      everRan: [...this.#everRan],
      restartCommands: this.restartCommands,
      fullStateRequests: this.fullStateRequests,
      errorResponses: this.errorResponses,
      connects: this.connects,
      lostConnections: this.lostConnections,
      connectedAtMs: this.connectedAtMs,
      messagesSent: this.sent,
      messagesReceived: this.received,
      violations: {
        emptyMaps: this.#emptyMaps,
        repeatedWhileApplying: this.#repeatedWhileApplying,
        reofferedFailed: this.#reofferedFailed,
        unacceptedOffers: this.unacceptedOffers,
        badMessages: this.badMessages,
      },
    };
  }
}
