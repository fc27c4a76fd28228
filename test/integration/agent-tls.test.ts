// TLS and client certificates on real sockets, at the gateway itself and behind a proxy.
import { X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { ConfigurationError } from '@opamp-gateway/shared/errors';
import { readGatewayConfig } from '@opamp-gateway/gateway/config';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { uidText } from '../conformance/wire.ts';
import { waitUntil } from '../support/wait-for.ts';
import { AuthLab, bearer, tlsFile, tlsMaterial } from './support/auth-lab.ts';

const TRANSPORTS = ['ws', 'http'] as const;
const MTLS = {
  OPAMP_AGENT_AUTH: 'mtls',
  OPAMP_GATEWAY_TLS_CLIENT_CA_FILE: tlsFile('authority.pem'),
};
const PROXY = {
  ...MTLS,
  OPAMP_GATEWAY_TRUSTED_PROXIES: '127.0.0.1/32',
  OPAMP_GATEWAY_CLIENT_CERT_HEADER: 'ssl-client-cert',
  OPAMP_GATEWAY_CLIENT_VERIFY_HEADER: 'ssl-client-verify',
};

let directory: string;
let lab: AuthLab;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-tls-'));
  await useCertificate('server');
  const files = { OPAMP_GATEWAY_TLS_CERT_FILE: join(directory, 'cert.pem'), OPAMP_GATEWAY_TLS_KEY_FILE: join(directory, 'key.pem') };
  lab = await AuthLab.start({
    gateways: [
      { ...MTLS, ...files },
      PROXY,
      { ...PROXY, OPAMP_GATEWAY_TRUSTED_PROXIES: '192.0.2.0/24' },
      { ...files, OPAMP_AGENT_AUTH: 'token' },
      {
        OPAMP_GATEWAY_TRUSTED_PROXIES: '127.0.0.1/32',
        OPAMP_GATEWAY_PROXY_PROTOCOL: 'true',
        OPAMP_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS: '1',
      },
    ],
  });
});
afterEach(() => lab.disconnect());
afterAll(async () => {
  await lab?.stop();
  await rm(directory, { recursive: true });
});

async function useCertificate(name: string): Promise<void> {
  await copyFile(tlsFile(`${name}.key`), join(directory, 'key.pem'));
  await copyFile(tlsFile(`${name}.pem`), join(directory, 'cert.pem'));
}

/** Header of a proxy that ends TLS, nginx's way. */
async function forwarded(client: string, verify = 'SUCCESS'): Promise<[string, string][]> {
  return [
    ['ssl-client-cert', encodeURIComponent(await readFile(tlsFile(`${client}.pem`), 'utf8'))],
    ['ssl-client-verify', verify],
  ];
}

async function fingerprint(client: string): Promise<string> {
  return new X509Certificate(await readFile(tlsFile(`${client}.pem`))).fingerprint256;
}

describe.each(TRANSPORTS)('over %s', (transport) => {
  const accepted = transport === 'ws' ? 101 : 200;

  it('lets in who shows a certificate of the authority, and nobody else', async () => {
    expect(await lab.status({ transport, tls: tlsMaterial() })).toBe(401);
    // Of these the handshake fails.
    for (const client of ['stranger', 'expired']) expect(await lab.status({ transport, tls: tlsMaterial(client) })).toBe(-1);
    expect(await lab.status({ transport })).toBe(-1);
    expect(await lab.strangers()).toEqual([]);
    expect(await lab.status({ transport, tls: tlsMaterial('agent') })).toBe(accepted);
  });

  it('takes the certificate from a trusted proxy only', async () => {
    expect(await lab.status({ transport, gateway: 1, headers: await forwarded('agent') })).toBe(accepted);
    expect(await lab.status({ transport, gateway: 1 })).toBe(401);
    expect(await lab.status({ transport, gateway: 1, headers: await forwarded('agent', 'NONE') })).toBe(401);
    for (const client of ['stranger', 'expired'])
      expect(await lab.status({ transport, gateway: 1, headers: await forwarded(client) })).toBe(401);
    expect(
      await lab.status({
        transport,
        gateway: 1,
        headers: [
          ['ssl-client-cert', 'nonsense'],
          ['ssl-client-verify', 'SUCCESS'],
        ],
      }),
    ).toBe(401);
    // The same words from somebody who is no proxy of ours.
    expect(await lab.status({ transport, gateway: 2, headers: await forwarded('agent') })).toBe(401);
  });

  it('takes tokens over TLS', async () => {
    const { text } = await lab.token({});
    expect(await lab.status({ transport, gateway: 3, headers: bearer(text), tls: tlsMaterial() })).toBe(accepted);
    expect(await lab.status({ transport, gateway: 3, tls: tlsMaterial('agent') })).toBe(401);
  });
});

