/** Reads HTTP/1.1 responses, one after the other, from a keep-alive connection. */

/** One whole response. */
export interface HttpResponse {
  readonly status: number;
  /** Header names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The server closes the connection after this response. */
  readonly closes: boolean;
}

/** Thrown for bytes that are no HTTP response. */
export class HttpParseError extends Error {
  override readonly name = 'HttpParseError';
}

const HEAD_END = '\r\n\r\n';

/** Body and number of bytes used, or undefined while chunks are missing. */
function readChunks(data: Buffer, start: number): { readonly body: Buffer; readonly end: number } | undefined {
  const chunks: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = data.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(data.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) throw new HttpParseError('chunk size is no number');
    const bodyStart = lineEnd + 2;
    if (size === 0) {
      // Trailers end with an empty line, which follows at once when there are none.
      const end = data.indexOf('\r\n', bodyStart) === bodyStart ? bodyStart + 2 : data.indexOf(HEAD_END, bodyStart) + HEAD_END.length;
      return end < bodyStart + 2 || end > data.length ? undefined : { body: Buffer.concat(chunks), end };
    }
    if (data.length < bodyStart + size + 2) return undefined;
    chunks.push(data.subarray(bodyStart, bodyStart + size));
    at = bodyStart + size + 2;
  }
}

/** Collects bytes until a response is whole. */
export class HttpResponseParser {
  #data: Buffer = Buffer.alloc(0);

  /** Takes bytes; answers the response that they complete. Throws HttpParseError for anything else than HTTP/1.x. */
  push(chunk: Buffer): HttpResponse | undefined {
    this.#data = Buffer.concat([this.#data, chunk]);
    return this.#read();
  }

  /** The connection has ended: a body without a length is whole now. */
  finish(): HttpResponse | undefined {
    return this.#read(true);
  }

  #read(ended = false): HttpResponse | undefined {
    const data = this.#data;
    const headEnd = data.indexOf(HEAD_END);
    if (headEnd === -1) return undefined;
    const [statusLine = '', ...lines] = data.toString('latin1', 0, headEnd).split('\r\n');
    const match = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine);
    if (match === null) throw new HttpParseError(`not a status line: ${statusLine}`);
    const status = Number(match[1]);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    const start = headEnd + HEAD_END.length;
    const closes = headers.get('connection')?.toLowerCase() === 'close' || statusLine.startsWith('HTTP/1.0');
    const take = (body: Buffer, end: number): HttpResponse => {
      this.#data = Buffer.from(data.subarray(end));
      return { status, headers, body: Buffer.from(body), closes };
    };
    if (status === 204 || status === 304) return take(Buffer.alloc(0), start);
    if (headers.get('transfer-encoding')?.toLowerCase().includes('chunked') === true) {
      const chunked = readChunks(data, start);
      return chunked === undefined ? undefined : take(chunked.body, chunked.end);
    }
    const length = headers.get('content-length');
    if (length === undefined) return ended ? take(data.subarray(start), data.length) : undefined;
    const end = start + Number(length);
    return data.length < end ? undefined : take(data.subarray(start, end), end);
  }
}
