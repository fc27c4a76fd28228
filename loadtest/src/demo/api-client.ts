/** The coordinator's REST API, as far as the demo uses it. */
import type { RolloutPhase, RowStatus } from '@opamp-gateway/shared/rollout-types';

/** Agents by status. */
export type Counts = Readonly<Partial<Record<RowStatus, number>>>;

/** Size of a wave, as asked for. */
export interface WaveSizeView {
  readonly count?: number;
  readonly percent?: number;
}

/** A rollout as the API shows it. */
export interface RolloutView {
  readonly id: string;
  readonly phase: RolloutPhase;
  readonly holds: readonly string[];
  readonly waveIndex: number;
  readonly waves: readonly { readonly phase: string; readonly counts: Counts; readonly size: WaveSizeView }[];
  readonly counts: Counts;
  readonly outcome?: string;
}

/** A stored version of a config. */
export interface ConfigVersionView {
  readonly name: string;
  readonly version: number;
  /** Hex. */
  readonly hash: string;
}

/** One agent in the list. */
export interface AgentView {
  readonly uid: string;
  readonly connected: boolean;
  readonly group: string | null;
  readonly config: { readonly status: string; readonly hash: string | null; readonly inSync: boolean | null };
}

/** Thrown when the API says no; the message carries its own words. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
}

const TIMEOUT_MS = 15_000;

/** Calls of one coordinator. */
export class ApiClient {
  readonly #baseUrl: string;

  constructor(coordinatorUrl: string) {
    this.#baseUrl = `${coordinatorUrl}/api/v1`;
  }

  /** Stores a config; the same content again gives the same version. */
  async putConfig(name: string, yaml: string, message: string): Promise<ConfigVersionView> {
    const files = { '': { body: yaml, contentType: 'text/yaml' } };
    return (await this.#call('PUT', `/configs/${name}`, { files, message })) as ConfigVersionView;
  }

  async putGroup(name: string, selector: string, priority: number): Promise<void> {
    await this.#call('PUT', `/groups/${name}`, { selector, priority });
  }

  /** Starts a rollout; answers its id. */
  async createRollout(body: {
    readonly group: string;
    readonly config: { readonly name: string; readonly version: number };
    readonly strategy: Readonly<Record<string, unknown>>;
    readonly reason: string;
  }): Promise<string> {
    const { id } = (await this.#call('POST', '/rollouts', body)) as { readonly id: string };
    return id;
  }

  async getRollout(id: string): Promise<RolloutView> {
    return (await this.#call('GET', `/rollouts/${id}`)) as RolloutView;
  }

  /** Every agent that the selector matches, page by page. */
  async listAgents(selector?: string): Promise<readonly AgentView[]> {
    const agents: AgentView[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '1000' });
      if (selector !== undefined) query.set('selector', selector);
      if (cursor !== null) query.set('cursor', cursor);
      const page = (await this.#call('GET', `/agents?${query.toString()}`)) as {
        readonly items: readonly AgentView[];
        readonly nextCursor: string | null;
      };
      agents.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return agents;
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#baseUrl}${path}`, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiError(`${method} ${path}: ${response.status} ${describeProblem(text)}`);
    return JSON.parse(text) as unknown;
  }
}

function describeProblem(text: string): string {
  try {
    const {
      title,
      detail,
      errors = [],
    } = JSON.parse(text) as {
      readonly title?: string;
      readonly detail?: string;
      readonly errors?: readonly { readonly path?: string; readonly message?: string }[];
    };
    return [title, detail, ...errors.map(({ path, message }) => `${path ?? ''}: ${message ?? ''}`)].filter(Boolean).join('; ');
  } catch {
    return text.slice(0, 500);
  }
}
