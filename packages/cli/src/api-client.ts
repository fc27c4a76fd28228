import { CliError } from './cli-error.ts';
import type { Finding } from './api-types.ts';

/** An answer other than success, in the words of the API. [RFC 9457] */
export class ApiProblem extends CliError {
  override name = 'ApiProblem';
  readonly status: number;
  /** Last part of the problem's `type`; empty when the answer was none of the API's. */
  readonly problem: string;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(status: number, body: Readonly<Record<string, unknown>>, url: string) {
    const problem = typeof body['type'] === 'string' ? body['type'].replace(/^\/problems\//, '') : '';
    const title = typeof body['title'] === 'string' ? body['title'] : `${url} answered ${status}`;
    const detail = typeof body['detail'] === 'string' && body['detail'] !== '' ? `: ${body['detail']}` : '';
    super(`${title}${detail}`, nextStep(problem, body));
    this.status = status;
    this.problem = problem;
    this.body = body;
  }

  /** Every single thing that is wrong. */
  get errors(): (Partial<Finding> & { path: string; message: string })[] {
    return Array.isArray(this.body['errors']) ? (this.body['errors'] as (Partial<Finding> & { path: string; message: string })[]) : [];
  }
}

/** What to try after a problem, in terms of this program. */
function nextStep(problem: string, body: Readonly<Record<string, unknown>>): string | undefined {
  switch (problem) {
    case 'unauthenticated':
      return 'put a token into OPAMP_API_TOKEN, or into a context: `opampctl context set NAME --token-file FILE`';
    case 'forbidden':
      return 'run opampctl on the coordinator’s machine, or configure API tokens there';
    case 'role-required':
    case 'approver-required':
      return '`opampctl whoami` shows your role; let somebody do it who has the right one, or use their context: `opampctl --context NAME …`';
    case 'own-rollout':
      return 'let somebody else with the role approver or admin promote it';
    case 'out-of-scope':
      return '`opampctl whoami` shows your groups; use a token for the group in question';
    case 'rate-limited':
      return 'wait a little, and ask less often';
    case 'issuer-unavailable':
      return 'the issuer of the token is away; an API token from the file works meanwhile';
    case 'config-not-found':
      return '`opampctl config list` shows the configs, `opampctl config versions NAME` their versions';
    case 'group-not-found':
      return '`opampctl group list` shows the groups, `opampctl group set` makes one';
    case 'agent-not-found':
      return '`opampctl agents list` shows the agents';
    case 'rollout-not-found':
      return '`opampctl rollout list` shows the rollouts';
    case 'rollout-active':
      return '`opampctl rollout list --phase running` shows it; wait for its end, or abort it';
    case 'group-observed':
      return '`opampctl group set NAME --mode manage` lets the group take offers';
    case 'expect-agents':
      return `if that is right, repeat with --expect-agents ${String(body['agentsAffected'] ?? body['agentsChanging'])}`;
    case 'action-forbidden':
      return '`opampctl rollout get ID` shows where it stands';
    case 'stale-revision':
      return 'look at the rollout again (`opampctl rollout get ID`) before repeating';
    case 'invalid-config':
      return 'correct the file; `opampctl config validate FILE` checks it without storing';
    case 'store-not-empty':
      return 'repeat with --force to replace it';
    case 'unavailable':
      return 'the coordinator cannot reach Redis; try again shortly';
    case 'gateway-timeout':
      return 'look at the agent before repeating: the command may have been carried out';
    default:
      return undefined;
  }
}

/** Options of {@link ApiClient}. */
export interface ApiClientOptions {
  /** With or without `/api/v1`. */
  url: string;
  token: string | undefined;
  /** Who acts, where the API has no tokens. */
  actor: string | undefined;
  /** Time for a whole answer, except streams. */
  timeoutMs: number;
  /** Ends every call. */
  interrupted: AbortSignal;
}

/** Talks to the REST API. Every method throws a CliError that says what went wrong and what to do about it. */
export class ApiClient {
  readonly #base: string;
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#base = `${options.url.replace(/\/+$/, '').replace(/\/api\/v1$/, '')}/api/v1`;
    this.#options = options;
  }

  async get<Answer>(path: string, query: Record<string, string | number | boolean | undefined> = {}): Promise<Answer> {
    return await this.#call<Answer>('GET', `${path}${toQuery(query)}`);
  }

