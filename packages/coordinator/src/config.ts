import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { EnvironmentSource } from '@opamp-gateway/shared/config-schema';
import { ignoredServiceLinks, parseEnvironment } from '@opamp-gateway/shared/environment';
import { ConfigurationError } from '@opamp-gateway/shared/errors';
import type { FailedRateLimits } from './alerts/failed-rate-watch.ts';
import type { LogLevel } from '@opamp-gateway/shared/logger';
import type { RedisTls } from '@opamp-gateway/shared/redis/client';
import { readRedisTls, REDIS_TLS_NAMES } from '@opamp-gateway/shared/redis/redis-tls';
import { isLoopbackHost } from './api/auth.ts';
import type { RetentionDays } from './bus/retention.ts';

/** Everything that one coordinator is told at its start. */
export interface CoordinatorConfig {
  /** Unique per process. */
  id: string;
  redisUrl: string;
  /** Certificates for `rediss://`; undefined = what Node trusts. */
  redisTls: RedisTls | undefined;
  keyPrefix: string;
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
  /** Without one the API may bind to loopback only. */
  apiTokensFile: string | undefined;
  /** File of those who are told of alerts. */
  alertsFile: string | undefined;
  /** When agents that FAILED are an alert. */
  failedRate: FailedRateLimits;
  /** How often the numbers of the fleet are read for metrics and alerts. */
  fleetWatchMs: number;
  /** How long a gateway may take to answer a command. */
  commandTimeoutMs: number;
  /** Time after a start and after Redis was away in which nothing bad is concluded from silence. */
  graceMs: number;
  /** How long a gateway may lag before rollouts are held. */
  lagHoldMs: number;
  /** For how many days things are kept; 0 = for ever. */
  retentionDays: RetentionDays;
  /** How long the start waits for Redis. */
  redisWaitMs: number;
}

const NAMES = [
  'OPAMP_REDIS_URL',
  ...REDIS_TLS_NAMES,
  'OPAMP_KEY_PREFIX',
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
  'OPAMP_RETENTION_AGENTS',
  'OPAMP_RETENTION_ROLLOUTS',
  'OPAMP_RETENTION_AUDIT',
  'OPAMP_API_TOKENS_FILE',
  'OPAMP_ALERTS_FILE',
  'OPAMP_ALERTS_FAILED_PERCENT',
  'OPAMP_ALERTS_FAILED_MIN_AGENTS',
  'OPAMP_COORDINATOR_FLEET_WATCH_MS',
] as const;

/** Reads the environment. Throws a ConfigurationError that lists everything that is wrong with it (exit code 78). */
export function readConfig(environment: EnvironmentSource = process.env): { config: CoordinatorConfig; ignored: string[] } {
  const values = parseEnvironment(NAMES, environment);
  const config = coordinatorConfig({
    ...(values.OPAMP_COORDINATOR_ID === undefined ? {} : { id: values.OPAMP_COORDINATOR_ID }),
    redisUrl: values.OPAMP_REDIS_URL,
    redisTls: readRedisTls(values),
    keyPrefix: values.OPAMP_KEY_PREFIX,
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
    retentionDays: {
      agents: values.OPAMP_RETENTION_AGENTS,
      rollouts: values.OPAMP_RETENTION_ROLLOUTS,
      audit: values.OPAMP_RETENTION_AUDIT,
    },
    apiTokensFile: values.OPAMP_API_TOKENS_FILE,
    alertsFile: values.OPAMP_ALERTS_FILE,
    failedRate: { percent: values.OPAMP_ALERTS_FAILED_PERCENT, minAgents: values.OPAMP_ALERTS_FAILED_MIN_AGENTS },
    fleetWatchMs: values.OPAMP_COORDINATOR_FLEET_WATCH_MS,
  });
  return { config, ignored: ignoredServiceLinks(environment) };
}

/** A config with the defaults for everything that is not given; both ports default to a free one, as tests want it. */
export function coordinatorConfig(given: Partial<CoordinatorConfig> & { redisUrl: string }): CoordinatorConfig {
  const host = given.host ?? '127.0.0.1';
  const config: CoordinatorConfig = {
    id: `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${randomBytes(4).toString('hex')}`,
    redisTls: undefined,
    keyPrefix: 'opamp',
    logLevel: 'info',
    port: 0,
    adminHost: host,
    adminPort: 0,
    sweepMs: 1000,
    queue: true,
    minReplicas: 0,
    apiTokensFile: undefined,
    alertsFile: undefined,
    failedRate: { percent: 5, minAgents: 20 },
    fleetWatchMs: 5000,
    commandTimeoutMs: 5000,
    graceMs: 15_000,
    lagHoldMs: 30_000,
    retentionDays: { agents: 7, rollouts: 90, audit: 365 },
    redisWaitMs: 10_000,
    ...given,
    host,
  };
  if (config.apiTokensFile === undefined && !isLoopbackHost(config.host)) {
    throw new ConfigurationError([
      `OPAMP_COORDINATOR_HOST is ${config.host}, which other machines can reach, and there are no API tokens: set OPAMP_API_TOKENS_FILE, or bind to 127.0.0.1`,
    ]);
  }
  return Object.freeze(config);
}
