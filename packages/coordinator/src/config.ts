import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { EnvironmentSource } from '@opamp-gateway/shared/config-schema';
import { parseEncryptionKeys } from '@opamp-gateway/shared/encryption';
import type { EncryptionKeys } from '@opamp-gateway/shared/encryption';
import { ignoredServiceLinks, parseEnvironment, readTracing } from '@opamp-gateway/shared/environment';
import type { FailedRateLimits } from './alerts/failed-rate-watch.ts';
import type { EnvironmentValues } from '@opamp-gateway/shared/environment';
import { ConfigurationError, toError } from '@opamp-gateway/shared/errors';
import type { LogLevel } from '@opamp-gateway/shared/logger';
import { parseNetworks } from '@opamp-gateway/shared/networks';
import type { TracingConfig } from '@opamp-gateway/shared/tracing';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { readRedisTls, REDIS_TLS_NAMES } from '@opamp-gateway/shared/redis/redis-tls';
import { OIDC_ALGORITHMS, parseRoleMap } from './access/oidc.ts';
import type { OidcSettings } from './access/oidc.ts';
import { isLoopbackHost } from './api/auth.ts';
import type { RetentionDays } from './bus/retention.ts';
import { parseAllowedUrl } from './gates/allowed-urls.ts';
import { NO_GATES } from './gates/gate-asker.ts';
import type { GateSettings } from './gates/gate-asker.ts';
import { parseWebhookSecret } from './webhook-signature.ts';

/** Everything that one coordinator is told at its start. */
export interface CoordinatorConfig {
  /** Unique per process. */
  id: string;
  redisUrl: string;
  /** Certificates for `rediss://`; undefined = what Node trusts. */
  redisTls: RedisTls | undefined;
  keyPrefix: string;
  /** Keys that effective configs may be encrypted with. */
  encryption: EncryptionKeys | undefined;
  logLevel: LogLevel;
  /** REST API and dashboard. Port 0 takes a free one. */
  host: string;
  port: number;
  /** `/healthz`, `/readyz`, `/metrics`. Port 0 takes a free one. */
  adminHost: string;
  adminPort: number;
  /** Interval of the repair timer. */
  sweepMs: number;
  /** Whether to work on the BullMQ queue. */
  queue: boolean;
  /** Replicas that must have a commit before it is answered. */
  minReplicas: number;
  /** Without one, and without an issuer, the API may bind to loopback only. */
  apiTokensFile: string | undefined;
  /** Where traces go; undefined = nowhere. */
  tracing: TracingConfig | undefined;
  /** File of those who are told of alerts. */
  alertsFile: string | undefined;
  /** When agents that FAILED are an alert. */
  failedRate: FailedRateLimits;
  /** How often the numbers of the fleet are read for metrics and alerts. */
  fleetWatchMs: number;
  /** Requests of one credential; 0 = no limit. */
  requestsPerSecond: number;
  /** Networks of load balancers whose `X-Forwarded-For` counts. */
  trustedProxies: readonly string[];
  /** Undefined: no single sign-on. */
  oidc: OidcSettings | undefined;
  /** Where agents reach the gateways, and the authority (PEM) they know them by. */
  publicEndpoint: { url: string; caPem: string | undefined } | undefined;
  /** How long a gateway may take to answer a command. */
  commandTimeoutMs: number;
  /** Time after a start and after Redis was away in which nothing bad is concluded from silence. */
  graceMs: number;
  /** How long a gateway may lag before rollouts are held. */
  lagHoldMs: number;
  /** How long too many agents must be unhealthy before every rollout is held. */
  fleetBreakerMs: number;
  /** What gates may reach. */
  gates: GateSettings;
  /** For how many days things are kept; 0 = for ever. */
  retentionDays: RetentionDays;
  /** How long the start waits for Redis. */
  redisWaitMs: number;
}

