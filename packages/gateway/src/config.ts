import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { EnvironmentSource } from '@opamp-gateway/shared/config-schema';
import { parseEnvironment, readTracing } from '@opamp-gateway/shared/environment';
import type { TracingConfig } from '@opamp-gateway/shared/tracing';
import { ConfigurationError, toError } from '@opamp-gateway/shared/errors';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { readRedisTls, REDIS_TLS_NAMES } from '@opamp-gateway/shared/redis/redis-tls';
import type { LogLevel } from '@opamp-gateway/shared/logger';

/** Everything a gateway can be told. */
export interface GatewayConfig {
  id: string;
  host: string;
  port: number;
  path: string;
  adminHost: string;
  adminPort: number;
  /** Address shown in the list of gateways; empty = host name and port. */
  advertise: string;
  redisUrl: string;
  /** Certificates for `rediss://`. */
  redisTls: RedisTls;
  keyPrefix: string;
  logLevel: LogLevel;
  maxMessageBytes: number;
  maxConnections: number;
  connectRate: number;
  offerRate: number;
  offerWindow: number;
  offerWindowBytes: number;
  fullStateRate: number;
  fullStateIntervalMs: number;
  leaseMs: number;
  leaseRenewMs: number;
  flushIntervalMs: number;
  specPollMs: number;
  drainMs: number;
  pingIntervalMs: number;
  pongTimeoutMs: number;
  identifyTimeoutMs: number;
  heartbeatIntervalMs: number;
  httpSilenceMs: number;
  degradedAfterMs: number;
  retryAfterSeconds: number;
  keepEffective: boolean;
  customCapabilities: readonly string[];
  /** Bearer tokens that agents may use; undefined = no authentication. */
  /** Where traces go; undefined = nowhere. */
  tracing?: TracingConfig | undefined;
  agentTokens: readonly string[] | undefined;
}

const NAMES = [
  'OPAMP_REDIS_URL',
  ...REDIS_TLS_NAMES,
  'OPAMP_KEY_PREFIX',
  'OPAMP_LOG_LEVEL',
  'OPAMP_GATEWAY_ID',
  'OPAMP_GATEWAY_HOST',
  'OPAMP_GATEWAY_PORT',
  'OPAMP_GATEWAY_PATH',
  'OPAMP_GATEWAY_ADMIN_HOST',
  'OPAMP_GATEWAY_ADMIN_PORT',
  'OPAMP_GATEWAY_ADVERTISE',
  'OPAMP_GATEWAY_MAX_MESSAGE_BYTES',
  'OPAMP_GATEWAY_MAX_CONNECTIONS',
  'OPAMP_GATEWAY_CONNECT_RATE',
  'OPAMP_GATEWAY_OFFER_RATE',
  'OPAMP_GATEWAY_OFFER_WINDOW',
  'OPAMP_GATEWAY_OFFER_WINDOW_BYTES',
  'OPAMP_GATEWAY_FULL_STATE_RATE',
  'OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS',
  'OPAMP_GATEWAY_LEASE_MS',
  'OPAMP_GATEWAY_LEASE_RENEW_MS',
  'OPAMP_GATEWAY_FLUSH_INTERVAL_MS',
  'OPAMP_GATEWAY_SPEC_POLL_MS',
  'OPAMP_GATEWAY_DRAIN_MS',
  'OPAMP_GATEWAY_PING_INTERVAL_MS',
  'OPAMP_GATEWAY_PONG_TIMEOUT_MS',
  'OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS',
  'OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS',
  'OPAMP_GATEWAY_HTTP_SILENCE_MS',
  'OPAMP_GATEWAY_DEGRADED_AFTER_MS',
  'OPAMP_GATEWAY_RETRY_AFTER_SECONDS',
  'OPAMP_GATEWAY_EFFECTIVE_CONFIG',
  'OPAMP_GATEWAY_CUSTOM_CAPABILITIES',
  'OPAMP_OTLP_ENDPOINT',
  'OPAMP_AGENT_AUTH',
  'OPAMP_AGENT_TOKENS_FILE',
] as const;

/** Descriptors kept for everything that is not an agent's connection. */
const RESERVED_DESCRIPTORS = 500;

/** Soft limit of open files, as the kernel states it; a careful default where it cannot be read. */
function descriptorLimit(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    if (match !== null) return Number(match[1]);
  } catch {
    // Not Linux: there is no such file.
  }
  return 10_240;
}

