import type { BodyView, Schema } from './schema.ts';
import { ANY, BOOL, DURATION, FLOAT, HEADERS, INT, list, object, oneOf, TEXT, TEXTS, UINT } from './schema.ts';
import { SECOND } from './go-values.ts';

// Settings that several components share. The keys are those of collector 0.149 and later ones together, so that a config for
// either is accepted.

const AUTHENTICATOR = { authenticator: TEXT };
const MIDDLEWARES = list(object('configmiddleware.Config', { id: TEXT }));
const COMPRESSION = oneOf('', 'none', 'gzip', 'zlib', 'deflate', 'snappy', 'x-snappy-framed', 'zstd', 'lz4');
const TLS_VERSION = oneOf('', '1.0', '1.1', '1.2', '1.3');

const TLS_FIELDS: Readonly<Record<string, Schema>> = {
  enabled: BOOL,
  ca_file: TEXT,
  ca_pem: TEXT,
  include_system_ca_certs_pool: BOOL,
  cert_file: TEXT,
  cert_pem: TEXT,
  key_file: TEXT,
  key_pem: TEXT,
  min_version: TLS_VERSION,
  max_version: TLS_VERSION,
  cipher_suites: TEXTS,
  reload_interval: DURATION,
  curve_preferences: TEXTS,
  tpm: object('configtls.TPMConfig', { enabled: BOOL, path: TEXT, owner_auth: TEXT, auth: TEXT }),
};

function checkTlsPairs(body: BodyView): void {
  const both = (file: string, pem: string): boolean => body.get(file) !== undefined && body.get(pem) !== undefined;
  if (both('ca_file', 'ca_pem')) body.fail('ca_pem', 'provide either a CA file or the PEM-encoded string, but not both');
  if (both('cert_file', 'cert_pem')) body.fail('cert_pem', 'provide either certificate file or PEM, but not both');
  if (both('key_file', 'key_pem')) body.fail('key_pem', 'provide either key file or PEM, but not both');
  if (hasCertificate(body) !== hasKey(body)) {
    const key = ['cert_file', 'cert_pem', 'key_file', 'key_pem'].find((name) => body.get(name) !== undefined) ?? null;
    body.fail(key, 'TLS configuration must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)');
  }
}

function hasCertificate(body: BodyView): boolean {
  return body.get('cert_file') !== undefined || body.get('cert_pem') !== undefined;
}

function hasKey(body: BodyView): boolean {
  return body.get('key_file') !== undefined || body.get('key_pem') !== undefined;
}

const CLIENT_TLS = object(
  'configtls.ClientConfig',
  { ...TLS_FIELDS, insecure: BOOL, insecure_skip_verify: BOOL, server_name_override: TEXT },
  checkTlsPairs,
);

const SERVER_TLS = object('configtls.ServerConfig', { ...TLS_FIELDS, client_ca_file: TEXT, client_ca_file_reload: BOOL }, (body) => {
  if (!body.has('cert_file') && !body.has('cert_pem') && !body.has('key_file') && !body.has('key_pem')) return;
  checkTlsPairs(body);
});

const CLIENT_KEEPALIVE = object('configgrpc.KeepaliveClientConfig', {
  enabled: BOOL,
  time: DURATION,
  timeout: DURATION,
  permit_without_stream: BOOL,
});

const SERVER_KEEPALIVE = object('configgrpc.KeepaliveServerConfig', {
  enabled: BOOL,
  server_parameters: object('configgrpc.KeepaliveServerParameters', {
    enabled: BOOL,
    max_connection_idle: DURATION,
    max_connection_age: DURATION,
    max_connection_age_grace: DURATION,
    time: DURATION,
    timeout: DURATION,
  }),
  enforcement_policy: object('configgrpc.KeepaliveEnforcementPolicy', { enabled: BOOL, min_time: DURATION, permit_without_stream: BOOL }),
});

/** A gRPC client. */
export const GRPC_CLIENT: Readonly<Record<string, Schema>> = {
  endpoint: TEXT,
  compression: COMPRESSION,
  tls: CLIENT_TLS,
  keepalive: CLIENT_KEEPALIVE,
  read_buffer_size: INT,
  write_buffer_size: INT,
  wait_for_ready: BOOL,
  headers: HEADERS,
  balancer_name: TEXT,
  authority: TEXT,
  auth: object('configauth.Config', { enabled: BOOL, ...AUTHENTICATOR }),
  middlewares: MIDDLEWARES,
};

