import { gunzip, gzipSync } from 'node:zlib';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type * as uWebSockets from 'uWebSockets.js';
import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import { CLOSE_REASONS } from '../close-reasons.ts';
import type { CloseReason } from '../close-reasons.ts';
import type { GatewayEvents } from '../events.ts';
import type { AdmissionControl } from './admission.ts';
import { acceptsGzip, isProtobuf } from './http-headers.ts';

/** A connection or exchange as the layers above see it. */
export interface TransportOutlet {
  readonly transport: 'ws' | 'http';
  readonly remoteAddress: string;
  /** Whether this server has ended it to send the agent elsewhere. */
  readonly sentAway: boolean;
  /** A place for whoever is told of messages; nothing here reads it. */
  attachment: unknown;
  /** `tail` follows `message` in the same message. Both are copied or written before this returns. */
  send(message: Uint8Array, tail?: Uint8Array): boolean;
  close(reason: CloseReason): void;
}

export interface WebSocketServerOptions {
  host: string;
  port: number;
  path: string;
  clock: Clock;
  events: GatewayEvents;
  admission: AdmissionControl;
  /** Limit of one message, uncompressed, header included; both directions. */
  maxMessageBytes: number;
  /** Most bytes buffered for a peer that does not read; beyond it the connection is closed. */
  maxBackpressureBytes: number;
  pingIntervalMs: number;
  /** Silence (no traffic, no pong) after which a connection counts as dead. */
  pongTimeoutMs: number;
  /** Time a new connection has for its first OpAMP message. */
  identifyTimeoutMs: number;
  /** WebSocket message, header included. The bytes are only valid during the call. */
  onMessage(outlet: TransportOutlet, bytes: Uint8Array): void;
  /** HTTP body, decompressed. Resolves when `outlet.send` was called or nothing is to be said. Rejects = 503. */
  onHttpBody(outlet: TransportOutlet, bytes: Uint8Array): Promise<void>;
  onClosed(outlet: TransportOutlet): void;
}

/** One WebSocket. Times are tenths of a second since the server listens, which take no memory of their own. */
class Connection implements TransportOutlet {
  readonly transport = 'ws';
  readonly remoteAddress: string;
  attachment: unknown = undefined;
  ws: WebSocket<UserData> | undefined;
  lastSeenTenths: number;
  openedTenths: number;
  identified = false;
  closedByUs = false;
  sentAway = false;
  /** Bytes that wait because the peer does not read, as of the last look, and since when they have not become fewer. */
  waitingBytes = 0;
  waitingTenths = 0;
  readonly #server: WebSocketServer;

  constructor(server: WebSocketServer, ws: WebSocket<UserData>, remoteAddress: string, nowTenths: number) {
    this.#server = server;
    this.ws = ws;
    this.remoteAddress = remoteAddress;
    this.lastSeenTenths = nowTenths;
    this.openedTenths = nowTenths;
  }

  send(message: Uint8Array, tail?: Uint8Array): boolean {
    return this.#server.sendTo(this, message, tail);
  }

  close(reason: CloseReason): void {
    if (this.ws === undefined) return;
    this.closedByUs = true;
    this.sentAway = reason === CLOSE_REASONS.draining || reason === CLOSE_REASONS.goingAway;
    this.ws.end(reason.code, reason.text);
  }
}

interface UserData {
  connection: Connection | undefined;
  remoteAddress: string;
}

type UwsModule = typeof uWebSockets;

const HEADER_BYTES = 1;
const TENTH_MS = 100;
/** Messages up to this size are put together in memory that all of them share. */
const SCRATCH_BYTES = 512 * 1024;
/** A peer that has taken nothing of what waits for it for so long is cut off. */
const STALLED_TENTHS = 300;
/** Most bytes of a body beyond the limit that are read and dropped before the connection is closed. */
const MAX_DRAINED_BYTES = 8 * 1024 * 1024;

/** Loads the native WebSocket library, or says clearly what fits this platform. */
async function loadUws(): Promise<UwsModule> {
  try {
    return await import('uWebSockets.js');
  } catch (thrown) {
    throw new Error(
      `the WebSocket library has no native binary for ${process.platform}-${process.arch} with Node ${process.version} ` +
        `(ABI ${process.versions.modules}); it ships binaries for Node 18 to 22 on Linux, macOS and Windows. Start with "npm run gateway", which uses the pinned Node 22.`,
      { cause: thrown },
    );
  }
}

