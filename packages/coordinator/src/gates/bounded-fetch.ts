import { toError } from '@opamp-gateway/shared/errors';

/** An answer that was read to its end. */
export interface BoundedAnswer {
  status: number;
  body: string;
}

/** Most that is read of an answer. */
export const MAX_ANSWER_BYTES = 256 * 1024;

export interface BoundedRequest {
  method: 'GET' | 'POST';
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** From the first byte sent to the last one read. */
  timeoutMs: number;
  signal: AbortSignal;
}

/**
 * One HTTP request that ends in time and with an answer of at most {@link MAX_ANSWER_BYTES}. Redirects are not followed: they
 * could lead where the settings do not allow. Throws an Error that says in words what went wrong.
 */
export async function boundedFetch(url: string, request: BoundedRequest): Promise<BoundedAnswer> {
  const timeout = AbortSignal.timeout(request.timeoutMs);
  try {
    const response = await fetch(url, {
      method: request.method,
      headers: request.headers,
      ...(request.body === undefined ? {} : { body: request.body }),
      redirect: 'manual',
      signal: AbortSignal.any([timeout, request.signal]),
    });
    return { status: response.status, body: await readBounded(response) };
  } catch (error) {
    if (timeout.aborted) throw new Error(`no answer within ${request.timeoutMs} ms`, { cause: error });
    throw new Error(reasonOf(error), { cause: error });
  }
}

async function readBounded(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the stream, which closes the connection.
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf(error: unknown): string {
  const { message, cause } = toError(error);
  if (cause === undefined) return message;
  const inner = toError(cause);
  const code = (inner as NodeJS.ErrnoException).code;
  return code === undefined || inner.message.includes(code) ? inner.message || message : `${code}: ${inner.message}`;
}
