import type { AddressInfo } from 'node:net';
import { systemClock } from '@opamp-gateway/shared/clock';
import type { Clock } from '@opamp-gateway/shared/clock';
import { ConfigurationError, toError } from '@opamp-gateway/shared/errors';
import { createService, ReleaserStack } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import { createLogger } from '@opamp-gateway/shared/logger';
import type { Logger } from '@opamp-gateway/shared/logger';
import { createMetrics } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';
import { addressOf, closeRedis, createRedis, onStoreReplaced, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { openTracer } from '@opamp-gateway/shared/tracing';
import type { RedisClient, RedisRole } from '@opamp-gateway/shared/redis/client';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import type { FastifyInstance } from 'fastify';
import { startAdminServer } from './admin-server.ts';
import type { AdminServer } from './admin-server.ts';
import { createAlertDispatcher } from './alerts/alert-dispatcher.ts';
import { NO_TARGETS, openAlertTargets } from './alerts/alert-targets.ts';
import type { AlertTargets } from './alerts/alert-targets.ts';
import { sendWebhook } from './alerts/webhook-sender.ts';
import { createOidcVerifier } from './access/oidc.ts';
import { createApiServer } from './api/api-server.ts';
import { createAgentReader } from './bus/agent-reader.ts';
import { createCommandBus } from './bus/command-bus.ts';
import { createFleetHistory } from './bus/fleet-history.ts';
import { createRetention } from './bus/retention.ts';
import type { CoordinatorConfig } from './config.ts';
import { createCoordinatorEvents } from './events.ts';
import { createFleetWatch } from './fleet-watch.ts';
import { createQueueReader } from './queue/queue-reader.ts';
import { createGroupCheck } from './group-check.ts';
import { EffectiveConfigObserver } from './effective-config-observer.ts';
import { createRolloutStack } from './rollout-stack.ts';
import { createAgentTokenStore } from './stores/agent-token-store.ts';
import { createAlertStore } from './stores/alert-store.ts';
import { createAuditLog } from './stores/audit-log.ts';
import { createBackupStore } from './stores/backup/backup-store.ts';
import { createConfigStore } from './stores/config-store.ts';
import { createGroupStore } from './stores/group-store.ts';
import { createRolloutOverview } from './stores/rollout-overview.ts';
import { createReplicaWait } from './stores/replica-wait.ts';
import { checkStore, ensureMeta } from './stores/store-check.ts';
import { openTokenFile } from './stores/token-file.ts';
import type { TokenFile } from './stores/token-file.ts';
import { validateConfigFiles } from './validation/collector-config.ts';

/** What tests replace. */
export interface CoordinatorOverrides {
  logger?: Logger;
  clock?: Clock;
  metrics?: Metrics;
}

/** One coordinator: the API, the rollout engine and the admin endpoints, on one Redis. */
export interface Coordinator extends Service {
  readonly id: string;
  /** Base of the REST API without `/api/v1`, known once started. */
  readonly apiUrl: string;
  readonly adminUrl: string;
}

/** Interval at which the token file is looked at, and at which missing meta fields are written again. */
const HOUSEKEEPING_MS = 5000;

const DAY_SECONDS = 86_400;

/** Requests in flight may take this long at shutdown before their connections are cut. */
const CLOSE_TIMEOUT_MS = 2000;

/**
 * Builds a coordinator. Nothing is opened before `start`, which rejects with a ConfigurationError when the setup cannot work
 * (exit code 78) and with an UnavailableError when Redis cannot be reached in time (exit code 1).
 */
export function createCoordinator(config: CoordinatorConfig, overrides: CoordinatorOverrides = {}): Coordinator {
  const logger =
    overrides.logger ?? createLogger({ level: config.logLevel, name: 'opamp-coordinator', bindings: { coordinator: config.id } });
  const clock = overrides.clock ?? systemClock;
  const open = new ReleaserStack();
  let notReady: string | undefined = 'starting';
  let apiUrl: string | undefined;
  let admin: AdminServer | undefined;

  const start = async (): Promise<void> => {
    const tokens = openTokens(config);
    const targets = openTargets(config);
    const oidc = config.oidc === undefined ? undefined : createOidcVerifier(config.oidc);
    const metrics = overrides.metrics ?? createMetrics('opamp_coordinator');
    open.push('metrics', () => metrics.close());
    const events = createCoordinatorEvents({ metrics, logger, isRedisUp: () => client.status === 'ready' });
    const tracer = await openTracer(config.tracing, { service: 'opamp-coordinator', instance: config.id, logger });
    open.push('traces', () => tracer.close());
    const keys = createKeys(config.keyPrefix);
    const connect = (role: RedisRole): RedisClient => {
      const connection = createRedis(config.redisUrl, role, logger, config.redisTls);
      open.push(`redis ${role}`, () => closeRedis(connection));
      return connection;
    };

    const client = connect('command');
    admin = await openAdmin(
      config,
      metrics,
      () => notReady ?? (client.status === 'ready' ? undefined : `Redis at ${addressOf(client)} is not reachable`),
    );
    const adminServer = admin;
    open.push('admin server', () => adminServer.close());

    await waitUntilReady(client, config.redisWaitMs);
    for (const warning of await checkStore(client, keys)) logger.warn({ warning }, 'redis could not be checked completely');
    await ensureMeta(client, keys);
    // A failover may lead to a server that is set up in another way. Leaving would help nobody; the log says what to do.
    onStoreReplaced(client, () => {
      checkStore(client, keys).catch((error: unknown) => {
        if (error instanceof ConfigurationError) logger.error({ problems: error.problems }, 'redis is not set up as it must be');
        else logger.debug({ err: error }, 'redis could not be checked again');
      });
    });

    const subscriber = connect('subscriber');
    const commands = createCommandBus({
      client,
      subscriber,
      keys,
      coordinatorId: config.id,
      logger,
      clock,
      timeoutMs: config.commandTimeoutMs,
      onOutcome: events.onCommand,
    });
    await waitUntilReady(subscriber, config.redisWaitMs);
    open.push('command bus', () => commands.stop());
    await commands.start();

    const replicas = createReplicaWait({ client, keys, minReplicas: config.minReplicas });
    const audit = createAuditLog({ client, keys });
    const queues = config.queue ? { producer: connect('producer'), worker: connect('worker') } : undefined;
    // BullMQ uses the producer's connection when the queue is made; one that was not ready then fails every later job.
    if (queues !== undefined) await waitUntilReady(queues.producer, config.redisWaitMs);
    const configs = createConfigStore({ client, keys, replicas });
    const agents = createAgentReader({ client, keys, encryption: config.encryption });
    const observer = new EffectiveConfigObserver({ client, keys, agents, configs, logger });
    open.push('observer', () => observer.stop());
    const stack = createRolloutStack({
      observer,
      check: createGroupCheck({ configs, agents, validate: validateConfigFiles }),
      leaseMs: config.graceMs,
      lagHoldMs: config.lagHoldMs,
      fleetBreakerMs: config.fleetBreakerMs,
      gates: config.gates,
      onGateAnswer: events.onGateAnswer,
      client,
      queues,
      keys,
      clock,
      logger,
      sweepMs: config.sweepMs,
      minReplicas: config.minReplicas,
      tracer,
      endedTtlSeconds: config.retentionDays.rollouts * DAY_SECONDS,
      onGatewayGone: (_gateway, agents) => events.onGatewayGone(agents),
      onTrailingHeld: () => events.onTrailingHeld(),
      onEvent: (event) => events.onRolloutEvent(event.type),
      onLook: events.onRolloutLook,
      onJob: (job) => {
        events.onJob(job.outcome);
        if (job.outcome !== 'created') return;
        const entry = { actor: `queue/${job.id}`, action: 'rollout.create', target: `rollout/${job.rollout ?? ''}`, detail: {} };
        audit.append(entry).catch((error: unknown) => logger.warn({ err: error, job: job.id }, 'audit entry was lost'));
      },
    });
    open.push('rollouts', () => stack.stop());
    await stack.start();

    const alerts = createAlertStore({ client, keys, coordinator: config.id });
    const dispatcher = createAlertDispatcher({
      store: alerts,
      targets,
      send: sendWebhook,
      clock,
      logger,
      tickMs: config.sweepMs,
      onAttempt: events.onAlertAttempt,
    });
    open.push('alerts', () => dispatcher.stop());
    await dispatcher.start();

    const queueReader =
      queues === undefined
        ? undefined
        : createQueueReader({ producer: queues.producer, keys, onError: (error) => logger.debug({ err: error }, 'queue reader error') });
    if (queueReader !== undefined) open.push('queue reader', () => queueReader.stop());
    const watch = createFleetWatch({
      agents,
      gateways: stack.gateways,
      overview: createRolloutOverview({ client, keys }),
      fleet: stack.fleet,
      alerts,
      queues: queueReader,
      failedRate: config.failedRate,
      clock,
      logger,
      intervalMs: config.fleetWatchMs,
      onSnapshot: events.onFleet,
    });
    open.push('fleet watch', () => watch.stop());
    await watch.start();

    const retention = createRetention({ client, keys, audit, clock, logger, days: config.retentionDays, onExpired: events.onExpired });
    open.push('retention', () => retention.stop());
    await retention.start();
    const history = createFleetHistory({ client, keys, clock, logger, agents, gateways: stack.gateways });
    open.push('history', () => history.stop());
    await history.start();
    const housekeeping = clock.every(HOUSEKEEPING_MS, () => {
      refreshTokens(tokens, events);
      refreshTargets(targets, events);
      // An emptied store gets a new incarnation, by which gateways notice.
      if (client.status === 'ready')
        ensureMeta(client, keys).catch((error: unknown) => logger.debug({ err: error }, 'meta could not be written'));
    });
    open.push('housekeeping', () => housekeeping.cancel());

    const api = await createApiServer({
      tracer,
      configs,
      groups: createGroupStore({ client, keys, replicas }),
      audit,
      backups: createBackupStore({ client, keys, replicas }),
      agents,
      commands,
      rollouts: stack.rollouts,
      agentTokens: createAgentTokenStore({ client, keys, replicas }),
      publicEndpoint: config.publicEndpoint,
      gateways: stack.gateways,
      history,
      alerts: {
        store: alerts,
        targets: () =>
          targets.list().map(({ name, url, minSeverity, types }) => ({ name, host: new URL(url).host, minSeverity, types: types ?? null })),
      },
      validate: validateConfigFiles,
      logger,
      tokens,
      oidc,
      requestsPerSecond: config.requestsPerSecond,
      trustedProxies: config.trustedProxies,
      onAuthFailure: events.onAuthFailure,
      onAnswer: events.onAnswer,
    });
    open.push('api', () => closeApi(api));
    await listen(api, config);
    apiUrl = urlOf(api, config.host);
    notReady = undefined;
    logger.info(
      { apiUrl, adminUrl: admin.url, redis: addressOf(client), authenticated: tokens !== undefined || oidc !== undefined },
      'coordinator is running',
    );
    // Without its keys nobody's token can be checked; they are fetched again when they are needed.
    oidc?.prepare().catch((error: unknown) => logger.warn({ err: error }, 'the keys of the OIDC issuer could not be read yet'));
  };

  const service = createService({
    name: 'coordinator',
    start,
    async drain() {
      notReady = 'shutting down';
    },
    async stop() {
      notReady = 'shutting down';
      await open.releaseAll();
      logger.info('coordinator has stopped');
    },
  });

  return {
    ...service,
    id: config.id,
    get apiUrl() {
      return started(apiUrl);
    },
    get adminUrl() {
      return started(admin?.url);
    },
  };
}

function started<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the coordinator has not been started');
  return value;
}

