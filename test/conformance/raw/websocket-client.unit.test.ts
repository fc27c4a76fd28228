import type { Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { DeadlineError } from './deadline.ts';
import { encodeFrame, FrameParser, OPCODE, type Frame } from './frame.ts';
import { acceptUpgrade, startScriptedServer, type ScriptedServer } from './raw-server.ts';
import { deflateMessage, inflateMessage, RawWebSocket, UpgradeRefusedError } from './websocket-client.ts';

const DEADLINE_MS = 10_000;
const DEFLATE = 'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n';

let server: ScriptedServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

/** Starts a server that upgrades and then does `script`, and connects to it. */
const connect = async (script: (socket: Socket) => void, options: Parameters<typeof RawWebSocket.open>[2] = {}, extraHeaders = '') => {
  server = await startScriptedServer((socket, head) => {
    socket.write(acceptUpgrade(head, extraHeaders));
    script(socket);
  });
  return RawWebSocket.open(server.endpoint, DEADLINE_MS, options);
};

/** Calls back with each frame that the client sends. */
const onFrame = (socket: Socket, callback: (frame: Frame) => void): void => {
  const parser = new FrameParser();
  socket.on('data', (chunk: Buffer) => {
    for (const frame of parser.push(chunk)) callback(frame);
  });
};

test('messages go both ways, masked by the client only', async () => {
  const client = await connect((socket) => {
    onFrame(socket, ({ masked, opcode, payload }) => {
      socket.write(encodeFrame({ opcode, payload: Buffer.concat([Buffer.from(masked ? 'masked ' : 'bare '), payload]) }));
    });
  });
  client.sendBinary(Buffer.from('hello'));
  const event = await client.next('the echo');
  expect(event).toMatchObject({ type: 'message', opcode: OPCODE.binary, compressed: false });
  expect(event.type === 'message' && event.payload.toString()).toBe('masked hello');
  client.abort();
});

test('bytes that follow the 101 in the same packet are not lost', async () => {
  server = await startScriptedServer((socket, head) => {
    const frame = encodeFrame({ opcode: OPCODE.binary, payload: Buffer.from('early') });
    socket.write(Buffer.concat([Buffer.from(acceptUpgrade(head), 'latin1'), frame]));
  });
  const client = await RawWebSocket.open(server.endpoint, DEADLINE_MS);
  await expect(client.next('the early message')).resolves.toMatchObject({ type: 'message' });
  client.abort();
});

test('a fragmented message is put together and pings are answered in between', async () => {
  const pongs: string[] = [];
  const client = await connect((socket) => {
    onFrame(socket, ({ opcode, payload }) => {
      if (opcode !== OPCODE.pong) return;
      pongs.push(payload.toString());
      socket.write(encodeFrame({ opcode: OPCODE.continuation, payload: Buffer.from('b') }));
    });
    socket.write(encodeFrame({ opcode: OPCODE.binary, payload: Buffer.from('a'), fin: false }));
    socket.write(encodeFrame({ opcode: OPCODE.ping, payload: Buffer.from('p') }));
  });
  const event = await client.next('the message');
  expect(event.type === 'message' && event.payload.toString()).toBe('ab');
  expect(pongs).toEqual(['p']);
  client.abort();
});

test('compressed messages are inflated when deflate was agreed on', async () => {
  const text = 'x'.repeat(5_000);
  const client = await connect(
    (socket) => {
      onFrame(socket, ({ rsv1, payload }) => {
        const isRight = rsv1 && inflateMessage(payload).toString() === text;
        socket.write(encodeFrame({ opcode: OPCODE.binary, payload: deflateMessage(Buffer.from(String(isRight))), rsv1: true }));
      });
    },
    { offerDeflate: true },
    DEFLATE,
  );
  client.sendDeflated(Buffer.from(text));
  const event = await client.next('the answer');
  expect(event).toMatchObject({ type: 'message', compressed: true });
  expect(event.type === 'message' && event.payload.toString()).toBe('true');
  client.abort();
});

test('a Close frame is reported with its code and answered', async () => {
  const answers: Buffer[] = [];
  const client = await connect((socket) => {
    onFrame(socket, ({ opcode, payload }) => {
      if (opcode !== OPCODE.close) return;
      answers.push(payload);
      socket.end();
    });
    socket.write(encodeFrame({ opcode: OPCODE.close, payload: Buffer.from([0x03, 0xf4, 0x62, 0x79, 0x65]) }));
  });
  await expect(client.next('the close')).resolves.toEqual({ type: 'close', code: 1012, reason: 'bye' });
  await expect(client.next('the end')).resolves.toMatchObject({ type: 'ended', clean: true });
  expect(answers.map((payload) => payload.toString('hex'))).toEqual(['03f4']);
});

test('a connection that ends without a Close frame is not clean', async () => {
  const client = await connect((socket) => socket.end());
  await expect(client.next('the end')).resolves.toMatchObject({ type: 'ended', clean: false });
});

test.each([
  ['a masked frame', encodeFrame({ opcode: OPCODE.binary, payload: Buffer.from('x'), maskKey: Buffer.alloc(4, 1) })],
  ['a continuation without a start', encodeFrame({ opcode: OPCODE.continuation, payload: Buffer.from('x') })],
  ['a compressed message nobody agreed on', encodeFrame({ opcode: OPCODE.binary, payload: deflateMessage(Buffer.from('x')), rsv1: true })],
])('%s from the server ends the connection', async (_what, bytes) => {
  const client = await connect((socket) => {
    socket.write(bytes);
  });
  await expect(client.next('the end')).resolves.toMatchObject({ type: 'ended', clean: false });
});

test('another status than 101 is a refusal with its headers', async () => {
  server = await startScriptedServer((socket) => {
    socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 42\r\nContent-Length: 0\r\n\r\n');
  });
  const error = await RawWebSocket.open(server.endpoint, DEADLINE_MS).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(UpgradeRefusedError);
  expect(error instanceof UpgradeRefusedError && error.response.headers.get('retry-after')).toBe('42');
});

test.each([
  ['a wrong accept value', () => 'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n', 'Accept'],
  ['a subprotocol', (head: string) => acceptUpgrade(head, 'Sec-WebSocket-Protocol: x\r\n'), 'subprotocol'],
  ['an extension that was not offered', (head: string) => acceptUpgrade(head, DEFLATE), 'not offered'],
  ['something that is not HTTP', () => 'SSH-2.0-x\r\n\r\n', 'status line'],
])('%s fails the upgrade', async (_what, respond, reason) => {
  server = await startScriptedServer((socket, head) => {
    socket.write(respond(head));
  });
  await expect(RawWebSocket.open(server.endpoint, DEADLINE_MS)).rejects.toThrow(reason);
});

test('silence ends at the deadline', async () => {
  const client = await connect(() => undefined);
  await expect(client.next('anything', undefined, 30)).rejects.toThrow(DeadlineError);
  client.abort();
});
