import type { FastifyRequest } from 'fastify';
import { ProblemError } from './problem.ts';
import type { TokenFile } from '../stores/token-file.ts';

/** Actor of a request without a token, when no tokens are configured. */
export const ANONYMOUS = 'anonymous';

const ACTOR = /^[\x21-\x7e][\x20-\x7e]{0,63}$/;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** True for the addresses that only this machine can reach. */
export function isLoopbackHost(host: string): boolean {
  return host === '::1' || LOOPBACK_HOST.test(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
}

/**
 * Who makes this request. With tokens: the holder of the bearer token. Without: what `X-Opamp-Actor` says, on requests that
 * are addressed to this machine by name and that no page of another site made (a page could otherwise reach a loopback API
 * through the browser of whoever looks at it). Throws a ProblemError when the request is not accepted.
 */
export function actorOf(request: Pick<FastifyRequest, 'headers'>, tokens: TokenFile | undefined): string {
  return tokens === undefined ? loopbackActor(request.headers) : tokenActor(request.headers, tokens);
}

function tokenActor(headers: FastifyRequest['headers'], tokens: TokenFile): string {
  const match = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '');
  const holder = match?.[1] === undefined ? undefined : tokens.holderOf(match[1]);
  if (holder !== undefined) return holder;
  const detail = match === null ? 'the request has no header `Authorization: Bearer <token>`' : 'the token is not known';
  throw new ProblemError('unauthenticated', detail, { headers: { 'www-authenticate': 'Bearer realm="opamp-coordinator"' } });
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
