import { gunzip, gzipSync } from 'node:zlib';
import { toError } from '@opamp-gateway/shared/errors';
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { GatewayEvents } from '../events.ts';
import { ANYBODY } from '../principal.ts';
import type { Principal } from '../principal.ts';
import type { AdmissionControl, Refusal } from './admission.ts';
import { answer, refuse } from './answers.ts';
import { acceptsGzip, isProtobuf } from './http-headers.ts';
import type { TransportOutlet } from './outlet.ts';
import type { Peer } from './peer.ts';

export interface HttpPostOptions {
  events: GatewayEvents;
  admission: AdmissionControl;
  /** Limit of one message, uncompressed; both directions. */
  maxMessageBytes: number;
  peerOf(res: HttpResponse, req: HttpRequest): Peer;
  /** HTTP body, decompressed. Resolves when `outlet.send` was called or nothing is to be said. Rejects = 503. */
  onHttpBody(outlet: TransportOutlet, bytes: Uint8Array): Promise<void>;
}

/** One HTTP exchange. */
interface Exchange {
  aborted: boolean;
  /** It was answered, or nothing more is read of it. */
  done: boolean;
  readonly gzipReply: boolean;
  readonly gzipBody: boolean;
  readonly address: string;
  principal: Principal | undefined;
  /** Gives its place back. */
  end(): void;
}

/** Most bytes of a body beyond the limit that are read and dropped before the connection is closed. */
const MAX_DRAINED_BYTES = 8 * 1024 * 1024;

/** OpAMP over plain HTTP: one POST, one answer. [OpAMP Plain HTTP Transport] */
export class HttpPosts {
  readonly #options: HttpPostOptions;

  constructor(options: HttpPostOptions) {
    this.#options = options;
  }

  /** One POST. The request is only valid during the call. */
  handle(res: HttpResponse, req: HttpRequest): void {
    const { admission, maxMessageBytes } = this.#options;
    const encoding = req.getHeader('content-encoding').trim().toLowerCase();
    if (!isProtobuf(req.getHeader('content-type'))) {
      answer(res, '415 Unsupported Media Type', {}, 'Content-Type must be application/x-protobuf\n');
      return;
    }
    if (encoding !== '' && encoding !== 'identity' && encoding !== 'gzip') {
      answer(res, '415 Unsupported Media Type', { 'Accept-Encoding': 'gzip' }, 'Content-Encoding must be gzip or identity\n');
      return;
    }
    const { address, certificate, forwarded } = this.#options.peerOf(res, req);
    const exchange: Exchange = {
      aborted: false,
      done: false,
      gzipReply: acceptsGzip(req.getHeader('accept-encoding')),
      gzipBody: encoding === 'gzip',
      address,
      principal: undefined,
      end: () => undefined,
    };
    res.onAborted(() => {
      exchange.aborted = true;
      exchange.end();
    });
    const verdict = admission.admitRequest({ address, certificate, forwarded, authorization: req.getHeader('authorization') });
    if (!(verdict instanceof Promise) && !verdict.ok) {
      this.#options.events.rejected(verdict.reason, { from: address, why: verdict.why });
      refuse(res, verdict);
      return;
    }
    const admit = (principal: Principal): void => {
      exchange.principal = principal;
      if (!exchange.done) exchange.end = admission.beginExchange(address);
    };
    if (!(verdict instanceof Promise)) admit(verdict.principal);
    if (Number(req.getHeader('content-length') || 0) > maxMessageBytes + MAX_DRAINED_BYTES) {
      this.#tooLarge(res, exchange, true);
      return;
    }
    const proceed = this.#readBody(res, exchange);
    if (!(verdict instanceof Promise)) return;
    void verdict.then((admitted) => {
      if (exchange.aborted || exchange.done) return;
      if (admitted.ok) {
        admit(admitted.principal);
        proceed();
      } else {
        exchange.done = true;
        this.#options.events.rejected(admitted.reason, { from: address, why: admitted.why });
        res.cork(() => refuse(res, admitted));
      }
    });
  }

