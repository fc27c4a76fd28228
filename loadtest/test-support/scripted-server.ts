/** A small OpAMP server for the swarm's own tests: both transports, answers by script, keeps what it received. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type AgentToServer, AgentToServerSchema, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';

const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const DEADLINE_MS = 20_000;

export type ServerToAgentInit = MessageInitShape<typeof ServerToAgentSchema>;

/** The server's end of one WebSocket. */
export interface Peer {
  readonly socket: Socket;
  send(message: ServerToAgentInit): void;
  /** The same as fragments of one byte each. */
  sendInFragments(message: ServerToAgentInit): void;
  frame(opcode: number, payload: Uint8Array): void;
}

export interface Received {
  readonly message: AgentToServer;
  /** The protobuf bytes. */
  readonly bytes: Buffer;
  /** The whole WebSocket payload with its header, or the HTTP body. */
  readonly payload: Buffer;
  readonly transport: 'ws' | 'http';
  readonly peer: Peer | undefined;
  readonly headers: IncomingMessage['headers'];
}

export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ScriptedServer {
  readonly url: string;
  readonly received: Received[];
  readonly controlFrames: { readonly opcode: number; readonly payload: Buffer }[];
  readonly upgrades: number;
  /** Makes the answer to a message; undefined: a plain acknowledgement. */
  answer: (received: Received) => ServerToAgentInit | undefined;
  /** Taken and used up by the next upgrades and requests. */
  readonly refusals: Refusal[];
  /** Waits for the first message, now or later, that fits. */
  waitFor(what: string, predicate: (received: Received) => boolean): Promise<Received>;
  close(): Promise<void>;
}

/** Polls until the condition holds; fails after a deadline that is far above any expected time. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = DEADLINE_MS): Promise<void> {
  const endMs = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** An AgentRemoteConfig with one file; the hash is given as hex. */
export function remoteConfig(body: string, hashHex: string): NonNullable<ServerToAgentInit['remoteConfig']> {
  return {
    config: { configMap: { '': { body: Buffer.from(body), contentType: 'text/yaml' } } },
    configHash: Buffer.from(hashHex, 'hex'),
  };
}

function serverFrame(opcode: number, payload: Uint8Array, fin = true): Buffer {
  const head =
    payload.length <= 125
      ? Buffer.from([(fin ? 0x80 : 0) | opcode, payload.length])
      : Buffer.from([(fin ? 0x80 : 0) | opcode, 126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, payload]);
}

function encode(received: Received, answer: ServerToAgentInit | undefined): Uint8Array {
  return toBinary(ServerToAgentSchema, create(ServerToAgentSchema, { instanceUid: received.message.instanceUid, ...answer }));
}

/** Reads masked frames; answers what is left. */
function readFrames(data: Buffer, onFrame: (opcode: number, payload: Buffer) => void): Buffer {
  let rest = data;
  for (;;) {
    if (rest.length < 6) return rest;
    let length = rest.readUInt8(1) & 0x7f;
    if ((rest.readUInt8(1) & 0x80) === 0) throw new Error('a client has to mask');
    let at = 2;
    if (length === 126) {
      length = rest.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      length = Number(rest.readBigUInt64BE(2));
      at = 10;
    }
    if (rest.length < at + 4 + length) return rest;
    const mask = rest.subarray(at, at + 4);
    const payload = Buffer.from(rest.subarray(at + 4, at + 4 + length));
    for (let index = 0; index < length; index += 1) payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0);
    const opcode = rest.readUInt8(0) & 0x0f;
    rest = rest.subarray(at + 4 + length);
    onFrame(opcode, payload);
  }
}

/** Starts a server on a free port of the loopback address. */
export async function createScriptedServer(): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const http = createServer();
  const received: Received[] = [];
  const controlFrames: ScriptedServer['controlFrames'] = [];
  const refusals: Refusal[] = [];
  let upgrades = 0;

  const accept = (entry: Received): Uint8Array => {
    received.push(entry);
    return encode(entry, server.answer(entry));
  };

  const handleRequest = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const refusal = refusals.shift();
    if (refusal !== undefined) {
      response.writeHead(refusal.status, refusal.headers).end();
      return;
    }
    const raw = Buffer.concat(chunks);
    const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    const entry: Received = {
      message: fromBinary(AgentToServerSchema, bytes),
      bytes,
      payload: raw,
      transport: 'http',
      peer: undefined,
      headers: request.headers,
    };
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(accept(entry));
  };

  http.on('request', (request, response) => void handleRequest(request, response));
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  http.on('upgrade', (request, socket: Socket) => {
    upgrades += 1;
    const refusal = refusals.shift();
    if (refusal !== undefined) {
      const lines = Object.entries(refusal.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.end(`HTTP/1.1 ${refusal.status} Refused\r\nContent-Length: 0\r\n${lines.join('')}\r\n`);
      return;
    }
    const key = request.headers['sec-websocket-key'] ?? '';
    const accepted = createHash('sha1')
      .update(key + ACCEPT_GUID)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n`,
    );
    let uid: Uint8Array = new Uint8Array(0);
    const withHeader = (message: ServerToAgentInit): Buffer =>
      Buffer.concat([Buffer.from([0]), toBinary(ServerToAgentSchema, create(ServerToAgentSchema, { instanceUid: uid, ...message }))]);
    const peer: Peer = {
      socket,
      send: (message) => void socket.write(serverFrame(2, withHeader(message))),
      sendInFragments: (message) => {
        const payload = withHeader(message);
        payload.forEach((_byte, index) => {
          socket.write(serverFrame(index === 0 ? 2 : 0, payload.subarray(index, index + 1), index === payload.length - 1));
        });
      },
      frame: (opcode, payload) => void socket.write(serverFrame(opcode, payload)),
    };
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = readFrames(Buffer.concat([rest, chunk]), (opcode, payload) => {
        if (opcode >= 8) {
          controlFrames.push({ opcode, payload });
          if (opcode === 8) socket.end(serverFrame(8, payload));
          return;
        }
        const bytes = payload.subarray(1);
        const message = fromBinary(AgentToServerSchema, bytes);
        uid = message.instanceUid;
        const entry: Received = { message, bytes, payload, transport: 'ws', peer, headers: request.headers };
        socket.write(serverFrame(2, Buffer.concat([Buffer.from([0]), accept(entry)])));
      });
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;

  const server: ScriptedServer = {
    url: `ws://127.0.0.1:${port}/v1/opamp`,
    received,
    controlFrames,
    get upgrades() {
      return upgrades;
    },
    answer: () => undefined,
    refusals,
    async waitFor(what, predicate) {
      await until(what, () => received.some(predicate));
      const found = received.find(predicate);
      if (found === undefined) throw new Error(`lost ${what}`);
      return found;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}