/** A gRPC server. */
export const GRPC_SERVER: Readonly<Record<string, Schema>> = {
  enabled: BOOL,
  endpoint: TEXT,
  transport: TEXT,
  dialer: object('confignet.DialerConfig', { timeout: DURATION }),
  tls: SERVER_TLS,
  max_recv_msg_size_mib: INT,
  max_concurrent_streams: UINT,
  read_buffer_size: INT,
  write_buffer_size: INT,
  keepalive: SERVER_KEEPALIVE,
  auth: object('configauth.Config', { enabled: BOOL, ...AUTHENTICATOR }),
  include_metadata: BOOL,
  middlewares: MIDDLEWARES,
};

const TRANSPORTS = new Set([
  '',
  'tcp',
  'tcp4',
  'tcp6',
  'udp',
  'udp4',
  'udp6',
  'ip',
  'ip4',
  'ip6',
  'unix',
  'unixgram',
  'unixpacket',
  'npipe',
]);

/** Rules of a listening address. */
export function checkServer(body: BodyView): void {
  const transport = body.text('transport');
  if (transport !== null && !TRANSPORTS.has(transport)) body.fail('transport', `invalid transport type "${transport.slice(0, 64)}"`);
}

/** Rules of a gRPC server. */
export function checkGrpcServer(body: BodyView): void {
  checkServer(body);
  for (const key of ['max_recv_msg_size_mib', 'read_buffer_size', 'write_buffer_size']) {
    const value = body.number(key, 0);
    if (value !== null && value < 0) body.fail(key, `invalid ${key} value: ${value}`);
  }
}

/** An HTTP client. */
export const HTTP_CLIENT: Readonly<Record<string, Schema>> = {
  endpoint: TEXT,
  proxy_url: TEXT,
  tls: CLIENT_TLS,
  read_buffer_size: INT,
  write_buffer_size: INT,
  timeout: DURATION,
  headers: HEADERS,
  auth: object('configauth.Config', { enabled: BOOL, ...AUTHENTICATOR }),
  compression: COMPRESSION,
  compression_params: object('configcompression.CompressionParams', { level: INT }),
  max_idle_conns: INT,
  max_idle_conns_per_host: INT,
  max_conns_per_host: INT,
  idle_conn_timeout: DURATION,
  disable_keep_alives: BOOL,
  http2_read_idle_timeout: DURATION,
  http2_ping_timeout: DURATION,
  cookies: object('confighttp.CookiesConfig', { enabled: BOOL }),
  force_attempt_http2: BOOL,
  keepalive: object('confighttp.KeepaliveClientConfig', {
    enabled: BOOL,
    idle_conn_timeout: DURATION,
    max_idle_conns: INT,
    max_idle_conns_per_host: INT,
  }),
  middlewares: MIDDLEWARES,
};

/** An HTTP server. */
export const HTTP_SERVER: Readonly<Record<string, Schema>> = {
  enabled: BOOL,
  endpoint: TEXT,
  transport: TEXT,
  dialer: object('confignet.DialerConfig', { timeout: DURATION }),
  tls: SERVER_TLS,
  cors: object('confighttp.CORSConfig', {
    enabled: BOOL,
    allowed_origins: TEXTS,
    allowed_headers: TEXTS,
    exposed_headers: TEXTS,
    max_age: INT,
  }),
  auth: object('confighttp.AuthConfig', { enabled: BOOL, ...AUTHENTICATOR, request_params: TEXTS }),
  max_request_body_size: INT,
  include_metadata: BOOL,
  response_headers: HEADERS,
  compression_algorithms: TEXTS,
  read_timeout: DURATION,
  read_header_timeout: DURATION,
  write_timeout: DURATION,
  idle_timeout: DURATION,
  keep_alives_enabled: BOOL,
  keepalive: object('confighttp.KeepaliveServerConfig', { enabled: BOOL, idle_timeout: DURATION }),
  middlewares: MIDDLEWARES,
};

