import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { gunzipSync } from 'node:zlib';

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import type { AgentToServer, ServerToAgent } from '@opamp-gateway/proto/opamp';

import { listenOnFreePort } from './child.ts';
import { describeAgentToServer } from './tap.ts';
import { waitFor } from './wait-for.ts';
import { WebSocketPeer } from './websocket-peer.ts';

/** One message of an agent as it arrived. */
export interface Arrival {
  /** Milliseconds on the monotonic clock. */
  readonly atMs: number;
  readonly uid: string;
  /** Number of the connection, counted from 1; 0 for plain HTTP. */
  readonly connection: number;
  readonly message: AgentToServer;
}

/** How the server treats new connections and polls. */
export type Admission =
  | { readonly kind: 'accept' }
  | { readonly kind: 'refuse'; readonly status: number; readonly retryAfterS?: number }
  | { readonly kind: 'accept_then_close'; readonly code: number };

/** AcceptsStatus, OffersRemoteConfig and AcceptsEffectiveConfig. */
const SERVER_CAPABILITIES = 0x7n;

/** ServerToAgent without instance_uid, which is filled in. */
export type ScriptedReply = Omit<Parameters<typeof create<typeof ServerToAgentSchema>>[1] & object, 'instanceUid' | '$typeName'>;

/**
 * An OpAMP server that does what a test tells it to: it answers every message with a bare acknowledgement unless
 * `onMessage` says otherwise, sends nothing by itself, and keeps everything that it got.
 */
export class ScriptedServer {
  readonly #server: Server;
  readonly #arrivals: Arrival[] = [];
  readonly #peers = new Map<string, WebSocketPeer>();
  readonly #open = new Set<WebSocketPeer>();
  readonly #queued = new Map<string, ScriptedReply[]>();
  readonly #admissionsMs: number[] = [];
  #connections = 0;
  #port = 0;

  /** What to do with the next connection or poll. */
  admission: Admission = { kind: 'accept' };

  /** Chooses the reply to one message; undefined = acknowledge only. */
  onMessage: (arrival: Arrival) => ScriptedReply | undefined = () => undefined;

  private constructor() {
    this.#server = createServer((request, response) => this.#poll(request, response));
    this.#server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
  }

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    server.#port = await listenOnFreePort(server.#server);
    return server;
  }

  get wsUrl(): string {
    return `ws://127.0.0.1:${this.#port}/v1/opamp`;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.#port}/v1/opamp`;
  }

  get arrivals(): readonly Arrival[] {
    return this.#arrivals;
  }

  /** Times of connection attempts and polls in milliseconds on the monotonic clock, also of refused ones. */
  get admissionsMs(): readonly number[] {
    return this.#admissionsMs;
  }

  /** Connections that were accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Sends to an agent on its WebSocket; for an agent that polls, with its next poll. */
  push(uid: string, reply: ScriptedReply): void {
    const peer = this.#peers.get(uid);
    if (peer === undefined) {
      this.#queued.set(uid, [...(this.#queued.get(uid) ?? []), reply]);
      return;
    }
    peer.send(frame(encode(uid, reply)));
  }

  /** Waits for a message that matches, looking only at those behind the first `after`. */
  async arrival(what: string, deadlineMs: number, matches: (arrival: Arrival) => boolean, after = 0): Promise<Arrival> {
    return waitFor(
      what,
      deadlineMs,
      () => this.#arrivals.slice(after).find(matches),
      () =>
        this.#arrivals
          .slice(after)
          .map((arrival) => describeArrival(arrival))
          .join('\n'),
    );
  }

  /** Drops every WebSocket without a Close frame. */
  dropAll(): void {
    for (const peer of this.#open) {
      peer.destroy();
    }
  }

  /** Stops listening and drops every connection. */
  async stop(): Promise<void> {
    this.dropAll();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex): void {
    this.#admissionsMs.push(performance.now());
    const { admission } = this;
    if (admission.kind === 'refuse') {
      const retryAfter = admission.retryAfterS === undefined ? '' : `Retry-After: ${admission.retryAfterS}\r\n`;
      socket.end(`HTTP/1.1 ${admission.status} Refused\r\n${retryAfter}Content-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.#connections++;
    const connection = this.#connections;
    const uids = new Set<string>();
    const peer = WebSocketPeer.accept(request, socket, {
      onMessage: (payload) => {
        // The header of this transport is the varint 0; a client may leave it out.
        const arrival = this.#record(payload[0] === 0 ? payload.subarray(1) : payload, connection);
        uids.add(arrival.uid);
        this.#peers.set(arrival.uid, peer);
        peer.send(frame(encode(arrival.uid, this.onMessage(arrival) ?? {})));
        for (const reply of this.#takeQueued(arrival.uid)) {
          peer.send(frame(encode(arrival.uid, reply)));
        }
      },
      onClosed: () => {
        this.#open.delete(peer);
        for (const uid of uids) {
          if (this.#peers.get(uid) === peer) {
            this.#peers.delete(uid);
          }
        }
      },
    });
    this.#open.add(peer);
    if (admission.kind === 'accept_then_close') {
      peer.close(admission.code);
    }
  }

  #poll(request: IncomingMessage, response: ServerResponse): void {
    this.#admissionsMs.push(performance.now());
    if (this.admission.kind === 'refuse') {
      const { status, retryAfterS } = this.admission;
      response.writeHead(status, retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) });
      response.end();
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const arrival = this.#record(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body, 0);
      // One answer per poll, so queued replies are laid over each other.
      const reply = Object.assign({}, this.onMessage(arrival) ?? {}, ...this.#takeQueued(arrival.uid)) as ScriptedReply;
      response.writeHead(200, { 'Content-Type': 'application/x-protobuf' });
      response.end(encode(arrival.uid, reply));
    });
  }

  #record(bytes: Uint8Array, connection: number): Arrival {
    const message = fromBinary(AgentToServerSchema, bytes);
    const arrival = { atMs: performance.now(), uid: Buffer.from(message.instanceUid).toString('hex'), connection, message };
    this.#arrivals.push(arrival);
    return arrival;
  }

  #takeQueued(uid: string): ScriptedReply[] {
    const replies = this.#queued.get(uid) ?? [];
    this.#queued.delete(uid);
    return replies;
  }
}

function encode(uid: string, reply: ScriptedReply): Uint8Array {
  const message: ServerToAgent = create(ServerToAgentSchema, {
    capabilities: SERVER_CAPABILITIES,
    ...reply,
    instanceUid: Buffer.from(uid, 'hex'),
  });
  if (message.command !== undefined) {
    // [OpAMP ServerToAgent.command] everything beside a command is ignored.
    return toBinary(ServerToAgentSchema, create(ServerToAgentSchema, { instanceUid: message.instanceUid, command: message.command }));
  }
  return toBinary(ServerToAgentSchema, message);
}

function frame(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0]), bytes]);
}

/** One line that says what a message carried. */
export function describeArrival({ atMs, connection, message }: Arrival): string {
  return `${Math.round(atMs)}ms #${connection} ${describeAgentToServer(message)}`;
}
