import { createServer } from 'node:net';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type * as uWebSockets from 'uWebSockets.js';
import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import { CLOSE_REASONS } from '../close-reasons.ts';
import type { CloseReason } from '../close-reasons.ts';
import type { Principal } from '../principal.ts';
import { answer, refuse } from './answers.ts';
import { HttpPosts } from './http-posts.ts';
import type { HttpPostOptions } from './http-posts.ts';
import type { TransportOutlet } from './outlet.ts';
import type { Peer, PeerReader } from './peer.ts';
import { checkTlsFiles, stampOf } from './tls-files.ts';
import type { TlsFiles } from './tls-files.ts';

export interface WebSocketServerOptions extends Omit<HttpPostOptions, 'peerOf'> {
  host: string;
  port: number;
  path: string;
  clock: Clock;
  peers: PeerReader;
  /** Files (PEM) for TLS; undefined = plain text. */
  tls: TlsFiles | undefined;
  /** Most bytes buffered for a peer that does not read; beyond it the connection is closed. */
  maxBackpressureBytes: number;
  pingIntervalMs: number;
  /** Silence (no traffic, no pong) after which a connection counts as dead. */
  pongTimeoutMs: number;
  /** Time a new connection has for its first OpAMP message. */
  identifyTimeoutMs: number;
  /** WebSocket message, header included. The bytes are only valid during the call. */
  onMessage(outlet: TransportOutlet, bytes: Uint8Array): void;
  onClosed(outlet: TransportOutlet): void;
  /** What the credential of an open connection allows has changed. */
  onPrincipalChanged(outlet: TransportOutlet): void;
}

/** One WebSocket. Times are tenths of a second since the server listens, which take no memory of their own. */
class Connection implements TransportOutlet {
  readonly transport = 'ws';
  readonly remoteAddress: string;
  principal: Principal;
  readonly home: Endpoint;
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

  constructor(server: WebSocketServer, ws: WebSocket<UserData>, { address, principal, home }: UserData, nowTenths: number) {
    this.#server = server;
    this.ws = ws;
    this.remoteAddress = address;
    this.principal = principal;
    this.home = home;
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
  address: string;
  principal: Principal;
  home: Endpoint;
}

/** One application of the library: with TLS, one for each set of certificates that still has connections. */
interface Endpoint {
  readonly app: TemplatedApp;
  connections: number;
  retiredAtMs: number;
}

/** A port that nobody listens on now. */
async function freePort(host: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ host, port: 0 }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

type UwsModule = typeof uWebSockets;

const HEADER_BYTES = 1;
const TENTH_MS = 100;
/** Messages up to this size are put together in memory that all of them share. */
const SCRATCH_BYTES = 512 * 1024;
/** A peer that has taken nothing of what waits for it for so long is cut off. */
const STALLED_TENTHS = 300;
/** Interval at which certificate files are looked at. */
const TLS_LOOK_MS = 5_000;
/** Time after which an endpoint with former certificates and no WebSocket is given up; kept-alive HTTP connections end before. */
const RETIRED_KEEP_MS = 60_000;
/** Connections closed per turn of the event loop. */
const CLOSE_CHUNK = 256;

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
  readonly #posts: HttpPosts;
  readonly #connections = new Set<Connection>();
  /** Connections with bytes that the kernel did not take. */
  readonly #waiting = new Set<Connection>();
  readonly #startedAtMs: number;
  #scratch = new Uint8Array(4096);
  #uws: UwsModule | undefined;
  #endpoint: Endpoint | undefined;
  #retired: Endpoint[] = [];
  readonly #byPrincipal = new Map<string, Set<Connection>>();
  #tlsStamp = '';
  #tlsLookedMs = 0;
  #stopped = false;
  /** The port is to be listened on again. */
  #relisten = false;
  #listenSocket: us_listen_socket | undefined;
  #timer: ClockTimer | undefined;
  #port = 0;

