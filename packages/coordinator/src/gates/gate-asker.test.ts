import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AskedGate } from '../rollout/gate-strategy.ts';
import type { GateQuestion } from '../rollout/ports.ts';
import { parseWebhookSecret, verifyWebhook } from '../webhook-signature.ts';
import { parseAllowedUrl } from './allowed-urls.ts';
import { MAX_ANSWER_BYTES } from './bounded-fetch.ts';
import { createGateAsker, NO_GATES, refuseGates } from './gate-asker.ts';

interface Received {
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

const SECRETS = ['a secret of some length', 'the one that comes after it'].map((text) => parseWebhookSecret(text));
const NOW_MS = 1_700_000_000_000;
const SIGNAL = new AbortController().signal;

let server: Server;
let base: string;
let received: Received[];
let respond: (response: ServerResponse) => void;

beforeEach(async () => {
  received = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks).toString('utf8') });
      respond(response);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

function json(status: number, value: unknown): void {
  respond = (response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(typeof value === 'string' ? value : JSON.stringify(value));
  };
}

function vector(...values: string[]): void {
  const result = values.map((value, index) => ({ metric: { i: String(index) }, value: [1, value] }));
  json(200, { status: 'success', data: { resultType: 'vector', result } });
}

function question(gate: AskedGate): GateQuestion {
  return {
    gate,
    ask: 3,
    key: 'r1-1-gate-2',
    askedAtMs: NOW_MS,
    rollout: {
      id: 'r1',
      group: 'edge',
      from: { name: 'c', version: 1, hash: 'aa' },
      to: { name: 'c', version: 2, hash: 'bb' },
      attempt: 1,
      createdBy: 'me',
      reason: '',
    },
    wave: { index: 1, of: 3, startedAtMs: NOW_MS - 90_000, members: 10, target: 5, counts: { applied: 4 } },
    counts: { applied: 5 },
  };
}

const prometheus = (over: Partial<Extract<AskedGate, { type: 'prometheus' }>> = {}): AskedGate => ({
  type: 'prometheus',
  name: 'errors',
  url: null,
  query: 'errors{group="{{group}}", config="{{config}}", hash="{{ hash }}"}[{{waveSeconds}}]',
  condition: 'value < 0.5',
  intervalMs: 1_000,
  timeoutMs: 5_000,
  ...over,
});
const webhook = (over: Partial<Extract<AskedGate, { type: 'webhook' }>> = {}): AskedGate => ({
  type: 'webhook',
  name: 'ci',
  url: `${base}/hooks/gate`,
  intervalMs: 1_000,
  timeoutMs: 5_000,
  deadlineMs: 60_000,
  ...over,
});

function ask(gate: AskedGate): Promise<{ outcome: string; detail: string; evidence: string }> {
  const settings = {
    prometheusUrls: [parseAllowedUrl(`${base.replace('http://', 'http://bob:s%40fe@')}/prom/`)],
    webhookUrls: [parseAllowedUrl(`${base}/hooks`)],
    webhookSecrets: SECRETS,
  };
  return createGateAsker(settings, () => NOW_MS).ask(question(gate), SIGNAL);
}

describe('prometheus', () => {
  it('sends the query with its placeholders filled, and passes when every series meets the condition', async () => {
    vector('0.1', '0.2');
    const answer = await ask(prometheus());
    expect(answer.outcome).toBe('pass');
    expect(answer.evidence).toContain('errors{group="edge", config="c", hash="bb"}[90s] = {"i":"0"} 0.1; {"i":"1"} 0.2');
    expect(received[0]?.url).toBe('/prom/api/v1/query');
    expect(received[0]?.headers.authorization).toBe(`Basic ${Buffer.from('bob:s@fe').toString('base64')}`);
    expect(new URLSearchParams(received[0]?.body).get('query')).toBe('errors{group="edge", config="c", hash="bb"}[90s]');
  });

  it.each([
    [['0.5'], 'fail', 'the value is 0.5, wanted value < 0.5'],
    [['0.1', '9', 'NaN'], 'fail', 'in 1 of 3 series'],
    [['+Inf'], 'fail', 'Infinity'],
    [['-Inf'], 'pass', '-Infinity'],
    [['NaN'], 'inconclusive', 'NaN'],
    [[], 'inconclusive', 'no data'],
  ])('judges %j as %s', async (values, outcome, detail) => {
    vector(...values);
    expect(await ask(prometheus())).toMatchObject({ outcome, detail: expect.stringContaining(detail) });
  });

  it('takes a scalar', async () => {
    json(200, { status: 'success', data: { resultType: 'scalar', result: [1, '2'] } });
    expect(await ask(prometheus({ condition: 'value == 2' }))).toMatchObject({ outcome: 'pass' });
  });

  it.each([
    [400, { status: 'error', error: 'parse error at char 3' }, 'parse error at char 3'],
    [503, 'busy', 'not JSON'],
    [200, 'null', 'answered 200'],
    [302, {}, 'answered 302'],
    [200, { status: 'success', data: { resultType: 'matrix', result: [] } }, 'no instant vector'],
    [200, { status: 'success', data: { resultType: 'vector', result: [{ value: [1, 'two'] }] } }, 'no number'],
    [200, { status: 'success', data: { resultType: 'vector', result: [null] } }, 'no value'],
    [200, `{"pad":"${'x'.repeat(MAX_ANSWER_BYTES)}"}`, 'larger than'],
  ])('takes the answer %i %j for an error', async (status, body, message) => {
    json(status, body);
    await expect(ask(prometheus())).rejects.toThrow(message);
  });

  it('follows no redirect', async () => {
    respond = (response) => {
      response.writeHead(307, { location: `${base}/elsewhere` }).end('{}');
    };
    await expect(ask(prometheus())).rejects.toThrow('answered 307');
    expect(received).toHaveLength(1);
  });

  it('gives up after its timeout, and when nobody listens', async () => {
    respond = () => undefined;
    await expect(ask(prometheus({ timeoutMs: 100 }))).rejects.toThrow('no answer within 100 ms');
    const away = createGateAsker({ ...NO_GATES, prometheusUrls: [parseAllowedUrl('http://127.0.0.1:1')] }, () => NOW_MS);
    await expect(away.ask(question(prometheus()), SIGNAL)).rejects.toThrow(/ECONNREFUSED|bad port/);
  });
});

