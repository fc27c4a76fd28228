/** The REST API as tests use it. Shapes are what the interface promises, not what the coordinator's code says. */
import { setTimeout as sleep } from 'node:timers/promises';

export type Counts = Readonly<Record<string, number>>;

export interface ConfigRef {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
}

export interface WaveView {
  readonly phase: string;
  readonly counts: Counts;
  readonly members: number | null;
  readonly startedAt: string | null;
  readonly passedAt: string | null;
  readonly gates: readonly { readonly gate: string; readonly outcome: string; readonly detail: string; readonly evidence: string }[];
  readonly approvals: readonly { readonly what: string; readonly by: string; readonly reason: string }[];
  readonly awaiting: number | null;
}

export interface RolloutPreflight {
  readonly agents: number;
  readonly unable: number;
  readonly unknown: number;
  readonly lines: readonly string[];
}

export interface RolloutView {
  readonly id: string;
  readonly rev: number;
  readonly phase: string;
  readonly holds: readonly string[];
  readonly holdDetails: readonly { readonly reason: string; readonly detail: string }[];
  readonly waveIndex: number;
  readonly waves: readonly WaveView[];
  readonly late: { readonly counts: Counts };
  readonly counts: Counts;
  readonly group: string;
  readonly from: ConfigRef | null;
  readonly to: ConfigRef;
  readonly createdAt: string;
  readonly endedAt: string | null;
  readonly outcome: string;
  readonly warnings: readonly string[];
  readonly preflight: RolloutPreflight | null;
  readonly eventSeq: number;
}

export interface RolloutState {
  readonly phase: string;
  readonly waveIndex: number;
  readonly wavePhase: string;
  readonly holds: readonly string[];
}

export interface RolloutEvent {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly from: RolloutState | null;
  readonly to: RolloutState;
  readonly actor: string;
  readonly detail: string;
}

export interface AgentView {
  readonly uid: string;
  readonly connected: boolean;
  readonly gateway: string | null;
  readonly transport: 'ws' | 'http';
  readonly group: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly health: { readonly status: string };
  readonly config: {
    readonly status: string;
    readonly hash: string | null;
    readonly error: string;
    readonly offered: string | null;
    readonly desired: (ConfigRef & { readonly source: string }) | null;
    readonly inSync: boolean | null;
  };
  readonly rollouts: Readonly<Record<string, { readonly wave: string; readonly status: string }>>;
  readonly connectedAt: string | null;
}

export interface GatewayView {
  readonly id: string;
  readonly alive: boolean;
  readonly observed: string;
  readonly backlog: Counts;
  readonly connected: number;
}

export interface FailureView {
  readonly uid: string;
  readonly status: string;
  readonly wave: string;
  readonly error: string;
}

export interface GroupView {
  readonly name: string;
  readonly stable: ConfigRef | null;
  readonly previous: ConfigRef | null;
  readonly trailingHeld: boolean;
  readonly activeRollout: string | null;
  readonly counts: { readonly agents: number; readonly connected: number };
}

export interface GroupBody {
  readonly selector: string;
  readonly priority?: number;
  readonly mode?: 'manage' | 'observe';
  readonly expectAgents?: number;
}

export interface RolloutBody {
  readonly group: string;
  readonly config: { readonly name: string; readonly version: number };
  readonly strategy?: unknown;
  readonly reason?: string;
  readonly baseline?: { readonly name: string; readonly version: number };
  readonly supersede?: boolean;
}

export type RolloutAction = 'pause' | 'resume' | 'promote' | 'abort' | 'rollback' | 'retry' | 'cancel';

/** Body of an answer with an error status. [RFC 9457] */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly { readonly path: string; readonly message: string; readonly code?: string; readonly line?: number | null }[];
}

/** An answer of the API as it came. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Thrown for an answer with an error status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly problem: Problem;

  constructor(call: string, problem: Problem) {
    const errors = (problem.errors ?? []).map(({ path, message }) => `${path}: ${message}`).join('; ');
    super(`${call}: ${problem.status} ${problem.title}: ${problem.detail}${errors === '' ? '' : ` (${errors})`}`);
    this.status = problem.status;
    this.problem = problem;
  }
}

const TIMEOUT_MS = 60_000;
const PAGE_SIZE = 1_000;

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How long a patient client asks again, see {@link ApiClient.patient}. */
const PATIENCE_MS = 60_000;

/** Calls the first coordinator that can be reached. */
export class ApiClient {
  readonly #baseUrls: () => readonly string[];
  readonly #patienceMs: number;

  constructor(baseUrls: () => readonly string[], patienceMs = 0) {
    this.#baseUrls = baseUrls;
    this.#patienceMs = patienceMs;
  }

