import {
  type EnvironmentSource,
  type ValuesOf,
  booleanOption,
  bytesOption,
  choiceOption,
  durationOption,
  integerOption,
  isServiceLink,
  listOption,
  parseSettings,
  portOption,
  renderOptionTable,
  textOption,
} from './config-schema.ts';
import { parseEncryptionKeys } from './encryption.ts';
import { ConfigurationError } from './errors.ts';
import { GATEWAY_SECURITY_OPTIONS } from './gateway-security-options.ts';
import type { LogLevel } from './logger.ts';
import { parseOtlpHeaders } from './tracing.ts';
import type { TracingConfig } from './tracing.ts';
import { describeRedis, parseRedisUrl } from './redis/redis-url.ts';

const PREFIX = 'OPAMP_';
const MIB = 2 ** 20;

const BOTH = ['gateway', 'coordinator'] as const;
const GATEWAY = ['gateway'] as const;
const COORDINATOR = ['coordinator'] as const;
const CLI = ['cli'] as const;

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const satisfies readonly LogLevel[];

/** Every setting of every process and of the CLI, by the name of its variable. One list, so that each process knows all names. */
export const OPTIONS = {
  OPAMP_REDIS_URL: textOption({
    default: 'redis://127.0.0.1:6379',
    readBy: BOTH,
    kind: 'Redis URL',
    secret: true,
    sentence:
      'Redis: `redis://`, `rediss://`; several separated by commas are a Redis Cluster; `redis+sentinel://host:port,host:port/master-name`.',
    check: (text) => problemOf(() => parseRedisUrl(text)),
  }),
  OPAMP_REDIS_CA_FILE: textOption({
    default: undefined,
    readBy: BOTH,
    kind: 'file',
    sentence: 'PEM file of the authorities that sign the certificates of Redis and of Sentinels, in place of the well-known ones.',
  }),
  OPAMP_REDIS_CERT_FILE: textOption({
    default: undefined,
    readBy: BOTH,
    kind: 'file',
    sentence: 'PEM file of the client certificate for `rediss://`, where Redis asks for one (`tls-auth-clients`).',
  }),
  OPAMP_REDIS_KEY_FILE: textOption({
    default: undefined,
    readBy: BOTH,
    kind: 'file',
    sentence: 'PEM file of the private key to `OPAMP_REDIS_CERT_FILE`.',
  }),
  OPAMP_KEY_PREFIX: textOption({
    default: 'opamp',
    readBy: BOTH,
    sentence: 'First part of every key and channel; fleets that share a Redis need different ones.',
    check: (text) => (/^[A-Za-z0-9._:-]{1,64}$/.test(text) ? undefined : '1 to 64 letters, digits, dots, dashes, colons or underscores'),
  }),
  OPAMP_ENCRYPTION_KEYS: textOption({
    default: undefined,
    defaultText: 'none: not encrypted',
    kind: '`<id>:<64 hex>`, separated by commas',
    readBy: BOTH,
    secret: true,
    sentence:
      'Keys that effective configs are encrypted with in Redis: the first one encrypts, all decrypt; see [operations](operations.md#how-do-i-encrypt-what-agents-report).',
    check: (text) => problemOf(() => parseEncryptionKeys(text)),
  }),
  OPAMP_LOG_LEVEL: choiceOption({
    default: 'info',
    choices: LEVELS,
    readBy: BOTH,
    sentence: 'Least important log lines that are written.',
  }),
  OPAMP_OTLP_ENDPOINT: textOption({
    default: undefined,
    defaultText: '`OTEL_EXPORTER_OTLP_ENDPOINT`',
    kind: 'URL',
    readBy: BOTH,
    sentence:
      'OTLP/HTTP receiver of traces, without `/v1/traces`; nothing is traced without one. `OTEL_EXPORTER_OTLP_HEADERS` goes with it.',
    check: (text) => (/^https?:$/.test(URL.parse(text)?.protocol ?? '') ? undefined : 'an http:// or https:// URL'),
  }),
  OPAMP_REDIS_MIN_REPLICAS: integerOption({
    default: 0,
    max: 100,
    readBy: COORDINATOR,
    sentence: 'Replicas that must have a commit before it is answered; 0 waits for none.',
  }),

  OPAMP_GATEWAY_ID: textOption({
    default: undefined,
    defaultText: 'host name + random',
    readBy: GATEWAY,
    sentence: 'Name of this gateway, unique per process.',
    check: (text) =>
      /^[A-Za-z0-9._-]{1,128}$/.test(text) && text !== 'http'
        ? undefined
        : '1 to 128 letters, digits, dots, dashes or underscores, and not the word http',
  }),
  OPAMP_GATEWAY_HOST: textOption({ default: '0.0.0.0', readBy: GATEWAY, sentence: 'Address that agents connect to.' }),
  OPAMP_GATEWAY_PORT: portOption({
    default: 4320,
    readBy: GATEWAY,
    sentence: 'Port for agents, WebSocket and plain HTTP alike; 0 takes a free one.',
  }),
  OPAMP_GATEWAY_PATH: textOption({
    default: '/v1/opamp',
    readBy: GATEWAY,
    sentence: 'URL path for agents.',
    check: (text) => (/^\/[^\s?#]*$/.test(text) ? undefined : 'a path that begins with /'),
  }),
  OPAMP_GATEWAY_ADMIN_HOST: textOption({
    default: '0.0.0.0',
    readBy: GATEWAY,
    sentence: 'Address of `/healthz`, `/readyz` and `/metrics`.',
  }),
  OPAMP_GATEWAY_ADMIN_PORT: portOption({
    default: 9320,
    readBy: GATEWAY,
    sentence: 'Port of `/healthz`, `/readyz` and `/metrics`; 0 takes a free one.',
  }),
  OPAMP_GATEWAY_ADVERTISE: textOption({
    default: undefined,
    defaultText: 'host name and port',
    readBy: GATEWAY,
    sentence: 'Address of this gateway as the list of gateways shows it.',
  }),
  OPAMP_GATEWAY_MAX_MESSAGE_BYTES: bytesOption({
    default: 64 * MIB,
    min: 1024,
    max: 1024 * MIB,
    readBy: GATEWAY,
    sentence: 'Largest message in either direction, uncompressed.',
  }),
  OPAMP_GATEWAY_MAX_CONNECTIONS: integerOption({
    default: undefined,
    defaultText: 'descriptor limit − 500',
    min: 1,
    readBy: GATEWAY,
    sentence: 'Connections above which new ones are answered 503.',
  }),
  OPAMP_GATEWAY_CONNECT_RATE: integerOption({
    default: 0,
    unit: 'per second',
    readBy: GATEWAY,
    sentence: 'New connections accepted; the rest is answered 503; 0 is unlimited.',
  }),
  OPAMP_GATEWAY_OFFER_RATE: integerOption({
    default: 50,
    min: 1,
    unit: 'per second',
    readBy: GATEWAY,
    sentence: 'Offers of this gateway outside rollouts.',
  }),
  OPAMP_GATEWAY_OFFER_WINDOW: integerOption({ default: 2000, min: 1, readBy: GATEWAY, sentence: 'Offers that may be unanswered at once.' }),
  OPAMP_GATEWAY_OFFER_WINDOW_BYTES: bytesOption({
    default: 64 * MIB,
    min: 1024,
    readBy: GATEWAY,
    sentence:
      'Bytes of offers that may be unanswered at once; one offer always passes. Agents that are slow to answer have half as much again.',
  }),
  OPAMP_GATEWAY_FULL_STATE_RATE: integerOption({
    default: 500,
    min: 1,
    unit: 'per second',
    readBy: GATEWAY,
    sentence: 'Agents asked for their full state.',
  }),
  OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS: durationOption({
    default: 30_000,
    readBy: GATEWAY,
    sentence: 'Least time between two such questions to one agent.',
  }),
  OPAMP_GATEWAY_LEASE_MS: durationOption({
    default: 15_000,
    min: 100,
    readBy: GATEWAY,
    sentence: 'How long a gateway counts as alive after it has last said so.',
  }),
  OPAMP_GATEWAY_LEASE_RENEW_MS: durationOption({
    default: 5000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Interval at which a gateway says that it is alive.',
  }),
  OPAMP_GATEWAY_FLUSH_INTERVAL_MS: durationOption({
    default: 50,
    min: 1,
    readBy: GATEWAY,
    sentence: 'Interval at which changed agents are written to Redis.',
  }),
  OPAMP_GATEWAY_SPEC_POLL_MS: durationOption({
    default: 2000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Interval at which the fleet spec is read again, should a message about it have been lost.',
  }),
  OPAMP_GATEWAY_DRAIN_MS: durationOption({
    default: 10_000,
    readBy: GATEWAY,
    sentence: 'Time over which agents are sent away at shutdown.',
  }),
  OPAMP_GATEWAY_PING_INTERVAL_MS: durationOption({ default: 30_000, min: 10, readBy: GATEWAY, sentence: 'Interval of WebSocket pings.' }),
  OPAMP_GATEWAY_PONG_TIMEOUT_MS: durationOption({
    default: 90_000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Silence after which a WebSocket is closed.',
  }),
  OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS: durationOption({
    default: 30_000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Time in which a new WebSocket must have sent its first message.',
  }),
  OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS: durationOption({
    default: 30_000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Heartbeat interval that agents are assumed to use.',
  }),
  OPAMP_GATEWAY_HTTP_SILENCE_MS: durationOption({
    default: 90_000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'Silence after which an agent that polls over HTTP counts as offline.',
  }),
  OPAMP_GATEWAY_DEGRADED_AFTER_MS: durationOption({
    default: 15_000,
    min: 10,
    readBy: GATEWAY,
    sentence: 'How long an agent may be unhealthy after it has applied a config before it counts as degraded.',
  }),
  OPAMP_GATEWAY_RETRY_AFTER_SECONDS: integerOption({
    default: 20,
    min: 1,
    max: 3600,
    unit: 'seconds',
    readBy: GATEWAY,
    sentence: 'Most `Retry-After` of a refused connection or poll; the values sent are spread from 1 on.',
  }),
  OPAMP_GATEWAY_EFFECTIVE_CONFIG: booleanOption({
    default: true,
    readBy: GATEWAY,
    sentence: 'Whether the effective configs that agents report are stored.',
  }),
  OPAMP_GATEWAY_CUSTOM_CAPABILITIES: listOption({ default: [], readBy: GATEWAY, sentence: 'Custom capabilities announced to agents.' }),
  ...GATEWAY_SECURITY_OPTIONS,
  OPAMP_AGENT_AUTH: choiceOption({
    default: 'none',
    choices: ['none', 'token', 'mtls'],
    readBy: GATEWAY,
    sentence: 'How agents prove who they are: not at all, by a bearer token, or by a client certificate.',
  }),
  OPAMP_AGENT_TOKENS_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: GATEWAY,
    sentence: 'File of tokens that agents may use beside those made through the API; read again when it changes.',
  }),

  OPAMP_COORDINATOR_ID: textOption({
    default: undefined,
    defaultText: 'host name + random',
    readBy: COORDINATOR,
    sentence: 'Name of this coordinator, unique per process.',
    check: (text) => (/^[A-Za-z0-9._-]{1,128}$/.test(text) ? undefined : '1 to 128 letters, digits, dots, dashes or underscores'),
  }),
  OPAMP_COORDINATOR_HOST: textOption({ default: '127.0.0.1', readBy: COORDINATOR, sentence: 'Address of the REST API and the dashboard.' }),
  OPAMP_COORDINATOR_PORT: portOption({
    default: 4330,
    readBy: COORDINATOR,
    sentence: 'Port of the REST API and the dashboard; 0 takes a free one.',
  }),
  OPAMP_COORDINATOR_ADMIN_HOST: textOption({
    default: undefined,
    defaultText: '`OPAMP_COORDINATOR_HOST`',
    readBy: COORDINATOR,
    sentence: 'Address of `/healthz`, `/readyz` and `/metrics`.',
  }),
  OPAMP_COORDINATOR_ADMIN_PORT: portOption({
    default: 9330,
    readBy: COORDINATOR,
    sentence: 'Port of `/healthz`, `/readyz` and `/metrics`; 0 takes a free one.',
  }),
  OPAMP_COORDINATOR_SWEEP_MS: durationOption({
    default: 1000,
    min: 10,
    readBy: COORDINATOR,
    sentence: 'Interval of the repair timer that finds due rollouts and ended leases.',
  }),
  OPAMP_COORDINATOR_COMMAND_TIMEOUT_MS: durationOption({
    default: 5000,
    min: 100,
    readBy: COORDINATOR,
    sentence: 'How long a gateway may take to answer a command to an agent.',
  }),
  OPAMP_COORDINATOR_GRACE_MS: durationOption({
    default: 15_000,
    min: 10,
    readBy: COORDINATOR,
    sentence:
      'Time after Redis was out of reach of every coordinator in which no agent is judged lost or timed out; at least the lease of the gateways.',
  }),
  OPAMP_COORDINATOR_LAG_HOLD_MS: durationOption({
    default: 30_000,
    min: 10,
    readBy: COORDINATOR,
    sentence: 'How long a gateway may lag behind the fleet spec before its rollouts are held.',
  }),
  OPAMP_COORDINATOR_FLEET_BREAKER_MS: durationOption({
    default: 30_000,
    min: 10,
    readBy: COORDINATOR,
    sentence:
      'How long too many agents of the fleet must be unhealthy before every rollout is held (`fleet_breaker`); gone, or few again, for twice as long.',
  }),
  OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS: textOption({
    default: undefined,
    defaultText: 'none',
    kind: 'URLs, separated by commas',
    readBy: COORDINATOR,
    secret: true,
    sentence:
      'Base URLs of the Prometheus servers that gates of the type `prometheus` may ask; `user:password@` is sent as basic authentication.',
    check: checkUrls,
  }),
  OPAMP_COORDINATOR_GATE_WEBHOOK_URLS: textOption({
    default: undefined,
    defaultText: 'none',
    kind: 'URLs, separated by commas',
    readBy: COORDINATOR,
    secret: true,
    sentence: 'URLs that gates of the type `webhook` may call; everything below one of them is allowed too.',
    check: checkUrls,
  }),
  OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET: textOption({
    default: undefined,
    defaultText: 'none',
    readBy: COORDINATOR,
    secret: true,
    sentence:
      'Secret that signs the calls of gates of the type `webhook`, 16 to 256 bytes, as text or as `whsec_` and base64; several separated by spaces all sign, while one replaces another.',
  }),
  OPAMP_RETENTION_AGENTS: integerOption({
    default: 7,
    unit: 'days',
    readBy: COORDINATOR,
    sentence: 'How long an agent that is away is remembered after its last contact, its effective config included; 0 = for ever.',
  }),
  OPAMP_RETENTION_ROLLOUTS: integerOption({
    default: 90,
    unit: 'days',
    readBy: COORDINATOR,
    sentence: 'How long an ended rollout and its events are kept; 0 = for ever.',
  }),
  OPAMP_RETENTION_AUDIT: integerOption({
    default: 365,
    unit: 'days',
    readBy: COORDINATOR,
    sentence: 'How long audit entries are kept; 0 = for ever.',
  }),
  OPAMP_COORDINATOR_QUEUE: booleanOption({
    default: true,
    readBy: COORDINATOR,
    sentence: 'Whether this coordinator works on the BullMQ queue; without it the repair timer does everything.',
  }),
  OPAMP_ALERTS_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: COORDINATOR,
    sentence: 'File of the webhooks that are told of alerts, see alerts.md; read again when it changes.',
  }),
  OPAMP_ALERTS_FAILED_PERCENT: integerOption({
    default: 5,
    max: 100,
    unit: '%',
    readBy: COORDINATOR,
    sentence: 'Share of the connected agents whose last config status is FAILED that is an alert; 0 = never.',
  }),
  OPAMP_ALERTS_FAILED_MIN_AGENTS: integerOption({
    default: 20,
    min: 1,
    readBy: COORDINATOR,
    sentence: 'Fewest agents that report FAILED for that alert.',
  }),
  OPAMP_COORDINATOR_FLEET_WATCH_MS: durationOption({
    default: 5000,
    min: 100,
    readBy: COORDINATOR,
    sentence: 'Interval at which the numbers of the whole fleet are read, for metrics and alerts.',
  }),
  OPAMP_PUBLIC_ENDPOINT: textOption({
    default: undefined,
    kind: 'URL',
    readBy: COORDINATOR,
    sentence: 'Where agents reach the gateways, `wss://opamp.example.com/v1/opamp` for example; enrolment hands it out.',
    check: (text) => (/^(?:wss?|https?):$/.test(URL.parse(text)?.protocol ?? '') ? undefined : 'a ws://, wss://, http:// or https:// URL'),
  }),
  OPAMP_PUBLIC_CA_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: COORDINATOR,
    sentence: 'Authority (PEM) by which agents know that endpoint, where it is no public one; enrolment hands it out.',
  }),
  OPAMP_RETENTION_TOKENS: integerOption({
    default: 30,
    unit: 'days',
    readBy: COORDINATOR,
    sentence: 'How long a revoked or expired agent token is still listed; 0 = for ever.',
  }),
  OPAMP_API_TOKENS_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: COORDINATOR,
    sentence: 'File of API tokens; without it, and without an issuer, the coordinator binds to loopback only.',
  }),
  OPAMP_API_RATE_LIMIT: integerOption({
    default: 100,
    max: 100_000,
    unit: 'per second',
    readBy: COORDINATOR,
    sentence: 'Requests that one credential may make, ten times as many at once; the rest is answered 429; 0 is unlimited.',
  }),
  OPAMP_API_TRUSTED_PROXIES: listOption({
    default: [],
    readBy: COORDINATOR,
    sentence: 'Networks (`10.0.0.0/8`) of the load balancers whose `X-Forwarded-For` says which address limits and audit entries go by.',
  }),
  OPAMP_OIDC_ISSUER: textOption({
    default: undefined,
    kind: 'URL',
    readBy: COORDINATOR,
    sentence: 'OpenID Connect issuer whose tokens the API takes, exactly as it names itself; its keys are found by discovery.',
    check: (text) => (isIssuerUrl(text) ? undefined : 'an https:// URL without query (http:// on this machine only)'),
  }),
  OPAMP_OIDC_CLIENT_ID: textOption({
    default: undefined,
    readBy: COORDINATOR,
    sentence: 'Id of the public client as which the dashboard signs people in; needed with an issuer.',
  }),
  OPAMP_OIDC_AUDIENCE: textOption({
    default: undefined,
    defaultText: '`OPAMP_OIDC_CLIENT_ID`',
    readBy: COORDINATOR,
    sentence: 'What must stand in the claim `aud` of a token.',
  }),
  OPAMP_OIDC_SCOPES: listOption({
    default: ['openid', 'profile'],
    readBy: COORDINATOR,
    sentence: 'Scopes that the dashboard asks for.',
  }),
  OPAMP_OIDC_NAME_CLAIM: textOption({
    default: 'sub',
    readBy: COORDINATOR,
    sentence: 'Claim that names the actor; take none that people can change themselves.',
  }),
  OPAMP_OIDC_ROLE_CLAIM: textOption({
    default: 'roles',
    readBy: COORDINATOR,
    sentence: 'Claim that holds the roles; dots lead into objects, as in `realm_access.roles`.',
  }),
  OPAMP_OIDC_ROLE_MAP: listOption({
    default: [],
    readBy: COORDINATOR,
    sentence: 'What stands for which role there, as in `sre=operator,change-board=approver`; without it the names of the roles do.',
  }),
  OPAMP_OIDC_GROUPS_CLAIM: textOption({
    default: undefined,
    readBy: COORDINATOR,
    sentence: 'Claim that lists the groups of agents somebody is for (`*`: all); without this setting everybody is for all.',
  }),
  OPAMP_OIDC_ALGORITHMS: listOption({
    default: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    readBy: COORDINATOR,
    sentence: 'Signature algorithms that are taken; only asymmetric ones can be named.',
  }),
  OPAMP_OIDC_CLOCK_SKEW_SECONDS: integerOption({
    default: 30,
    max: 600,
    unit: 'seconds',
    readBy: COORDINATOR,
    sentence: 'How far the clock of the issuer may be off.',
  }),

  OPAMP_API_URL: textOption({
    default: undefined,
    kind: 'URL',
    readBy: CLI,
    sentence: 'Where the CLI finds the REST API.',
    check: (text) => (/^https?:$/.test(URL.parse(text)?.protocol ?? '') ? undefined : 'an http:// or https:// URL'),
  }),
  OPAMP_API_TOKEN: textOption({ default: undefined, readBy: CLI, secret: true, sentence: 'Token that the CLI sends.' }),
} as const;

