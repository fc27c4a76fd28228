/** Agents that say exactly what a test tells them to, on connections to a gateway of its choice. */
import { parseEndpoint } from '../conformance/raw/endpoint.ts';
import { RawWebSocket } from '../conformance/raw/websocket-client.ts';
import { type AgentOptions, TestAgent } from '../conformance/test-agent.ts';
import { WebSocketLink } from '../conformance/websocket-link.ts';
import type { Stack } from './stack.ts';

const DEADLINE_MS = 30_000;

/** Opens and closes connections for one test. */
export class RawAgents {
  readonly #stack: Stack;
  readonly #links: WebSocketLink[] = [];

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** A fresh connection to a gateway. */
  async connect(gateway: string): Promise<WebSocketLink> {
    const endpoint = parseEndpoint(`ws://127.0.0.1:${this.#stack.port(gateway)}/v1/opamp`);
    const link = new WebSocketLink(await RawWebSocket.open(endpoint, DEADLINE_MS), DEADLINE_MS);
    this.#links.push(link);
    return link;
  }

  /** An agent on a fresh connection that has reported its complete state. */
  async start(gateway: string, options: AgentOptions = {}): Promise<TestAgent> {
    const agent = new TestAgent(await this.connect(gateway), DEADLINE_MS, options);
    await agent.first();
    return agent;
  }

  /** Breaks every connection. */
  close(): void {
    for (const link of this.#links) link.abort();
  }
}
