import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { EnvironmentSource } from '@opamp-gateway/shared/config-schema';
import { parseEncryptionKeys } from '@opamp-gateway/shared/encryption';
import type { EncryptionKeys } from '@opamp-gateway/shared/encryption';
import { parseEnvironment, readTracing } from '@opamp-gateway/shared/environment';
import type { TracingConfig } from '@opamp-gateway/shared/tracing';
import { ConfigurationError, toError } from '@opamp-gateway/shared/errors';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { readRedisTls, REDIS_TLS_NAMES } from '@opamp-gateway/shared/redis/redis-tls';
import type { LogLevel } from '@opamp-gateway/shared/logger';
import { parseNetworks } from '@opamp-gateway/shared/networks';
import type { PeerOptions } from './transport/peer.ts';
import { readAuthorities } from './client-authorities.ts';
import { openStaticTokens } from './static-tokens.ts';
import { checkTlsFiles } from './transport/tls-files.ts';
import type { TlsFiles } from './transport/tls-files.ts';

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
  /** Keys that effective configs are stored encrypted with; undefined = as they are. */
  encryption?: EncryptionKeys | undefined;
  customCapabilities: readonly string[];
  /** Where traces go; undefined = nowhere. */
  tracing?: TracingConfig | undefined;
  agentAuth: 'none' | 'token' | 'mtls';
  /** File of tokens beside the stored ones. */
  agentTokensFile: string | undefined;
  tls: TlsFiles | undefined;
  /** Authorities of client certificates; with `tls` they are checked in the handshake. */
  clientCaFile: string | undefined;
  peers: PeerOptions;
  maxConnectionsPerAddress: number;
  connectRatePerAddress: number;
}

const NAMES = [
  'OPAMP_REDIS_URL',
  ...REDIS_TLS_NAMES,
  'OPAMP_KEY_PREFIX',
  'OPAMP_ENCRYPTION_KEYS',
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
  'OPAMP_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS',
  'OPAMP_GATEWAY_CONNECT_RATE_PER_ADDRESS',
  'OPAMP_GATEWAY_TLS_CERT_FILE',
  'OPAMP_GATEWAY_TLS_KEY_FILE',
  'OPAMP_GATEWAY_TLS_CLIENT_CA_FILE',
  'OPAMP_GATEWAY_TRUSTED_PROXIES',
  'OPAMP_GATEWAY_PROXY_PROTOCOL',
  'OPAMP_GATEWAY_FORWARDED_FOR_HEADER',
  'OPAMP_GATEWAY_CLIENT_CERT_HEADER',
  'OPAMP_GATEWAY_CLIENT_VERIFY_HEADER',
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

/** What the settings on TLS, proxies and authentication say together. Collects what cannot work. */
function readSecurity(
  values: ReturnType<typeof parseEnvironment<(typeof NAMES)[number]>>,
): Pick<GatewayConfig, 'agentAuth' | 'agentTokensFile' | 'tls' | 'clientCaFile' | 'peers'> {
  const problems: string[] = [];
  const attempt = (name: string, read: () => unknown): void => {
    try {
      read();
    } catch (thrown) {
      problems.push(`${name}: ${toError(thrown).message}`);
    }
  };
  const certFile = values.OPAMP_GATEWAY_TLS_CERT_FILE;
  const keyFile = values.OPAMP_GATEWAY_TLS_KEY_FILE;
  const clientCaFile = values.OPAMP_GATEWAY_TLS_CLIENT_CA_FILE;
  const auth = values.OPAMP_AGENT_AUTH;
  const tls =
    certFile === undefined || keyFile === undefined
      ? undefined
      : { certFile, keyFile, clientCaFile: auth === 'mtls' ? clientCaFile : undefined };
  if ((certFile === undefined) !== (keyFile === undefined))
    problems.push('OPAMP_GATEWAY_TLS_CERT_FILE and OPAMP_GATEWAY_TLS_KEY_FILE: set both or none');
  if (tls !== undefined) attempt('OPAMP_GATEWAY_TLS_CERT_FILE, OPAMP_GATEWAY_TLS_KEY_FILE', () => checkTlsFiles(tls));
  if (clientCaFile !== undefined) attempt('OPAMP_GATEWAY_TLS_CLIENT_CA_FILE', () => readAuthorities(clientCaFile));

  const peers: PeerOptions = {
    trustedProxies: values.OPAMP_GATEWAY_TRUSTED_PROXIES,
    proxyProtocol: values.OPAMP_GATEWAY_PROXY_PROTOCOL,
    forwardedForHeader: values.OPAMP_GATEWAY_FORWARDED_FOR_HEADER ?? '',
    clientCertHeader: values.OPAMP_GATEWAY_CLIENT_CERT_HEADER ?? '',
    clientVerifyHeader: values.OPAMP_GATEWAY_CLIENT_VERIFY_HEADER ?? '',
  };
  attempt('OPAMP_GATEWAY_TRUSTED_PROXIES', () => parseNetworks(peers.trustedProxies));
  const forwards = peers.proxyProtocol || peers.forwardedForHeader !== '' || peers.clientCertHeader !== '';
  if (forwards && peers.trustedProxies.length === 0)
    problems.push('OPAMP_GATEWAY_TRUSTED_PROXIES: must name the proxies whose headers or PROXY protocol are to be believed');

  const agentTokensFile = values.OPAMP_AGENT_TOKENS_FILE;
  if (auth === 'token' && agentTokensFile !== undefined) attempt('OPAMP_AGENT_TOKENS_FILE', () => openStaticTokens(agentTokensFile));
  if (auth === 'mtls') {
    if (tls === undefined && peers.clientCertHeader === '')
      problems.push(
        'OPAMP_AGENT_AUTH: mtls needs OPAMP_GATEWAY_TLS_CERT_FILE and OPAMP_GATEWAY_TLS_KEY_FILE, or a trusted proxy with OPAMP_GATEWAY_CLIENT_CERT_HEADER',
      );
    if (tls !== undefined && clientCaFile === undefined)
      problems.push('OPAMP_GATEWAY_TLS_CLIENT_CA_FILE: must be set when OPAMP_AGENT_AUTH is mtls');
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return { agentAuth: auth, agentTokensFile, tls, clientCaFile, peers };
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
    encryption: values.OPAMP_ENCRYPTION_KEYS === undefined ? undefined : parseEncryptionKeys(values.OPAMP_ENCRYPTION_KEYS),
    customCapabilities: values.OPAMP_GATEWAY_CUSTOM_CAPABILITIES,
    tracing: readTracing(values.OPAMP_OTLP_ENDPOINT, environment),
    maxConnectionsPerAddress: values.OPAMP_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS,
    connectRatePerAddress: values.OPAMP_GATEWAY_CONNECT_RATE_PER_ADDRESS,
    ...readSecurity(values),
  };
}

/** Lets agents send request heads (many headers, long tokens) above the WebSocket library's own 4 KiB; read when it loads. */
export function allowLongHeaders(): void {
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= '16384';
}