  /** Reads the body; the result goes on once it is complete and the agent is admitted. */
  #readBody(res: HttpResponse, exchange: Exchange): () => void {
    const { maxMessageBytes } = this.#options;
    const chunks: Buffer[] = [];
    let received = 0;
    let complete = false;
    const proceed = (): void => {
      if (complete && exchange.principal !== undefined && !exchange.done) this.#inflate(res, exchange, Buffer.concat(chunks));
    };
    res.onData((chunk, isLast) => {
      if (exchange.done) return;
      received += chunk.byteLength;
      if (received > maxMessageBytes) {
        // What is still on its way is read and dropped, within bounds: closing before would reset the connection, the
        // status would be lost, and a client would send the same bytes again.
        chunks.length = 0;
        if (isLast || received > maxMessageBytes + MAX_DRAINED_BYTES) this.#tooLarge(res, exchange, !isLast);
        return;
      }
      // The library takes the memory back when this callback returns.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      complete = isLast;
      proceed();
    });
    return proceed;
  }

  #inflate(res: HttpResponse, exchange: Exchange, body: Buffer): void {
    exchange.done = true;
    if (!exchange.gzipBody) {
      void this.#exchange(res, exchange, body);
      return;
    }
    gunzip(body, { maxOutputLength: this.#options.maxMessageBytes }, (error, inflated) => {
      if (exchange.aborted) return;
      if (error === null) void this.#exchange(res, exchange, inflated);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') res.cork(() => this.#tooLarge(res, exchange, false));
      else {
        exchange.end();
        res.cork(() => answer(res, '400 Bad Request', {}, 'the body is not gzip\n'));
      }
    });
  }

  #tooLarge(res: HttpResponse, exchange: Exchange, close: boolean): void {
    exchange.done = true;
    exchange.end();
    this.#options.events.rejected('message_too_big', { from: exchange.address });
    answer(res, '413 Content Too Large', {}, '', close);
  }

  async #exchange(res: HttpResponse, exchange: Exchange, body: Buffer): Promise<void> {
    let reply: Uint8Array | undefined;
    const outlet: TransportOutlet = {
      transport: 'http',
      remoteAddress: exchange.address,
      principal: exchange.principal ?? ANYBODY,
      sentAway: false,
      attachment: undefined,
      send: (message, tail) => {
        const length = message.length + (tail?.length ?? 0);
        if (exchange.aborted || reply !== undefined || length > this.#options.maxMessageBytes) return false;
        reply = new Uint8Array(length);
        reply.set(message);
        if (tail !== undefined) reply.set(tail, message.length);
        return true;
      },
      close: () => undefined,
    };
    try {
      await this.#options.onHttpBody(outlet, body);
    } catch (thrown) {
      const refusal: Refusal = {
        ok: false,
        status: 503,
        reason: 'store_unavailable',
        retryAfterSeconds: this.#options.admission.retryAfterSeconds(),
      };
      this.#options.events.rejected(refusal.reason, { from: exchange.address, error: toError(thrown).message });
      if (!exchange.aborted) res.cork(() => refuse(res, refusal));
      return;
    } finally {
      exchange.end();
    }
    if (exchange.aborted) return;
    const bytes = reply ?? new Uint8Array(0);
    const zipped = exchange.gzipReply && bytes.length > 0;
    const headers: Record<string, string> = { 'Content-Type': 'application/x-protobuf' };
    if (zipped) headers['Content-Encoding'] = 'gzip';
    const malformed = isErrorWithoutUid(bytes);
    res.cork(() => answer(res, malformed ? '400 Bad Request' : '200 OK', headers, zipped ? gzipSync(bytes) : bytes));
  }
}

/** A BAD_REQUEST that names no agent: the body was not even protobuf, or had no usable uid. [OpAMP Bad Request] */
function isErrorWithoutUid(bytes: Uint8Array): boolean {
  return bytes[0] === 0x12;
}
