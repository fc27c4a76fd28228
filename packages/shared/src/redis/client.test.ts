import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CancelledError, UnavailableError } from '../errors.ts';
import { createLogger, createSilentLogger } from '../logger.ts';
import { type RedisClient, type RedisRole, addressOf, closeRedis, createRedis, waitUntilReady } from './client.ts';

const READY_MS = 20_000;
/** Time in which a client that cannot get ready has met the reason, also on a machine that stops it for a while. */
const NOT_READY_MS = 2_000;
const clients: RedisClient[] = [];
const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => closeRedis(client)));
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

function open(url: string, role: RedisRole, logger = createSilentLogger()): RedisClient {
  const client = createRedis(url, role, logger);
  clients.push(client);
  return client;
}

/** A listener that speaks just enough of the Redis protocol for a client to become ready, and then answers what it is told to. */
class FakeServer {
  readonly commands: string[][] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  hello = '%1\r\n$5\r\nproto\r\n:3\r\n';
  answer: (command: string[]) => string | undefined = () => '+OK\r\n';

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined); // the test cuts connections on purpose
      socket.on('data', (chunk) => this.#receive(socket, chunk.toString()));
    });
  }

  static async listen(port = 0): Promise<FakeServer> {
    const fake = new FakeServer();
    servers.push(fake);
    fake.#server.listen(port, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #receive(socket: Socket, text: string): void {
    for (const part of text.split(/(?=\*\d+\r\n)/)) {
      const words = part
        .split('\r\n')
        .slice(1)
        .filter((_, index) => index % 2 === 1);
      this.commands.push(words);
      const reply = this.#handshake(words) ?? this.answer(words);
      if (reply !== undefined) socket.write(reply);
      if (words[0] === 'quit') socket.end();
    }
  }

  #handshake([name = '', ...rest]: string[]): string | undefined {
    switch (name.toLowerCase()) {
      case 'hello':
        return this.hello;
      case 'client':
        return '+OK\r\n';
      case 'info':
        return '$19\r\nredis_version:7.0.0\r\n';
      case 'subscribe':
        return `>3\r\n$9\r\nsubscribe\r\n$${rest[0]?.length}\r\n${rest[0]}\r\n:1\r\n`;
      case 'quit':
        return '+OK\r\n';
      default:
        return undefined;
    }
  }
}

async function unusedPort(): Promise<number> {
  const server = await FakeServer.listen();
  const { port } = server;
  await server.close();
  return port;
}

describe('a Redis that is away', () => {
  it('is named with host, port and reason, without credentials', async () => {
    const port = await unusedPort();
    const client = open(`redis://user:s3cret@127.0.0.1:${port}`, 'command');
    const failure: unknown = await waitUntilReady(client, NOT_READY_MS).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UnavailableError);
    expect(String(failure)).toContain(`127.0.0.1:${port}`);
    expect(String(failure)).toContain('ECONNREFUSED');
    expect(String(failure)).not.toContain('s3cret');
    expect(addressOf(client)).toBe(`127.0.0.1:${port}`);
  });

  it.each(['command', 'producer'] as const)('fails the commands of a %s client at once', async (role) => {
    const client = open(`redis://127.0.0.1:${await unusedPort()}`, role);
    await expect(client.get('key')).rejects.toThrow();
  });

  it('is named by the start nodes when it is a cluster', async () => {
    const port = await unusedPort();
    const client = open(`redis://:s3cret@127.0.0.1:${port},redis://localhost:${port}`, 'command');
    const failure = String(await waitUntilReady(client, NOT_READY_MS).catch((error: unknown) => error));
    // Why a start node could not be reached stays inside the library.
    expect(failure).toContain(`127.0.0.1:${port},localhost:${port} is not ready`);
    expect(failure).not.toContain('s3cret');
    await expect(client.get('key')).rejects.toThrow();
  });

  it('is logged once per outage', async () => {
    const lines: string[] = [];
    const logger = createLogger({ level: 'info', name: 'test', destination: { write: (line) => void lines.push(line) } });
    const port = await unusedPort();
    const client = open(`redis://:s3cret@127.0.0.1:${port}`, 'command', logger);
    let attempts = 0;
    client.on('reconnecting', () => {
      attempts += 1;
    });
    await vi.waitFor(() => expect(attempts).toBeGreaterThanOrEqual(3), READY_MS);
    expect(lines).toHaveLength(1);
    const server = await FakeServer.listen(port);
    expect(server.port).toBe(port);
    await waitUntilReady(client, READY_MS);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain('redis connection is back');
    expect(lines.join()).not.toContain('s3cret');
  });

  it('lets a waiting client go when it is closed', async () => {
    const client = open(`redis://127.0.0.1:${await unusedPort()}`, 'worker');
    const queued = client.get('key').catch((error: unknown) => error);
    await closeRedis(client);
    await closeRedis(client);
    if (client.status === 'end') await expect(queued).resolves.toBeInstanceOf(Error);
    await expect(waitUntilReady(client, 50)).rejects.toThrow();
  });
});