function readTokens(auth: 'none' | 'token' | 'mtls', file: string | undefined): readonly string[] | undefined {
  if (auth === 'none') return undefined;
  if (auth === 'mtls')
    throw new ConfigurationError([
      'OPAMP_AGENT_AUTH: mtls is not built yet; use token, or end TLS in a load balancer that checks client certificates',
    ]);
  if (file === undefined) throw new ConfigurationError(['OPAMP_AGENT_TOKENS_FILE: must name a file when OPAMP_AGENT_AUTH is token']);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (thrown) {
    throw new ConfigurationError([`OPAMP_AGENT_TOKENS_FILE: cannot read ${file}: ${toError(thrown).message}`]);
  }
  const tokens = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(line.indexOf(':') + 1).trim());
  if (tokens.length === 0) throw new ConfigurationError([`OPAMP_AGENT_TOKENS_FILE: ${file} holds no token`]);
  return tokens;
}

/** Reads the configuration from environment variables. Throws a ConfigurationError that names every problem. */
export function readGatewayConfig(environment: EnvironmentSource = process.env): GatewayConfig {
  const values = parseEnvironment(NAMES, environment);
  return {
    id: values.OPAMP_GATEWAY_ID ?? `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${randomBytes(4).toString('hex')}`,
    host: values.OPAMP_GATEWAY_HOST,
    port: values.OPAMP_GATEWAY_PORT,
    path: values.OPAMP_GATEWAY_PATH,
    adminHost: values.OPAMP_GATEWAY_ADMIN_HOST,
    adminPort: values.OPAMP_GATEWAY_ADMIN_PORT,
    advertise: values.OPAMP_GATEWAY_ADVERTISE ?? '',
    redisUrl: values.OPAMP_REDIS_URL,
    redisTls: readRedisTls(values),
    keyPrefix: values.OPAMP_KEY_PREFIX,
    logLevel: values.OPAMP_LOG_LEVEL,
    maxMessageBytes: values.OPAMP_GATEWAY_MAX_MESSAGE_BYTES,
    maxConnections: values.OPAMP_GATEWAY_MAX_CONNECTIONS ?? Math.max(1, descriptorLimit() - RESERVED_DESCRIPTORS),
    connectRate: values.OPAMP_GATEWAY_CONNECT_RATE,
    offerRate: values.OPAMP_GATEWAY_OFFER_RATE,
    offerWindow: values.OPAMP_GATEWAY_OFFER_WINDOW,
    offerWindowBytes: values.OPAMP_GATEWAY_OFFER_WINDOW_BYTES,
    fullStateRate: values.OPAMP_GATEWAY_FULL_STATE_RATE,
    fullStateIntervalMs: values.OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS,
    leaseMs: values.OPAMP_GATEWAY_LEASE_MS,
    leaseRenewMs: values.OPAMP_GATEWAY_LEASE_RENEW_MS,
    flushIntervalMs: values.OPAMP_GATEWAY_FLUSH_INTERVAL_MS,
    specPollMs: values.OPAMP_GATEWAY_SPEC_POLL_MS,
    drainMs: values.OPAMP_GATEWAY_DRAIN_MS,
    pingIntervalMs: values.OPAMP_GATEWAY_PING_INTERVAL_MS,
    pongTimeoutMs: values.OPAMP_GATEWAY_PONG_TIMEOUT_MS,
    identifyTimeoutMs: values.OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS,
    heartbeatIntervalMs: values.OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS,
    httpSilenceMs: values.OPAMP_GATEWAY_HTTP_SILENCE_MS,
    degradedAfterMs: values.OPAMP_GATEWAY_DEGRADED_AFTER_MS,
    retryAfterSeconds: values.OPAMP_GATEWAY_RETRY_AFTER_SECONDS,
    keepEffective: values.OPAMP_GATEWAY_EFFECTIVE_CONFIG,
    customCapabilities: values.OPAMP_GATEWAY_CUSTOM_CAPABILITIES,
    tracing: readTracing(values.OPAMP_OTLP_ENDPOINT, environment),
    agentTokens: readTokens(values.OPAMP_AGENT_AUTH, values.OPAMP_AGENT_TOKENS_FILE),
  };
}

/** Lets agents send request heads (many headers, long tokens) above the WebSocket library's own 4 KiB; read when it loads. */
export function allowLongHeaders(): void {
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= '16384';
}
