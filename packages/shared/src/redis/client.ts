import { Cluster, Redis, type DNSLookupFunction, type RedisOptions } from 'ioredis';
import { CancelledError, UnavailableError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { type RedisAddress, describeRedis, parseRedisUrl } from './redis-url.ts';
import { ClosingSentinelConnector } from './sentinel-connector.ts';

/** A connection to one Redis, to the master that Sentinels name, or to a Cluster. */
export type RedisClient = Redis | Cluster;

/**
 * What a connection is for, which decides how it behaves while Redis is away:
 * - `command`: fails at once. Nothing is queued, a command in flight when the connection breaks fails (it may have been
 *   carried out), no answer within 5 s is an error. The caller retries what it may retry.
 * - `producer`: the same, for BullMQ queues.
 * - `subscriber`: waits, reconnects and subscribes again by itself; messages meanwhile are lost, so re-read on `ready`.
 * - `worker`: waits for ever, as BullMQ workers and blocking calls need it.
 */
export type RedisRole = 'command' | 'subscriber' | 'worker' | 'producer';

/** Certificates for `rediss://`, each as PEM text; what is undefined is Node's default. */
export interface RedisTls {
  /** Authorities that may have signed the server's certificate, in place of the system's. */
  readonly ca: string | undefined;
  /** Certificate and private key by which this client shows who it is. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const DEFAULT_TLS: RedisTls = { ca: undefined, cert: undefined, key: undefined };

/** Replies keep their plain shapes, whichever protocol is spoken. */
type Options = Omit<RedisOptions, 'replyMapping'>;

const COMMAND_TIMEOUT_MS = 5000;
const CONNECT_TIMEOUT_MS = 5000;
const RECONNECT_MAX_MS = 2000;
/** A connection that owes an answer for this long is dead, whatever TCP says. */
const SOCKET_TIMEOUT_MS = 10_000;
/** A subscriber owes nothing by itself, so it is made to. */
const SUBSCRIBER_PING_MS = 5000;
/** Cluster subscribers are probed by leaving this channel, on which nobody speaks. */
const PROBE_CHANNEL = 'subscriber-probe';

/** Errors of a server that is no longer, or not yet, what we connected to: a demoted master, one that loads its data. */
const RECONNECT_ERRORS = /^(?:ERR .*-)?(?:READONLY|LOADING|UNBLOCKED|MASTERDOWN)\b/;

/** What `createRedis` knows of a client beyond what the client tells. */
const details = new WeakMap<RedisClient, { address: string; stopProbe: (() => void) | undefined }>();

/**
 * Opens a client; it connects by itself and keeps reconnecting (after 50 ms to 2 s, with jitter) until it is closed. Errors
 * of the connection are logged, once per outage, and never thrown. Throws an Error when the URL is malformed. Keys have no
 * prefix here: they are spelled in full by the keys module. `tls` counts only where the URL asks for TLS.
 */
export function createRedis(url: string, role: RedisRole, logger: Logger, tls: RedisTls = DEFAULT_TLS): RedisClient {
  const address = parseRedisUrl(url);
  const client = address.kind === 'cluster' ? openCluster(address, role, tls) : openRedis(address, role, tls);
  const stopProbe = role === 'subscriber' ? probeSubscriber(client) : undefined;
  details.set(client, { address: describeRedis(address), stopProbe });
  logOutages(client, role, logger);
  return client;
}

/** `host:port` of a client, without credentials. */
export function addressOf(client: RedisClient): string {
  return details.get(client)?.address ?? 'unknown address';
}

/** Waits until the client can be used. Throws an UnavailableError that names `host:port` and the last error of the connection. */
export function waitUntilReady(client: RedisClient, timeoutMs: number): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    let lastError: Error | undefined;
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      client.off('error', onError);
      client.off('ready', onReady);
      client.off('end', onEnd);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onError = (error: Error): void => {
      lastError = withoutCommand(rootCause(error));
    };
    const onReady = (): void => settle();
    const onEnd = (): void => settle(new CancelledError(`the connection to Redis at ${addressOf(client)} was closed`));
    const timer = setTimeout(() => {
      const reason = lastError === undefined ? '' : `: ${lastError.message}`;
      settle(new UnavailableError(`Redis at ${addressOf(client)} is not ready after ${timeoutMs} ms${reason}`, { cause: lastError }));
    }, timeoutMs);
    client.on('error', onError);
    client.on('ready', onReady);
    client.on('end', onEnd);
    if (client.status === 'end') onEnd();
  });
}

