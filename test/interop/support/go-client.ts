import { Child } from './child.ts';
import { waitFor } from './wait-for.ts';

/** What the Go program prints; fields depend on `event` (see opamp-go-client/agent.go). */
export interface GoClientEvent {
  readonly event: string;
  /** Milliseconds since the program started. */
  readonly atMs: number;
  readonly library?: string;
  readonly cmd?: string;
  readonly error?: string;
  readonly text?: string;
  readonly status?: string;
  readonly hash?: string;
  readonly type?: string;
  readonly message?: string;
  readonly remoteConfig?: {
    readonly hash: string;
    readonly files: Record<string, { readonly body: string; readonly contentType: string }>;
  };
  readonly newInstanceUid?: string;
  readonly customCapabilities?: readonly string[];
  readonly customMessage?: { readonly capability: string; readonly type: string; readonly dataBase64: string };
}

/** How the client answers a remote config. */
export type OnConfig = 'applied' | 'failed' | 'applying' | 'silent';

/** The first state of the client; see the fields of `command` in opamp-go-client/main.go. */
export interface GoClientStart {
  readonly url: string;
  readonly instanceUid: string;
  readonly capabilities: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly identifying?: Readonly<Record<string, string>>;
  readonly nonIdentifying?: Readonly<Record<string, string>>;
  readonly heartbeatMs?: number;
  readonly compression?: boolean;
  readonly effectiveConfig?: string;
  readonly customCapabilities?: readonly string[];
  readonly componentsHash?: string;
  /** "kind/type" -> "module version" */
  readonly components?: Readonly<Record<string, string>>;
  readonly onConfig?: OnConfig;
}

/** Time for an answer of the program itself, and for its end, in milliseconds. */
const COMMAND_DEADLINE_MS = 30_000;

/** An agent on the opamp-go library, as a process of its own. */
export class GoClient {
  readonly #child: Child;
  readonly #events: GoClientEvent[] = [];

  private constructor(program: string) {
    this.#child = new Child(program, [], { onLine: (line) => void this.#events.push(JSON.parse(line) as GoClientEvent) });
  }

  /** Starts the program and waits until it takes commands. */
  static async launch(program: string): Promise<GoClient> {
    const client = new GoClient(program);
    await client.event('ready');
    return client;
  }

  get events(): readonly GoClientEvent[] {
    return this.#events;
  }

  /** Version of opamp-go inside the program. */
  get library(): string {
    return this.#events.find((event) => event.event === 'ready')?.library ?? 'unknown';
  }

  count(name: string, matches: (event: GoClientEvent) => boolean = () => true): number {
    return this.#events.filter((event) => event.event === name && matches(event)).length;
  }

  /**
   * The first event of that name that matches, waiting for it when it has not come yet.
   * @param after looks only at events behind this many
   */
  async event(
    name: string,
    matches: (event: GoClientEvent) => boolean = () => true,
    after = 0,
    deadlineMs = COMMAND_DEADLINE_MS,
  ): Promise<GoClientEvent> {
    return waitFor(
      `event "${name}" of the Go client`,
      deadlineMs,
      () => this.#events.slice(after).find((event) => event.event === name && matches(event)),
      () => this.#child.tail(),
    );
  }

  async start(start: GoClientStart): Promise<void> {
    await this.#command({ cmd: 'start', ...start });
  }

  async setOnConfig(onConfig: OnConfig): Promise<void> {
    await this.#command({ cmd: 'onConfig', onConfig });
  }

  async setHealth(healthy: boolean, lastError = ''): Promise<void> {
    await this.#command({ cmd: 'health', healthy, lastError });
  }

  async sendCustom(capability: string, type: string, data: Uint8Array): Promise<void> {
    await this.#command({ cmd: 'custom', capability, type, dataBase64: Buffer.from(data).toString('base64') });
  }

  /** The clean stop of the library: agent_disconnect, Close, waiting for the server's Close. */
  async stop(): Promise<void> {
    await this.#command({ cmd: 'stop' });
  }

  /** Ends the process without a word to the server. */
  async kill(): Promise<void> {
    this.#child.signal('SIGKILL');
    await this.#child.exited;
  }

  async #command(command: { readonly cmd: string } & Readonly<Record<string, unknown>>): Promise<void> {
    const before = this.#events.length;
    this.#child.writeLine(JSON.stringify(command));
    const answer = await waitFor(
      `the answer to "${command.cmd}"`,
      COMMAND_DEADLINE_MS,
      () => this.#events.slice(before).find((event) => event.event === 'command_done' || event.event === 'command_failed'),
      () => this.#child.tail(),
    );
    if (answer.event === 'command_failed') {
      throw new Error(`"${command.cmd}" failed: ${answer.error ?? ''}`);
    }
  }
}