  /** An answer with the time that its sender gave it, and ours when it came. */
  async getDated<Answer>(path: string, now: () => number): Promise<{ answer: Answer; dateMs: number | undefined; nowMs: number }> {
    let date: string | null = null;
    let nowMs = now();
    const answer = await this.#call<Answer>('GET', path, undefined, {}, (headers) => {
      date = headers.get('date');
      nowMs = now();
    });
    const dateMs = date === null ? Number.NaN : Date.parse(date);
    return { answer, dateMs: Number.isNaN(dateMs) ? undefined : dateMs, nowMs };
  }

  async send<Answer>(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return await this.#call<Answer>(method, path, body, headers);
  }

  /** All items of a list, page by page, at most `limit`. */
  async list<Item>(path: string, query: Record<string, string | number | boolean | undefined>, limit: number): Promise<Item[]> {
    const items: Item[] = [];
    let cursor: string | undefined;
    do {
      const page: { items: Item[]; nextCursor: string | null } = await this.get(path, {
        ...query,
        limit: Math.min(1000, limit - items.length),
        cursor,
      });
      items.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined && items.length < limit);
    return items.slice(0, limit);
  }

  /** Opens a stream of server-sent events. */
  async stream(path: string, lastEventId: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const url = `${this.#base}${path}`;
    const answer = await this.#fetch(url, {
      headers: { ...this.#headers(), accept: 'text/event-stream', 'last-event-id': String(lastEventId) },
      signal,
    });
    if (!answer.ok || answer.body === null) throw await toProblem(answer, url);
    return answer.body as ReadableStream<Uint8Array>;
  }

  /** The body of an answer as it comes; it has no time limit. */
  async download(path: string): Promise<ReadableStream<Uint8Array>> {
    const url = `${this.#base}${path}`;
    const answer = await this.#fetch(url, { headers: this.#headers(), signal: this.#options.interrupted });
    if (!answer.ok || answer.body === null) throw await toProblem(answer, url);
    return answer.body as ReadableStream<Uint8Array>;
  }

  /** Sends a body piece by piece; it has no time limit here. */
  async upload<Answer>(path: string, body: ReadableStream<Uint8Array>, contentType: string): Promise<Answer> {
    const url = `${this.#base}${path}`;
    const answer = await this.#fetch(url, {
      method: 'POST',
      headers: { ...this.#headers(), 'content-type': contentType },
      body,
      duplex: 'half',
      signal: this.#options.interrupted,
    } as RequestInit);
    if (!answer.ok) throw await toProblem(answer, url);
    return (await answer.json()) as Answer;
  }

  async #call<Answer>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    onHeaders?: (headers: Headers) => void,
  ): Promise<Answer> {
    const url = `${this.#base}${path}`;
    const answer = await this.#fetch(url, {
      method,
      headers: { ...this.#headers(), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([AbortSignal.timeout(this.#options.timeoutMs), this.#options.interrupted]),
    });
    if (!answer.ok) throw await toProblem(answer, url);
    onHeaders?.(answer.headers);
    const text = await answer.text();
    try {
      return (text === '' ? undefined : JSON.parse(text)) as Answer;
    } catch (error) {
      throw new CliError(`${url} did not answer with JSON`, 'does OPAMP_API_URL lead to a coordinator?', { cause: error });
    }
  }

  #headers(): Record<string, string> {
    const { token, actor } = this.#options;
    return {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(actor === undefined ? {} : { 'x-opamp-actor': actor }),
    };
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (init.signal?.aborted === true && (init.signal.reason as Error | undefined)?.name !== 'TimeoutError') throw error;
      const { origin } = new URL(url);
      if (error instanceof Error && error.name === 'TimeoutError') {
        throw new CliError(
          `the API at ${origin} did not answer within ${this.#options.timeoutMs / 1000} s`,
          'whether the call was carried out is not known: look before repeating',
          { cause: error },
        );
      }
      throw new CliError(
        `the API at ${origin} cannot be reached: ${reasonOf(error)}`,
        'is a coordinator running there? OPAMP_API_URL or --url says where it is',
        { cause: error },
      );
    }
  }
}

async function toProblem(answer: Response, url: string): Promise<ApiProblem> {
  const text = await answer.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = {};
  }
  return new ApiProblem(answer.status, typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}, url);
}

function toQuery(query: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as [string, string]]));
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** `fetch` hides the reason one or two causes down. */
function reasonOf(error: unknown): string {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  if (current instanceof AggregateError && current.errors[0] instanceof Error) current = current.errors[0];
  return current instanceof Error ? current.message || current.name : String(current);
}
