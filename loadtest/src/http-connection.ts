/** An agent over plain HTTP: one request at a time, a poll after each silence, retries with the same bytes. */
import type { Socket } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { AgentConnection, ConnectionOwner } from './agent-connection.ts';
import type { ConnectGate } from './connect-gate.ts';
import { type HttpResponse, HttpResponseParser } from './http-response-parser.ts';
import { parseRetryAfterMs, ReconnectPolicy, type ReconnectPolicyOptions } from './reconnect-policy.ts';
import { type OpenSocket, type ServerTarget, targetName, type TargetPicker } from './server-target.ts';

const RESPONSE_TIMEOUT_MS = 30_000;
const GOODBYE_TIMEOUT_MS = 5_000;

/** What all HTTP connections of a swarm share. */
export interface HttpSettings {
  readonly targets: TargetPicker;
  readonly openSocket: OpenSocket;
  readonly gate: ConnectGate;
  readonly reconnect: ReconnectPolicyOptions;
  /** Time between polls in milliseconds. */
  readonly pollMs: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Compresses request bodies. */
  readonly gzip: boolean;
}

/** `quiet`: between polls. `retrying`: a request waits for its next try. `asking`: a request is on its way. */
type State = 'idle' | 'quiet' | 'retrying' | 'asking' | 'ended';

/** A polling connection. */
export class HttpConnection implements AgentConnection {
  readonly #owner: ConnectionOwner;
  readonly #settings: HttpSettings;
  readonly #policy: ReconnectPolicy;
  #state: State = 'idle';
  #target: ServerTarget;
  #pollMs: number;
  #socket: Socket | undefined;
  #parser: HttpResponseParser | undefined;
  /** The message that has no answer yet. */
  #unanswered: Buffer | undefined;
  #connected = false;
  #inGate = false;
  #timer: NodeJS.Timeout | undefined;
  #onGoodbye: (() => void) | undefined;

  constructor(owner: ConnectionOwner, settings: HttpSettings) {
    this.#owner = owner;
    this.#settings = settings;
    this.#policy = new ReconnectPolicy(settings.reconnect);
    this.#pollMs = settings.pollMs;
    this.#target = settings.targets.first(owner.index);
  }

  start(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'quiet';
    this.#poll();
  }

  notify(): void {
    if (this.#state === 'quiet') this.#sendNext(false);
  }

  setHeartbeatMs(heartbeatMs: number): void {
    // Polling cannot be switched off.
    if (heartbeatMs > 0) this.#pollMs = heartbeatMs;
    if (this.#state === 'quiet') this.#wait(this.#pollMs);
  }

  pauseReading(): void {
    this.destroy();
  }

  drop(): void {
    this.#socket?.destroy();
  }

  destroy(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    clearTimeout(this.#timer);
    this.#leaveGate();
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#setConnected(false);
    this.#onGoodbye?.();
  }

  async stop(goodbye: boolean): Promise<void> {
    if (goodbye && this.#state === 'quiet' && this.#connected) {
      const answered = new Promise<void>((resolve) => {
        this.#onGoodbye = resolve;
        setTimeout(resolve, GOODBYE_TIMEOUT_MS).unref();
      });
      this.#unanswered = this.#owner.goodbyeMessage(0);
      this.#request();
      await answered;
    }
    this.destroy();
  }

  #poll(): void {
    this.#sendNext(true);
  }

  #sendNext(force: boolean): void {
    this.#unanswered = this.#owner.nextMessage(force, 0);
    if (this.#unanswered === undefined) this.#wait(this.#pollMs);
    else this.#request();
  }

  #wait(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), delayMs);
  }

  #request(): void {
    clearTimeout(this.#timer);
    this.#state = 'asking';
    if (this.#socket !== undefined) {
      this.#write(this.#socket);
      return;
    }
    this.#settings.gate.enter(() => {
      this.#inGate = true;
      if (this.#state === 'asking' && this.#socket === undefined) this.#connect();
      else this.#leaveGate();
    });
  }

  #connect(): void {
    const socket = this.#settings.openSocket(this.#target, (data) => this.#handleData(socket, data));
    this.#socket = socket;
    this.#parser = new HttpResponseParser();
    socket.on('error', () => undefined);
    socket.on('connect', () => this.#leaveGate());
    socket.on('close', () => this.#handleClose(socket));
    this.#write(socket);
  }

  #write(socket: Socket): void {
    const message = this.#unanswered;
    if (message === undefined) return;
    const { headers, gzip } = this.#settings;
    const { host, port, path } = this.#target;
    const body = gzip ? gzipSync(message) : message;
    const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head =
      `POST ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: Go-http-client/1.1\r\n` +
      `Content-Type: application/x-protobuf\r\nOpAMP-Instance-UID: ${this.#owner.uidText()}\r\n` +
      `${gzip ? 'Content-Encoding: gzip\r\n' : ''}Accept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n${extra.join('')}\r\n`;
    socket.write(Buffer.concat([Buffer.from(`${head}${body.length.toString(16)}\r\n`, 'latin1'), body, Buffer.from('\r\n0\r\n\r\n')]));
    this.#timer = setTimeout(() => socket.destroy(), RESPONSE_TIMEOUT_MS);
  }

  #handleData(socket: Socket, data: Buffer): void {
    if (socket !== this.#socket) return;
    try {
      const response = this.#parser?.push(data);
      if (response !== undefined) this.#handleResponse(socket, response);
    } catch {
      socket.destroy();
    }
  }

  #handleClose(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#leaveGate();
    this.#socket = undefined;
    // Between polls a server may close an idle connection; that costs nothing.
    if (this.#state === 'asking') this.#retry(0);
  }

  #handleResponse(socket: Socket, response: HttpResponse): void {
    if (this.#state !== 'asking') return;
    clearTimeout(this.#timer);
    if (response.closes) {
      this.#socket = undefined;
      socket.destroySoon();
    }
    if (response.status === 503 || response.status === 429) {
      this.#retry(parseRetryAfterMs(response.headers.get('retry-after'), Date.now()));
      return;
    }
    this.#unanswered = undefined;
    this.#state = 'quiet';
    this.#policy.reset();
    if (response.status === 200) {
      this.#setConnected(true);
      const { body, headers } = response;
      // Answering may call notify, which starts the next request; the wait below must not replace that one.
      this.#wait(this.#pollMs);
      this.#owner.handleMessage(headers.get('content-encoding') === 'gzip' ? gunzipSync(body) : body);
      if (this.#onGoodbye !== undefined) this.destroy();
      else if (this.#stillQuiet()) this.#sendNext(false);
      return;
    }
    // Any other answer loses the message: the next poll has a later number, and the server sees the gap.
    this.#wait(this.#pollMs);
  }

  #stillQuiet(): boolean {
    return this.#state === 'quiet';
  }

  #retry(retryAfterMs: number): void {
    this.#state = 'retrying';
    this.#setConnected(false);
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#target = this.#settings.targets.other(this.#owner.index, this.#target);
    this.#timer = setTimeout(() => this.#request(), this.#policy.nextDelayMs(retryAfterMs));
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (connected) this.#owner.handleConnected(targetName(this.#target));
    else this.#owner.handleDisconnected(false);
  }

  #leaveGate(): void {
    if (!this.#inGate) return;
    this.#inGate = false;
    this.#settings.gate.leave();
  }
}
