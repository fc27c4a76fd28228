import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createTarget, GatewayApi, toAgentView } from './own-target.ts';
import { ApiRefusedError } from './target.ts';

const UID = Buffer.from('0190f0000000700080000000000000aa', 'hex');
const UID_TEXT = '0190f000-0000-7000-8000-0000000000aa';

let server: Server | undefined;

afterEach(() => {
  server?.close();
  server = undefined;
});

/** Serves canned answers by "METHOD path" and remembers what was asked. */
const startApi = async (answers: Readonly<Record<string, readonly [status: number, body: unknown]>>) => {
  const calls: string[] = [];
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      calls.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'} ${Buffer.concat(parts).toString()}`);
      const key = Object.keys(answers).find((candidate) => `${request.method} ${request.url}`.startsWith(candidate));
      const [status, body] = answers[key ?? ''] ?? [404, { detail: 'no such thing' }];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => {
    server?.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { api: new GatewayApi({ baseUrl: `http://127.0.0.1:${port}/`, token: 't' }), calls };
};

test('a config is stored and then pinned to the agent', async () => {
  const { api, calls } = await startApi({ 'PUT /api/v1/configs/': [201, { name: 'x', version: 7 }], 'PUT /api/v1/agents/': [200, {}] });
  await api.assignConfig(UID, { '': { body: 'a: 1', contentType: 'text/yaml' } });
  expect(calls[0]).toContain('Bearer t {"files":{"":{"body":"a: 1","contentType":"text/yaml"}}');
  expect(calls[1]).toMatch(new RegExp(`^PUT /api/v1/agents/${UID_TEXT}/pin .*"version":7`));
});

test('a refusal carries the status; an unknown agent is no error', async () => {
  const { api } = await startApi({ 'POST /api/v1/agents/': [409, { detail: 'away' }] });
  await expect(api.restart(UID)).rejects.toThrow(ApiRefusedError);
  await expect(api.restart(UID)).rejects.toMatchObject({ status: 409 });
  await expect(api.getAgent(UID)).resolves.toBeUndefined();
});

test('an agent is read from the API’s shape', () => {
  const view = toAgentView({
    connected: true,
    capabilities: ['ReportsStatus', 'AcceptsRemoteConfig', 'Bit63'],
    attributes: { 'host.name': 'h' },
    health: { status: 'unhealthy' },
    healthTree: { healthy: false, children: { b: {}, a: {} } },
    config: { status: 'failed', hash: 'ab', error: 'why' },
    effective: { files: { '': { body: 'x: 1' } } },
  });
  expect(view).toEqual({
    isConnected: true,
    capabilities: 0x8000000000000003n,
    attributes: { 'host.name': 'h' },
    isHealthy: false,
    healthComponents: ['a', 'b'],
    configStatus: 'FAILED',
    configHash: 'ab',
    configError: 'why',
    effectiveConfig: { '': 'x: 1' },
  });
});

test('what an agent has not reported is left out, and an unknown capability is not swallowed', () => {
  expect(toAgentView({ connected: false, health: { status: 'unknown' }, healthTree: null, effective: null, config: {} })).toEqual({
    isConnected: false,
  });
  expect(() => toAgentView({ capabilities: ['Telepathy'] })).toThrow('Telepathy');
});

test('either form of a URL gives both', () => {
  const target = createTarget({ url: 'https://h/p', secondUrl: 'ws://h:1/p', maxMessageBytes: 5 });
  expect(target).toMatchObject({
    url: 'wss://h/p',
    httpUrl: 'https://h/p',
    secondUrl: 'ws://h:1/p',
    secondHttpUrl: 'http://h:1/p',
    limits: { maxMessageBytes: 5 },
  });
  expect(target.api).toBeUndefined();
});
