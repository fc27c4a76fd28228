import path from 'node:path';

import { Child } from './child.ts';
import { waitFor } from './wait-for.ts';

/** First line of input of elastic-client/agent.ts. */
export interface ElasticClientSettings {
  readonly url: string;
  /** UUID text. */
  readonly instanceUid: string;
  readonly heartbeatIntervalS: number;
  /** Answers a config with APPLIED, else with FAILED. */
  readonly accepts: boolean;
  readonly identifying: Readonly<Record<string, string>>;
}

/** What elastic-client/agent.ts prints. */
export type ElasticClientEvent =
  | { readonly event: 'sent'; readonly sequenceNum: number }
  | { readonly event: 'send_failed'; readonly error: string }
  | { readonly event: 'remote_config'; readonly hash: string; readonly body: string };

const AGENT = path.join(import.meta.dirname, '..', 'elastic-client', 'agent.ts');

/** Time for one event, in milliseconds. */
const EVENT_DEADLINE_MS = 30_000;

/** An agent on @elastic/opamp-client-node; it speaks plain HTTP only. */
export class ElasticClient {
  readonly #child: Child;
  readonly #events: ElasticClientEvent[] = [];

  constructor(settings: ElasticClientSettings) {
    this.#child = new Child(process.execPath, ['--disable-warning=ExperimentalWarning', AGENT], {
      onLine: (line) => void this.#events.push(JSON.parse(line) as ElasticClientEvent),
    });
    this.#child.writeLine(JSON.stringify(settings));
  }

  get events(): readonly ElasticClientEvent[] {
    return this.#events;
  }

  /** Waits for an event of that kind among those behind the first `after`. */
  async event<K extends ElasticClientEvent['event']>(kind: K, after = 0): Promise<Extract<ElasticClientEvent, { event: K }>> {
    return waitFor(
      `event "${kind}" of the Elastic client`,
      EVENT_DEADLINE_MS,
      () => this.#events.slice(after).find((event): event is Extract<ElasticClientEvent, { event: K }> => event.event === kind),
      () => this.#child.tail(),
    );
  }

  /** Lets the client shut down in order and waits for the end of its process. */
  async stop(): Promise<void> {
    this.#child.closeInput();
    await waitFor(
      'the Elastic client to end',
      EVENT_DEADLINE_MS,
      () => this.#child.ended,
      () => this.#child.tail(),
    );
  }
}
