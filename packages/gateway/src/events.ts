import type { Logger } from '@opamp-gateway/shared/logger';
import { createMetrics } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';
import type { RolloutTraces } from './rollout-traces.ts';

/** What a gateway is asked for with each reading of its metrics. */
export interface GatewayGauges {
  connections(): number;
  exchanges(): number;
  connectionsLimit(): number;
  agents(): number;
  unhealthy(): number;
  dirty(): number;
  waitingOffers(): number;
  claiming(): number;
  generation(): number;
  holdsLease(): boolean;
  redisUp(): boolean;
}

/** Refusals that have a series from the start: an alert on the first of them needs the 0 before it. */
const REJECTIONS = ['not_ready', 'max_connections', 'connect_rate', 'unauthorized'] as const;

/**
 * One function per business event: the counter and the log line. Ids stand in log fields and never become labels.
 * Each gateway has a registry of its own, so that two of them in one process do not meet.
 */
export class GatewayEvents {
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Set while traces are made. */
  traces: RolloutTraces | undefined;
  readonly #messages;
  readonly #webSocketMessages;
  readonly #offers;
  readonly #statuses;
  readonly #rejected;
  readonly #flushes;
  readonly #flushErrors;
  readonly #flushedAgents;
  readonly #fullStates;
  readonly #oversizeOffers;
  readonly #duplicates;
  readonly #takeovers;
  readonly #closed;
  readonly #stale;
  readonly #leaseLost;
  readonly #principalsEnded;
  readonly #forwardingIgnored;
  readonly #certificates;