describe('webhook', () => {
  it('sends a signed body that says what is decided about', async () => {
    json(200, { decision: 'pass', reason: 'tests are green' });
    expect(await ask(webhook())).toMatchObject({ outcome: 'pass', detail: 'tests are green' });
    const [request] = received;
    if (request === undefined) throw new Error('nothing was sent');
    for (const secret of SECRETS) expect(verifyWebhook(request.headers, request.body, [secret], NOW_MS)).toBeUndefined();
    expect(verifyWebhook(request.headers, `${request.body} `, SECRETS, NOW_MS)).toBe('no signature fits');
    expect(request.headers['idempotency-key']).toBe('r1-1-gate-2');
    expect(JSON.parse(request.body)).toMatchObject({
      type: 'rollout.gate',
      gate: 'ci',
      rollout: { id: 'r1', group: 'edge', to: { version: 2 } },
      wave: { index: 1, of: 3, counts: { applied: 4 } },
      counts: { applied: 5 },
    });
  });

  it.each(['fail', 'wait', 'inconclusive'])('takes the decision %s', async (decision) => {
    json(201, { decision });
    expect(await ask(webhook())).toMatchObject({ outcome: decision });
  });

  it.each([
    [200, 'ok', 'not JSON'],
    [200, '', 'not JSON'],
    [200, { decision: 'yes' }, 'without a decision'],
    [200, ['pass'], 'without a decision'],
    [200, 'null', 'without a decision'],
    [500, { decision: 'pass' }, 'answered 500'],
    [404, { decision: 'fail' }, 'answered 404'],
  ])('takes the answer %i %j for an error, never for a pass and never for a fail', async (status, body, message) => {
    json(status, body);
    await expect(ask(webhook())).rejects.toThrow(message);
  });
});

describe('what may be asked', () => {
  const settings = {
    prometheusUrls: [parseAllowedUrl('http://prom:9090/base'), parseAllowedUrl('http://other:9090')],
    webhookUrls: [parseAllowedUrl('https://ci.test/hooks/')],
    webhookSecrets: SECRETS,
  };
  const problems = (gate: AskedGate, with_ = settings): string[] =>
    refuseGates(['ackRatio', gate], with_).map(({ path, message }) => `${path} ${message}`);

  it('are the servers of the setting, and no other path, port or scheme of theirs', () => {
    for (const url of ['http://prom:9090/base', 'http://prom:9090/base/', 'http://other:9090/'])
      expect(problems(prometheus({ url }))).toEqual([]);
    for (const url of [
      'http://prom:9090',
      'https://prom:9090/base',
      'http://prom/base',
      'http://prom:9090/base/x',
      'http://prom:9090/base?x=1',
    ])
      expect(problems(prometheus({ url })), url).toHaveLength(1);
    expect(problems(prometheus())).toEqual([
      'strategy.gates[1].url is required: 2 Prometheus servers are allowed (OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS)',
    ]);
  });

  it('are receivers below a URL of the setting, and nothing that leads out of it', () => {
    for (const url of ['https://ci.test/hooks', 'https://ci.test/hooks/', 'https://ci.test/hooks/a/b?c=d'])
      expect(problems(webhook({ url }))).toEqual([]);
    for (const url of [
      'https://ci.test/',
      'https://ci.test/hooksmith',
      'https://ci.test/hooks/../admin',
      'https://ci.test/hooks/%2e%2e/admin',
      'https://ci.test/hooks/..%2fadmin',
      'https://ci.test.evil/hooks/',
      'http://ci.test/hooks/',
      'http://169.254.169.254/',
    ])
      expect(problems(webhook({ url })), url).toHaveLength(1);
  });

  it('is nothing without settings, and no webhook without a secret', () => {
    expect(problems(prometheus(), NO_GATES as typeof settings)[0]).toContain('no Prometheus server is allowed');
    expect(problems(webhook({ url: 'https://ci.test/hooks' }), { ...settings, webhookSecrets: [] })[0]).toContain('no secret');
  });

  it('is asked of the settings once more when a question leaves', async () => {
    const asker = createGateAsker(NO_GATES, () => NOW_MS);
    await expect(asker.ask(question(webhook()), SIGNAL)).rejects.toThrow('this coordinator does not ask it');
  });
});