/** Retries of an exporter. */
export const RETRY = object(
  'configretry.BackOffConfig',
  {
    enabled: BOOL,
    initial_interval: DURATION,
    randomization_factor: FLOAT,
    multiplier: FLOAT,
    max_interval: DURATION,
    max_elapsed_time: DURATION,
  },
  (body) => {
    if (body.flag('enabled', true) !== true) return;
    const initial = body.duration('initial_interval', 5 * SECOND);
    const longest = body.duration('max_interval', 30 * SECOND);
    const elapsed = body.duration('max_elapsed_time', 300 * SECOND);
    const factor = body.number('randomization_factor', 0.5);
    const multiplier = body.number('multiplier', 1.5);
    if (initial !== null && initial < 0) body.fail('initial_interval', "'initial_interval' must be non-negative");
    if (longest !== null && longest < 0) body.fail('max_interval', "'max_interval' must be non-negative");
    if (elapsed !== null && elapsed < 0) body.fail('max_elapsed_time', "'max_elapsed_time' must be non-negative");
    if (factor !== null && (factor < 0 || factor > 1)) body.fail('randomization_factor', "'randomization_factor' must be within [0, 1]");
    if (multiplier !== null && multiplier < 0) body.fail('multiplier', "'multiplier' must be non-negative");
    if (elapsed === null || elapsed <= 0) return;
    if (initial !== null && elapsed < initial) body.fail('max_elapsed_time', "'max_elapsed_time' must not be less than 'initial_interval'");
    if (longest !== null && elapsed < longest) body.fail('max_elapsed_time', "'max_elapsed_time' must not be less than 'max_interval'");
  },
);

const SIZERS = ['', 'requests', 'items', 'bytes'] as const;

const QUEUE_BATCH = object(
  'queuebatch.BatchConfig',
  {
    enabled: BOOL,
    flush_timeout: DURATION,
    sizer: oneOf(...SIZERS),
    min_size: INT,
    max_size: INT,
    partition: object('queuebatch.PartitionConfig', { metadata_keys: TEXTS }),
  },
  (body) => {
    if (body.flag('enabled', true) !== true) return;
    const flush = body.duration('flush_timeout', SECOND);
    const min = body.number('min_size', 0);
    const max = body.number('max_size', 0);
    if (flush !== null && flush <= 0) body.fail('flush_timeout', `\`flush_timeout\` must be positive, found ${flush}`);
    if (min !== null && min < 0) body.fail('min_size', `\`min_size\` must be non-negative, found ${min}`);
    if (max !== null && max < 0) body.fail('max_size', `\`max_size\` must be non-negative, found ${max}`);
    const given = body.get('min_size') !== undefined;
    if (given && min !== null && max !== null && max > 0 && max < min) {
      body.fail('max_size', `\`max_size\` (${max}) must be greater or equal to \`min_size\` (${min})`);
    }
  },
);

/** The queue of an exporter. */
export const QUEUE = object(
  'queuebatch.Config',
  {
    enabled: BOOL,
    wait_for_result: BOOL,
    sizer: oneOf(...SIZERS),
    queue_size: INT,
    block_on_overflow: BOOL,
    blocking: BOOL,
    storage: TEXT,
    num_consumers: INT,
    batch: QUEUE_BATCH,
  },
  (body) => {
    if (body.flag('enabled', true) !== true) return;
    const consumers = body.number('num_consumers', 10);
    const size = body.number('queue_size', 1000);
    if (consumers !== null && consumers <= 0) body.fail('num_consumers', '`num_consumers` must be positive');
    if (size !== null && size <= 0) body.fail('queue_size', '`queue_size` must be positive');
    if (body.get('storage') !== undefined && body.flag('wait_for_result', false) === true) {
      body.fail('wait_for_result', '`wait_for_result` is not supported with a persistent queue configured with `storage`');
    }
  },
);

/** Settings of a receiver that scrapes. */
export const SCRAPER_CONTROLLER: Readonly<Record<string, Schema>> = {
  collection_interval: DURATION,
  initial_delay: DURATION,
  timeout: DURATION,
  metadata_collection_interval: DURATION,
};

/** Rules of a receiver that scrapes. */
export function checkScraperController(body: BodyView): void {
  const interval = body.duration('collection_interval', 60 * SECOND);
  const timeout = body.duration('timeout', 0);
  if (interval !== null && interval <= 0) body.fail('collection_interval', '"collection_interval": requires positive value');
  if (timeout !== null && timeout < 0) body.fail('timeout', '"timeout": requires positive value');
}

/** A list of texts or of maps that is not looked into. */
export const LIST_OF_ANY: Schema = list(ANY);
