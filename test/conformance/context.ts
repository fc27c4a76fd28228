import { CheckFailedError, NotApplicableError, type Transport } from './check.ts';
import { HttpLink } from './http-link.ts';
import type { Link } from './link.ts';
import { DeadlineError, pause } from './raw/deadline.ts';
import { parseEndpoint, type Endpoint } from './raw/endpoint.ts';
import { RawHttpConnection } from './raw/http-client.ts';
import type { HeaderList } from './raw/http-head.ts';
import { RawWebSocket } from './raw/websocket-client.ts';
import { ApiRefusedError, type AgentView, type ServerSettings, type Target, type ViewPart } from './target.ts';
import { TestAgent, type AgentOptions } from './test-agent.ts';
import { WebSocketLink } from './websocket-link.ts';

/** How to reach the server for one connection. */
export interface ConnectOptions {
  /** Default 'first'. */
  readonly node?: 'first' | 'second';
  /** Added to the usual headers. */
  readonly headers?: HeaderList;
  /** Replaces the target's Authorization; null = send none. */
  readonly authorization?: string | null;
  readonly offerDeflate?: boolean;
}

/** What a running check works with. Everything opened through it is closed when the check ends. */
export class CheckContext {
  readonly target: Target;
  readonly transport: Transport;
  /** Hang guard for each single wait, in milliseconds. */
  readonly deadlineMs: number;
  readonly #notes: string[] = [];
  readonly #cleanups: (() => Promise<void> | void)[] = [];

