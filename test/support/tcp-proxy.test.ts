import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TcpProxy } from './tcp-proxy.ts';
import { waitUntil } from './wait-for.ts';

/** A connection through the proxy, and what came of it. */
class Probe {
  received = '';
  isOpen = false;
  isClosed = false;
  readonly #socket: Socket;

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port });
    this.#socket.on('connect', () => (this.isOpen = true));
    this.#socket.on('data', (data) => (this.received += data.toString()));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => (this.isClosed = true));
  }

  say(text: string): void {
    this.#socket.write(text);
  }

  close(): void {
    this.#socket.destroy();
  }

  async waitFor(what: 'isOpen' | 'isClosed'): Promise<void> {
    await waitUntil(what, () => this[what], Boolean, { pollMs: 5 });
  }

  async waitForText(text: string): Promise<void> {
    await waitUntil(
      'the echo',
      () => this.received,
      (seen) => seen === text,
      { pollMs: 5 },
    );
  }
}

let server: Server;
let proxy: TcpProxy;
let probes: Probe[];
/** What arrived at the server. */
let heard: string[];

beforeEach(async () => {
  // Echoes in capitals, so that both directions are seen.
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      heard.push(data.toString());
      socket.write(data.toString().toUpperCase());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await TcpProxy.start((server.address() as AddressInfo).port);
  probes = [];
  heard = [];
});

afterEach(async () => {
  for (const probe of probes) probe.close();
  await proxy.stop();
  server.close();
});

function open(): Probe {
  const probe = new Probe(proxy.port);
  probes.push(probe);
  return probe;
}

test('passes data on in both directions, late when told so', async () => {
  const probe = open();
  probe.say('a');
  await probe.waitForText('A');
  proxy.delay(30);
  const saidAtMs = performance.now();
  probe.say('b');
  await probe.waitForText('AB');
  // There and back; timers may be a millisecond early.
  expect(performance.now() - saidAtMs).toBeGreaterThanOrEqual(58);
});

test('holds everything back as a black hole while connections stay, and delivers it when healed', async () => {
  const first = open();
  first.say('a');
  await first.waitForText('A');
  proxy.blackhole();
  first.say('b');
  const second = open();
  await second.waitFor('isOpen');
  await waitUntil(
    'the proxy to have both',
    () => proxy.connections,
    (count) => count === 2,
    { pollMs: 5 },
  );
  expect([first.received, first.isClosed, second.isClosed]).toEqual(['A', false, false]);
  proxy.heal();
  await first.waitForText('AB');
});

test('a trap holds a request back, or a reply, or the answer to what still passes; other connections go on', async () => {
  const [one, two, three, other] = [open(), open(), open(), open()];
  const request = proxy.trap({ on: 'request', fits: (data) => data.includes('stop') });
  other.say('go');
  await other.waitForText('GO');
  one.say('stop');
  await waitUntil('the first to spring', () => request.isSprung, Boolean, { pollMs: 5 });
  expect(request.caught?.toString()).toBe('stop');
  const reply = proxy.trap({ on: 'reply', fits: (data) => data.includes('STOP') });
  two.say('stop');
  await waitUntil('the second to spring', () => reply.isSprung, Boolean, { pollMs: 5 });
  const answer = proxy.trap({ on: 'request', fits: (data) => data.includes('last'), passes: true });
  three.say('last');
  await waitUntil('the third to spring', () => answer.isSprung, Boolean, { pollMs: 5 });
  one.say('more');
  other.say(' on');
  await other.waitForText('GO ON');
  expect([one.received, two.received, three.received]).toEqual(['', '', '']);
  expect(heard).toEqual(['go', 'stop', 'last', ' on']);
  expect([one.isClosed, two.isClosed, three.isClosed]).toEqual([false, false, false]);
  proxy.heal();
  await Promise.all([one, two, three].map(async (probe) => await probe.waitFor('isClosed')));
  expect(other.isClosed).toBe(false);
});

test('resets connections, once or for as long as it refuses', async () => {
  const first = open();
  first.say('a');
  await first.waitForText('A');
  proxy.resetAll();
  await first.waitFor('isClosed');
  const second = open();
  second.say('a');
  await second.waitForText('A');
  proxy.refuse();
  await second.waitFor('isClosed');
  const refused = open();
  await refused.waitFor('isClosed');
  proxy.heal();
  const last = open();
  last.say('b');
  await last.waitForText('B');
});
