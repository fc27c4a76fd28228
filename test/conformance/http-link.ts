import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import type { Link, Reaction } from './link.ts';
import { StreamEndedError } from './raw/byte-stream.ts';
import { DeadlineError } from './raw/deadline.ts';
import type { Endpoint } from './raw/endpoint.ts';
import { decodeBody, RawHttpConnection, type HttpResponse } from './raw/http-client.ts';
import type { HeaderList } from './raw/http-head.ts';
import { decodeReply } from './wire.ts';

/** What a {@link HttpLink} needs to open connections. */
export interface HttpLinkOptions {
  readonly endpoint: Endpoint;
  readonly deadlineMs: number;
  readonly isInsecure: boolean;
  /** Sent with every request besides Content-Type. */
  readonly headers: HeaderList;
}

/** A poll was answered with a status other than 200. */
export class PollRefusedError extends Error {
  override name = 'PollRefusedError';
  readonly status: number;

  constructor(status: number) {
    super(`a poll was answered with ${status}`);
    this.status = status;
  }
}

export const PROTOBUF_TYPE = 'application/x-protobuf';

/** A {@link Link} over plain HTTP: one keep-alive connection, opened again when the server has closed it. */
export class HttpLink implements Link {
  readonly transport = 'http';
  readonly #options: HttpLinkOptions;
  #connection: RawHttpConnection | undefined;

  constructor(options: HttpLinkOptions) {
    this.#options = options;
  }

  async exchange(_uid: Uint8Array, body: Uint8Array): Promise<ServerToAgent> {
    const response = await this.post(body);
    if (response.status !== 200) throw new PollRefusedError(response.status);
    return decodeReply(decodeBody(response));
  }

  async provoke(bytes: Uint8Array): Promise<Reaction> {
    try {
      return toReaction(await this.post(bytes));
    } catch (error) {
      if (error instanceof DeadlineError) return { kind: 'silence' };
      if (error instanceof StreamEndedError) return { kind: 'closed', code: 1006 };
      throw error;
    }
  }

  /** Posts bytes; `headers` are added to the usual ones. */
  async post(body: Uint8Array, headers: HeaderList = []): Promise<HttpResponse> {
    const request = {
      headers: [['Content-Type', PROTOBUF_TYPE], ...this.#options.headers, ...headers] as const,
      body,
    };
    const reused = this.#connection;
    const connection = await this.#open();
    try {
      return await connection.request(request);
    } catch (error) {
      // A kept connection may have been closed by the server just before this request: that says nothing, try once more.
      if (!(error instanceof StreamEndedError) || connection !== reused) throw error;
      this.abort();
      return (await this.#open()).request(request);
    }
  }

  /** Never: the next message opens a new connection if need be. */
  get isEnded(): boolean {
    return false;
  }

  drainInbox(): ServerToAgent[] {
    return [];
  }

  nextPush(): Promise<ServerToAgent> {
    return Promise.reject(new Error('plain HTTP has no pushes'));
  }

  close(): Promise<void> {
    this.abort();
    return Promise.resolve();
  }

  abort(): void {
    this.#connection?.abort();
    this.#connection = undefined;
  }

  async #open(): Promise<RawHttpConnection> {
    if (this.#connection !== undefined && !this.#connection.isClosed) return this.#connection;
    this.#connection?.abort();
    const { endpoint, deadlineMs, isInsecure } = this.#options;
    this.#connection = await RawHttpConnection.open(endpoint, deadlineMs, isInsecure);
    return this.#connection;
  }
}

/** Reads a response as a {@link Reaction}: a protobuf body with content counts as a message whatever the status. */
export const toReaction = (response: HttpResponse): Reaction => {
  const { status } = response;
  const isProtobuf = (response.headers.get('content-type') ?? '').toLowerCase().startsWith(PROTOBUF_TYPE);
  if (status !== 200 && (!isProtobuf || response.body.length === 0)) {
    return { kind: 'status', status, bodyBytes: response.body.length };
  }
  try {
    return { kind: 'message', message: decodeReply(decodeBody(response)), status };
  } catch (error) {
    return { kind: 'undecodable', error: error instanceof Error ? error.message : String(error) };
  }
};