/**
 * Calls `listener` whenever the store behind a client may be an older copy of what it was: after each reconnect, and in a Cluster, which
 * stays connected when one of its masters goes, whenever a master came back or another server took its place.
 */
export function onStoreReplaced(client: RedisClient, listener: () => void): void {
  client.on('ready', listener);
  if (!(client instanceof Cluster)) return;
  let masters = mastersOf(client);
  client.on('+node', (node: Redis) => {
    if (client.status === 'ready' && mastersOf(client).includes(nodeName(node))) listener();
  });
  client.on('refresh', () => {
    const now = mastersOf(client);
    const isNew = now.some((name) => !masters.includes(name));
    const isFirst = masters.length === 0;
    masters = now;
    if (isNew && !isFirst) listener();
  });
}

/** Every server that a client reaches, replicas of a Cluster included; names as `host:port`. Of a Sentinel set that is the master. */
export function serversOf(client: RedisClient): { name: string; server: Redis }[] {
  if (client instanceof Cluster) return client.nodes('all').map((server) => ({ name: nodeName(server), server }));
  const { sentinels } = client.options;
  // Sentinels named the master; where the connection leads says which one it is.
  const { remoteAddress = '', remotePort = 0 } = client.stream as { remoteAddress?: string; remotePort?: number };
  return [{ name: sentinels ? `${remoteAddress}:${remotePort}` : addressOf(client), server: client }];
}

function mastersOf(cluster: Cluster): string[] {
  return cluster.nodes('master').map(nodeName);
}

function nodeName({ options }: Redis): string {
  const { host = '', port = 0 } = options;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Closes the client: commands in flight are answered first, for `timeoutMs` at most. Never throws; closing twice is fine. */
export async function closeRedis(client: RedisClient, timeoutMs = 1000): Promise<void> {
  details.get(client)?.stopProbe?.();
  if (client.status === 'end') return;
  if (client.status !== 'ready') {
    // Nothing is in flight, QUIT would wait or fail, and a client between two attempts never emits `end`.
    client.disconnect();
    return;
  }
  const ended = new Promise<void>((resolve) => {
    client.once('end', () => resolve());
  });
  const timer = setTimeout(() => client.disconnect(), timeoutMs);
  client.quit().catch(() => client.disconnect());
  await ended;
  clearTimeout(timer);
}

function openRedis(address: Exclude<RedisAddress, { kind: 'cluster' }>, role: RedisRole, tls: RedisTls): Redis {
  const options: Options = { ...roleOptions(role), ...loginOptions(address, tls), db: address.db, retryStrategy: reconnectDelayMs };
  if (address.kind === 'single') {
    const [node] = address.nodes;
    return new Redis({ ...options, ...node });
  }
  return new Redis({
    ...options,
    sentinels: [...address.nodes],
    name: address.masterName,
    sentinelPassword: address.sentinelPassword,
    sentinelRetryStrategy: reconnectDelayMs,
    failoverDetector: true,
    Connector: ClosingSentinelConnector as unknown as NonNullable<RedisOptions['Connector']>,
    ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: { ...tls } } : {}),
  });
}

function openCluster(address: Extract<RedisAddress, { kind: 'cluster' }>, role: RedisRole, tls: RedisTls): Cluster {
  const { enableOfflineQueue, retryStrategy: _, ...redisOptions } = roleOptions(role);
  return new Cluster([...address.nodes], {
    enableOfflineQueue,
    clusterRetryStrategy: reconnectDelayMs,
    redisOptions: { ...redisOptions, ...loginOptions(address, tls) },
    // Certificates name hosts, so with TLS the names must not be resolved to addresses first.
    ...(address.tls ? { dnsLookup: keepHostName } : {}),
  });
}

function loginOptions(address: RedisAddress, tls: RedisTls): Options {
  const { username, password } = address.login;
  return { username, password, ...(address.tls ? { tls: { ...tls } } : {}) };
}