/** Name of a setting. */
export type OptionName = keyof typeof OPTIONS;

/** Every setting with the type of its parsed value. */
export type EnvironmentValues = ValuesOf<typeof OPTIONS>;

/**
 * Parses the settings that a process names. An unknown `OPAMP_` variable and every malformed value of a named setting are
 * reported together in one ConfigurationError (exit code 78). The result is frozen.
 */
export function parseEnvironment<Name extends OptionName>(
  names: readonly Name[],
  environment: EnvironmentSource,
): Readonly<Pick<EnvironmentValues, Name>> {
  return parseSettings(OPTIONS, names, environment, PREFIX);
}

/** The `OPAMP_` variables that are ignored because Kubernetes made them for a Service; to be logged at debug level. */
export function ignoredServiceLinks(environment: EnvironmentSource): string[] {
  return Object.entries(environment)
    .filter(([name, value]) => name.startsWith(PREFIX) && value !== undefined && isServiceLink(name, value))
    .map(([name]) => name)
    .toSorted();
}

/** Values that may be logged: the Redis URL shrinks to `host:port`, other secrets to whether they are set. */
export function loggableValues(values: Readonly<Partial<EnvironmentValues>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (name === 'OPAMP_REDIS_URL') return [name, describeRedis(parseRedisUrl(String(value)))];
      const secret = Object.hasOwn(OPTIONS, name) && OPTIONS[name as OptionName].secret;
      return [name, secret && value !== undefined ? '[set]' : value];
    }),
  );
}

