import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { StreamEndedError } from './byte-stream.ts';
import { DeadlineError } from './deadline.ts';
import { decodeBody, RawHttpConnection } from './http-client.ts';
import { startScriptedServer, type ScriptedServer } from './raw-server.ts';

const DEADLINE_MS = 10_000;

let server: ScriptedServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

const connect = async (script: Parameters<typeof startScriptedServer>[0], deadlineMs = DEADLINE_MS) => {
  server = await startScriptedServer(script);
  return RawHttpConnection.open(server.endpoint, deadlineMs);
};

test('a request has the given headers in the given letter case and nothing else but Host and framing', async () => {
  const heads: string[] = [];
  const connection = await connect((socket, head) => {
    heads.push(head);
    socket.write('HTTP/1.1 204 No Content\r\n\r\n');
  });
  await connection.request({ headers: [['cOnTent-TYPE', 'x/y']], body: Buffer.alloc(0) });
  const { port } = server?.endpoint ?? { port: 0 };
  expect(heads[0]?.split('\r\n')).toEqual([
    'POST /v1/opamp HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    'cOnTent-TYPE: x/y',
    'Content-Length: 0',
    '',
    '',
  ]);
  connection.abort();
});

test.each([
  ['Content-Length', 'Content-Length: 5\r\n\r\nhello'],
  ['chunks and a trailer', 'Transfer-Encoding: chunked\r\n\r\n2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\n\r\n'],
])('a body by %s is read', async (_what, rest) => {
  const connection = await connect((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${rest}`);
  });
  const response = await connection.request({});
  expect(response.body.toString()).toBe('hello');
  connection.abort();
});

test('a body up to the end of the connection is read', async () => {
  const connection = await connect((socket) => {
    socket.end('HTTP/1.1 200 OK\r\n\r\nhello');
  });
  expect((await connection.request({})).body.toString()).toBe('hello');
  expect(connection.isClosed).toBe(true);
});

test('repeated headers are joined, 1xx responses are skipped', async () => {
  const connection = await connect((socket) => {
    socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 \r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n');
  });
  const response = await connection.request({});
  expect(response.status).toBe(429);
  expect(response.headers.get('a')).toBe('1, 2');
  connection.abort();
});

test('a body is chunked when chunks are given', async () => {
  const received: Buffer[] = [];
  const connection = await connect((socket, head) => {
    received.push(Buffer.from(head.slice(head.indexOf('\r\n\r\n') + 4), 'latin1'));
    const answer = (): void => {
      if (Buffer.concat(received).toString().endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    };
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      answer();
    });
    answer();
  });
  await connection.request({ chunks: [Buffer.from('ab'), Buffer.from('c')] });
  expect(Buffer.concat(received).toString()).toBe('2\r\nab\r\n1\r\nc\r\n0\r\n\r\n');
  connection.abort();
});

test('an early answer is read although the body was not taken', async () => {
  const connection = await connect((socket) => {
    socket.pause();
    socket.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n');
  });
  const response = await connection.request({ body: Buffer.alloc(32 * 1024 * 1024) });
  expect(response.status).toBe(413);
  connection.abort();
});

test('a connection that ends before the answer, or stays silent, is told apart', async () => {
  const ended = await connect((socket) => socket.end());
  await expect(ended.request({})).rejects.toThrow(StreamEndedError);
  await server?.stop();
  const silent = await connect(() => undefined, 30);
  await expect(silent.request({})).rejects.toThrow(DeadlineError);
  silent.abort();
});

test('Content-Encoding of a response is undone', () => {
  const response = (encoding: string, body: Buffer) => ({
    status: 200,
    statusText: 'OK',
    headers: new Map([['content-encoding', encoding]]),
    body,
  });
  expect(Buffer.from(decodeBody(response('gzip', gzipSync('x')))).toString()).toBe('x');
  expect(Buffer.from(decodeBody(response('identity', Buffer.from('y')))).toString()).toBe('y');
  expect(() => decodeBody(response('br', Buffer.from('z')))).toThrow('br');
});