/** The OpAMP endpoint: WebSocket and plain HTTP on one port and path. The only module that knows the WebSocket library. */
export class WebSocketServer {
  readonly #options: WebSocketServerOptions;
  readonly #connections = new Set<Connection>();
  /** Connections with bytes that the kernel did not take. */
  readonly #waiting = new Set<Connection>();
  readonly #startedAtMs: number;
  #scratch = new Uint8Array(4096);
  #uws: UwsModule | undefined;
  #app: TemplatedApp | undefined;
  #listenSocket: us_listen_socket | undefined;
  #timer: ClockTimer | undefined;
  #port = 0;

  constructor(options: WebSocketServerOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.nowMs();
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#port;
  }

  /** Every open connection. */
  connections(): readonly TransportOutlet[] {
    return [...this.#connections];
  }

  async listen(): Promise<void> {
    this.#uws = await loadUws();
    const { path, maxMessageBytes } = this.#options;
    this.#app = this.#uws
      .App()
      .ws<UserData>(path, {
        // The library resets the connection without a Close frame above its own limit, so ours is tested first, in the callback.
        maxPayloadLength: Math.min(2 * maxMessageBytes, 0x7fffffff),
        maxBackpressure: this.#options.maxBackpressureBytes,
        closeOnBackpressureLimit: true,
        // Its own pings leave the peer at most 16 s, and a supervisor that restarts its collector answers later than that.
        sendPingsAutomatically: false,
        idleTimeout: 0,
        upgrade: (res, req, context) => this.#upgrade(res, req, context),
        open: (ws) => this.#open(ws),
        message: (ws, message, isBinary) => this.#message(ws, message, isBinary),
        ping: (ws) => this.#seen(ws),
        pong: (ws) => this.#seen(ws),
        drain: (ws) => this.#drained(ws),
        close: (ws) => this.#close(ws),
      })
      .post(path, (res, req) => this.#post(res, req))
      .any(path, (res) => {
        this.#answer(
          res,
          '426 Upgrade Required',
          { Upgrade: 'websocket' },
          'this is an OpAMP endpoint: WebSocket, or POST of application/x-protobuf\n',
        );
      })
      .any('/*', (res) => {
        this.#answer(res, '404 Not Found', {}, 'not found\n');
      });
    await new Promise<void>((resolve, reject) => {
      const { host, port } = this.#options;
      // Option 1: the port is ours alone; by default two gateways could share it without noticing.
      const listen = this.#app?.listen.bind(this.#app) as unknown as (
        host: string,
        port: number,
        option: number,
        done: (socket: us_listen_socket | false) => void,
      ) => void;
      listen(host, port, 1, (socket) => {
        if (socket === false) {
          reject(new Error(`cannot listen on ${host}:${port}, the port is in use or not permitted`));
          return;
        }
        this.#listenSocket = socket;
        this.#port = this.#uws?.us_socket_local_port(socket as never) ?? port;
        resolve();
      });
    });
    this.#timer = this.#options.clock.every(1_000, () => this.#sweep());
  }

