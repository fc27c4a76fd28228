import { CodedError } from '@opamp-gateway/shared/errors';
import { createLocalJWKSet, errors } from 'jose';
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';

/** Keys are fetched anew after this time, on the next use. */
const REFRESH_MS = 10 * 60_000;

/** Keys of an issuer that cannot be reached are used for this long: longer, and a revoked key would live on. */
const MAX_STALE_MS = 24 * 3_600_000;

/** Least time between two fetches, however many tokens name keys that nobody knows. */
const COOLDOWN_MS = 30_000;

/** The same after a fetch that failed. */
const RETRY_MS = 5000;

const FETCH_TIMEOUT_MS = 5000;
const MAX_DOCUMENT_BYTES = 1024 * 1024;

/** The issuer's keys are needed and cannot be had. */
export class IssuerUnavailable extends CodedError {
  constructor(message: string, cause?: unknown) {
    super('unavailable', message, cause === undefined ? {} : { cause });
  }
}

/** What is used of a discovery document. [OpenID Connect Discovery 1.0 section 3] */
interface Discovery {
  readonly jwksUri: string;
  readonly tokenEndpoint: string | undefined;
}

/** The public keys of an issuer, found by discovery and kept. */
export interface OidcKeys {
  /** Key of a token by its header, for `jwtVerify`. Rejects with IssuerUnavailable when none can be had. */
  readonly find: JWTVerifyGetKey;
  /** Fetches discovery document and keys now. Rejects with IssuerUnavailable. */
  refresh(): Promise<void>;
  /** URL of the token endpoint, undefined before the first fetch. */
  tokenEndpoint(): string | undefined;
}

/** Builds the keys of one issuer. `now` gives Unix milliseconds. */
export function createOidcKeys(options: { issuer: string; now?: () => number; fetch?: typeof fetch }): OidcKeys {
  const { issuer } = options;
  const now = options.now ?? Date.now;
  const get = options.fetch ?? fetch;
  let discovery: Discovery | undefined;
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let fetchedAtMs = Number.NEGATIVE_INFINITY;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  /** Of the last fetch, undefined when it went well. */
  let failure: IssuerUnavailable | undefined;
  let running: Promise<void> | undefined;

  const read = async (url: string): Promise<Record<string, unknown>> => {
    const answer = await get(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      headers: { accept: 'application/json' },
    });
    if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
    const text = await readLimited(answer, url);
    const document: unknown = JSON.parse(text);
    if (typeof document !== 'object' || document === null) throw new Error(`${url} is no JSON object`);
    return document as Record<string, unknown>;
  };

  const fetchAll = async (): Promise<void> => {
    triedAtMs = now();
    try {
      const found = readDiscovery(await read(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`), issuer);
      const fresh = createLocalJWKSet((await read(found.jwksUri)) as unknown as JSONWebKeySet);
      discovery = found;
      keys = fresh;
      fetchedAtMs = now();
      failure = undefined;
    } catch (error) {
      failure = new IssuerUnavailable(`the keys of the issuer ${issuer} cannot be read`, error);
      throw failure;
    }
  };

  const refresh = async (): Promise<void> => {
    running ??= fetchAll().finally(() => {
      running = undefined;
    });
    await running;
  };

  const mayTry = (): boolean => running !== undefined || now() - triedAtMs >= (failure === undefined ? COOLDOWN_MS : RETRY_MS);

  return {
    refresh,
    tokenEndpoint: () => discovery?.tokenEndpoint,
    async find(header, token) {
      // An issuer that is away does not keep people out whose keys are known.
      if (now() - fetchedAtMs >= REFRESH_MS && mayTry()) await refresh().catch(() => undefined);
      if (keys === undefined || now() - fetchedAtMs >= MAX_STALE_MS)
        throw failure ?? new IssuerUnavailable(`the keys of the issuer ${issuer} are not known`);
      try {
        return await keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        // Perhaps a new key: after a rotation tokens name it before the next refresh.
        if (!mayTry()) throw failure ?? error;
        await refresh();
        return await keys(header, token);
      }
    },
  };
}

function readDiscovery(document: Readonly<Record<string, unknown>>, issuer: string): Discovery {
  const { issuer: named, jwks_uri: jwksUri, token_endpoint: tokenEndpoint } = document;
  if (named !== issuer) throw new Error(`the discovery document is of the issuer ${JSON.stringify(named)}`);
  if (typeof jwksUri !== 'string' || !isSafeUrl(jwksUri)) throw new Error('jwks_uri of the discovery document is no https URL');
  return { jwksUri, tokenEndpoint: typeof tokenEndpoint === 'string' && isSafeUrl(tokenEndpoint) ? tokenEndpoint : undefined };
}

/** `https`, or `http` to this machine: what comes over the wire decides who is an admin. */
export function isSafeUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname));
}

async function readLimited(answer: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_DOCUMENT_BYTES) throw new Error(`${url} is larger than ${MAX_DOCUMENT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