const NAMES = [
  'OPAMP_REDIS_URL',
  ...REDIS_TLS_NAMES,
  'OPAMP_KEY_PREFIX',
  'OPAMP_ENCRYPTION_KEYS',
  'OPAMP_LOG_LEVEL',
  'OPAMP_REDIS_MIN_REPLICAS',
  'OPAMP_COORDINATOR_ID',
  'OPAMP_COORDINATOR_HOST',
  'OPAMP_COORDINATOR_PORT',
  'OPAMP_COORDINATOR_ADMIN_HOST',
  'OPAMP_COORDINATOR_ADMIN_PORT',
  'OPAMP_COORDINATOR_SWEEP_MS',
  'OPAMP_COORDINATOR_QUEUE',
  'OPAMP_COORDINATOR_COMMAND_TIMEOUT_MS',
  'OPAMP_COORDINATOR_GRACE_MS',
  'OPAMP_COORDINATOR_LAG_HOLD_MS',
  'OPAMP_COORDINATOR_FLEET_BREAKER_MS',
  'OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS',
  'OPAMP_COORDINATOR_GATE_WEBHOOK_URLS',
  'OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET',
  'OPAMP_RETENTION_AGENTS',
  'OPAMP_RETENTION_ROLLOUTS',
  'OPAMP_RETENTION_AUDIT',
  'OPAMP_RETENTION_TOKENS',
  'OPAMP_PUBLIC_ENDPOINT',
  'OPAMP_PUBLIC_CA_FILE',
  'OPAMP_API_TOKENS_FILE',
  'OPAMP_OTLP_ENDPOINT',
  'OPAMP_ALERTS_FILE',
  'OPAMP_ALERTS_FAILED_PERCENT',
  'OPAMP_ALERTS_FAILED_MIN_AGENTS',
  'OPAMP_COORDINATOR_FLEET_WATCH_MS',
  'OPAMP_API_RATE_LIMIT',
  'OPAMP_API_TRUSTED_PROXIES',
  'OPAMP_OIDC_ISSUER',
  'OPAMP_OIDC_CLIENT_ID',
  'OPAMP_OIDC_AUDIENCE',
  'OPAMP_OIDC_SCOPES',
  'OPAMP_OIDC_NAME_CLAIM',
  'OPAMP_OIDC_ROLE_CLAIM',
  'OPAMP_OIDC_ROLE_MAP',
  'OPAMP_OIDC_GROUPS_CLAIM',
  'OPAMP_OIDC_ALGORITHMS',
  'OPAMP_OIDC_CLOCK_SKEW_SECONDS',
] as const;

/** Reads the environment. Throws a ConfigurationError that lists everything that is wrong with it (exit code 78). */
export function readConfig(environment: EnvironmentSource = process.env): { config: CoordinatorConfig; ignored: string[] } {
  const values = parseEnvironment(NAMES, environment);
  const config = coordinatorConfig({
    ...(values.OPAMP_COORDINATOR_ID === undefined ? {} : { id: values.OPAMP_COORDINATOR_ID }),
    redisUrl: values.OPAMP_REDIS_URL,
    redisTls: readRedisTls(values),
    keyPrefix: values.OPAMP_KEY_PREFIX,
    encryption: values.OPAMP_ENCRYPTION_KEYS === undefined ? undefined : parseEncryptionKeys(values.OPAMP_ENCRYPTION_KEYS),
    logLevel: values.OPAMP_LOG_LEVEL,
    host: values.OPAMP_COORDINATOR_HOST,
    port: values.OPAMP_COORDINATOR_PORT,
    adminHost: values.OPAMP_COORDINATOR_ADMIN_HOST ?? values.OPAMP_COORDINATOR_HOST,
    adminPort: values.OPAMP_COORDINATOR_ADMIN_PORT,
    sweepMs: values.OPAMP_COORDINATOR_SWEEP_MS,
    queue: values.OPAMP_COORDINATOR_QUEUE,
    minReplicas: values.OPAMP_REDIS_MIN_REPLICAS,
    commandTimeoutMs: values.OPAMP_COORDINATOR_COMMAND_TIMEOUT_MS,
    graceMs: values.OPAMP_COORDINATOR_GRACE_MS,
    lagHoldMs: values.OPAMP_COORDINATOR_LAG_HOLD_MS,
    fleetBreakerMs: values.OPAMP_COORDINATOR_FLEET_BREAKER_MS,
    gates: {
      prometheusUrls: urlsOf(values.OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS),
      webhookUrls: urlsOf(values.OPAMP_COORDINATOR_GATE_WEBHOOK_URLS),
      webhookSecrets: secretsOf(values.OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET),
    },
    retentionDays: {
      agents: values.OPAMP_RETENTION_AGENTS,
      rollouts: values.OPAMP_RETENTION_ROLLOUTS,
      audit: values.OPAMP_RETENTION_AUDIT,
      tokens: values.OPAMP_RETENTION_TOKENS,
    },
    publicEndpoint: readPublicEndpoint(values.OPAMP_PUBLIC_ENDPOINT, values.OPAMP_PUBLIC_CA_FILE),
    apiTokensFile: values.OPAMP_API_TOKENS_FILE,
    tracing: readTracing(values.OPAMP_OTLP_ENDPOINT, environment),
    alertsFile: values.OPAMP_ALERTS_FILE,
    failedRate: { percent: values.OPAMP_ALERTS_FAILED_PERCENT, minAgents: values.OPAMP_ALERTS_FAILED_MIN_AGENTS },
    fleetWatchMs: values.OPAMP_COORDINATOR_FLEET_WATCH_MS,
    requestsPerSecond: values.OPAMP_API_RATE_LIMIT,
    trustedProxies: networksOf(values.OPAMP_API_TRUSTED_PROXIES),
    oidc: readOidc(values),
  });
  return { config, ignored: ignoredServiceLinks(environment) };
}