  /**
   * A client that asks again when a read is answered with 503, as Retry-After says: for what is read after a failover, of which a
   * coordinator hears from each Sentinel, and connects anew each time.
   */
  patient(): ApiClient {
    return new ApiClient(this.#baseUrls, PATIENCE_MS);
  }

  /** A client of one coordinator only. */
  at(baseUrl: string): ApiClient {
    return new ApiClient(() => [baseUrl], this.#patienceMs);
  }

  async putConfig(name: string, yaml: string, message = 'test'): Promise<ConfigRef> {
    const body = { files: { '': { body: yaml, contentType: 'text/yaml' } }, message };
    return (await this.call('PUT', `/configs/${name}`, { body })) as ConfigRef;
  }

  async putGroup(name: string, body: GroupBody): Promise<GroupView> {
    return (await this.call('PUT', `/groups/${name}`, { body })) as GroupView;
  }

  async getGroup(name: string): Promise<GroupView> {
    return (await this.call('GET', `/groups/${name}`)) as GroupView;
  }

  /** Starts a rollout; answers its id. */
  async createRollout(body: RolloutBody, idempotencyKey?: string): Promise<string> {
    const headers = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
    const { id } = (await this.call('POST', '/rollouts', { body, headers })) as { readonly id: string };
    return id;
  }

  async getRollout(id: string): Promise<RolloutView> {
    return (await this.call('GET', `/rollouts/${id}`)) as RolloutView;
  }

  async listRollouts(query: Readonly<Record<string, string>> = {}): Promise<readonly RolloutView[]> {
    return await this.#all<RolloutView>('/rollouts', query);
  }

  async act(id: string, action: RolloutAction, reason = 'test'): Promise<RolloutView> {
    return (await this.call('POST', `/rollouts/${id}/${action}`, { body: { reason } })) as RolloutView;
  }

  async getEvents(id: string): Promise<readonly RolloutEvent[]> {
    const events: RolloutEvent[] = [];
    for (;;) {
      const after = events.at(-1)?.seq ?? 0;
      const page = (await this.call('GET', `/rollouts/${id}/events?after=${after}`, { headers: { accept: 'application/json' } })) as {
        readonly items: readonly RolloutEvent[];
      };
      events.push(...page.items);
      if (page.items.length < PAGE_SIZE) return events;
    }
  }

  async getFailures(id: string): Promise<readonly FailureView[]> {
    return ((await this.call('GET', `/rollouts/${id}/failures`)) as { readonly items: readonly FailureView[] }).items;
  }

  /** Every agent that fits the query, page by page. */
  async listAgents(query: Readonly<Record<string, string>> = {}): Promise<readonly AgentView[]> {
    return await this.#all<AgentView>('/agents', query);
  }

  async getAgent(uid: string): Promise<AgentView> {
    return (await this.call('GET', `/agents/${uid}`)) as AgentView;
  }

  async listGateways(): Promise<readonly GatewayView[]> {
    return await this.#all<GatewayView>('/gateways', {});
  }

  async getFleet(): Promise<{ readonly generation: number; readonly agents: { readonly connected: number; readonly total: number } }> {
    return (await this.call('GET', '/fleet')) as Awaited<ReturnType<ApiClient['getFleet']>>;
  }

  /** The body of a successful answer. Throws ApiError for any other. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<unknown> {
    const endMs = performance.now() + (method === 'GET' ? this.#patienceMs : 0);
    let answer = await this.request(method, path, options);
    while (answer.status === 503 && performance.now() < endMs) {
      const seconds = answer.headers.get('retry-after') ?? '';
      if (!/^[1-9]\d*$/.test(seconds)) throw new Error(`${method} ${path}: 503 with Retry-After "${seconds}"`);
      await sleep(Number(seconds) * 1_000);
      answer = await this.request(method, path, options);
    }
    const { status, body } = answer;
    if (status >= 200 && status < 300) return body;
    const isProblem = typeof body === 'object' && body !== null && 'title' in body;
    throw new ApiError(
      `${method} ${path}`,
      isProblem ? { ...(body as Problem), status } : { type: '', title: 'not a problem document', status, detail: String(body) },
    );
  }

  /** The call's Problem. Throws when it succeeds. */
  async refusal(method: string, path: string, options: CallOptions = {}): Promise<Problem> {
    try {
      await this.call(method, path, options);
    } catch (error) {
      if (error instanceof ApiError) return error.problem;
      throw error;
    }
    throw new Error(`${method} ${path} was expected to be refused, and succeeded`);
  }

  /** Any answer, as it came. A coordinator that refuses the connection is passed over; the request was not sent to it. */
  async request(method: string, path: string, { body, headers = {} }: CallOptions = {}): Promise<ApiAnswer> {
    let failure: unknown = new Error('there is no coordinator');
    for (const baseUrl of this.#baseUrls()) {
      try {
        const response = await fetch(`${baseUrl}/api/v1${path}`, {
          method,
          signal: AbortSignal.timeout(TIMEOUT_MS),
          headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await response.text();
        return { status: response.status, headers: response.headers, body: parseBody(text, response.headers) };
      } catch (error) {
        failure = error;
        if (!isConnectionRefused(error)) break;
      }
    }
    throw new Error(`${method} ${path}: ${describe(failure)}`, { cause: failure });
  }

  async #all<Item>(path: string, query: Readonly<Record<string, string>>): Promise<readonly Item[]> {
    const items: Item[] = [];
    let cursor: string | null = null;
    do {
      const parameters = new URLSearchParams({ limit: String(PAGE_SIZE), ...query, ...(cursor === null ? {} : { cursor }) });
      const page = (await this.call('GET', `${path}?${parameters.toString()}`)) as {
        readonly items: readonly Item[];
        readonly nextCursor: string | null;
      };
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return items;
  }
}

function parseBody(text: string, headers: Headers): unknown {
  if (text === '') return undefined;
  return headers.get('content-type')?.includes('json') === true ? (JSON.parse(text) as unknown) : text;
}

function isConnectionRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED';
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
