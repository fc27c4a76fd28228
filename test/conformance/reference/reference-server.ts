import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createGunzip, gzipSync } from 'node:zlib';
import { encodeFrame, FrameParser, OPCODE, type Frame } from '../raw/frame.ts';
import { deflateMessage } from '../raw/websocket-client.ts';
import type { ServerSettings, StartedServer, Target } from '../target.ts';
import type { Fault } from './faults.ts';
import { ReferenceModel, type Pushable } from './reference-model.ts';

/** How the reference server is started. */
export interface ReferenceOptions extends Omit<ServerSettings, 'port'> {
  readonly fault?: Fault;
  /** Authorization values that are let in; undefined = everybody is. */
  readonly authorization?: string;
}

const DEFAULT_LIMIT_BYTES = 128 * 1024;
const PROTOBUF_TYPE = 'application/x-protobuf';
const HANDSHAKE_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Starts a small OpAMP server in this process, correct unless told otherwise, for testing the suite itself. */
export const startReferenceServer = async (options: ReferenceOptions = {}): Promise<StartedServer> => {
  const server = new ReferenceServer(options);
  const address = await server.listen();
  const path = options.path ?? '/v1/opamp';
  const authorization = options.authorization;
  const target: Target = {
    url: `ws://127.0.0.1:${address.port}${path}`,
    httpUrl: `http://127.0.0.1:${address.port}${path}`,
    api: server.model,
    limits: { maxMessageBytes: options.maxMessageBytes ?? DEFAULT_LIMIT_BYTES },
    settings: {
      start: (settings) => startReferenceServer({ ...options, ...settings }),
    },
    ...(authorization === undefined ? {} : { authorization, refusedAuthorization: 'Bearer wrong' }),
  };
  return { target, stop: () => server.stop() };
};

class ReferenceServer {
  readonly model: ReferenceModel;
  readonly #options: ReferenceOptions;
  readonly #limitBytes: number;
  readonly #http: Server;
  readonly #sockets = new Set<Socket>();
  #upgradedCount = 0;