it('knows what is said of a certificate: labels, and that it is revoked', async () => {
  const agent = await lab.dial({ transport: 'ws', tls: tlsMaterial('agent-2') });
  const behind = await lab.dial({ transport: 'ws', gateway: 1, headers: await forwarded('agent-2') });
  const other = await lab.dial({ transport: 'ws', tls: tlsMaterial('agent') });
  for (const each of [agent, behind, other]) await each.first();
  const { id } = await lab.token({ kind: 'certificate', certificate: await fingerprint('agent-2'), labels: { site: 'x' } });
  await waitUntil(
    'the label on a connection that was open before',
    async () => {
      await agent.beat();
      return (await lab.call('GET', `/agents?selector=label.site%3Dx`)).body.items.map((item) => item['uid']);
    },
    (uids) => uids.includes(uidText(agent.uid)),
  );
  expect(
    (await lab.call('POST', '/tokens', { name: 'again', kind: 'certificate', certificate: await fingerprint('agent-2') })).status,
  ).toBe(409);
  expect((await lab.call('DELETE', `/tokens/${id}`)).status).toBe(204);
  await waitUntil('both connections closed', () => agent.link.isEnded && behind.link.isEnded, Boolean);
  expect(other.link.isEnded).toBe(false);
  expect(await lab.status({ transport: 'http', tls: tlsMaterial('agent-2') })).toBe(401);
  expect(await lab.status({ transport: 'http', gateway: 1, headers: await forwarded('agent-2') })).toBe(401);
});

it('takes renewed certificates without dropping anybody, and keeps the old ones when the new cannot be used', async () => {
  const subject = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port: lab.gateways[3]?.port ?? 0, ...tlsMaterial() }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once('error', reject);
    });
  const { text } = await lab.token({});
  const agent = await lab.dial({ transport: 'ws', gateway: 3, headers: bearer(text), tls: tlsMaterial() });
  await agent.first();
  expect(await subject()).toBe('server');
  await writeFile(join(directory, 'cert.pem'), 'nonsense');
  await waitUntil(
    'the refusal',
    () => lab.gateways[3]?.events.metrics.render() ?? '',
    (page) => page.includes('certificate_reads_total{outcome="refused"} '),
  );
  expect(await subject()).toBe('server');
  await useCertificate('server-renewed');
  await waitUntil('the new certificate', subject, (name) => name === 'server-renewed');
  expect((await agent.beat()).errorResponse).toBeUndefined();
  expect(await lab.status({ transport: 'ws', gateway: 3, headers: bearer(text), tls: tlsMaterial() })).toBe(101);
});

it('counts connections by the address that the PROXY protocol states', async () => {
  const dial = (address: readonly number[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const header = Buffer.from([13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x21, 0x11, 0, 12, ...address, 127, 0, 0, 1, 1, 1, 2, 2]);
      const socket = connect(lab.gateways[4]?.port ?? 0, '127.0.0.1', () => {
        socket.write(header);
        socket.write(
          'GET /v1/opamp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
        );
      });
      sockets.push(socket);
      socket.once('data', (data) => resolve(data.toString('latin1').slice(9, 12)));
      socket.once('error', reject);
    });
  const sockets: ReturnType<typeof connect>[] = [];
  try {
    expect(await dial([192, 0, 2, 1])).toBe('101');
    expect(await dial([192, 0, 2, 1])).toBe('503');
    expect(await dial([192, 0, 2, 2])).toBe('101');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

describe('settings that cannot work', () => {
  it.each([
    [{ OPAMP_AGENT_AUTH: 'mtls' }, 'OPAMP_AGENT_AUTH'],
    [{ OPAMP_GATEWAY_TLS_CERT_FILE: tlsFile('server.pem') }, 'OPAMP_GATEWAY_TLS_KEY_FILE'],
    [
      { OPAMP_GATEWAY_TLS_CERT_FILE: tlsFile('server.pem'), OPAMP_GATEWAY_TLS_KEY_FILE: tlsFile('agent.key') },
      'OPAMP_GATEWAY_TLS_KEY_FILE',
    ],
    [{ OPAMP_GATEWAY_TLS_CERT_FILE: '/nowhere', OPAMP_GATEWAY_TLS_KEY_FILE: tlsFile('server.key') }, '/nowhere'],
    [
      { OPAMP_AGENT_AUTH: 'mtls', OPAMP_GATEWAY_TLS_CERT_FILE: tlsFile('server.pem'), OPAMP_GATEWAY_TLS_KEY_FILE: tlsFile('server.key') },
      'OPAMP_GATEWAY_TLS_CLIENT_CA_FILE',
    ],
    [{ OPAMP_GATEWAY_TLS_CLIENT_CA_FILE: tlsFile('server.key') }, 'OPAMP_GATEWAY_TLS_CLIENT_CA_FILE'],
    [{ OPAMP_GATEWAY_PROXY_PROTOCOL: 'true' }, 'OPAMP_GATEWAY_TRUSTED_PROXIES'],
    [{ OPAMP_GATEWAY_TRUSTED_PROXIES: 'proxy.local' }, 'proxy.local'],
    [{ OPAMP_GATEWAY_FORWARDED_FOR_HEADER: 'X Forwarded' }, 'OPAMP_GATEWAY_FORWARDED_FOR_HEADER'],
    [{ OPAMP_AGENT_AUTH: 'token', OPAMP_AGENT_TOKENS_FILE: '/nowhere' }, '/nowhere'],
  ])('%j', (environment, named) => {
    expect(() => readGatewayConfig(environment)).toThrow(ConfigurationError);
    expect(() => readGatewayConfig(environment)).toThrow(named);
  });
});