function roleOptions(role: RedisRole): Options {
  const common: Options = {
    connectionName: `opamp-${role}`,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // One command less that a user of ours must be allowed.
    disableClientInfo: true,
    // 1 reconnects and fails the command; 2 also sends it again, which is safe because the server refused it.
    reconnectOnError: (error) => (RECONNECT_ERRORS.test(error.message) ? (role === 'worker' ? 2 : 1) : false),
  };
  switch (role) {
    case 'command':
    case 'producer':
      return {
        ...common,
        enableOfflineQueue: false,
        maxRetriesPerRequest: 0,
        commandTimeout: COMMAND_TIMEOUT_MS,
        socketTimeout: SOCKET_TIMEOUT_MS,
      };
    case 'subscriber':
      return { ...common, enableOfflineQueue: true, maxRetriesPerRequest: null, autoResubscribe: true, socketTimeout: SOCKET_TIMEOUT_MS };
    case 'worker':
      return { ...common, enableOfflineQueue: true, maxRetriesPerRequest: null };
  }
}

const keepHostName: DNSLookupFunction = (host, callback) => callback(null, host);

function reconnectDelayMs(attempt: number): number {
  const base = Math.min(50 * 2 ** Math.min(attempt - 1, 10), RECONNECT_MAX_MS);
  return Math.round(base / 2 + (Math.random() * base) / 2);
}

/** Logs each error once per outage, and the outage's end; the hundreds of equal errors between are noise. */
function logOutages(client: RedisClient, role: RedisRole, logger: Logger): void {
  const fields = { redis: addressOf(client), role };
  const logged = new Set<string>();
  client.on('error', (error: Error) => {
    const cause = withoutCommand(rootCause(error));
    // Messages that differ in a delay or an attempt only are the same error.
    const key = cause.message.replaceAll(/\d+/g, '#');
    if (logged.has(key)) return;
    logged.add(key);
    logger.warn({ ...fields, err: cause }, 'redis connection error');
  });
  if (client instanceof Cluster) logNodeOutages(client, fields, logger);
  client.on('ready', () => {
    if (logged.size > 0) logger.info(fields, 'redis connection is back');
    logged.clear();
  });
}

/** A Cluster goes on without some of its nodes; whoever asks for keys on these should find the reason in the log. */
function logNodeOutages(cluster: Cluster, fields: Record<string, unknown>, logger: Logger): void {
  const logged = new Set<string>();
  cluster.on('node error', (error: Error, node: string) => {
    const key = `${node} ${error.message}`;
    if (logged.has(key)) return;
    logged.add(key);
    logger.warn({ ...fields, node, err: withoutCommand(error) }, 'redis cluster node error');
  });
  cluster.on('+node', () => logged.clear());
}

/**
 * Keeps a half-open connection from passing for a quiet one. On a single server an unanswered PING runs into the socket
 * timeout; a Cluster's subscriber is hidden inside the client, and only subscribe and unsubscribe reach it.
 */
function probeSubscriber(client: RedisClient): () => void {
  let unansweredSinceMs: number | undefined;
  const timer = setInterval(() => {
    if (client.status !== 'ready') {
      unansweredSinceMs = undefined;
      return;
    }
    if (unansweredSinceMs !== undefined) {
      if (performance.now() - unansweredSinceMs < SOCKET_TIMEOUT_MS) return;
      unansweredSinceMs = undefined;
      client.disconnect(true);
      return;
    }
    unansweredSinceMs = performance.now();
    const probe: Promise<unknown> = client instanceof Cluster ? client.unsubscribe(PROBE_CHANNEL) : client.ping();
    const onAnswer = (): void => {
      unansweredSinceMs = undefined;
    };
    // A probe that fails has been answered too: the connection broke, and reconnecting is under way.
    probe.then(onAnswer, onAnswer);
  }, SUBSCRIBER_PING_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** A Cluster keeps the reason of its last node aside, and a host with several addresses reports one error for each. */
function rootCause(error: Error): Error {
  if ('lastNodeError' in error && error.lastNodeError instanceof Error) return rootCause(error.lastNodeError);
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error;
}

/** Errors of the server carry the command that they answer, arguments included: for a login, that is the password. */
function withoutCommand(error: Error): Error {
  if (!('command' in error)) return error;
  const copy = new Error(error.message);
  copy.name = error.name;
  return copy;
}