  constructor(options: ReferenceOptions) {
    this.#options = options;
    const isIgnored = options.fault === 'limit-setting-ignored';
    this.#limitBytes = isIgnored ? DEFAULT_LIMIT_BYTES : (options.maxMessageBytes ?? DEFAULT_LIMIT_BYTES);
    this.model = new ReferenceModel(this.#limitBytes, options.fault);
    this.#http = createServer((request, response) => this.#handleRequest(request, response));
    this.#http.on('upgrade', (request, socket) => this.#handleUpgrade(request, socket as Socket));
    this.#http.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  listen(): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(0, '127.0.0.1', () => resolve(this.#http.address() as AddressInfo));
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#http.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #is(fault: Fault): boolean {
    return this.#options.fault === fault;
  }

  /** Status with which a request is turned away before anything else, or undefined. */
  #refusal(request: IncomingMessage): number | undefined {
    if (request.url !== (this.#options.path ?? '/v1/opamp') && !this.#is('any-path')) return 404;
    const { authorization } = this.#options;
    if (authorization !== undefined && !this.#is('no-authentication')) {
      if (request.headers.authorization !== authorization) return 401;
    }
    return undefined;
  }

  #handleRequest(request: IncomingMessage, response: ServerResponse): void {
    const end = (status: number, type = 'text/plain', body: Uint8Array = new Uint8Array()): void => {
      response.writeHead(status, {
        'Content-Type': type,
        ...(status === 413 ? { Connection: 'close' } : {}),
        'Content-Length': body.length,
      });
      response.end(body);
    };
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return end(refusal);
    const type = request.headers['content-type'] ?? '';
    const mediaType = this.#is('exact-content-type') ? type : type.split(';')[0]?.trim().toLowerCase();
    if (mediaType !== PROTOBUF_TYPE && !this.#is('any-content-type')) return end(415);
    if (this.#is('needs-content-length') && request.headers['content-length'] === undefined) return end(411);
    const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
    if (encoding !== 'gzip' && encoding !== 'identity' && !this.#is('any-encoding-accepted')) return end(415);
    const source = encoding === 'gzip' ? request.pipe(createGunzip()) : request;
    const parts: Buffer[] = [];
    let length = 0;
    source.on('error', () => end(400));
    source.on('data', (part: Buffer) => {
      length += part.length;
      if (length <= this.#limitBytes || this.#is('no-receive-limit')) parts.push(part);
      else if (!response.headersSent) end(413);
    });
    source.on('end', () => {
      if (!response.headersSent) this.#answer(request, response, Buffer.concat(parts), end);
    });
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
    end: (status: number, type?: string, body?: Uint8Array) => void,
  ): void {
    let bytes: Uint8Array = body;
    const headerUid = request.headers['opamp-instance-uid'];
    if (this.#is('instance-uid-header-wins') && typeof headerUid === 'string') {
      const uid = Buffer.from(headerUid.replaceAll('-', ''), 'hex');
      bytes = Buffer.concat([Buffer.from([0x0a, 16]), uid, body.subarray(18)]);
    }
    const answer = this.model.handle(undefined, bytes);
    if (answer === undefined) return;
    const reply = this.#is('header-on-http') ? Buffer.concat([Buffer.from([0]), answer]) : answer;
    const type = this.#is('plain-text-type') ? 'text/plain' : PROTOBUF_TYPE;
    const accepts = /(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+)?\s*(?:,|$)/i;
    const wants = accepts.test(String(request.headers['accept-encoding'] ?? ''));
    if ((wants && !this.#is('never-gzips')) || this.#is('gzips-always')) {
      response.setHeader('Content-Encoding', 'gzip');
      return end(200, type, gzipSync(reply));
    }
    end(200, type, reply);
  }

  #handleUpgrade(request: IncomingMessage, socket: Socket): void {
    const { maxConnections } = this.#options;
    const isFull = maxConnections !== undefined && this.#upgradedCount >= maxConnections && !this.#is('full-but-open');
    const { origin, host } = request.headers;
    const isForeign = this.#is('origin-must-match') && origin !== undefined && new URL(origin).host !== host;
    const status = this.#refusal(request) ?? (isForeign ? 403 : isFull ? 503 : undefined);
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} Refused\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key'] ?? ''}${HANDSHAKE_GUID}`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    this.#upgradedCount += 1;
    const connection = new ReferenceConnection(socket, this.model, this.#limitBytes, this.#options.fault);
    socket.on('close', () => {
      this.#upgradedCount -= 1;
      this.model.forget(connection);
    });
  }
}

/** One WebSocket of the reference server. */
class ReferenceConnection implements Pushable {
  readonly #socket: Socket;
  readonly #model: ReferenceModel;
  readonly #limitBytes: number;
  readonly #fault: Fault | undefined;
  readonly #parser = new FrameParser();
  #fragments: Buffer[] = [];

  constructor(socket: Socket, model: ReferenceModel, limitBytes: number, fault: Fault | undefined) {
    this.#socket = socket;
    this.#model = model;
    this.#limitBytes = limitBytes;
    this.#fault = fault;
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      for (const frame of this.#parser.push(chunk)) this.#handleFrame(frame);
    });
  }

  push(body: Uint8Array): void {
    const header = this.#is('no-websocket-header') ? [] : [Buffer.from([0])];
    const payload = Buffer.concat([...header, body]);
    const isCompressed = this.#is('compresses-unasked');
    this.#send({
      opcode: this.#is('text-frames') ? OPCODE.text : OPCODE.binary,
      payload: isCompressed ? deflateMessage(payload) : payload,
      rsv1: isCompressed,
    });
  }

  #is(fault: Fault): boolean {
    return this.#fault === fault;
  }

  #send(frame: { opcode: number; payload: Uint8Array; rsv1?: boolean }): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(encodeFrame({ ...frame, ...(this.#is('masked-frames') ? { maskKey: randomBytes(4) } : {}) }));
  }

  #close(code: number): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code, 0);
    this.#send({ opcode: OPCODE.close, payload });
    this.#socket.end();
  }

  #handleFrame(frame: Frame): void {
    switch (frame.opcode) {
      case OPCODE.ping:
        if (!this.#is('no-pong')) this.#send({ opcode: OPCODE.pong, payload: frame.payload });
        return;
      case OPCODE.pong:
        return;
      case OPCODE.close:
        if (!this.#is('close-not-answered')) this.#send({ opcode: OPCODE.close, payload: frame.payload.subarray(0, 2) });
        this.#socket.end();
        return;
      case OPCODE.text:
        if (this.#is('text-accepted')) {
          this.push(new Uint8Array());
          return;
        }
        this.push(this.#model.badRequest('text messages are not OpAMP'));
        this.#close(1003);
        return;
      default:
        this.#fragments.push(frame.payload);
        if (frame.fin) this.#handleMessage(Buffer.concat(this.#fragments.splice(0)));
        else if (this.#is('fragments-ignored')) this.#handleMessage(Buffer.concat(this.#fragments.splice(0)));
    }
  }

  #handleMessage(bytes: Buffer): void {
    if (bytes.length > this.#limitBytes && !this.#is('no-receive-limit')) {
      this.#close(this.#is('close-code-1000-when-too-big') ? 1000 : 1009);
      return;
    }
    let start = 0;
    // Continuation bytes of a zero varint, then its last byte.
    while (bytes[start] === 0x80) start += 1;
    if (bytes[start] === 0 || this.#is('any-header-accepted')) start += 1;
    else if (bytes[0] !== 0x0a) {
      this.push(this.#model.badRequest('the header is not 0'));
      return;
    } else start = 0;
    const answer = this.#model.handle(this, bytes.subarray(start));
    if (answer !== undefined) this.push(answer);
    if (this.#is('bad-message-closes') && bytes[start] === 0xff) this.#close(1007);
  }
}
