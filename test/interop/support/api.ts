import { waitFor } from './wait-for.ts';

/** An agent as `GET /agents/{uid}` shows it; only what the suite looks at. */
export interface AgentDetail {
  readonly uid: string;
  readonly connected: boolean;
  readonly gateway: string | null;
  readonly transport: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly health: { readonly status: 'healthy' | 'unhealthy' | 'unknown' };
  readonly config: {
    readonly status: 'unset' | 'applying' | 'applied' | 'failed';
    readonly hash: string | null;
    readonly error: string;
    readonly inSync: boolean | null;
  };
  readonly capabilities: readonly string[];
  readonly customCapabilities: readonly string[];
  readonly history: readonly { readonly hash: string; readonly status: string; readonly error?: string }[];
  readonly failedHashes: readonly { readonly hash: string }[];
  readonly effective: { readonly files: Readonly<Record<string, { readonly body: string }>> } | null;
}

/** One version of a config. */
export interface ConfigVersion {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
}

/** A rollout as `GET /rollouts/{id}` shows it; only what the suite looks at. */
export interface Rollout {
  readonly id: string;
  readonly phase: string;
  readonly holds: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Phases that a rollout does not leave. */
const TERMINAL = ['succeeded', 'cancelled', 'rolled_back', 'rollback_failed'];

/** Time within which a report of an agent shows in the API, and a call is answered, in milliseconds. */
const VISIBLE_DEADLINE_MS = 60_000;

/** The REST API, as far as the suite uses it. Every call rejects with the problem that the server described. */
export class Api {
  readonly #base: string;

  constructor(apiUrl: string) {
    this.#base = `${apiUrl}/api/v1`;
  }

  async putConfig(name: string, yaml: string): Promise<ConfigVersion> {
    return (await this.#call('PUT', `/configs/${name}`, {
      files: { '': { body: yaml, contentType: 'text/yaml' } },
      message: 'interop',
    })) as ConfigVersion;
  }

  async putGroup(name: string, selector: string): Promise<void> {
    await this.#call('PUT', `/groups/${name}`, { selector, priority: 10 });
  }

  async pin(uid: string, { name, version }: ConfigVersion): Promise<void> {
    await this.#call('PUT', `/agents/${uid}/pin`, { config: { name, version } });
  }

  async restart(uid: string): Promise<void> {
    await this.#call('POST', `/agents/${uid}/restart`, { reason: 'interop' });
  }

  async sendCustomMessage(uid: string, capability: string, messageType: string, data: Uint8Array): Promise<void> {
    await this.#call('POST', `/agents/${uid}/custom-messages`, {
      capability,
      messageType,
      dataBase64: Buffer.from(data).toString('base64'),
    });
  }

  async createRollout(body: Readonly<Record<string, unknown>>): Promise<string> {
    return ((await this.#call('POST', '/rollouts', body)) as { id: string }).id;
  }

  /** Waits until the rollout has ended. */
  async endOfRollout(id: string, deadlineMs: number): Promise<Rollout> {
    let last: Rollout | undefined;
    return waitFor(
      `the end of rollout ${id}`,
      deadlineMs,
      async () => {
        last = (await this.#call('GET', `/rollouts/${id}`)) as Rollout;
        return TERMINAL.includes(last.phase) ? last : undefined;
      },
      () => JSON.stringify(last, undefined, 1),
    );
  }

  /** Waits until the agent is known and looks as wanted. */
  async agent(uid: string, what: string, matches: (agent: AgentDetail) => boolean, deadlineMs = VISIBLE_DEADLINE_MS): Promise<AgentDetail> {
    let last: AgentDetail | undefined;
    return waitFor(
      `agent ${uid} to be ${what}`,
      deadlineMs,
      async () => {
        const response = await fetch(`${this.#base}/agents/${uid}`);
        if (response.status === 404) {
          await response.arrayBuffer();
          return undefined;
        }
        last = (await answerOf(response, `GET /agents/${uid}`)) as AgentDetail;
        return matches(last) ? last : undefined;
      },
      () => JSON.stringify(last, undefined, 1) ?? 'there is no such agent',
    );
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#base}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(VISIBLE_DEADLINE_MS),
    });
    return answerOf(response, `${method} ${path}`);
  }
}

async function answerOf(response: Response, call: string): Promise<unknown> {
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${call} answered ${response.status}: ${text}`);
  }
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}
