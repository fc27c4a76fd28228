import type { Socket } from 'node:net';
import { DeadlineError } from './deadline.ts';

/** The peer ended the TCP connection (or it broke) before the awaited bytes were there. */
export class StreamEndedError extends Error {
  override name = 'StreamEndedError';
}

/** Pull-style reading from a socket: wait for a delimiter, for a number of bytes, or for the end. One reader at a time. */
export class ByteStream {
  #buffer: Buffer = Buffer.alloc(0);
  #ended: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    const end = (reason: string, cause?: unknown): void => {
      this.#ended ??= new StreamEndedError(reason, cause === undefined ? {} : { cause });
      this.#wake?.();
    };
    socket.on('end', () => end('the peer ended the TCP connection'));
    socket.on('error', (error) => end(`the TCP connection broke: ${error.message}`, error));
    socket.on('close', () => end('the TCP connection is closed'));
  }

  /** Whether the peer has ended or broken the connection. Bytes received before may still be unread. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Whether unread bytes are waiting. */
  get hasBytes(): boolean {
    return this.#buffer.length > 0;
  }

  /** Waits until there are bytes or the end, but no longer than `ms`. */
  async settle(ms: number): Promise<void> {
    if (this.hasBytes || this.ended) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Reads up to and including `delimiter`. */
  readThrough(delimiter: string, deadlineMs: number): Promise<Buffer> {
    return this.#read(`bytes up to ${JSON.stringify(delimiter)}`, deadlineMs, () => {
      const at = this.#buffer.indexOf(delimiter);
      return at < 0 ? undefined : this.#consume(at + delimiter.length);
    });
  }

  readExactly(length: number, deadlineMs: number): Promise<Buffer> {
    return this.#read(`${length} bytes`, deadlineMs, () => (this.#buffer.length < length ? undefined : this.#consume(length)));
  }

  /** Reads whatever has come, at least one byte. */
  readSome(deadlineMs: number): Promise<Buffer> {
    return this.#read('any byte', deadlineMs, () => (this.#buffer.length === 0 ? undefined : this.#consume(this.#buffer.length)));
  }

  /** Reads until the peer ends the connection. */
  readToEnd(deadlineMs: number): Promise<Buffer> {
    return this.#read('the end of the connection', deadlineMs, () =>
      this.#ended === undefined ? undefined : this.#consume(this.#buffer.length),
    );
  }

  #consume(length: number): Buffer {
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  async #read(what: string, deadlineMs: number, attempt: () => Buffer | undefined): Promise<Buffer> {
    const expiresAt = Date.now() + deadlineMs;
    for (;;) {
      const taken = attempt();
      if (taken !== undefined) return taken;
      if (this.#ended !== undefined) throw this.#ended;
      const leftMs = expiresAt - Date.now();
      if (leftMs <= 0) throw new DeadlineError(what, deadlineMs);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }
}
