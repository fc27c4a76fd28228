import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { gunzipSync } from 'node:zlib';

import { fromBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import type { AgentToServer, ServerToAgent } from '@opamp-gateway/proto/opamp';

import { listenOnFreePort } from './child.ts';
import { FrameReader, OPCODE } from './frame-reader.ts';
import { waitFor } from './wait-for.ts';

/** One message that passed the tap. */
export type TapRecord = {
  readonly atMs: number;
  /** Counted from 1; 0 for plain HTTP. */
  readonly connection: number;
  readonly target: string;
  /** Content-Encoding over plain HTTP. */
  readonly encoding?: string | undefined;
} & ({ readonly from: 'agent'; readonly message: AgentToServer } | { readonly from: 'server'; readonly message: ServerToAgent });

/** One HTTP response that passed the tap, also the 101 of an upgrade. */
export interface TapResponse {
  readonly atMs: number;
  readonly status: number;
  readonly retryAfter: string | undefined;
}

/**
 * A relay between an agent and its current gateway that reads along. It stands for the load balancer: the agent keeps
 * one address for its whole life, and `retarget` makes its next connection land on another gateway.
 */
export class Tap {
  readonly #server: Server;
  readonly #records: TapRecord[] = [];
  readonly #responses: TapResponse[] = [];
  readonly #sockets = new Set<Duplex>();
  #target: URL;
  #port = 0;
  #connections = 0;
  /** Exchanges whose answer has not passed. */
  #polls = 0;
  #refuses = false;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((request, response) => this.#poll(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    // Polling agents keep their connection open; it has to end when the target changes.
    this.#server.on('connection', (socket) => this.#track(socket));
  }

  /** @param target WebSocket or HTTP URL of a gateway; only its host and port count. */
  static async start(target: string): Promise<Tap> {
    const tap = new Tap(target);
    tap.#port = await listenOnFreePort(tap.#server);
    return tap;
  }

  /** The gateway's URL with this relay in place of its host. */
  url(scheme: 'ws' | 'http'): string {
    return `${scheme}://127.0.0.1:${this.#port}${this.#target.pathname}`;
  }

  get records(): readonly TapRecord[] {
    return this.#records;
  }

  get responses(): readonly TapResponse[] {
    return this.#responses;
  }

  /** WebSocket connections so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Messages of the agent, of those behind the first `after` records. */
  fromAgent(after = 0): AgentToServer[] {
    return this.#records.slice(after).flatMap((record) => (record.from === 'agent' ? [record.message] : []));
  }

  /** Messages to the agent, of those behind the first `after` records. */
  fromServer(after = 0): ServerToAgent[] {
    return this.#records.slice(after).flatMap((record) => (record.from === 'server' ? [record.message] : []));
  }

  /** Waits for a message of the agent that matches, among those behind the first `after` records. */
  async agentSays(what: string, deadlineMs: number, matches: (message: AgentToServer) => boolean, after = 0): Promise<AgentToServer> {
    return waitFor(
      `the agent to say ${what}`,
      deadlineMs,
      () => this.fromAgent(after).find(matches),
      () => this.describe(after),
    );
  }

  /** Waits for a message to the agent that matches, among those behind the first `after` records. */
  async serverSays(what: string, deadlineMs: number, matches: (message: ServerToAgent) => boolean, after = 0): Promise<ServerToAgent> {
    return waitFor(
      `the server to say ${what}`,
      deadlineMs,
      () => this.fromServer(after).find(matches),
      () => this.describe(after),
    );
  }

  /** Cuts every connection and sends later ones to `target`. */
  retarget(target: string): void {
    this.direct(target);
    this.cut();
  }

  /** Sends later connections and polls to `target`, and lets them in again after {@link part}. */
  direct(target: string): void {
    this.#target = new URL(target);
    this.#refuses = false;
  }

  /**
   * Waits until everything that the agent has said was answered; then cuts its WebSocket, and refuses new ones until
   * {@link direct} says where to. An agent that polls is not cut off: its next poll is another one anyway.
   */
  async part(deadlineMs: number): Promise<{ readonly isPolling: boolean }> {
    return await waitFor(
      'a moment without an answer on its way',
      deadlineMs,
      () => {
        const last = this.#records.at(-1);
        if (last?.from !== 'server' || this.#polls > 0 || this.fromAgent().length > this.fromServer().length) return undefined;
        const isPolling = last.connection === 0;
        if (!isPolling) {
          this.#refuses = true;
          this.cut();
        }
        return { isPolling };
      },
      () => this.describe(),
    );
  }

  /** Cuts every connection without a Close frame. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  /** The last records, one line each, for error messages. */
  describe(after = 0): string {
    return this.#records
      .slice(after)
      .slice(-40)
      .map((record) =>
        record.from === 'agent' ? `-> ${describeAgentToServer(record.message)}` : `<- ${describeServerToAgent(record.message)}`,
      )
      .join('\n');
  }

  #track(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #poll(request: IncomingMessage, response: ServerResponse): void {
    const target = this.#target;
    const chunks: Buffer[] = [];
    this.#polls += 1;
    response.once('close', () => {
      this.#polls -= 1;
    });
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      this.#recordBody('agent', target, body, request.headers['content-encoding']);
      const forward = httpRequest(
        { host: target.hostname, port: target.port, path: request.url, method: request.method, headers: headersOf(request), agent: false },
        (answer) => this.#answer(answer, response, target),
      );
      // The gateway is away: the agent sees a connection that ends, as it would without the tap.
      forward.on('error', () => response.destroy());
      forward.end(body);
    });
  }

  #answer(answer: IncomingMessage, response: ServerResponse, target: URL): void {
    const chunks: Buffer[] = [];
    answer.on('error', () => response.destroy());
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      const body = Buffer.concat(chunks);
      const status = answer.statusCode ?? 0;
      this.#responses.push({ atMs: performance.now(), status, retryAfter: answer.headers['retry-after'] });
      if (status === 200) {
        this.#recordBody('server', target, body, answer.headers['content-encoding']);
      }
      response.writeHead(status, headersOf(answer));
      response.end(body);
    });
  }

  #upgrade(request: IncomingMessage, client: Duplex, head: Buffer): void {
    if (this.#refuses) {
      client.destroy();
      return;
    }
    const target = this.#target;
    const gateway = connect(Number(target.port), target.hostname);
    this.#track(gateway);
    // `#track` of the accepted connection covers the client's side.
    client.on('close', () => gateway.destroy());
    gateway.on('close', () => client.destroy());

    const lines = [`${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    }
    gateway.write(`${lines.join('\r\n')}\r\n\r\n`);
    gateway.write(head);

    this.#connections++;
    const connection = this.#connections;
    const fromAgent = new FrameReader(({ opcode, payload }) => {
      if (opcode === OPCODE.binary) {
        this.#record('agent', connection, target, withoutHeader(payload));
      }
    });
    const fromServer = new FrameReader(({ opcode, payload }) => {
      if (opcode === OPCODE.binary) {
        this.#record('server', connection, target, withoutHeader(payload));
      }
    });
    let responseHead: Buffer | undefined = Buffer.alloc(0);
    client.on('data', (chunk: Buffer) => {
      fromAgent.push(chunk);
      gateway.write(chunk);
    });
    gateway.on('data', (chunk: Buffer) => {
      client.write(chunk);
      if (responseHead === undefined) {
        fromServer.push(chunk);
        return;
      }
      responseHead = Buffer.concat([responseHead, chunk]);
      const end = responseHead.indexOf('\r\n\r\n');
      if (end < 0) {
        return;
      }
      this.#responses.push(parseHead(responseHead.subarray(0, end).toString('latin1')));
      const rest = responseHead.subarray(end + 4);
      responseHead = undefined;
      fromServer.push(rest);
    });
    gateway.on('end', () => client.end());
    client.on('end', () => gateway.end());
  }

  #recordBody(from: 'agent' | 'server', target: URL, body: Buffer, encoding: string | undefined): void {
    this.#record(from, 0, target, encoding === 'gzip' ? gunzipSync(body) : body, encoding);
  }

  #record(from: 'agent' | 'server', connection: number, target: URL, bytes: Uint8Array, encoding?: string): void {
    const common = { atMs: performance.now(), connection, target: target.host, encoding };
    this.#records.push(
      from === 'agent'
        ? { ...common, from, message: fromBinary(AgentToServerSchema, bytes) }
        : { ...common, from, message: fromBinary(ServerToAgentSchema, bytes) },
    );
  }
}

/** Headers as they were sent, repeated ones kept. */
function headersOf(message: IncomingMessage): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    const name = message.rawHeaders[i] ?? '';
    const value = message.rawHeaders[i + 1] ?? '';
    const earlier = headers[name];
    headers[name] = earlier === undefined ? value : [earlier, value].flat();
  }
  return headers;
}

function parseHead(head: string): TapResponse {
  const [statusLine = '', ...fields] = head.split('\r\n');
  const retryAfter = fields.find((field) => field.toLowerCase().startsWith('retry-after:'));
  return { atMs: performance.now(), status: Number(statusLine.split(' ')[1]), retryAfter: retryAfter?.slice('retry-after:'.length).trim() };
}

/** The payload behind the header of this transport, the varint 0, which a client may leave out. */
function withoutHeader(payload: Buffer): Buffer {
  return payload[0] === 0 ? payload.subarray(1) : payload;
}

/** One line that says what an agent's message carried. */
export function describeAgentToServer(message: AgentToServer): string {
  const parts = [`seq=${message.sequenceNum} caps=0x${message.capabilities.toString(16)}`];
  if (message.agentDescription !== undefined) {
    parts.push('description');
  }
  if (message.health !== undefined) {
    parts.push(`health=${message.health.healthy}/${message.health.status}/${message.health.lastError}`);
  }
  if (message.remoteConfigStatus !== undefined) {
    const { status, lastRemoteConfigHash, errorMessage } = message.remoteConfigStatus;
    parts.push(`status=${status}(${shortHash(lastRemoteConfigHash)}) ${errorMessage}`);
  }
  if (message.effectiveConfig !== undefined) {
    const files = Object.entries(message.effectiveConfig.configMap?.configMap ?? {});
    parts.push(`effective=${files.map(([name, file]) => `"${name}":${file.body.length}B`).join(',')}`);
  }
  if (message.availableComponents !== undefined) {
    parts.push(`components=${Object.keys(message.availableComponents.components).length} kinds`);
  }
  if (message.customCapabilities !== undefined) {
    parts.push(`customCapabilities=${message.customCapabilities.capabilities.join(',')}`);
  }
  if (message.customMessage !== undefined) {
    parts.push(`customMessage=${message.customMessage.capability}/${message.customMessage.type}`);
  }
  if (message.agentDisconnect !== undefined) {
    parts.push('disconnect');
  }
  return parts.join(' ');
}

function describeServerToAgent(message: ServerToAgent): string {
  const parts = [`caps=0x${message.capabilities.toString(16)} flags=${message.flags}`];
  if (message.remoteConfig !== undefined) {
    parts.push(`offer(${shortHash(message.remoteConfig.configHash)})`);
  }
  if (message.errorResponse !== undefined) {
    parts.push(`error=${message.errorResponse.type} ${message.errorResponse.errorMessage}`);
  }
  if (message.command !== undefined) {
    parts.push('restart');
  }
  if (message.agentIdentification !== undefined) {
    parts.push('newInstanceUid');
  }
  if (message.connectionSettings !== undefined) {
    parts.push('connectionSettings');
  }
  return parts.join(' ');
}

function shortHash(hash: Uint8Array): string {
  return Buffer.from(hash).toString('hex').slice(0, 8);
}
