import type { FastifyRequest } from 'fastify';
import { allows, covers, FULL_GRANT, ROLES, rolesWith, scopeList } from '../access/roles.ts';
import type { Identity, Permission } from '../access/roles.ts';
import { IssuerUnavailable } from '../access/oidc-keys.ts';
import { looksLikeJwt } from '../access/oidc.ts';
import type { OidcVerdict, OidcVerifier } from '../access/oidc.ts';
import { ProblemError } from './problem.ts';
import type { RouteRule } from './route-permissions.ts';
import type { TokenFile } from '../stores/token-file.ts';

/** Actor of a request without a token, when no credentials are configured. */
export const ANONYMOUS = 'anonymous';

const ACTOR = /^[\x21-\x7e][\x20-\x7e]{0,63}$/;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
/** When a caller may try again whose issuer cannot be reached. */
const ISSUER_RETRY_SECONDS = '5';
const CHALLENGE = { 'www-authenticate': 'Bearer realm="opamp-coordinator"' };

/** True for the addresses that only this machine can reach. */
export function isLoopbackHost(host: string): boolean {
  return host === '::1' || LOOPBACK_HOST.test(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
}

/** Where credentials are looked up. Without any, only this machine may call. */
export interface Credentials {
  readonly tokens: TokenFile | undefined;
  readonly oidc?: OidcVerifier | undefined;
}

/**
 * Who makes this request. With credentials configured: whoever the bearer token names. Without: an admin by the name that
 * `X-Opamp-Actor` says, on requests that are addressed to this machine by name and that no page of another site made (a page
 * could otherwise reach a loopback API through the browser of whoever looks at it). Throws a ProblemError when the request is
 * not accepted.
 */
export async function identify(request: Pick<FastifyRequest, 'headers'>, { tokens, oidc }: Credentials): Promise<Identity> {
  if (tokens === undefined && oidc === undefined) return { ...FULL_GRANT, name: loopbackActor(request.headers), kind: 'anonymous' };
  const token = bearerToken(request.headers);
  const verdict = tokens?.verify(token, Date.now()) ?? { kind: 'unknown' };
  switch (verdict.kind) {
    case 'ok':
      return { name: verdict.holder.name, role: verdict.holder.role, scope: verdict.holder.scope, kind: 'token' };
    case 'expired':
      throw unauthenticated(`the token of ${verdict.holder.name} has expired`);
    case 'unknown':
      if (oidc === undefined || !looksLikeJwt(token)) throw unauthenticated('the token is not known');
      return await identifyByIssuer(token, oidc);
  }
}

async function identifyByIssuer(token: string, oidc: OidcVerifier): Promise<Identity> {
  let verdict: OidcVerdict;
  try {
    verdict = await oidc.verify(token);
  } catch (error) {
    if (!(error instanceof IssuerUnavailable)) throw error;
    throw new ProblemError('issuer-unavailable', error.message, { headers: { 'retry-after': ISSUER_RETRY_SECONDS }, cause: error });
  }
  switch (verdict.kind) {
    case 'ok':
      return { ...verdict.holder, kind: 'oidc' };
    case 'refused':
      throw unauthenticated(verdict.detail);
    case 'no-role':
      throw new ProblemError('role-required', verdict.detail, { extensions: { roles: ROLES } });
  }
}

/** Throws a ProblemError when the caller's role, or its groups where the route is about the whole fleet, do not allow the route. */
export function authorize(identity: Identity, rule: RouteRule): void {
  const wanted = typeof rule.permission === 'string' ? [rule.permission] : rule.permission;
  if (!wanted.some((permission) => allows(identity, permission))) throw roleRequired(identity, wanted);
  if (rule.touches === 'fleet') requireWholeFleet(identity, 'this call is about the whole fleet');
}

/** Throws a ProblemError unless the caller's role allows it. */
export function requirePermission(identity: Identity, permission: Permission): void {
  if (!allows(identity, permission)) throw roleRequired(identity, [permission]);
}

/** Throws a ProblemError unless the caller's credential is for this group. `what` says which thing it is about, not the group. */
export function requireGroup(identity: Identity, group: string | null, what: string): void {
  if (!covers(identity, group)) throw outOfScope(identity, what);
}

/** Throws a ProblemError unless the caller's credential is for all groups. */
export function requireWholeFleet(identity: Identity, what: string): void {
  if (identity.scope !== '*') throw outOfScope(identity, what);
}

function roleRequired(identity: Identity, wanted: readonly Permission[]): ProblemError {
  const roles = ROLES.filter((role) => wanted.some((permission) => rolesWith(permission).includes(role)));
  return new ProblemError('role-required', `this needs the role ${roles.join(' or ')}; ${identity.name} has the role ${identity.role}`, {
    extensions: { permission: wanted.join(' or '), roles, role: identity.role },
  });
}

function outOfScope(identity: Identity, what: string): ProblemError {
  const groups = scopeList(identity.scope);
  const only = groups.length === 1 ? `group ${groups[0]}` : `the groups ${groups.join(', ')}`;
  return new ProblemError('out-of-scope', `${what}; the credential of ${identity.name} is for ${only} only`, { extensions: { groups } });
}

function bearerToken(headers: FastifyRequest['headers']): string {
  const token = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (token === undefined) throw unauthenticated('the request has no header `Authorization: Bearer <token>`');
  return token;
}

function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail, { headers: CHALLENGE });
}

function loopbackActor(headers: FastifyRequest['headers']): string {
  if (!LOOPBACK_HOST.test(headers.host ?? ''))
    throw new ProblemError('forbidden', 'without API tokens only requests to localhost, 127.0.0.1 or [::1] are answered');
  const site = headers['sec-fetch-site'];
  if (site === 'cross-site' || site === 'same-site')
    throw new ProblemError('forbidden', 'without API tokens no request is taken from a page of another site');
  const actor = headers['x-opamp-actor'];
  return typeof actor === 'string' && ACTOR.test(actor) ? actor.trim() : ANONYMOUS;
}
