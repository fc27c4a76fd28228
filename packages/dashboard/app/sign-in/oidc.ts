import * as oauth from 'oauth4webapi';

/** The public client as which people are signed in. */
export interface OidcClient {
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
}

/** What has to survive the way to the issuer and back; no token is among it, and coming back removes it. */
interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly path: string;
}

const PENDING = 'opamp-sign-in';
/** Where the issuer sends people back to; it has to be registered there. */
const RETURN_PATH = '/signed-in';

const returnUrl = (): string => new URL(RETURN_PATH, location.origin).href;

/** Issuers on this machine speak HTTP; the coordinator takes no other over it. */
function optionsFor(issuer: URL): { [oauth.allowInsecureRequests]: boolean } {
  return { [oauth.allowInsecureRequests]: issuer.protocol === 'http:' };
}

async function discover({ issuer }: OidcClient): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer);
  return await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, optionsFor(url)));
}

/** Goes to the issuer: authorization code flow with PKCE. Throws when the issuer cannot be reached. */
export async function beginSignIn(client: OidcClient): Promise<void> {
  const server = await discover(client);
  if (server.authorization_endpoint === undefined) throw new Error(`${client.issuer} names no authorization endpoint`);
  const pending: Pending = {
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    verifier: oauth.generateRandomCodeVerifier(),
    path: location.pathname === RETURN_PATH ? '/' : `${location.pathname}${location.search}`,
  };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const target = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: returnUrl(),
    scope: client.scopes.join(' '),
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier),
    code_challenge_method: 'S256',
  }))
    target.searchParams.set(name, value);
  location.assign(target);
}

/** Tokens that the API may take, the likelier one first, and the page that was asked for. */
interface SignedIn {
  readonly tokens: readonly string[];
  readonly path: string;
}

/** Turns the code in the address into tokens. Throws with the reason when the issuer or the answer is not as it should be. */
export async function finishSignIn(client: OidcClient): Promise<SignedIn> {
  const address = new URL(location.href);
  const text = sessionStorage.getItem(PENDING);
  sessionStorage.removeItem(PENDING);
  // The code is good for one use; nobody should find it in the history.
  history.replaceState(null, '', RETURN_PATH);
  if (text === null) throw new Error('this sign-in was not begun in this tab, or has been used');
  const { state, nonce, verifier, path } = JSON.parse(text) as Pending;
  const server = await discover(client);
  const me: oauth.Client = { client_id: client.clientId };
  const parameters = oauth.validateAuthResponse(server, me, address, state);
  const answer = await oauth.authorizationCodeGrantRequest(
    server,
    me,
    oauth.None(),
    parameters,
    returnUrl(),
    verifier,
    optionsFor(new URL(client.issuer)),
  );
  const result = await oauth.processAuthorizationCodeResponse(server, me, answer, { expectedNonce: nonce, requireIdToken: true });
  return { tokens: [result.id_token, result.access_token].filter((token) => token !== undefined), path };
}