/** The body of docs/configuration.md: one table per reader. */
export function renderConfigurationTable(): string {
  const sections: [string, (readBy: readonly string[]) => boolean][] = [
    ['Gateway and coordinator', (readBy) => readBy.length > 1],
    ['Gateway', (readBy) => isOnly(readBy, 'gateway')],
    ['Coordinator', (readBy) => isOnly(readBy, 'coordinator')],
    ['CLI', (readBy) => isOnly(readBy, 'cli')],
  ];
  return sections
    .map(([title, belongs]) => {
      const options = Object.entries(OPTIONS).filter(([, option]) => belongs(option.readBy));
      return `## ${title}\n\n${renderOptionTable(options)}`;
    })
    .join('\n');
}

function isIssuerUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.search !== '' || url.hash !== '' || url.username !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname));
}

/** Every entry of a list of URLs is one. Says nothing of what is written there: it may hold a password. */
function checkUrls(text: string): string | undefined {
  const urls = text.split(',').map((entry) => URL.parse(entry.trim()));
  const usable = urls.every((url) => url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '');
  return usable ? undefined : 'http:// or https:// URLs without query and fragment, separated by commas';
}

function problemOf(parse: () => unknown): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/^expected /, '');
  }
}

/** Where traces go: our own setting, or those of OpenTelemetry. Throws a ConfigurationError; undefined = nowhere. */
export function readTracing(own: string | undefined, environment: EnvironmentSource): TracingConfig | undefined {
  const given = environment['OTEL_EXPORTER_OTLP_ENDPOINT']?.trim();
  const endpoint = own ?? (given === '' ? undefined : given);
  if (endpoint === undefined) return undefined;
  if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new ConfigurationError(['OTEL_EXPORTER_OTLP_ENDPOINT: expected an http:// or https:// URL']);
  try {
    return { endpoint, headers: parseOtlpHeaders(environment['OTEL_EXPORTER_OTLP_HEADERS'] ?? '') };
  } catch {
    throw new ConfigurationError(['OTEL_EXPORTER_OTLP_HEADERS: expected key=value pairs joined by commas']);
  }
}

function isOnly(readBy: readonly string[], reader: string): boolean {
  return readBy.length === 1 && readBy[0] === reader;
}
