import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it came in. */
export interface ReceivedWebhook {
  readonly id: string;
  readonly path: string;
  readonly body: { readonly id: string; readonly type: string; readonly data: Readonly<Record<string, unknown>> };
  /** Why the signature is not to be trusted; undefined when it is good. */
  readonly untrusted: string | undefined;
  readonly answered: number | 'nothing';
}

/** A receiver of signed webhooks that answers as a test wants it to. */
export class WebhookReceiver {
  readonly received: ReceivedWebhook[] = [];
  /** Status of the next answer; `nothing` leaves the request open until the receiver is told otherwise. */
  answer: (request: { id: string; path: string; seen: number }) => number | 'nothing' = () => 200;
  readonly #secret: Buffer;
  readonly #server: Server;
  readonly #open = new Set<ServerResponse>();

  private constructor(secret: Buffer, server: Server) {
    this.#secret = secret;
    this.#server = server;
  }

  static async start(secret: Buffer): Promise<WebhookReceiver> {
    const server = createServer();
    const receiver = new WebhookReceiver(secret, server);
    server.on('request', (request, response) => receiver.#take(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  /** Ids that were answered 2xx. */
  get delivered(): ReadonlySet<string> {
    return new Set(this.received.filter(({ answered }) => answered === 200).map(({ id }) => id));
  }

  async stop(): Promise<void> {
    for (const response of this.#open) response.destroy();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const id = String(request.headers['webhook-id']);
      const path = request.url ?? '';
      const seen = this.received.filter((one) => one.id === id && one.path === path).length;
      const answered = this.answer({ id, path, seen });
      this.received.push({
        id,
        path,
        body: JSON.parse(text) as ReceivedWebhook['body'],
        untrusted: this.#check(request, text),
        answered,
      });
      if (answered === 'nothing') this.#open.add(response);
      else response.writeHead(answered).end('seen');
    });
  }

  /** As the Standard Webhooks specification has it, worked out anew. */
  #check({ headers }: IncomingMessage, text: string): string | undefined {
    const timestamp = String(headers['webhook-timestamp']);
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return `timestamp ${timestamp}`;
    const content = `${String(headers['webhook-id'])}.${timestamp}.${text}`;
    const expected = `v1,${createHmac('sha256', this.#secret).update(content).digest('base64')}`;
    return headers['webhook-signature'] === expected ? undefined : `signature ${String(headers['webhook-signature'])}`;
  }
}
