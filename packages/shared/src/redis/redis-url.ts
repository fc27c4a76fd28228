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
 * `rediss+sentinel:`) asks Sentinels; theirs is the password in `?sentinelPassword=`. A Cluster with one known address names it twice.
 * Throws an Error that names what was expected in which part (of a list: the how-manieth URL) and repeats no part of the text, because
 * that may hold a password.
 */
export function parseRedisUrl(text: string): RedisAddress {
  const trimmed = text.trim();
  if (SENTINEL_SCHEME.test(trimmed)) return parseSentinel(trimmed);
  const parts = trimmed.split(',');
  const urls = parts.map((part, index) => parseServer(part.trim(), parts.length === 1 ? '' : ` in URL ${index + 1} of ${parts.length}`));
  const [first] = urls;
  if (first === undefined) throw new Error(`expected ${FORMS}`);
  if (urls.length === 1) return { kind: 'single', nodes: [first.node], tls: first.tls, db: first.db, login: first.login };
  for (const [index, url] of urls.entries()) {
    const where = `(URL ${index + 1} of ${urls.length})`;
    if (url.tls !== first.tls) throw new Error(`expected all URLs of a cluster to be redis:// or all rediss:// ${where}`);
    if (url.db !== 0) throw new Error(`expected no database number, a cluster has only database 0 ${where}`);
    const { login } = url;
    const named = login.username !== undefined || login.password !== undefined;
    if (named && (login.username !== first.login.username || login.password !== first.login.password)) {
      throw new Error(`expected the same user and password in all URLs of a cluster (or only in the first) ${where}`);
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

/** `where` ends every message: which of several it is. */
function parseServer(text: string, where: string): Server {
  if (text === '') throw new Error(`expected ${FORMS}, found nothing${where}`);
  const [scheme] = splitOnce(text, '://');
  if (scheme === text) throw new Error(`expected ${FORMS}, found no ://${where}`);
  if (scheme !== 'redis' && scheme !== 'rediss') throw new Error(`expected ${FORMS}, found another scheme${where}`);
  const url = parseUrl(text, where);
  if (url.search !== '' || url.hash !== '') throw new Error(`expected nothing after ? or # (percent-encode them in a password)${where}`);
  return {
    node: nodeOf(url, REDIS_PORT),
    tls: scheme === 'rediss',
    db: parseDatabase(url.pathname.slice(1), where),
    login: loginOf(url, where),
  };
}

function parseSentinel(text: string): RedisAddress {
  const scheme = SENTINEL_SCHEME.exec(text);
  const rest = text.slice(scheme?.[0].length ?? 0);
  const [authority = '', path = ''] = splitOnce(rest, '/');
  const at = authority.lastIndexOf('@');
  const hosts = authority.slice(at + 1).split(',');
  const nodes = hosts.map((host, index) => {
    const where = ` of Sentinel ${index + 1} of ${hosts.length}`;
    return nodeOf(parseUrl(`redis://${host.trim()}`, where), SENTINEL_PORT);
  });
  const url = parseUrl(`redis://${authority.slice(0, at + 1)}sentinel/${path}`, '');
  const [masterName = '', database = '', ...more] = url.pathname.slice(1).split('/');
  if (masterName === '' || more.length > 0)
    throw new Error("expected the master's name after the Sentinels: redis+sentinel://host:port/master-name");
  for (const name of url.searchParams.keys()) if (name !== 'sentinelPassword') throw new Error('expected no query but sentinelPassword');
  return {
    kind: 'sentinel',
    nodes,
    masterName: decode(masterName, "the master's name", ''),
    tls: scheme?.[1] === 'rediss',
    db: parseDatabase(database, ''),
    login: loginOf(url, ''),
    sentinelPassword: url.searchParams.get('sentinelPassword') ?? undefined,
  };
}

/** Says which of the parts is wrong by taking them away: the port, then user and password. */
function parseUrl(text: string, where: string): URL {
  const url = URL.parse(text);
  if (url !== null && url.hostname !== '') return url;
  const [scheme = '', rest = ''] = splitOnce(text, '://');
  const [authority = ''] = splitOnce(rest, '/');
  const percentEncoding = `expected user and password in percent-encoding (a slash is %2F)${where}`;
  if (!authority.includes('@') && rest.includes('@')) throw new Error(percentEncoding);
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const bare = host.replace(/:[^:\]]*$/, '');
  if (bare === '') throw new Error(`expected a host name or address${where}`);
  if (URL.parse(`${scheme}://${bare}`) === null) throw new Error(`expected a host name or address, an IPv6 address in brackets${where}`);
  if (URL.parse(`${scheme}://${host}`) === null) throw new Error(`expected a port from 1 to 65535 after the host${where}`);
  throw new Error(percentEncoding);
}

function nodeOf(url: URL, defaultPort: number): RedisNode {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? defaultPort : Number(url.port) };
}

function loginOf(url: URL, where: string): RedisLogin {
  const part = (text: string): string | undefined => (text === '' ? undefined : decode(text, 'user and password', where));
  return { username: part(url.username), password: part(url.password) };
}

function decode(text: string, what: string, where: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray percent sign; the decoder's own error would repeat the password.
    throw new Error(`expected ${what} in percent-encoding${where}`);
  }
}

function parseDatabase(text: string, where: string): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text)) throw new Error(`expected a database number after the last slash${where}`);
  return Number(text);
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}
