/** The REST API as the load test uses it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { toError } from '@opamp-gateway/shared/errors';
import { TERMINAL_PHASES } from '@opamp-gateway/shared/rollout-types';

export type Counts = Readonly<Record<string, number>>;

/** A stored config version. */
export interface ConfigRef {
  readonly name: string;
  readonly version: number;
  /** Hex. */
  readonly hash: string;
}

/** A rollout as the API shows it. */
export interface RolloutView {
  readonly id: string;
  readonly phase: string;
  readonly holds: readonly string[];
  readonly waveIndex: number;
  readonly waves: readonly { readonly phase: string; readonly counts: Counts; readonly startedAt: string | null }[];
  readonly counts: Counts;
  /** Of those who joined after their wave had been assigned. */
  readonly late?: { readonly counts: Counts };
  readonly outcome: string;
  readonly endedAt: string | null;
}

/** One agent in the list. */
export interface AgentView {
  readonly uid: string;
  readonly connected: boolean;
  readonly gateway: string | null;
  readonly group: string | null;
  readonly config: { readonly status: string; readonly hash: string | null };
}

/** Numbers of a group. */
export interface GroupCounts {
  readonly agents: number;
  readonly connected: number;
}

/** Thrown when the API refuses. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;

  constructor(call: string, status: number, text: string) {
    super(`${call}: ${status} ${text.slice(0, 500)}`);
    this.status = status;
  }
}

const TIMEOUT_MS = 30_000;

/** True when a rollout will not change any more. */
export function isEnded({ phase }: Pick<RolloutView, 'phase'>): boolean {
  return [...TERMINAL_PHASES].some((terminal) => terminal === phase);
}

const DELETE_ATTEMPTS = 5;
const DELETE_PAUSE_MS = 1_000;

/** Calls of one coordinator. */
export class LoadApi {
  readonly #baseUrl: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** `token` goes along as a bearer token. */
  constructor(url: string, token?: string) {
    this.#baseUrl = `${url.replace(/\/+$/, '').replace(/\/api\/v1$/, '')}/api/v1`;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async putConfig(name: string, yaml: string, message: string): Promise<ConfigRef> {
    return (await this.#call('PUT', `/configs/${name}`, {
      files: { '': { body: yaml, contentType: 'text/yaml' } },
      message,
    })) as ConfigRef;
  }

  async putGroup(name: string, selector: string): Promise<void> {
    await this.#call('PUT', `/groups/${name}`, { selector, priority: 1_000 });
  }

  /** Its agents leave it one after the other as their connections end: asks anew when their number has changed meanwhile. */
  async deleteGroup(name: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const { agentsAffected = 0 } = (await this.#call('DELETE', `/groups/${name}?dryRun=true`)) as { readonly agentsAffected?: number };
      try {
        await this.#call('DELETE', `/groups/${name}`, agentsAffected > 0 ? { expectAgents: agentsAffected } : undefined);
        return;
      } catch (error) {
        if (attempt === DELETE_ATTEMPTS) throw error;
      }
      await sleep(DELETE_PAUSE_MS);
    }
  }

  async groupCounts(name: string): Promise<GroupCounts> {
    const { counts } = (await this.#call('GET', `/groups/${name}`)) as { readonly counts: GroupCounts };
    return counts;
  }

  /** Starts a rollout; answers its id. */
  async createRollout(group: string, { name, version }: ConfigRef, strategy: object, reason: string): Promise<string> {
    const body = { group, config: { name, version }, strategy, reason };
    const { id } = (await this.#call('POST', '/rollouts', body)) as { readonly id: string };
    return id;
  }

  async getRollout(id: string): Promise<RolloutView> {
    return (await this.#call('GET', `/rollouts/${id}`)) as RolloutView;
  }

  async abortRollout(id: string): Promise<void> {
    await this.#call('POST', `/rollouts/${id}/abort`, { reason: 'load test interrupted' });
  }

  /** Every agent that the selector matches. */
  async listAgents(selector: string): Promise<readonly AgentView[]> {
    const agents: AgentView[] = [];
    await this.visitAgents(selector, (page) => {
      // Only what is compared is kept: whole entries of a large fleet would not fit into this process.
      for (const { uid, connected, gateway, group, config } of page) {
        agents.push({ uid, connected, gateway, group, config: { status: config.status, hash: config.hash } });
      }
    });
    return agents;
  }

  /** Every agent that the selector matches, page by page. */
  async visitAgents(selector: string, visit: (page: readonly AgentView[]) => void): Promise<void> {
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '1000', selector, ...(cursor === null ? {} : { cursor }) });
      const page = (await this.#call('GET', `/agents?${query.toString()}`)) as {
        readonly items: readonly AgentView[];
        readonly nextCursor: string | null;
      };
      visit(page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`${this.#baseUrl}${path}`, init);
    } catch (error) {
      // What fetch says itself is "fetch failed"; why stands in its cause.
      const thrown = toError(error);
      const reason = thrown.cause instanceof Error ? thrown.cause : thrown;
      throw new Error(`the API at ${this.#baseUrl} cannot be reached: ${reason.message || reason.name}`, { cause: error });
    }
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.#fetch(path, {
      method,
      headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiError(`${method} ${path}`, response.status, text);
    return text === '' ? undefined : JSON.parse(text);
  }
}
