/** An agent's WebSocket connection over a plain socket: handshake, frames, heartbeats, reconnects. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { AgentConnection, ConnectionOwner } from './agent-connection.ts';
import type { ConnectGate } from './connect-gate.ts';
import { type Beater, type HeartbeatWheel, wheelNowMs } from './heartbeat-wheel.ts';
import { delayAfterLossMs, parseRetryAfterMs, ReconnectPolicy, type ReconnectPolicyOptions } from './reconnect-policy.ts';
import { type OpenSocket, parseTarget, type ServerTarget, targetName, type TargetPicker } from './server-target.ts';
import { encodeClientFrame, FrameReader, OPCODE } from './ws-frames.ts';

/** `OpAMP over WebSocket` puts a varint header of 0, one byte, in front of each message. */
const HEADER_BYTES = 1;
const HANDSHAKE_TIMEOUT_MS = 45_000;
const CLOSE_TIMEOUT_MS = 5_000;
const LONGEST_HANDSHAKE_BYTES = 16 * 1024;
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const NORMAL_CLOSURE = 1_000;

/** What all WebSocket connections of a swarm share. */
export interface WsSettings {
  readonly targets: TargetPicker;
  readonly openSocket: OpenSocket;
  readonly gate: ConnectGate;
  readonly reconnect: ReconnectPolicyOptions;
  readonly heartbeatMs: number;
  readonly heartbeats: HeartbeatWheel;
  readonly headers: Readonly<Record<string, string>>;
  /** Masks with real random numbers; otherwise with 0, which costs nothing. */
  readonly realMasks: boolean;
}

function ignore(): void {
  // What it means is said by the close that follows.
}

type State = 'idle' | 'waiting' | 'queued' | 'handshake' | 'open' | 'closing' | 'ended';

/** A WebSocket connection that comes back until it is stopped. */
export class WsConnection implements AgentConnection, Beater {
  readonly #owner: ConnectionOwner;
  readonly #settings: WsSettings;
  /** From the first failure until the next success: most agents have none. */
  #policy: ReconnectPolicy | undefined;
  #state: State = 'idle';
  #target: ServerTarget;
  #socket: Socket | undefined;
  #reader: FrameReader | undefined;
  #handshake: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heartbeatMs: number;
  /** When the next heartbeat is due; every message puts it off. */
  #beatDueMs = 0;
  beatTick = 0;
  #paused = false;
  /** The connection is being cut from this side. */
  #dropped = false;
  #onEnded: (() => void) | undefined;

  constructor(owner: ConnectionOwner, settings: WsSettings) {
    this.#owner = owner;
    this.#settings = settings;
    this.#heartbeatMs = settings.heartbeatMs;
    this.#target = settings.targets.first(owner.index);
  }