function openTokens(config: CoordinatorConfig): TokenFile | undefined {
  if (config.apiTokensFile === undefined) return undefined;
  try {
    return openTokenFile(config.apiTokensFile);
  } catch (error) {
    throw new ConfigurationError([`OPAMP_API_TOKENS_FILE: ${toError(error).message}`], { cause: error });
  }
}

function openTargets(config: CoordinatorConfig): AlertTargets {
  if (config.alertsFile === undefined) return NO_TARGETS;
  try {
    return openAlertTargets(config.alertsFile);
  } catch (error) {
    throw new ConfigurationError([`OPAMP_ALERTS_FILE: ${toError(error).message}`], { cause: error });
  }
}

function refreshTargets(targets: AlertTargets, events: ReturnType<typeof createCoordinatorEvents>): void {
  try {
    if (targets.refresh()) events.onAlertTargetsChanged(targets.list().length);
  } catch (error) {
    events.onAlertTargetsUnreadable(toError(error));
  }
}

function refreshTokens(tokens: TokenFile | undefined, events: ReturnType<typeof createCoordinatorEvents>): void {
  try {
    if (tokens?.refresh() === true) events.onTokensChanged();
  } catch (error) {
    events.onTokensUnreadable(toError(error));
  }
}

async function openAdmin(config: CoordinatorConfig, metrics: Metrics, notReadyBecause: () => string | undefined): Promise<AdminServer> {
  const { adminHost: host, adminPort: port } = config;
  try {
    return await startAdminServer({ host, port, metrics, notReadyBecause });
  } catch (error) {
    throw new ConfigurationError([`the admin endpoints cannot listen on ${host}:${port}: ${toError(error).message}`], { cause: error });
  }
}

async function listen(server: FastifyInstance, { host, port }: CoordinatorConfig): Promise<void> {
  try {
    await server.listen({ host, port });
  } catch (error) {
    throw new ConfigurationError([`the API cannot listen on ${host}:${port}: ${toError(error).message}`], { cause: error });
  }
}

function urlOf(server: FastifyInstance, host: string): string {
  const { port } = server.server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Streams end themselves; requests in flight get their answer, unless they take too long. */
async function closeApi(server: FastifyInstance): Promise<void> {
  const timer = setTimeout(() => server.server.closeAllConnections(), CLOSE_TIMEOUT_MS);
  try {
    await server.close();
  } finally {
    clearTimeout(timer);
  }
}