  constructor(logger: Logger) {
    this.logger = logger;
    this.metrics = createMetrics('opamp_gateway');
    const { metrics } = this;
    this.#messages = metrics.counter('messages_total', { help: 'AgentToServer messages read', labels: ['transport'] });
    this.#webSocketMessages = this.#messages.labels('ws');
    this.#offers = metrics.counter('offers_total', { help: 'Remote config offers sent', labels: ['kind'] });
    this.#statuses = metrics.counter('config_statuses_total', { help: 'Remote config statuses received', labels: ['status'] });
    this.#rejected = metrics.counter('rejected_total', { help: 'Messages and connections refused', labels: ['reason'] });
    this.#flushes = metrics.counter('flushes_total', { help: 'Batches of agent state written to Redis' });
    this.#flushErrors = metrics.counter('flush_errors_total', { help: 'Batches that Redis did not take; they are repeated' });
    this.#flushedAgents = metrics.counter('flushed_agents_total', { help: 'Agents written to Redis' });
    this.#fullStates = metrics.counter('full_state_requests_total', { help: 'ReportFullState flags sent' });
    this.#oversizeOffers = metrics.counter('oversize_offers_total', { help: 'Offers not sent because they exceed the message size limit' });
    this.#duplicates = metrics.counter('duplicate_uids_total', { help: 'Agents given a new instance uid because two shared one' });
    this.#takeovers = metrics.counter('takeovers_total', { help: 'Agents taken over from another connection', labels: ['from'] });
    this.#closed = metrics.counter('connections_closed_total', { help: 'WebSocket connections that ended', labels: ['by'] });
    this.#stale = metrics.counter('stale_statuses_total', { help: 'Statuses that name another hash than the one offered' });
    for (const reason of REJECTIONS) this.#rejected.inc({ reason }, 0);
    this.#principalsEnded = metrics.counter('credentials_ended_connections_total', {
      help: 'Connections closed because their credential was revoked or has expired',
      labels: ['why'],
    });
    this.#forwardingIgnored = metrics.counter('forwarding_ignored_total', {
      help: 'Requests that claimed to come through a proxy that is not trusted; what they said was ignored',
    });
    this.#certificates = metrics.counter('certificate_reads_total', {
      help: 'Times the certificate files had changed',
      labels: ['outcome'],
    });
    this.#leaseLost = metrics.counter('lease_lost_total', { help: 'Times this gateway found its lease gone' });
  }

  /** Adds the gauges of one gateway; called once. */
  show(of: GatewayGauges): void {
    const gauge = (name: string, help: string, read: () => number): void => {
      this.metrics.gauge(name, { help, collect: (metric) => metric.set(read()) });
    };
    gauge('connections', 'Open WebSocket connections', of.connections);
    gauge('exchanges', 'HTTP exchanges under way', of.exchanges);
    gauge('connections_limit', 'WebSocket connections and HTTP exchanges that this gateway takes at one time', of.connectionsLimit);
    gauge('agents', 'Agents connected over WebSocket', of.agents);
    gauge('unhealthy_agents', 'Connected agents that report themselves unhealthy', of.unhealthy);
    gauge('dirty_agents', 'Agents whose newest state Redis does not have yet', of.dirty);
    gauge('waiting_offers', 'Offers that are due and wait for pacing', of.waitingOffers);
    gauge('claiming_agents', 'Agents whose record is being claimed', of.claiming);
    gauge('spec_generation', 'Generation of the fleet spec that this gateway has', of.generation);
    gauge('lease_held', 'Whether this gateway holds its lease', () => Number(of.holdsLease()));
    gauge('redis_up', 'Whether this gateway reaches Redis', () => Number(of.redisUp()));
  }

  messageRead(transport: 'ws' | 'http'): void {
    if (transport === 'ws') this.#webSocketMessages.inc();
    else this.#messages.inc({ transport });
  }

  offerSent(kind: string, uid: string, hash: string): void {
    this.#offers.inc({ kind });
    this.traces?.offered(uid, hash, kind);
    this.logger.debug({ uid, hash, kind }, 'config offered');
  }

  offerTooBig(hash: string, bytes: number, limitBytes: number): void {
    this.#oversizeOffers.inc();
    this.logger.error({ hash, bytes, limitBytes }, 'config is over the message size limit and is not offered');
  }

  statusReported(status: string, uid: string, hash: string, error: string): void {
    this.#statuses.inc({ status });
    if (status === 'APPLIED' || status === 'FAILED') this.traces?.answered(uid, hash, status, error);
    if (status === 'FAILED') this.logger.info({ uid, hash, error: error.slice(0, 300) }, 'agent reports FAILED');
    else this.logger.debug({ uid, hash, status }, 'agent reports a config status');
  }

  staleStatus(uid: string, hash: string): void {
    this.#stale.inc();
    this.logger.debug({ uid, hash }, 'status for another hash than the one offered');
  }

  rejected(reason: string, detail: Readonly<Record<string, unknown>> = {}): void {
    this.#rejected.inc({ reason });
    this.logger.debug({ reason, ...detail }, 'refused');
  }

  flushed(agents: number): void {
    this.#flushes.inc();
    this.#flushedAgents.inc(agents);
  }

  flushFailed(error: Error, agents: number): void {
    this.#flushErrors.inc();
    this.logger.warn({ error: error.message, agents }, 'Redis did not take a batch, it will be repeated');
  }

  writesLost(agents: number): void {
    if (agents > 0) this.logger.error({ agents }, 'stopped before Redis had the state of all agents');
  }

  fullStateRequested(): void {
    this.#fullStates.inc();
  }

  duplicateFound(uid: string, given: string): void {
    this.#duplicates.inc();
    this.logger.warn({ uid, given }, 'two live agents share one instance uid, one of them gets another');
  }

  takenOver(from: 'gateway' | 'connection'): void {
    this.#takeovers.inc({ from });
  }

  connectionClosed(by: 'agent' | 'server' | 'silence' | 'stalled'): void {
    this.#closed.inc({ by });
  }

  principalEnded(credential: string, why: string, connections: number): void {
    this.#principalsEnded.inc({ why }, connections);
    this.logger.info({ credential, why, connections }, 'connections are closed: their credential is no longer good');
  }

  forwardingIgnored(from: string): void {
    this.#forwardingIgnored.inc();
    this.logger.debug({ from }, 'forwarding headers of a hop that is not trusted were ignored');
  }

  certificatesRead(): void {
    this.#certificates.inc({ outcome: 'used' });
    this.logger.info('new certificates are in use for new connections');
  }

  certificatesUnusable(error: Error): void {
    this.#certificates.inc({ outcome: 'refused' });
    this.logger.error({ error: error.message }, 'changed certificate files cannot be used, the former ones stay in force');
  }

  leaseLost(): void {
    this.#leaseLost.inc();
    this.logger.warn('lease was gone, claiming all sessions again');
  }
}