  constructor(options: WebSocketServerOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.nowMs();
    this.#posts = new HttpPosts({ ...options, peerOf: (res, req) => this.#peerOf(res, req) });
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
    if (this.#options.tls !== undefined) {
      checkTlsFiles(this.#options.tls);
      this.#tlsStamp = stampOf(this.#options.tls);
    }
    const { host, port, tls } = this.#options;
    // A port that the library was left to choose cannot be listened on a second time while it has connections.
    await this.#open(tls !== undefined && port === 0 ? await freePort(host) : port);
    this.#timer = this.#options.clock.every(1_000, () => this.#sweep());
  }

  /** Ids of the credentials that open connections were accepted with. */
  principalsInUse(): Iterable<string> {
    return this.#byPrincipal.keys();
  }

  /** What a credential allows has changed: its connections go on with that. */
  changePrincipal(id: string, change: (current: Principal) => Principal): void {
    for (const connection of [...(this.#byPrincipal.get(id) ?? [])]) {
      const next = change(connection.principal);
      if (JSON.stringify(next) === JSON.stringify(connection.principal)) continue;
      connection.principal = next;
      this.#options.onPrincipalChanged(connection);
    }
  }

  /** A credential is no longer good: its connections are closed. */
  endPrincipal(id: string, why: string): void {
    const connections = [...(this.#byPrincipal.get(id) ?? [])];
    if (connections.length === 0) return;
    this.#options.events.principalEnded(id, why, connections.length);
    const closeSome = (): void => {
      for (const connection of connections.splice(0, CLOSE_CHUNK)) connection.close(CLOSE_REASONS.credentialEnded);
      if (connections.length > 0) setImmediate(closeSome);
    };
    closeSome();
  }

  async #open(port: number): Promise<void> {
    const endpoint = this.#build();
    this.#endpoint = endpoint;
    await new Promise<void>((resolve, reject) => {
      const { host } = this.#options;
      // Option 1: the port is ours alone; by default two gateways could share it without noticing.
      const listen = endpoint.app.listen.bind(endpoint.app) as unknown as (
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
  }

  #build(): Endpoint {
    const uws = this.#uws;
    if (uws === undefined) throw new Error('the WebSocket library is not loaded');
    const { path, maxMessageBytes, tls } = this.#options;
    const app =
      tls === undefined
        ? uws.App()
        : uws.SSLApp({
            cert_file_name: tls.certFile,
            key_file_name: tls.keyFile,
            ssl_prefer_low_memory_usage: true,
            ...(tls.clientCaFile === undefined ? {} : { ca_file_name: tls.clientCaFile }),
          });
    const endpoint: Endpoint = { app, connections: 0, retiredAtMs: 0 };
    app
      .ws<UserData>(path, {
        // The library resets the connection without a Close frame above its own limit, so ours is tested first, in the callback.
        maxPayloadLength: Math.min(2 * maxMessageBytes, 0x7fffffff),
        maxBackpressure: this.#options.maxBackpressureBytes,
        closeOnBackpressureLimit: true,
        // Its own pings leave the peer at most 16 s, and a supervisor that restarts its collector answers later than that.
        sendPingsAutomatically: false,
        idleTimeout: 0,
        upgrade: (res, req, context) => this.#upgrade(res, req, context, endpoint),
        open: (ws) => this.#opened(ws),
        message: (ws, message, isBinary) => this.#message(ws, message, isBinary),
        ping: (ws) => this.#seen(ws),
        pong: (ws) => this.#seen(ws),
        drain: (ws) => this.#drained(ws),
        close: (ws) => this.#close(ws),
      })
      .post(path, (res, req) => this.#posts.handle(res, req))
      .any(path, (res) => {
        answer(
          res,
          '426 Upgrade Required',
          { Upgrade: 'websocket' },
          'this is an OpAMP endpoint: WebSocket, or POST of application/x-protobuf\n',
        );
      })
      .any('/*', (res) => {
        answer(res, '404 Not Found', {}, 'not found\n');
      });
    return endpoint;
  }

  /** No new connections; those that are open go on. */
  stopAccepting(): void {
    this.#relisten = false;
    if (this.#listenSocket === undefined) return;
    this.#uws?.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = undefined;
  }

  /** Ends everything. Connections get a Close frame. */
  stop(reason: CloseReason): void {
    this.#timer?.cancel();
    this.stopAccepting();
    this.#stopped = true;
    for (const connection of [...this.#connections]) connection.close(reason);
    for (const endpoint of this.#retired) endpoint.app.close();
    this.#retired = [];
    this.#endpoint?.app.close();
    this.#endpoint = undefined;
  }

  /**
   * New certificates: new connections get them, open ones go on. The port is listened on anew in the same turn, so that at most
   * a connection that was just being made is refused, and made again by its agent.
   */
  #lookAtCertificates(now: number): void {
    const { tls, events } = this.#options;
    if (tls === undefined || this.#stopped || now - this.#tlsLookedMs < TLS_LOOK_MS) return;
    this.#tlsLookedMs = now;
    if (this.#relisten) {
      this.#openAgain();
      return;
    }
    for (const endpoint of this.#retired.filter(
      ({ connections, retiredAtMs }) => connections === 0 && now - retiredAtMs > RETIRED_KEEP_MS,
    )) {
      endpoint.app.close();
      this.#retired = this.#retired.filter((other) => other !== endpoint);
    }
    const stamp = stampOf(tls);
    if (stamp === this.#tlsStamp) return;
    this.#tlsStamp = stamp;
    try {
      checkTlsFiles(tls);
    } catch (thrown) {
      events.certificatesUnusable(toError(thrown));
      return;
    }
    // A gateway that drains has stopped listening, and does not begin again.
    if (this.#listenSocket === undefined || this.#endpoint === undefined) return;
    this.#endpoint.retiredAtMs = now;
    this.#retired.push(this.#endpoint);
    this.stopAccepting();
    this.#openAgain();
  }

  /** Somebody else may have taken the port in between: then it is tried again with the next look. */
  #openAgain(): void {
    const { events } = this.#options;
    this.#relisten = true;
    this.#open(this.#port).then(
      () => {
        this.#relisten = false;
        events.certificatesRead();
      },
      (thrown: unknown) => events.certificatesUnusable(toError(thrown)),
    );
  }

  #peerOf(res: HttpResponse, req: HttpRequest): Peer {
    const certificate = (res as HttpResponse & { getX509Certificate?(): string }).getX509Certificate;
    const peer = this.#options.peers.read({
      remoteAddress: Buffer.from(res.getRemoteAddressAsText()).toString('latin1'),
      proxiedAddress: Buffer.from(res.getProxiedRemoteAddressAsText()).toString('latin1'),
      certificate: this.#options.tls === undefined ? '' : (certificate?.call(res) ?? ''),
      header: (name) => req.getHeader(name),
    });
    if (peer.untrusted) this.#options.events.forwardingIgnored(peer.address);
    return peer;
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t, home: Endpoint): void {
    const { admission, events } = this.#options;
    const { address, certificate, forwarded } = this.#peerOf(res, req);
    const verdict = admission.admitUpgrade({ address, certificate, forwarded, authorization: req.getHeader('authorization') });
    if (!verdict.ok) {
      events.rejected(verdict.reason, { from: address, why: verdict.why });
      refuse(res, verdict, true);
      return;
    }
    // At once, and never later: an upgrade from within `cork` can leave the library with a connection that it closes.
    res.upgrade<UserData>(
      { connection: undefined, address, principal: verdict.principal, home },
      req.getHeader('sec-websocket-key'),
      req.getHeader('sec-websocket-protocol'),
      req.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  #opened(ws: WebSocket<UserData>): void {
    const data = ws.getUserData();
    const connection = new Connection(this, ws, data, this.#nowTenths());
    data.connection = connection;
    this.#connections.add(connection);
    connection.home.connections += 1;
    const { id } = connection.principal;
    if (id !== '') {
      const others = this.#byPrincipal.get(id);
      if (others === undefined) this.#byPrincipal.set(id, new Set([connection]));
      else others.add(connection);
    }
    this.#options.admission.opened(connection.remoteAddress);
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
    connection.home.connections -= 1;
    const { id } = connection.principal;
    const others = this.#byPrincipal.get(id);
    others?.delete(connection);
    if (others?.size === 0) this.#byPrincipal.delete(id);
    this.#options.admission.closed(connection.remoteAddress);
    this.#options.events.connectionClosed(connection.closedByUs ? 'server' : 'agent');
    this.#options.onClosed(connection);
  }

  /** Pings the quiet, ends the dead, those that read nothing, and those that never said who they are. */
  #sweep(): void {
    const now = this.#nowTenths();
    const nowMs = this.#options.clock.nowMs();
    this.#lookAtCertificates(nowMs);
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
      } else if (connection.principal.expiresAtMs <= nowMs) {
        this.#options.events.principalEnded(connection.principal.id, 'expired', 1);
        connection.close(CLOSE_REASONS.credentialEnded);
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
}
