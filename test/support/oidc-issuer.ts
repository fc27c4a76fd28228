import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { findFreePort } from './ports.ts';

type Claims = Readonly<Record<string, unknown>>;
type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

/** How {@link OidcIssuer.sign} deviates from a good token. */
export interface SignOptions {
  readonly issuer?: string;
  readonly audience?: string | null;
  /** Seconds from now; negative = long over. */
  readonly expiresInSeconds?: number;
  readonly notBeforeSeconds?: number;
  /** Signs with a key that nobody publishes, under the name of one that is. */
  readonly forged?: boolean;
  readonly withoutExpiry?: boolean;
}

interface PendingCode {
  readonly redirectUri: string;
  readonly challenge: string;
  readonly nonce: string | null;
  readonly claims: Claims;
}

/**
 * A small OpenID Connect issuer on this machine: discovery, keys, authorization endpoint and token endpoint with PKCE
 * (S256 only). Who is asked at the authorization endpoint is signed in as {@link OidcIssuer.user} without a question.
 */
export class OidcIssuer {
  readonly clientId: string;
  /** Claims of whoever signs in next, `sub` among them. */
  user: Claims = { sub: 'ann', roles: ['operator'] };
  /** Requests by path. */
  readonly requests = new Map<string, number>();
  readonly #codes = new Map<string, PendingCode>();
  #server: Server | undefined;
  readonly #port: number;
  #kid = '';
  #key: SigningKey | undefined;
  #published: Record<string, unknown>[] = [];

  private constructor(clientId: string, port: number) {
    this.clientId = clientId;
    this.#port = port;
  }

  /** Starts an issuer on a free port. */
  static async start(clientId = 'opamp'): Promise<OidcIssuer> {
    const issuer = new OidcIssuer(clientId, await findFreePort());
    await issuer.rotate();
    await issuer.resume();
    return issuer;
  }

  /** How the issuer names itself. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Signs with a new key from now on; the keys before are no longer published. */
  async rotate(): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    this.#kid = randomBytes(4).toString('hex');
    this.#key = privateKey;
    this.#published = [{ ...(await exportJWK(publicKey)), kid: this.#kid, alg: 'ES256', use: 'sig' }];
  }

  /** Goes away; what was signed before is still good. */
  async pause(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** Comes back on the same port. */
  async resume(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.writeHead(500).end());
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.#port, '127.0.0.1', resolve));
    this.#server = server;
  }

  async stop(): Promise<void> {
    await this.pause();
  }

  /** A token with these claims. Good for an hour unless told otherwise. */
  async sign(claims: Claims, options: SignOptions = {}): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1000);
    const key = options.forged === true ? (await generateKeyPair('ES256')).privateKey : this.#key;
    if (key === undefined) throw new Error('the issuer has no key');
    const jwt = new SignJWT({ ...claims }).setProtectedHeader({ alg: 'ES256', kid: this.#kid }).setIssuedAt(nowSeconds);
    jwt.setIssuer(options.issuer ?? this.url);
    if (options.audience !== null) jwt.setAudience(options.audience ?? this.clientId);
    if (options.withoutExpiry !== true) jwt.setExpirationTime(nowSeconds + (options.expiresInSeconds ?? 3600));
    if (options.notBeforeSeconds !== undefined) jwt.setNotBefore(nowSeconds + options.notBeforeSeconds);
    return await jwt.sign(key);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    this.requests.set(url.pathname, (this.requests.get(url.pathname) ?? 0) + 1);
    // The dashboard is a public client: its page calls the token endpoint itself.
    response.setHeader('access-control-allow-origin', request.headers.origin ?? '*');
    response.setHeader('access-control-allow-headers', 'content-type');
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return this.#json(response, 200, {
          issuer: this.url,
          jwks_uri: `${this.url}/keys`,
          authorization_endpoint: `${this.url}/authorize`,
          token_endpoint: `${this.url}/token`,
          response_types_supported: ['code'],
          id_token_signing_alg_values_supported: ['ES256'],
          code_challenge_methods_supported: ['S256'],
        });
      case '/keys':
        return this.#json(response, 200, { keys: this.#published });
      case '/authorize':
        return this.#authorize(url, response);
      case '/token':
        return await this.#token(new URLSearchParams(await text(request)), response);
      default:
        response.writeHead(404).end();
    }
  }

  #authorize(url: URL, response: ServerResponse): void {
    const asked = (name: string): string => url.searchParams.get(name) ?? '';
    const isRight =
      asked('client_id') === this.clientId &&
      asked('response_type') === 'code' &&
      asked('code_challenge_method') === 'S256' &&
      asked('code_challenge') !== '' &&
      URL.canParse(asked('redirect_uri'));
    if (!isRight) return this.#json(response, 400, { error: 'invalid_request' });
    const code = randomBytes(16).toString('hex');
    this.#codes.set(code, {
      redirectUri: asked('redirect_uri'),
      challenge: asked('code_challenge'),
      nonce: url.searchParams.get('nonce'),
      claims: this.user,
    });
    const back = new URL(asked('redirect_uri'));
    back.searchParams.set('code', code);
    back.searchParams.set('state', asked('state'));
    response.writeHead(302, { location: back.href }).end();
  }

  async #token(form: URLSearchParams, response: ServerResponse): Promise<void> {
    const code = form.get('code') ?? '';
    const pending = this.#codes.get(code);
    this.#codes.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isRight =
      form.get('grant_type') === 'authorization_code' &&
      form.get('client_id') === this.clientId &&
      pending !== undefined &&
      pending.challenge === challenge &&
      pending.redirectUri === form.get('redirect_uri');
    if (!isRight) return this.#json(response, 400, { error: 'invalid_grant' });
    const nonce = pending.nonce === null ? {} : { nonce: pending.nonce };
    this.#json(response, 200, {
      access_token: await this.sign(pending.claims),
      id_token: await this.sign({ ...pending.claims, ...nonce }),
      token_type: 'Bearer',
      expires_in: 3600,
    });
  }

  #json(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body));
  }
}