  start(): void {
    if (this.#state === 'idle') this.#enqueue();
  }

  notify(): void {
    if (this.#state === 'open') this.#sendNext(false);
  }

  setHeartbeatMs(heartbeatMs: number): void {
    this.#heartbeatMs = heartbeatMs;
    // It may be due sooner than it would be looked at.
    this.beatTick = 0;
    if (this.#state === 'open') this.#armHeartbeat();
  }

  pauseReading(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  drop(): void {
    if (this.#state !== 'open' && this.#state !== 'handshake') return;
    this.#dropped = true;
    this.#socket?.destroy();
  }

  destroy(): void {
    const state = this.#state;
    if (state === 'ended') return;
    this.#state = 'ended';
    this.#clearTimers();
    if (state === 'handshake') this.#settings.gate.leave();
    if (state === 'open') this.#owner.handleDisconnected(false);
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#onEnded?.();
  }

  async stop(goodbye: boolean): Promise<void> {
    // Who reads nothing would wait for the server's close in vain.
    if (this.#state !== 'open' || this.#paused) {
      this.destroy();
      return;
    }
    if (goodbye) this.#write(OPCODE.binary, this.#owner.goodbyeMessage(HEADER_BYTES));
    this.#write(OPCODE.close, closePayload(NORMAL_CLOSURE, 'Normal closure'));
    this.#state = 'closing';
    this.#owner.handleDisconnected(false);
    this.#clearTimers();
    await new Promise<void>((resolve) => {
      this.#onEnded = resolve;
      this.#timer = setTimeout(() => this.destroy(), CLOSE_TIMEOUT_MS);
    });
  }

  #enqueue(): void {
    this.#state = 'queued';
    this.#settings.gate.enter(() => {
      if (this.#state === 'queued') this.#connect();
      else this.#settings.gate.leave();
    });
  }

  #connect(): void {
    this.#state = 'handshake';
    this.#dropped = false;
    this.#handshake = undefined;
    this.#reader = undefined;
    const socket = this.#settings.openSocket(this.#target, (data) => this.#handleData(socket, data));
    this.#socket = socket;
    socket.on('error', ignore);
    socket.on('close', () => this.#handleLost(socket));
    this.#timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
    const { host, port, path } = this.#target;
    const extra = Object.entries(this.#settings.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${this.#key()}\r\nSec-WebSocket-Version: 13\r\n${extra.join('')}\r\n`,
    );
  }

  /** Fixed by the uid: nothing to keep between question and answer. */
  #key(): string {
    return Buffer.from(this.#owner.uidText().slice(0, 16)).toString('base64');
  }

  #handleData(socket: Socket, data: Buffer): void {
    if (socket !== this.#socket) return;
    if (this.#state === 'handshake') {
      this.#readHandshake(socket, data);
      return;
    }
    this.#readFrames(socket, data);
  }

  #readHandshake(socket: Socket, data: Buffer): void {
    const head = this.#handshake === undefined ? Buffer.from(data) : Buffer.concat([this.#handshake, data]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) {
      if (head.length > LONGEST_HANDSHAKE_BYTES) socket.destroy();
      this.#handshake = head;
      return;
    }
    this.#handshake = undefined;
    const [statusLine = '', ...lines] = head.toString('latin1', 0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const status = Number(statusLine.split(' ')[1]);
    if (status !== 101) {
      this.#handleRefused(socket, status, headers);
      return;
    }
    const expected = createHash('sha1')
      .update(this.#key() + ACCEPT_GUID)
      .digest('base64');
    if (headers.get('sec-websocket-accept') !== expected) {
      socket.destroy();
      return;
    }
    this.#handleOpen();
    if (head.length > end + 4) this.#readFrames(socket, head.subarray(end + 4));
  }

  #handleRefused(socket: Socket, status: number, headers: ReadonlyMap<string, string>): void {
    const location = headers.get('location');
    if (status >= 300 && status < 400 && location !== undefined) {
      const { host, port, tls, path } = this.#target;
      const base = `${tls ? 'https' : 'http'}://${host}:${port}${path}`;
      this.#fail(socket, 0, parseTarget(new URL(location, base).href));
      return;
    }
    this.#fail(socket, status === 503 || status === 429 ? parseRetryAfterMs(headers.get('retry-after'), Date.now()) : 0);
  }

  #handleOpen(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#state = 'open';
    this.#reader = new FrameReader();
    this.#policy = undefined;
    this.#settings.gate.leave();
    this.#owner.handleConnected(targetName(this.#target));
    this.#sendNext(true);
    if (this.#paused) this.#socket?.pause();
  }

  #readFrames(socket: Socket, data: Buffer): void {
    try {
      this.#reader?.push(data, {
        onMessage: (_opcode, payload) => {
          // The header is a varint of value 0; bytes without it come from servers older than it.
          if (this.#state === 'open') this.#owner.handleMessage(payload[0] === 0 ? payload.subarray(HEADER_BYTES) : payload);
        },
        onControl: (opcode, payload) => {
          if (opcode === OPCODE.ping) this.#write(OPCODE.pong, payload);
          if (opcode === OPCODE.close) this.#handleClose(socket, payload);
        },
      });
    } catch {
      socket.destroy();
    }
  }

  #handleClose(socket: Socket, payload: Buffer): void {
    if (this.#state === 'open') this.#write(OPCODE.close, payload.subarray(0, 2));
    socket.destroySoon();
  }

  #handleLost(socket: Socket): void {
    if (socket !== this.#socket) return;
    switch (this.#state) {
      case 'open':
        this.#owner.handleDisconnected(!this.#dropped);
        this.#clearTimers();
        this.#socket = undefined;
        this.#comeBack();
        break;
      case 'handshake':
        this.#fail(socket, 0);
        break;
      case 'closing':
        this.destroy();
        break;
      default:
        break;
    }
  }

  #comeBack(): void {
    const delayMs = delayAfterLossMs(this.#settings.reconnect);
    if (delayMs === 0) {
      this.#enqueue();
      return;
    }
    this.#state = 'waiting';
    this.#timer = setTimeout(() => this.#enqueue(), delayMs);
  }

  #fail(socket: Socket, retryAfterMs: number, redirect?: ServerTarget): void {
    this.#clearTimers();
    this.#socket = undefined;
    socket.destroy();
    this.#settings.gate.leave();
    this.#target = redirect ?? this.#settings.targets.other(this.#owner.index, this.#target);
    this.#state = 'waiting';
    this.#policy ??= new ReconnectPolicy(this.#settings.reconnect);
    this.#timer = setTimeout(() => this.#enqueue(), this.#policy.nextDelayMs(retryAfterMs));
  }

  #sendNext(force: boolean): void {
    const message = this.#owner.nextMessage(force, HEADER_BYTES);
    if (message === undefined) return;
    this.#write(OPCODE.binary, message);
    this.#armHeartbeat();
  }

  #write(opcode: number, payload: Uint8Array): void {
    const mask = this.#settings.realMasks ? Math.floor(Math.random() * 0x1_0000_0000) : 0;
    this.#socket?.write(encodeClientFrame(opcode, payload, mask));
  }

  #armHeartbeat(): void {
    if (this.#heartbeatMs <= 0) return;
    this.#beatDueMs = wheelNowMs() + this.#heartbeatMs;
    if (this.beatTick === 0) this.#settings.heartbeats.schedule(this, this.#beatDueMs);
  }

  beat(nowMs: number): number {
    if (this.#state !== 'open' || this.#heartbeatMs <= 0) return 0;
    if (nowMs < this.#beatDueMs) return this.#beatDueMs;
    // This arms the next one.
    this.#sendNext(true);
    return 0;
  }

  #clearTimers(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return payload;
}
