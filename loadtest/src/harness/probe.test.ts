import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ProbeError, probeUrls } from './probe.ts';

const NOTHING = { agentToken: undefined, tls: undefined };
let server: Server;
let url = '';

beforeEach(async () => {
  server = createServer((_request, response) => response.writeHead(404).end());
  server.on('upgrade', ({ headers: { authorization }, url: path }, socket) => {
    const status = path === '/busy' ? '503 Busy' : authorization === 'Bearer right' ? '101 Switching Protocols' : '401 Unauthorized';
    socket.end(`HTTP/1.1 ${status}\r\n\r\n`);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

it('is content where agents can connect, or could later', async () => {
  await expect(probeUrls([url, `${url}/busy`], { agentToken: 'right', tls: undefined })).resolves.toBeUndefined();
});

it('says which URL refuses, and what it is about', async () => {
  await expect(probeUrls([url], { agentToken: 'wrong', tls: undefined })).rejects.toThrow(/refuses agents with 401: is the token/);
  await expect(probeUrls([url], NOTHING)).rejects.toThrow(/it wants a token/);
  await expect(probeUrls([url.replace('ws:', 'wss:')], NOTHING)).rejects.toThrow(ProbeError);
});

it('names a server that is not there', async () => {
  server.close();
  await expect(probeUrls([`${url}/v1/opamp`], NOTHING)).rejects.toThrow(/no agent can connect to ws:.*ECONNREFUSED/);
});
