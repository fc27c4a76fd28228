/** A swarm in a process of its own, with real sockets and its own event loop. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AgentRecord, AgentTruth } from './agent-record.ts';
import type { AgentSelection, RecordSelection, Swarm, SwarmAction, SwarmCounts, SwarmOptions, SwarmSummary } from './swarm-api.ts';
import type { SwarmCall, SwarmResponse } from './swarm-messages.ts';

/** A swarm elsewhere; `close` ends its process. */
export interface SwarmProcess extends Swarm {
  readonly pid: number;
  /** Ends the process, with a clean stop of the agents unless `kill` is true. Idempotent. */
  close(kill?: boolean): Promise<void>;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Thrown when a swarm's process refuses a call or has died. */
export class SwarmProcessError extends Error {
  override readonly name = 'SwarmProcessError';
}

class SwarmClient implements SwarmProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('message', (response: SwarmResponse) => this.#handleResponse(response));
    this.#exited = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#ended = true;
        for (const { reject } of this.#pending.values()) reject(new SwarmProcessError(reason));
        this.#pending.clear();
        resolve();
      };
      child.once('exit', (code, signal) => end(`the swarm's process ended (${signal ?? code})`));
      child.once('error', (error) => end(`the swarm's process could not be started: ${error.message}`));
    });
  }

  async start(): Promise<void> {
    await this.call({ call: 'start' });
  }

  async stop(): Promise<void> {
    await this.call({ call: 'stop' });
  }

  async records(selection: RecordSelection = {}): Promise<readonly AgentRecord[]> {
    return (await this.call({ call: 'records', selection })) as readonly AgentRecord[];
  }

  async truths(): Promise<readonly AgentTruth[]> {
    return (await this.call({ call: 'truths' })) as readonly AgentTruth[];
  }

  async counts(): Promise<SwarmCounts> {
    return (await this.call({ call: 'counts' })) as SwarmCounts;
  }

  async summary(): Promise<SwarmSummary> {
    return (await this.call({ call: 'summary' })) as SwarmSummary;
  }

  async control(action: SwarmAction, selection: AgentSelection = {}): Promise<number> {
    return (await this.call({ call: 'control', action, selection })) as number;
  }

  async close(kill = false): Promise<void> {
    if (!this.#ended && !kill) await this.stop().catch(() => undefined);
    if (!this.#ended) this.#child.kill('SIGKILL');
    await this.#exited;
  }

  async call(call: SwarmCall): Promise<unknown> {
    if (this.#ended) throw new SwarmProcessError("the swarm's process has ended");
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.send({ id, ...call }, (error) => {
        if (error === null) return;
        this.#pending.delete(id);
        reject(new SwarmProcessError(error.message));
      });
    });
  }

  #handleResponse(response: SwarmResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (pending === undefined) return;
    if ('error' in response) pending.reject(new SwarmProcessError(response.error));
    else pending.resolve(response.result);
  }
}

/**
 * Starts a process with a swarm in it; nothing connects before `start`. Runs from the sources as well as from `dist`.
 * Rejects with SwarmProcessError when the options are refused.
 */
export async function createSwarmProcess(options: SwarmOptions): Promise<SwarmProcess> {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  const child = fork(fileURLToPath(new URL(`./swarm-process${extension}`, import.meta.url)), [], {
    execArgv: ['--disable-warning=ExperimentalWarning', ...(options.smallHeap === true ? ['--max-semi-space-size=2'] : [])],
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const client = new SwarmClient(child);
  try {
    await client.call({ call: 'create', options });
  } catch (error) {
    await client.close(true);
    throw error;
  }
  return client;
}