/** How tokens of the issuer are read; undefined without one. Throws a ConfigurationError that lists everything that is wrong. */
function readOidc(values: Readonly<Pick<EnvironmentValues, (typeof NAMES)[number]>>): OidcSettings | undefined {
  const { OPAMP_OIDC_ISSUER: issuer, OPAMP_OIDC_CLIENT_ID: clientId } = values;
  const problems: string[] = [];
  if (issuer === undefined) {
    if (clientId !== undefined || values.OPAMP_OIDC_AUDIENCE !== undefined)
      problems.push('OPAMP_OIDC_ISSUER: is needed with the other OPAMP_OIDC_ settings');
  } else if (clientId === undefined) problems.push('OPAMP_OIDC_CLIENT_ID: is needed with OPAMP_OIDC_ISSUER');
  const unknown = values.OPAMP_OIDC_ALGORITHMS.filter((name) => !(OIDC_ALGORITHMS as readonly string[]).includes(name));
  if (unknown.length > 0) problems.push(`OPAMP_OIDC_ALGORITHMS: expected some of ${OIDC_ALGORITHMS.join(', ')}, got ${unknown.join(', ')}`);
  if (values.OPAMP_OIDC_ALGORITHMS.length === 0) problems.push('OPAMP_OIDC_ALGORITHMS: expected at least one');
  let roles: OidcSettings['roles'] = new Map();
  try {
    roles = parseRoleMap(values.OPAMP_OIDC_ROLE_MAP);
  } catch (error) {
    problems.push(`OPAMP_OIDC_ROLE_MAP: ${toError(error).message}`);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  if (issuer === undefined || clientId === undefined) return undefined;
  return {
    issuer,
    clientId,
    audience: values.OPAMP_OIDC_AUDIENCE ?? clientId,
    scopes: values.OPAMP_OIDC_SCOPES,
    nameClaim: values.OPAMP_OIDC_NAME_CLAIM,
    roleClaim: values.OPAMP_OIDC_ROLE_CLAIM,
    roles,
    groupsClaim: values.OPAMP_OIDC_GROUPS_CLAIM,
    algorithms: values.OPAMP_OIDC_ALGORITHMS,
    clockSkewSeconds: values.OPAMP_OIDC_CLOCK_SKEW_SECONDS,
  };
}

function networksOf(networks: readonly string[]): readonly string[] {
  try {
    parseNetworks(networks);
    return networks;
  } catch (error) {
    throw new ConfigurationError([`OPAMP_API_TRUSTED_PROXIES: ${toError(error).message}`], { cause: error });
  }
}

function urlsOf(text: string | undefined): GateSettings['prometheusUrls'] {
  return (text ?? '').split(',').flatMap((entry) => (entry.trim() === '' ? [] : [parseAllowedUrl(entry.trim())]));
}

function secretsOf(text: string | undefined): Buffer[] {
  try {
    return (text ?? '').split(/\s+/).flatMap((entry) => (entry === '' ? [] : [parseWebhookSecret(entry)]));
  } catch (error) {
    throw new ConfigurationError([`OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET: ${toError(error).message}`], { cause: error });
  }
}

function readPublicEndpoint(url: string | undefined, caFile: string | undefined): CoordinatorConfig['publicEndpoint'] {
  if (url === undefined) return undefined;
  if (caFile === undefined) return { url, caPem: undefined };
  try {
    return { url, caPem: readFileSync(caFile, 'utf8') };
  } catch (error) {
    throw new ConfigurationError([`OPAMP_PUBLIC_CA_FILE: cannot read ${caFile}: ${toError(error).message}`], { cause: error });
  }
}

/** A config with the defaults for everything that is not given; both ports default to a free one, as tests want it. */
export function coordinatorConfig(given: Partial<CoordinatorConfig> & { redisUrl: string }): CoordinatorConfig {
  const host = given.host ?? '127.0.0.1';
  const config: CoordinatorConfig = {
    id: `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${randomBytes(4).toString('hex')}`,
    redisTls: undefined,
    keyPrefix: 'opamp',
    encryption: undefined,
    logLevel: 'info',
    port: 0,
    adminHost: host,
    adminPort: 0,
    sweepMs: 1000,
    queue: true,
    minReplicas: 0,
    publicEndpoint: undefined,
    apiTokensFile: undefined,
    tracing: undefined,
    alertsFile: undefined,
    failedRate: { percent: 5, minAgents: 20 },
    fleetWatchMs: 5000,
    requestsPerSecond: 100,
    trustedProxies: [],
    oidc: undefined,
    commandTimeoutMs: 5000,
    graceMs: 15_000,
    lagHoldMs: 30_000,
    fleetBreakerMs: 30_000,
    gates: NO_GATES,
    retentionDays: { agents: 7, rollouts: 90, audit: 365, tokens: 30 },
    redisWaitMs: 10_000,
    ...given,
    host,
  };
  if (config.apiTokensFile === undefined && config.oidc === undefined && !isLoopbackHost(config.host)) {
    throw new ConfigurationError([
      `OPAMP_COORDINATOR_HOST is ${config.host}, which other machines can reach, and nobody would need credentials: set OPAMP_API_TOKENS_FILE or OPAMP_OIDC_ISSUER, or bind to 127.0.0.1`,
    ]);
  }
  return Object.freeze(config);
}
