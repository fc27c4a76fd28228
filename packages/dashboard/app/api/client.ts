import type { Finding } from './types.ts';

/** How the link to the coordinator stands, for the marker that every page shows. */
export interface Link {
  /** `network`: no answer at all; `store`: it answers, but cannot reach Redis. */
  readonly trouble: 'none' | 'network' | 'store';
  /** Browser time of the last good answer, 0 before the first. */
  readonly lastGoodMs: number;
  readonly needsToken: boolean;
  /** The token that was tried is not known. */
  readonly tokenRefused: boolean;
}

/** A problem answer of the API, in its own words. [RFC 9457] */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly status: number;
  readonly title: string;
  readonly errors: readonly Finding[];

  constructor(status: number, title: string, detail: string, errors: readonly Finding[]) {
    super(detail);
    this.status = status;
    this.title = title;
    this.errors = errors;
  }
}

/** No answer came: the coordinator, or the way to it, is away. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

const BASE = '/api/v1';
const TIMEOUT_MS = 20_000;

/** Lives as long as the page: a token is never written anywhere. */
let token = '';
let link: Link = { trouble: 'none', lastGoodMs: 0, needsToken: false, tokenRefused: false };
const listeners = new Set<() => void>();

function setLink(change: Partial<Link>): void {
  link = { ...link, ...change };
  for (const listener of listeners) listener();
}

/** The link as it stands; a new object after every change. */
export function currentLink(): Link {
  return link;
}

/** Calls back after every change of the link; answers the function that ends it. */
export function onLinkChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Uses this token from now on. */
export function signIn(newToken: string): void {
  token = newToken;
  setLink({ needsToken: false, tokenRefused: false });
}

/** Forgets the token. */
export function signOut(): void {
  token = '';
  setLink({ needsToken: true, tokenRefused: false });
}

/** Whether a token is in use. */
export function hasToken(): boolean {
  return token !== '';
}

interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Sends one request and answers the response as it came. Throws {@link Unreachable}. */
export async function send(path: string, { method = 'GET', body, headers = {}, signal }: Call = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${BASE}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(token === '' ? { 'x-opamp-actor': 'dashboard' } : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch (error) {
    if (signal?.aborted === true && !(signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError')) throw error;
    setLink({ trouble: 'network' });
    throw new Unreachable('the coordinator cannot be reached');
  }
  if (response.status === 401) setLink({ needsToken: true, tokenRefused: token !== '' });
  if (response.status === 503) setLink({ trouble: 'store' });
  else if (response.status >= 502) setLink({ trouble: 'network' });
  else setLink({ trouble: 'none', lastGoodMs: Date.now() });
  return response;
}

/** The body of a good answer. Throws {@link ApiProblem} for any other, {@link Unreachable} when none came. */
export async function call<Answer>(path: string, options: Call = {}): Promise<Answer> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const response = await send(path, { ...options, signal });
  const text = await response.text();
  const body = parse(text);
  if (response.ok) return body as Answer;
  if (isProblem(body)) throw new ApiProblem(response.status, body.title, body.detail ?? body.title, body.errors ?? []);
  throw new ApiProblem(response.status, `The coordinator answered ${response.status}`, text.slice(0, 200), []);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isProblem(body: unknown): body is { title: string; detail?: string; errors?: Finding[] } {
  return typeof body === 'object' && body !== null && 'title' in body;
}

/** `?a=1&b=2` of the values that are there. */
export function queryText(values: Readonly<Record<string, string | number | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== '') parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}
