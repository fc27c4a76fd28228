/** The bookkeeping behind an agent's record: what it was offered, said and ran, and the server's mistakes. */
import { RemoteConfigStatuses } from '@opamp-gateway/proto/opamp';
import type { AgentRecord, OfferRecord } from './agent-record.ts';
import { type ConfigStatus, NO_STATUS, statusName } from './agent-status.ts';
import type { SimConfig } from './sim-config.ts';

const KEPT_OFFERS = 64;

/** Hashes and when each came first: most agents have none or one, and no list of their own before. */
interface Firsts {
  readonly hashes: string[];
  readonly atMs: number[];
}

function withFirst(firsts: Firsts | undefined, hash: string): Firsts {
  if (firsts === undefined) return { hashes: [hash], atMs: [Date.now()] };
  if (!firsts.hashes.includes(hash)) {
    firsts.hashes.push(hash);
    firsts.atMs.push(Date.now());
  }
  return firsts;
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
  #offers: OfferRecord[] | undefined;
  #applied: Firsts | undefined;
  #failed: Firsts | undefined;
  #ran: Firsts | undefined;
  #reportedAtMs = 0;

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
    this.#offers ??= [];
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
    if (status.status === RemoteConfigStatuses.RemoteConfigStatuses_APPLIED) this.#applied = withFirst(this.#applied, hash);
    if (status.status === RemoteConfigStatuses.RemoteConfigStatuses_FAILED) this.#failed = withFirst(this.#failed, hash);
  }

  /** The collector runs this config. */
  noteRan(config: SimConfig): void {
    this.#ran = withFirst(this.#ran, config.hashHex);
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
      offers: [...(this.#offers ?? [])],
      offerCount: this.#offerCount,
      everApplied: [...(this.#applied?.hashes ?? [])],
      appliedAtMs: [...(this.#applied?.atMs ?? [])],
      everFailed: [...(this.#failed?.hashes ?? [])],
      failedAtMs: [...(this.#failed?.atMs ?? [])],
      reportedAtMs: this.#reportedAtMs,
      everRan: [...(this.#ran?.hashes ?? [])],
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
