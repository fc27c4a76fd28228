/** Where a Redis is and how to log in; what `OPAMP_REDIS_URL` says. */
export type RedisAddress =
  | {
      readonly kind: 'single';
      readonly nodes: readonly RedisNode[];
      readonly tls: boolean;
      readonly db: number;
      readonly login: RedisLogin;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[]; readonly tls: boolean; readonly login: RedisLogin }
  | {
      readonly kind: 'sentinel';
      readonly nodes: readonly RedisNode[];
      readonly masterName: string;
      readonly tls: boolean;
      readonly db: number;
      readonly login: RedisLogin;
      readonly sentinelPassword: string | undefined;
    };

export type RedisNode = { readonly host: string; readonly port: number };

export type RedisLogin = { readonly username: string | undefined; readonly password: string | undefined };

const FORMS =
  'redis://host:port, rediss://host:port, several of these separated by commas, or redis+sentinel://host:port,host:port/master-name';
const SENTINEL_SCHEME = /^(rediss?)\+sentinel:\/\//;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;

/**
 * Reads a Redis address: one `redis://` or `rediss://` URL is a single server (`/n` picks a database), several separated by
 * commas are the start nodes of one Redis Cluster, and `redis+sentinel://[user:password@]host:port,…/master-name[/n]` (or
 * `rediss+sentinel:`) asks Sentinels; theirs is the password in `?sentinelPassword=`. Throws an Error that names what was
 * expected and repeats no part of the text, because that may hold a password.
 */
export function parseRedisUrl(text: string): RedisAddress {
  const trimmed = text.trim();
  if (SENTINEL_SCHEME.test(trimmed)) return parseSentinel(trimmed);
  const urls = trimmed.split(',').map((part) => parseServer(part.trim()));
  const [first] = urls;
  if (first === undefined) throw new Error(`expected ${FORMS}`);
  if (urls.length === 1) return { kind: 'single', nodes: [first.node], tls: first.tls, db: first.db, login: first.login };
  for (const url of urls) {
    if (url.tls !== first.tls) throw new Error('expected all URLs of a cluster to be redis:// or all rediss://');
    if (url.db !== 0) throw new Error('expected no database number, a cluster has only database 0');
    const { login } = url;
    const named = login.username !== undefined || login.password !== undefined;
    if (named && (login.username !== first.login.username || login.password !== first.login.password)) {
      throw new Error('expected the same user and password in all URLs of a cluster (or only in the first)');
    }
  }
  return { kind: 'cluster', nodes: urls.map(({ node }) => node), tls: first.tls, login: first.login };
}

/** The address as `host:port` (a list for several, with the master's name for Sentinel), without any credentials. */
export function describeRedis(address: RedisAddress): string {
  const nodes = address.nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return address.kind === 'sentinel' ? `${nodes}/${address.masterName}` : nodes;
}

type Server = { node: RedisNode; tls: boolean; db: number; login: RedisLogin };

function parseServer(text: string): Server {
  const url = parseUrl(text);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') throw new Error(`expected ${FORMS}`);
  if (url.search !== '' || url.hash !== '') throw new Error('expected no query in the URL of a Redis server');
  return { node: nodeOf(url, REDIS_PORT), tls: url.protocol === 'rediss:', db: parseDatabase(url.pathname.slice(1)), login: loginOf(url) };
}

function parseSentinel(text: string): RedisAddress {
  const scheme = SENTINEL_SCHEME.exec(text);
  const rest = text.slice(scheme?.[0].length ?? 0);
  const [authority = '', path = ''] = splitOnce(rest, '/');
  const at = authority.lastIndexOf('@');
  const hosts = authority.slice(at + 1).split(',');
  const nodes = hosts.map((host) => nodeOf(parseUrl(`redis://${host.trim()}`), SENTINEL_PORT));
  const url = parseUrl(`redis://${authority.slice(0, at + 1)}sentinel/${path}`);
  const [masterName = '', database = '', ...more] = url.pathname.slice(1).split('/');
  if (masterName === '' || more.length > 0)
    throw new Error("expected the master's name after the Sentinels: redis+sentinel://host:port/master-name");
  for (const name of url.searchParams.keys()) if (name !== 'sentinelPassword') throw new Error('expected no query but sentinelPassword');
  return {
    kind: 'sentinel',
    nodes,
    masterName: decodeURIComponent(masterName),
    tls: scheme?.[1] === 'rediss',
    db: parseDatabase(database),
    login: loginOf(url),
    sentinelPassword: url.searchParams.get('sentinelPassword') ?? undefined,
  };
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.hostname === '') throw new Error(`expected ${FORMS}`);
  return url;
}

function nodeOf(url: URL, defaultPort: number): RedisNode {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? defaultPort : Number(url.port) };
}

function loginOf(url: URL): RedisLogin {
  const decode = (part: string): string | undefined => {
    try {
      return part === '' ? undefined : decodeURIComponent(part);
    } catch {
      // A stray percent sign; the decoder's own error would repeat the password.
      throw new Error('expected user and password in percent-encoding');
    }
  };
  return { username: decode(url.username), password: decode(url.password) };
}

function parseDatabase(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text)) throw new Error('expected a database number after the last slash');
  return Number(text);
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}
