import type { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { tokenProblem } from '@opamp-gateway/shared/agent-token';
import type { AgentToken } from '@opamp-gateway/shared/agent-token';
import { systemClock } from '@opamp-gateway/shared/clock';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import { createLogger } from '@opamp-gateway/shared/logger';
import type { Logger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, onStoreReplaced, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { createKeys, SCHEMA_VERSION } from '@opamp-gateway/shared/redis/keys';
import { NO_TRACER, openTracer } from '@opamp-gateway/shared/tracing';
import type { Tracer } from '@opamp-gateway/shared/tracing';
import { AdminServer } from './admin-server.ts';
import { Authenticator } from './authenticator.ts';
import { RedisAgentRecords } from './bus/agent-records.ts';
import { CommandChannel } from './bus/command-channel.ts';
import type { GatewayCommand } from './bus/command-channel.ts';
import { RedisComponentStore } from './bus/component-store.ts';
import { EditWatch } from './bus/edit-watch.ts';
import { GatewayLease } from './bus/gateway-lease.ts';
import { specIdentity, SpecReplica } from './bus/spec-replica.ts';
import { StatusWriter } from './bus/status-writer.ts';
import { TokenReplica } from './bus/token-replica.ts';
import { readAuthorities } from './client-authorities.ts';
import { CLOSE_REASONS } from './close-reasons.ts';
import { allowLongHeaders } from './config.ts';
import type { GatewayConfig } from './config.ts';
import { drainConnections } from './drain.ts';
import { GatewayEvents } from './events.ts';
import { OrderDesk } from './orders.ts';
import { plainPrincipal, principalOf } from './principal.ts';
import { remoteConfigField } from './protocol/replies.ts';
import { RolloutTraces } from './rollout-traces.ts';
import { SessionManager } from './session/session-manager.ts';
import { SpecEvaluator } from './session/spec-evaluator.ts';
import { openStaticTokens } from './static-tokens.ts';
import type { StaticTokens } from './static-tokens.ts';
import { AdmissionControl } from './transport/admission.ts';
import { PeerReader } from './transport/peer.ts';
import { WebSocketServer } from './transport/websocket-server.ts';

/** Version of this release, as leases show it. */
export const VERSION = '0.1.0';

/** What tests replace. */
export interface GatewayOverrides {
  logger?: Logger;
  clock?: Clock;
}

/** A gateway: holds agents' sessions, knows nothing that Redis does not know. */
export interface Gateway extends Service {
  readonly id: string;
  /** Port for agents, once started. */
  readonly port: number;
  readonly adminPort: number;
  readonly events: GatewayEvents;
}

const REDIS_START_MS = 10_000;
const CLAIM_RELEASE_WAIT_MS = 250;
const FLUSH_BATCH = 200;
/** Most flushes under way; each gateway has its share of a Redis that everybody waits for. */
const FLUSHES_IN_FLIGHT = 4;
const SPEC_CACHE_BYTES = 256 * 1024 * 1024;
const EDIT_POLL_MS = 15_000;
const DESK_TICK_MS = 100;
const STOP_FLUSH_MS = 3_000;
const STOP_CLAIMS_MS = 1_000;
const STOP_POLL_MS = 20;
const TOKEN_CACHE_ENTRIES = 100_000;
const FILE_LOOK_MS = 5_000;

/** Builds a gateway from top to bottom. Nothing is opened before `start`. */
export function createGateway(config: GatewayConfig, overrides: GatewayOverrides = {}): Gateway {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ level: config.logLevel, name: 'opamp-gateway', bindings: { gateway: config.id } });
  const events = new GatewayEvents(logger);
  const keys = createKeys(config.keyPrefix);
  const startedAtMs = clock.nowMs();

  let redis: ReturnType<typeof createRedis>;
  /** Of the lease alone: a renewal must not wait behind batches until the lease is over. */
  let leaseRedis: ReturnType<typeof createRedis>;
  let subscriber: ReturnType<typeof createRedis>;
  let server: WebSocketServer;
  let admin: AdminServer;
  let lease: GatewayLease;
  let orders: OrderDesk;
  let writer: StatusWriter;
  let replica: SpecReplica;
  let tokens: TokenReplica;
  let fileTokens: StaticTokens | undefined;
  let authorities: readonly X509Certificate[] = [];
  let manager: SessionManager;
  let tracer: Tracer = NO_TRACER;
  let timers: ClockTimer[] = [];
  /** Rollouts with offers that waited at the last tick; a change is published, for the coordinator waits for it. */
  let waitingRollouts = '';
  let state: 'starting' | 'serving' | 'draining' | 'stopped' = 'starting';

  const problems = (): string[] => {
    const list: string[] = [];
    if (state !== 'serving') list.push(`the gateway is ${state}`);
    if (orders?.draining) list.push('the gateway was told to drain');
    if (redis?.status !== 'ready') list.push('Redis is not reachable');
    return list;
  };

  const build = (): void => {
    redis = createRedis(config.redisUrl, 'command', logger, config.redisTls);
    leaseRedis = createRedis(config.redisUrl, 'command', logger, config.redisTls);
    subscriber = createRedis(config.redisUrl, 'subscriber', logger, config.redisTls);
    writer = new StatusWriter({
      redis,
      keys,
      gatewayId: config.id,
      clock,
      events,
      encryption: config.encryption,
      flushIntervalMs: config.flushIntervalMs,
      batchSize: FLUSH_BATCH,
      callsInFlight: FLUSHES_IN_FLIGHT,
      callbacks: {
        onWritten: (session, write, rows) => manager.written(session, write, rows),
        onFenced: (session, write, owner) => manager.fenced(session, write, owner),
        onDelayed: (session) => manager.delayed(session),
      },
    });
    const channel = new CommandChannel({
      redis,
      subscriber,
      keys,
      logger,
      gatewayId: config.id,
      onSpecLook: () => void replica.look(),
      onTokensLook: () => void tokens.look(),
      onCommand: (command) => {
        handleCommand(command).catch((thrown: unknown) =>
          logger.warn({ err: toError(thrown) }, 'command to this gateway could not be carried out'),
        );
      },
      onSubscribed: () => {
        void replica.look();
        void edits.lookEverywhere();
        void tokens.look();
      },
    });
    const records = new RedisAgentRecords({
      redis,
      keys,
      clock,
      gatewayId: config.id,
      httpSilenceMs: config.httpSilenceMs,
      releaseWaitMs: CLAIM_RELEASE_WAIT_MS,
      requestRelease: (owner, uid) =>
        channel.publish(keys.channelGateway(owner), { type: 'release', uid, replyTo: keys.channelGateway(config.id) }),
    });
    replica = new SpecReplica({
      redis,
      keys,
      clock,
      logger,
      pollMs: config.specPollMs,
      cacheBytes: SPEC_CACHE_BYTES,
      encode: remoteConfigField,
      onSpec: (spec) => {
        events.traces?.begin(spec);
        void evaluator.evaluateAll(spec);
      },
      onBlob: () => manager.desk.tick(),
    });
    manager = new SessionManager({
      gatewayId: config.id,
      clock,
      events,
      spec: replica,
      records,
      writer,
      components: new RedisComponentStore({ redis, keys, clock, logger }),
      maxMessageBytes: config.maxMessageBytes,
      offerRate: config.offerRate,
      windowOffers: config.offerWindow,
      windowBytes: config.offerWindowBytes,
      fullStateRate: config.fullStateRate,
      fullStateIntervalMs: config.fullStateIntervalMs,
      heartbeatIntervalMs: config.heartbeatIntervalMs,
      degradedAfterMs: config.degradedAfterMs,
      retryAfterMs: config.retryAfterSeconds * 1000,
      keepEffective: config.keepEffective,
      customCapabilities: config.customCapabilities,
      mayOffer: () => lease.held && replica.loaded,
      liveGateways: () => lease.liveGateways,
      draining: () => state !== 'serving' || orders.draining,
      onCustomMessage: (uid, message) => {
        void channel.publish(keys.channelCustomMessages, {
          uid,
          capability: message.capability,
          messageType: message.type,
          dataBase64: Buffer.from(message.data).toString('base64'),
        });
      },
    });
    const evaluator = new SpecEvaluator({
      registry: manager.registry,
      desk: manager.desk,
      barrier: () => writer.barrier(),
      identity: specIdentity,
      onObserved: () => {
        lease.publishSoon();
        events.traces?.observed(Number(evaluator.observed.split(':', 1)[0]));
      },
    });
    const edits = new EditWatch({
      redis,
      keys,
      logger,
      holds: (uid) => manager.registry.owner(uid) !== undefined,
      onEdited: (uid, edit) => manager.edited(uid, edit),
    });
    orders = new OrderDesk({ clock, logger, connections: () => server.connections(), onChanged: () => lease.publishSoon() });
    lease = new GatewayLease({
      redis: leaseRedis,
      keys,
      clock,
      logger,
      gatewayId: config.id,
      leaseMs: config.leaseMs,
      renewMs: config.leaseRenewMs,
      info: () => ({
        address: config.advertise === '' ? `${hostname()}:${server.port}` : config.advertise,
        version: VERSION,
        draining: state === 'draining' || orders.draining,
        observed: evaluator.observed,
        evaluated: evaluator.evaluated,
        backlog: manager.desk.backlog(),
        connected: manager.registry.size,
        unhealthy: manager.unhealthy,
        startedAtMs,
        trailing: manager.desk.trailing(),
      }),
      onTold: (told) => {
        if (state === 'serving') orders.follow(told);
      },
      onLost: async () => {
        events.leaseLost();
        await replica.look();
        manager.reclaimAll();
      },
    });
    if (config.agentAuth === 'token' && config.agentTokensFile !== undefined) fileTokens = openStaticTokens(config.agentTokensFile);
    if (config.clientCaFile !== undefined) authorities = readAuthorities(config.clientCaFile);
    tokens = new TokenReplica({
      redis,
      keys,
      clock,
      logger,
      pollMs: config.specPollMs,
      cacheEntries: TOKEN_CACHE_ENTRIES,
      inUse: () => server.principalsInUse(),
      onChanged: credentialChanged,
    });
    const authenticator = new Authenticator({
      mode: config.agentAuth,
      staticTokens: () => fileTokens?.tokens ?? [],
      tokens,
      clientCas: () => authorities,
      nowMs: () => clock.nowMs(),
    });
    const admission = new AdmissionControl({
      maxConnections: config.maxConnections,
      connectRate: config.connectRate,
      mostRetryAfterSeconds: config.retryAfterSeconds,
      loading: () => manager.claiming,
      maxPerAddress: config.maxConnectionsPerAddress,
      ratePerAddress: config.connectRatePerAddress,
      authenticate: (credentials) => authenticator.check(credentials),
      ready: () => problems().length === 0,
      nowMs: () => clock.nowMs(),
    });
    server = new WebSocketServer({
      host: config.host,
      port: config.port,
      path: config.path,
      clock,
      events,
      admission,
      peers: new PeerReader(config.peers),
      tls: config.tls,
      maxMessageBytes: config.maxMessageBytes,
      maxBackpressureBytes: Math.min(config.maxMessageBytes + 64 * 1024, 0x7fffffff),
      pingIntervalMs: config.pingIntervalMs,
      pongTimeoutMs: config.pongTimeoutMs,
      identifyTimeoutMs: config.identifyTimeoutMs,
      onMessage: (outlet, bytes) => manager.handleWebSocketMessage(outlet, bytes),
      onHttpBody: (outlet, bytes) => manager.handleHttpBody(outlet, bytes),
      onClosed: (outlet) => manager.outletClosed(outlet),
      onPrincipalChanged: (outlet) => manager.principalChanged(outlet),
    });
    admin = new AdminServer({ host: config.adminHost, port: config.adminPort, metrics: events.metrics, problems });
    events.show({
      connections: () => admission.connections,
      exchanges: () => admission.exchanges,
      connectionsLimit: () => config.maxConnections,
      agents: () => manager.registry.size,
      unhealthy: () => manager.unhealthy,
      dirty: () => writer.dirtyCount,
      waitingOffers: () => manager.desk.waiting.size,
      claiming: () => manager.claiming,
      generation: () => replica.spec.generation,
      holdsLease: () => lease.held,
      redisUp: () => redis.status === 'ready',
    });

    const handleCommand = async (command: GatewayCommand): Promise<void> => {
      switch (command.type) {
        case 'release':
          try {
            await manager.release(command.uid);
            await channel.publish(command.replyTo, { type: 'released', uid: command.uid });
          } catch (thrown) {
            logger.warn({ uid: command.uid, error: toError(thrown).message }, 'cannot release an agent');
          }
          break;
        case 'released':
          records.onReleased(command.uid);
          break;
        case 'edited':
          await edits.look(command.shard);
          break;
        case 'told':
          lease.publishSoon();
          break;
        case 'restart':
          await channel.publish(command.replyTo, answer(command.requestId, manager.commands.restart(command.uid)));
          break;
        case 'custom-message': {
          const data = Buffer.from(command.dataBase64, 'base64');
          const outcome = manager.commands.sendCustomMessage(command.uid, {
            capability: command.capability,
            type: command.messageType,
            data,
          });
          await channel.publish(command.replyTo, answer(command.requestId, outcome));
          break;
        }
      }
    };

    startParts = async () => {
      await waitUntilReady(redis, REDIS_START_MS);
      await waitUntilReady(leaseRedis, REDIS_START_MS);
      await waitUntilReady(subscriber, REDIS_START_MS);
      await refuseNewerSchema();
      // After every reconnect or failover all sessions are written again: what it lost was acknowledged once.
      onStoreReplaced(redis, () => {
        manager.rewriteAll();
        void replica.look();
        tokens.forgetAll();
        void tokens.look();
      });
      onStoreReplaced(leaseRedis, () => void lease.renew());
      await channel.start();
      await replica.start();
      await tokens.start();
      await edits.lookEverywhere();
      await admin.listen();
      await server.listen();
      await lease.start();
      void evaluator.evaluateAll(replica.spec);
      state = 'serving';
      timers = [
        clock.every(1_000, () => manager.tick()),
        clock.every(DESK_TICK_MS, () => {
          manager.desk.tick();
          const rollouts = Object.keys(manager.desk.backlog()).join(' ');
          if (rollouts !== waitingRollouts) {
            waitingRollouts = rollouts;
            void writer.barrier().then(() => lease.publishSoon());
          }
        }),
        clock.every(EDIT_POLL_MS, () => void edits.lookEverywhere()),
        clock.every(FILE_LOOK_MS, refreshFiles),
      ];
      logger.info({ port: server.port, path: config.path, adminPort: admin.port }, 'gateway is serving');
    };
  };

  let startParts: () => Promise<void> = () => Promise.resolve();

  /** What is stored of a credential in use may have changed. One that the store has lost ends nobody's connection. */
  const credentialChanged = (id: string, token: AgentToken | null): void => {
    const problem = token === null ? undefined : tokenProblem(token, clock.nowMs());
    if (problem !== undefined) server.endPrincipal(id, problem);
    else if (token !== null) server.changePrincipal(id, (current) => principalOf(token, current.certificateEndMs));
    else if (config.agentAuth === 'mtls') server.changePrincipal(id, (current) => plainPrincipal(id, current.certificateEndMs));
  };

  /** Tokens and authorities that stand in files. */
  const refreshFiles = (): void => {
    try {
      for (const id of fileTokens?.refresh() ?? []) server.endPrincipal(id, 'revoked');
      if (config.clientCaFile !== undefined) authorities = readAuthorities(config.clientCaFile);
    } catch (thrown) {
      logger.error({ error: toError(thrown).message }, 'a file of tokens or authorities cannot be read, what it said stays in force');
    }
  };

  const refuseNewerSchema = async (): Promise<void> => {
    const version = Number((await redis.hget(keys.meta, 'schemaVersion')) ?? SCHEMA_VERSION);
    if (version > SCHEMA_VERSION)
      throw new Error(`the data in Redis has schema version ${version}, this release knows ${SCHEMA_VERSION}: start a newer release`);
  };

  const service = createService({
    name: 'gateway',
    start: async () => {
      allowLongHeaders();
      tracer = await openTracer(config.tracing, { service: 'opamp-gateway', instance: config.id, logger });
      if (tracer.enabled) events.traces = new RolloutTraces(tracer, config.id);
      build();
      await startParts();
    },
    drain: async () => {
      state = 'draining';
      await lease.renew();
      server.stopAccepting();
      await drainConnections({ connections: server.connections(), windowMs: config.drainMs, clock, reason: CLOSE_REASONS.draining });
    },
    stop: async () => {
      state = 'stopped';
      for (const timer of timers) timer.cancel();
      server?.stop(CLOSE_REASONS.goingAway);
      // Agents whose claim is under way are released like the others, once it has its answer.
      for (let waitedMs = 0; (manager?.claiming ?? 0) > 0 && waitedMs < STOP_CLAIMS_MS; waitedMs += STOP_POLL_MS)
        await clock.sleep(STOP_POLL_MS);
      const clean = ((await writer?.stop(STOP_FLUSH_MS)) ?? true) && (manager?.claiming ?? 0) === 0;
      replica?.stop();
      await tokens?.stop();
      await lease?.stop(clean).catch((thrown: unknown) => logger.warn({ error: toError(thrown).message }, 'lease was not given back'));
      await admin?.close();
      events.traces?.stop();
      await tracer.close();
      events.metrics.close();
      if (subscriber !== undefined) await closeRedis(subscriber);
      if (redis !== undefined) await closeRedis(redis);
      if (leaseRedis !== undefined) await closeRedis(leaseRedis);
    },
  });

  return {
    ...service,
    id: config.id,
    events,
    get port() {
      return server?.port ?? 0;
    },
    get adminPort() {
      return admin?.port ?? 0;
    },
  };
}

function answer(requestId: string, outcome: 'sent' | 'away' | 'unsupported'): object {
  return outcome === 'sent' ? { requestId, ok: true } : { requestId, ok: false, reason: outcome };
}