describe('a Redis that refuses the login', () => {
  it('is named with its reason, and the password goes nowhere', async () => {
    const lines: string[] = [];
    const logger = createLogger({ level: 'info', name: 'test', destination: { write: (line) => void lines.push(line) } });
    const server = await FakeServer.listen();
    server.hello = '-WRONGPASS invalid username-password pair or user is disabled.\r\n';
    const client = open(`redis://:s3cret@127.0.0.1:${server.port}`, 'command', logger);
    const failure: unknown = await waitUntilReady(client, NOT_READY_MS).catch((error: unknown) => error);
    expect(server.commands.flat()).toContain('s3cret');
    logger.error({ err: failure }, 'start failed');
    expect(String(failure)).toContain('WRONGPASS');
    expect(lines).toHaveLength(2);
    expect(inspect(failure, { depth: 10 }) + lines.join('')).not.toContain('s3cret');
  });
});

describe('a Redis that comes and goes', () => {
  it('serves commands once ready, and fails the one in flight when the connection breaks', async () => {
    const server = await FakeServer.listen();
    const client = open(`redis://127.0.0.1:${server.port}`, 'command');
    await waitUntilReady(client, READY_MS);
    await waitUntilReady(client, READY_MS);
    await expect(client.set('key', 'value')).resolves.toBe('OK');
    server.answer = () => undefined;
    const pending = client.get('key').catch((error: unknown) => error);
    await vi.waitFor(() => expect(server.commands.some(([name]) => name === 'get')).toBe(true), READY_MS);
    server.cut();
    await expect(pending).resolves.toBeInstanceOf(Error);
    await waitUntilReady(client, READY_MS);
    expect(server.commands.filter(([name]) => name === 'get')).toHaveLength(1);
  });

  it('reconnects when its master was demoted', async () => {
    const server = await FakeServer.listen();
    const client = open(`redis://127.0.0.1:${server.port}`, 'command');
    await waitUntilReady(client, READY_MS);
    server.answer = () => "-READONLY You can't write against a read only replica.\r\n";
    const reconnecting = once(client, 'reconnecting');
    await expect(client.set('key', 'value')).rejects.toThrow('READONLY');
    await reconnecting;
    server.answer = () => '+OK\r\n';
    await waitUntilReady(client, READY_MS);
    await expect(client.set('key', 'value')).resolves.toBe('OK');
  });

  it('subscribes again by itself', async () => {
    const server = await FakeServer.listen();
    const client = open(`redis://127.0.0.1:${server.port}`, 'subscriber');
    await client.subscribe('channel');
    const subscriptions = () => server.commands.filter(([name]) => name === 'subscribe').length;
    expect(subscriptions()).toBe(1);
    server.cut();
    await vi.waitFor(() => expect(subscriptions()).toBe(2), READY_MS);
  });

  it('says that the connection was closed to whoever waits for it', async () => {
    const server = await FakeServer.listen();
    const client = open(`redis://127.0.0.1:${server.port}`, 'command');
    await waitUntilReady(client, READY_MS);
    await closeRedis(client);
    expect(client.status).toBe('end');
    await expect(waitUntilReady(client, READY_MS)).rejects.toBeInstanceOf(CancelledError);
  });
});
