import type { Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { ByteStream } from './byte-stream.ts';
import { connectSocket, type Endpoint } from './endpoint.ts';
import { encodeRequestHead, parseResponseHead, type HeaderList, type ResponseHead } from './http-head.ts';

/** A response with its body as it came over the wire (not decompressed). */
export interface HttpResponse extends ResponseHead {
  readonly body: Buffer;
}

/** What to send. Nothing is added but Host and the body's framing header. */
export interface HttpRequest {
  readonly method?: string;
  /** Default: the endpoint's path. */
  readonly path?: string;
  readonly headers?: HeaderList;
  /** Sent with Content-Length, unless `chunks` is given. */
  readonly body?: Uint8Array;
  /** Sent as chunked transfer coding, one chunk per element, without Content-Length. */
  readonly chunks?: readonly Uint8Array[];
  /**
   * Leave the server time to answer between the parts of the request. One that answers early and closes resets the
   * connection over whatever is still on its way, and a client that goes on writing then loses the answer.
   */
  readonly isPatient?: boolean;
}

const SLICE_BYTES = 32 * 1024;
/** What a patient client waits for an early answer after the head, and after each further part. */
const AFTER_HEAD_MS = 100;
const AFTER_PART_MS = 5;

/** One raw HTTP/1.1 connection, one request at a time, kept alive as long as the server keeps it. */
export class RawHttpConnection {
  readonly #socket: Socket;
  readonly #stream: ByteStream;
  readonly #endpoint: Endpoint;
  readonly #deadlineMs: number;

  private constructor(socket: Socket, endpoint: Endpoint, deadlineMs: number) {
    this.#socket = socket;
    this.#stream = new ByteStream(socket);
    this.#endpoint = endpoint;
    this.#deadlineMs = deadlineMs;
  }

  static async open(endpoint: Endpoint, deadlineMs: number, insecure = false): Promise<RawHttpConnection> {
    return new RawHttpConnection(await connectSocket(endpoint, deadlineMs, insecure), endpoint, deadlineMs);
  }

  /** Whether the server has closed this connection. */
  get isClosed(): boolean {
    return this.#stream.ended;
  }

  /** Sends a request and reads its response; stops sending the body as soon as the response begins. */
  async request(request: HttpRequest): Promise<HttpResponse> {
    await this.send(request);
    return this.readResponse(request.method ?? 'POST');
  }

  /** Sends a request without reading the response. */
  async send(request: HttpRequest): Promise<void> {
    const { method = 'POST', path = this.#endpoint.path, headers = [], body, chunks, isPatient = false } = request;
    const framing: HeaderList =
      chunks !== undefined ? [['Transfer-Encoding', 'chunked']] : body !== undefined ? [['Content-Length', String(body.length)]] : [];
    const head = encodeRequestHead(method, path, [['Host', this.#endpoint.authority], ...headers, ...framing]);
    await this.#write(head);
    if (isPatient) await this.#stream.settle(AFTER_HEAD_MS);
    if (chunks !== undefined) {
      for (const chunk of chunks) {
        await this.#write(Buffer.from(`${chunk.length.toString(16)}\r\n`, 'latin1'));
        await this.#writeSlices(chunk, isPatient);
        await this.#write(Buffer.from('\r\n', 'latin1'));
        if (this.#stream.hasBytes) return;
      }
      await this.#write(Buffer.from('0\r\n\r\n', 'latin1'));
    } else if (body !== undefined) {
      await this.#writeSlices(body, isPatient);
    }
  }

  /** Reads the next response; 1xx responses before it are skipped. */
  async readResponse(method = 'POST'): Promise<HttpResponse> {
    const deadlineMs = this.#deadlineMs;
    let head: ResponseHead;
    do {
      head = parseResponseHead(await this.#stream.readThrough('\r\n\r\n', deadlineMs));
    } while (head.status >= 100 && head.status < 200 && head.status !== 101);
    return { ...head, body: await this.#readBody(head, method) };
  }

  /** Breaks the connection off (TCP reset or FIN), whatever is in flight. */
  abort(): void {
    this.#socket.destroy();
  }

  async #readBody(head: ResponseHead, method: string): Promise<Buffer> {
    const deadlineMs = this.#deadlineMs;
    if (method === 'HEAD' || head.status === 101 || head.status === 204 || head.status === 304) {
      return Buffer.alloc(0);
    }
    if (head.headers.get('transfer-encoding')?.toLowerCase().includes('chunked') === true) {
      const parts: Buffer[] = [];
      for (;;) {
        const sizeLine = (await this.#stream.readThrough('\r\n', deadlineMs)).toString('latin1');
        const size = Number.parseInt(sizeLine, 16);
        if (!Number.isInteger(size)) throw new Error(`malformed chunk size: ${sizeLine}`);
        if (size === 0) {
          // Trailer fields, if any, end with an empty line.
          while ((await this.#stream.readThrough('\r\n', deadlineMs)).length > 2);
          return Buffer.concat(parts);
        }
        parts.push(Buffer.from(await this.#stream.readExactly(size, deadlineMs)));
        await this.#stream.readExactly(2, deadlineMs);
      }
    }
    const length = head.headers.get('content-length');
    return Buffer.from(
      length === undefined ? await this.#stream.readToEnd(deadlineMs) : await this.#stream.readExactly(Number(length), deadlineMs),
    );
  }

  /** In slices, so that an early answer (413) ends the sending. */
  async #writeSlices(bytes: Uint8Array, isPatient: boolean): Promise<void> {
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
      if (this.#stream.hasBytes || this.#stream.ended) return;
      await this.#write(bytes.subarray(at, at + SLICE_BYTES));
      if (isPatient) await this.#stream.settle(AFTER_PART_MS);
      else if (bytes.length > SLICE_BYTES) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Write errors are not reported here: the reading side shows what the server said before it hung up. */
  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) {
        resolve();
        return;
      }
      this.#socket.write(bytes, () => resolve());
    });
  }
}

/** The response's body after undoing Content-Encoding. Throws for an encoding other than gzip and identity. */
export const decodeBody = (response: HttpResponse): Uint8Array => {
  const encoding = response.headers.get('content-encoding')?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return response.body;
  if (encoding === 'gzip') return gunzipSync(response.body);
  throw new Error(`unexpected Content-Encoding in a response: ${encoding}`);
};
