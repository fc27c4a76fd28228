import { ProblemError } from './problem.ts';

/** Keeps a byte order mark: what is stored must be what was sent. */
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of a body. Throws a ProblemError when the bytes are no UTF-8: replacing them would store something else than was sent. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (error) {
    throw new ProblemError('malformed-body', 'the body is not valid UTF-8', { cause: error });
  }
}