  constructor(target: Target, transport: Transport, deadlineMs: number) {
    this.target = target;
    this.transport = transport;
    this.deadlineMs = deadlineMs;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  /** The server's own API; only for checks that need it. */
  get api(): NonNullable<Target['api']> {
    return this.target.api ?? this.notApplicable('the target has no API');
  }

  /** The target's message limit in bytes; only for checks that need a small one. */
  get maxMessageBytes(): number {
    return this.target.limits?.maxMessageBytes ?? this.notApplicable('the message limit is not known');
  }

  /** Adds a remark to the result, for example which of two allowed behaviours was seen. */
  note(text: string): void {
    this.#notes.push(text);
  }

  fail(reason: string): never {
    throw new CheckFailedError(reason);
  }

  notApplicable(reason: string): never {
    throw new NotApplicableError(reason);
  }

  /** Fails the check unless `condition` holds. */
  expect(condition: boolean, reason: string): asserts condition {
    if (!condition) this.fail(reason);
  }

  /** Tries `probe` until it returns a value other than undefined and false; fails with `what` at the deadline. */
  async eventually<T>(what: string, probe: () => Promise<T | undefined | false>, deadlineMs = this.deadlineMs): Promise<T> {
    const expiresAt = Date.now() + deadlineMs;
    for (;;) {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
      if (Date.now() > expiresAt) throw new DeadlineError(what, deadlineMs);
      await pause(50);
    }
  }

  /** Whether the server has an API that shows this part of an agent. */
  shows(part: ViewPart): boolean {
    return this.target.api?.shows.includes(part) ?? false;
  }

  /** Waits until the server's API shows an agent in a certain way: what an API shows may lag behind what was answered. */
  async untilView(uid: Uint8Array, what: string, accept: (view: AgentView) => boolean): Promise<AgentView> {
    let last: AgentView | undefined;
    try {
      return await this.eventually(what, async () => {
        last = await this.api.getAgent(uid);
        return last !== undefined && accept(last) ? last : undefined;
      });
    } catch (error) {
      if (error instanceof DeadlineError) this.fail(`never in the API: ${what}; last seen: ${describeView(last)}`);
      throw error;
    }
  }

  /** Repeats an API call that may be refused while the API does not yet know what the agent has just reported. */
  async untilAccepted(call: () => Promise<void>): Promise<void> {
    let refusal: ApiRefusedError | undefined;
    try {
      await this.eventually('the API to accept the call', async () => {
        try {
          await call();
          return true;
        } catch (error) {
          if (!(error instanceof ApiRefusedError)) throw error;
          refusal = error;
          return false;
        }
      });
    } catch (error) {
      throw error instanceof DeadlineError && refusal !== undefined ? refusal : error;
    }
  }

  endpoint(transport: Transport = this.transport, node: 'first' | 'second' = 'first'): Endpoint {
    const { url, httpUrl, secondUrl, secondHttpUrl } = this.target;
    const chosen = node === 'first' ? (transport === 'ws' ? url : httpUrl) : transport === 'ws' ? secondUrl : secondHttpUrl;
    return parseEndpoint(chosen ?? this.notApplicable('the target has no second node'));
  }

  /** Headers that every connection sends. */
  headers(options: ConnectOptions = {}): HeaderList {
    const authorization = options.authorization === undefined ? this.target.authorization : options.authorization;
    return [
      ...(authorization === undefined || authorization === null ? [] : ([['Authorization', authorization]] as const)),
      ...(options.headers ?? []),
    ];
  }

  /** Opens a WebSocket. Rejects with UpgradeRefusedError when the answer is not 101. */
  async webSocket(options: ConnectOptions = {}): Promise<RawWebSocket> {
    const socket = await RawWebSocket.open(this.endpoint('ws', options.node), this.deadlineMs, {
      headers: this.headers(options),
      offerDeflate: options.offerDeflate ?? false,
      insecure: this.target.isInsecure ?? false,
    });
    this.onEnd(() => socket.abort());
    return socket;
  }

  async webSocketLink(options: ConnectOptions = {}): Promise<WebSocketLink> {
    return new WebSocketLink(await this.webSocket(options), this.deadlineMs);
  }

  httpLink(options: ConnectOptions = {}): HttpLink {
    const link = new HttpLink({
      endpoint: this.endpoint('http', options.node),
      deadlineMs: this.deadlineMs,
      isInsecure: this.target.isInsecure ?? false,
      headers: this.headers(options),
    });
    this.onEnd(() => link.abort());
    return link;
  }

  async httpConnection(options: ConnectOptions = {}): Promise<RawHttpConnection> {
    const connection = await RawHttpConnection.open(this.endpoint('http', options.node), this.deadlineMs, this.target.isInsecure ?? false);
    this.onEnd(() => connection.abort());
    return connection;
  }

  /** Opens a link over the transport that this run is about. */
  async link(options: ConnectOptions = {}): Promise<Link> {
    return this.transport === 'ws' ? this.webSocketLink(options) : this.httpLink(options);
  }

  /** A fresh agent on a link of its own. It has not sent anything yet. */
  async agent(options: AgentOptions & ConnectOptions = {}): Promise<TestAgent> {
    return this.agentOn(await this.link(options), options);
  }

  /** A fresh agent on an existing link, beside any others there. */
  agentOn(link: Link, options: AgentOptions = {}): TestAgent {
    return new TestAgent(link, this.deadlineMs, options);
  }

  /** Fails unless a fresh agent on a fresh connection is served. */
  async expectServing(after: string): Promise<void> {
    const agent = await this.agent();
    const reply = await agent.first();
    this.expect(
      reply.errorResponse === undefined,
      `after ${after} a new agent got an error_response: ${reply.errorResponse?.errorMessage}`,
    );
    await agent.link.close();
  }

  /** Starts a fresh server with these settings; the context returned works against it and ends with this one. */
  async startServer(settings: ServerSettings): Promise<CheckContext> {
    const start = this.target.settings;
    if (start === undefined) this.notApplicable('no server can be started with other settings');
    const server = await start.start(settings);
    this.onEnd(() => server.stop());
    const inner = new CheckContext(server.target, this.transport, this.deadlineMs);
    this.onEnd(async () => {
      await inner.end();
    });
    return inner;
  }

  /**
   * Takes the server's store away; the function returned brings it back and waits until new agents are served again. It
   * runs at the latest when the check ends.
   */
  async beginStoreOutage(): Promise<() => Promise<void>> {
    const { stopStore, startStore } = this.target.control ?? {};
    if (stopStore === undefined || startStore === undefined) this.notApplicable('no control over the store');
    await stopStore();
    let isOver = false;
    const end = async (): Promise<void> => {
      if (isOver) return;
      isOver = true;
      await startStore();
      await this.#untilServing();
    };
    this.onEnd(end);
    return end;
  }

  async #untilServing(): Promise<void> {
    await this.eventually('new agents to be served after the store came back', async () => {
      try {
        const agent = await this.agent();
        const reply = await agent.first();
        await agent.link.close();
        return reply.errorResponse === undefined;
      } catch {
        return false;
      }
    });
  }

  /** Registers something to undo when the check ends, whatever its result. Last in, first out. */
  onEnd(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup);
  }

  /** Undoes everything. Returns the errors of clean-ups that failed. */
  async end(): Promise<Error[]> {
    const errors: Error[] = [];
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        errors.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    return errors;
  }
}

const describeView = (view: AgentView | undefined): string =>
  JSON.stringify(view, (_key, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value)) ?? 'nothing';