  /** No new connections; those that are open go on. */
  stopAccepting(): void {
    if (this.#listenSocket === undefined) return;
    this.#uws?.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = undefined;
  }

  /** Ends everything. Connections get a Close frame. */
  stop(reason: CloseReason): void {
    this.#timer?.cancel();
    this.stopAccepting();
    for (const connection of [...this.#connections]) connection.close(reason);
    this.#app?.close();
    this.#app = undefined;
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    const { admission, events } = this.#options;
    const remoteAddress = Buffer.from(res.getRemoteAddressAsText()).toString('latin1');
    const verdict = admission.admitUpgrade(req.getHeader('authorization'));
    if (!verdict.ok) {
      events.rejected(verdict.reason, { from: remoteAddress });
      this.#refuse(res, verdict, true);
      return;
    }
    res.upgrade<UserData>(
      { connection: undefined, remoteAddress },
      req.getHeader('sec-websocket-key'),
      req.getHeader('sec-websocket-protocol'),
      req.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  /** A refused POST keeps its connection: closing it while the body is on its way would reset it, and the status would be lost. */
  #refuse(res: HttpResponse, verdict: { status: 401 | 503; retryAfterSeconds?: number }, close = false): void {
    if (verdict.status === 401) this.#answer(res, '401 Unauthorized', { 'WWW-Authenticate': 'Bearer' }, '', close);
    else this.#answer(res, '503 Service Unavailable', { 'Retry-After': String(verdict.retryAfterSeconds ?? 30) }, '', close);
  }

  #open(ws: WebSocket<UserData>): void {
    const data = ws.getUserData();
    const connection = new Connection(this, ws, data.remoteAddress, this.#nowTenths());
    data.connection = connection;
    this.#connections.add(connection);
    this.#options.admission.opened();
  }

  /** Sends a message of one or two parts. The library copies what the kernel does not take at once. */
  sendTo(connection: Connection, message: Uint8Array, tail?: Uint8Array): boolean {
    const { ws } = connection;
    const length = HEADER_BYTES + message.length + (tail?.length ?? 0);
    if (ws === undefined || length > this.#options.maxMessageBytes) return false;
    if (this.#scratch.length < length && length <= SCRATCH_BYTES) this.#scratch = new Uint8Array(Math.min(SCRATCH_BYTES, 2 * length));
    const bytes = length <= this.#scratch.length ? this.#scratch.subarray(0, length) : new Uint8Array(length);
    bytes[0] = 0;
    bytes.set(message, HEADER_BYTES);
    if (tail !== undefined) bytes.set(tail, HEADER_BYTES + message.length);
    const outcome = ws.send(bytes, true, false);
    if (outcome !== 1 && connection.ws !== undefined) this.#drained(connection.ws);
    return outcome !== 2;
  }

  /** Notes how many bytes wait for a peer now. */
  #drained(ws: WebSocket<UserData>): void {
    const { connection } = ws.getUserData();
    if (connection === undefined) return;
    const bytes = ws.getBufferedAmount();
    if (bytes === 0) {
      connection.waitingBytes = 0;
      this.#waiting.delete(connection);
      return;
    }
    if (!this.#waiting.has(connection) || bytes < connection.waitingBytes) connection.waitingTenths = this.#nowTenths();
    connection.waitingBytes = bytes;
    this.#waiting.add(connection);
  }

  #nowTenths(): number {
    return Math.floor((this.#options.clock.nowMs() - this.#startedAtMs) / TENTH_MS);
  }

  #message(ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean): void {
    const { connection } = ws.getUserData();
    if (connection === undefined) return;
    connection.lastSeenTenths = this.#nowTenths();
    if (!isBinary) {
      this.#options.events.rejected('text_message', { from: connection.remoteAddress });
      connection.close(CLOSE_REASONS.notBinary);
      return;
    }
    if (message.byteLength > this.#options.maxMessageBytes) {
      this.#options.events.rejected('message_too_big', { from: connection.remoteAddress, bytes: message.byteLength });
      connection.close(CLOSE_REASONS.tooBig);
      return;
    }
    connection.identified = true;
    try {
      this.#options.onMessage(connection, new Uint8Array(message));
    } catch (thrown) {
      const error = toError(thrown);
      this.#options.events.logger.error({ error: error.message, stack: error.stack }, 'message could not be handled');
      connection.close(CLOSE_REASONS.internal);
    }
  }

  #seen(ws: WebSocket<UserData>): void {
    const { connection } = ws.getUserData();
    if (connection !== undefined) connection.lastSeenTenths = this.#nowTenths();
  }

  #close(ws: WebSocket<UserData>): void {
    const { connection } = ws.getUserData();
    if (connection === undefined) return;
    connection.ws = undefined;
    this.#connections.delete(connection);
    this.#waiting.delete(connection);
    this.#options.admission.closed();
    this.#options.events.connectionClosed(connection.closedByUs ? 'server' : 'agent');
    this.#options.onClosed(connection);
  }

  /** Pings the quiet, ends the dead, those that read nothing, and those that never said who they are. */
  #sweep(): void {
    const now = this.#nowTenths();
    const { pingIntervalMs, pongTimeoutMs, identifyTimeoutMs } = this.#options;
    // Whoever is closed here leaves the set while it is walked, which a set allows.
    for (const connection of this.#waiting) {
      if (now - connection.waitingTenths > STALLED_TENTHS) this.#abandon(connection, 'stalled');
    }
    for (const connection of this.#connections) {
      const quietMs = (now - connection.lastSeenTenths) * TENTH_MS;
      if (!connection.identified && (now - connection.openedTenths) * TENTH_MS > identifyTimeoutMs) {
        this.#options.events.rejected('not_identified', { from: connection.remoteAddress });
        connection.close(CLOSE_REASONS.notIdentified);
      } else if (quietMs > pongTimeoutMs) this.#abandon(connection, 'silence');
      else if (quietMs > pingIntervalMs && Math.floor(quietMs / pingIntervalMs) !== Math.floor((quietMs - 1_000) / pingIntervalMs)) {
        connection.ws?.ping();
      }
    }
  }

  /** Ends a connection whose peer is gone, or reads nothing, and would not take a Close frame. */
  #abandon(connection: Connection, why: 'silence' | 'stalled'): void {
    this.#options.events.connectionClosed(why);
    connection.closedByUs = true;
    connection.ws?.close();
  }

  #post(res: HttpResponse, req: HttpRequest): void {
    const exchange = { aborted: false };
    res.onAborted(() => {
      exchange.aborted = true;
    });
    const remoteAddress = Buffer.from(res.getRemoteAddressAsText()).toString('latin1');
    const { admission, events, maxMessageBytes } = this.#options;
    const gzipReply = acceptsGzip(req.getHeader('accept-encoding'));
    const encoding = req.getHeader('content-encoding').trim().toLowerCase();
    if (!isProtobuf(req.getHeader('content-type'))) {
      this.#answer(res, '415 Unsupported Media Type', {}, 'Content-Type must be application/x-protobuf\n');
      return;
    }
    if (encoding !== '' && encoding !== 'identity' && encoding !== 'gzip') {
      this.#answer(res, '415 Unsupported Media Type', { 'Accept-Encoding': 'gzip' }, 'Content-Encoding must be gzip or identity\n');
      return;
    }
    const verdict = admission.admitRequest(req.getHeader('authorization'));
    if (!verdict.ok) {
      events.rejected(verdict.reason, { from: remoteAddress });
      this.#refuse(res, verdict);
      return;
    }
    if (Number(req.getHeader('content-length') || 0) > maxMessageBytes + MAX_DRAINED_BYTES) {
      this.#tooLarge(res, remoteAddress, true);
      return;
    }
    const chunks: Buffer[] = [];
    let received = 0;
    let done = false;
    res.onData((chunk, isLast) => {
      if (done) return;
      received += chunk.byteLength;
      if (received > maxMessageBytes) {
        // What is still on its way is read and dropped, within bounds: closing before would reset the connection, the
        // status would be lost, and a client would send the same bytes again.
        chunks.length = 0;
        if (!isLast && received <= maxMessageBytes + MAX_DRAINED_BYTES) return;
        done = true;
        this.#tooLarge(res, remoteAddress, !isLast);
        return;
      }
      // The library takes the memory back when this callback returns.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (!isLast) return;
      done = true;
      const body = Buffer.concat(chunks);
      if (encoding !== 'gzip') {
        void this.#exchange(res, exchange, body, { gzipReply, remoteAddress });
        return;
      }
      gunzip(body, { maxOutputLength: maxMessageBytes }, (error, inflated) => {
        if (exchange.aborted) return;
        if (error === null) void this.#exchange(res, exchange, inflated, { gzipReply, remoteAddress });
        else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
          res.cork(() => this.#tooLarge(res, remoteAddress, false));
        else res.cork(() => this.#answer(res, '400 Bad Request', {}, 'the body is not gzip\n'));
      });
    });
  }

  #tooLarge(res: HttpResponse, remoteAddress: string, close: boolean): void {
    this.#options.events.rejected('message_too_big', { from: remoteAddress });
    this.#answer(res, '413 Content Too Large', {}, '', close);
  }

  async #exchange(
    res: HttpResponse,
    exchange: { aborted: boolean },
    body: Buffer,
    options: { gzipReply: boolean; remoteAddress: string },
  ): Promise<void> {
    let reply: Uint8Array | undefined;
    const outlet: TransportOutlet = {
      transport: 'http',
      remoteAddress: options.remoteAddress,
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
      this.#options.events.rejected('store_unavailable', { error: toError(thrown).message });
      if (!exchange.aborted) {
        res.cork(() => this.#refuse(res, { status: 503, retryAfterSeconds: this.#options.admission.retryAfterSeconds() }));
      }
      return;
    }
    if (exchange.aborted) return;
    const bytes = reply ?? new Uint8Array(0);
    const zipped = options.gzipReply && bytes.length > 0;
    const headers: Record<string, string> = { 'Content-Type': 'application/x-protobuf' };
    if (zipped) headers['Content-Encoding'] = 'gzip';
    const malformed = isErrorWithoutUid(bytes);
    res.cork(() => this.#answer(res, malformed ? '400 Bad Request' : '200 OK', headers, zipped ? gzipSync(bytes) : bytes));
  }

  #answer(res: HttpResponse, status: string, headers: Record<string, string>, body: string | Uint8Array, close = false): void {
    res.writeStatus(status);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    res.end(body, close);
  }
}

/** A BAD_REQUEST that names no agent: the body was not even protobuf, or had no usable uid. [OpAMP Bad Request] */
function isErrorWithoutUid(bytes: Uint8Array): boolean {
  return bytes[0] === 0x12;
}
