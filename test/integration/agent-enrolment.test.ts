// Enrolment: a host exchanges a token for one of its own, and connects with what it was given.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { BACKUP_SECTIONS } from '@opamp-gateway/coordinator/stores/backup/backup-store';
import { TOKEN_SECTION } from '@opamp-gateway/coordinator/stores/backup/token-section';
import type { SectionRecord } from '@opamp-gateway/coordinator/stores/backup/section';
import { waitUntil } from '../support/wait-for.ts';
import { AuthLab, bearer, type Answer } from './support/auth-lab.ts';

const ENDPOINT = 'wss://opamp.example.com/v1/opamp';
const CA = '-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n';

let lab: AuthLab;
beforeAll(async () => {
  lab = await AuthLab.start({ gateways: [{ OPAMP_AGENT_AUTH: 'token' }], coordinator: { publicEndpoint: { url: ENDPOINT, caPem: CA } } });
});
afterEach(() => lab.disconnect());
afterAll(() => lab?.stop());

const enrol = (text: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answer> =>
  lab.call('POST', '/enrol', body, { authorization: `Bearer ${text}`, ...headers });

// Ten failed attempts a minute is what one address has, and all tests here share one: together they fail less often, but for the last.
describe('enrolment', () => {
  it('gives a token of its own and a configuration that uses it', async () => {
    const { id, text } = await lab.token({
      kind: 'enrolment',
      name: 'rack 7',
      labels: { rack: '7' },
      groups: ['edge'],
      tokenExpiresIn: '90d',
    });
    const answer = await enrol(text, { name: 'host-1', attributes: { env: 'prod' } });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const yaml = parse(String(answer.body['supervisorYaml'])) as Record<string, Record<string, unknown>>;
    expect(yaml['server']).toEqual({
      endpoint: ENDPOINT,
      headers: { Authorization: `Bearer ${String(answer.body['token'])}` },
      tls: { ca_pem: CA },
    });
    expect(yaml['agent']).toMatchObject({ description: { non_identifying_attributes: { env: 'prod' } } });
    expect(yaml['capabilities']).toMatchObject({ accepts_remote_config: true, reports_remote_config: true });

    for (const transport of ['ws', 'http'] as const) {
      expect(await lab.status({ transport, headers: bearer(text) })).toBe(401);
      expect(await lab.status({ transport, headers: bearer(String(answer.body['token'])) })).toBe(transport === 'ws' ? 101 : 200);
    }
    const made = (await lab.call('GET', `/tokens/${String(answer.body['id'])}`)).body;
    expect(made).toMatchObject({ kind: 'agent', name: 'host-1', labels: { rack: '7' }, groups: ['edge'], enrolledBy: id, state: 'active' });
    expect(Date.parse(String(made['expiresAt'])) - Date.parse(String(made['createdAt']))).toBe(90 * 86_400_000);
    expect((await lab.call('GET', `/tokens/${id}`)).body).toMatchObject({ state: 'spent', uses: 1, maxUses: 1 });
    expect((await lab.audit()).find(({ action }) => action === 'token.enrol')).toMatchObject({
      actor: `enrolment/${id}`,
      target: `token/${String(answer.body['id'])}`,
      detail: { name: 'host-1' },
    });
    expect(JSON.stringify(await lab.audit())).not.toContain(String(answer.body['token']));
  });

  it('lets exactly as many in as it has uses, however many come at once', async () => {
    const { id, text } = await lab.token({ kind: 'enrolment', maxUses: 3 });
    const before = await lab.redis.client.hlen(lab.keys.tokens);
    const answers = await Promise.all(Array.from({ length: 5 }, () => enrol(text)));
    expect(answers.map(({ status }) => status).toSorted((left, right) => left - right)).toEqual([201, 201, 201, 401, 401]);
    expect(new Set(answers.flatMap(({ status, body }) => (status === 201 ? [body['token']] : []))).size).toBe(3);
    expect(await lab.redis.client.hlen(lab.keys.tokens)).toBe(before + 3);
    const refused = (await lab.audit()).filter(({ action, target }) => action === 'token.enrol-refused' && target === `token/${id}`);
    expect(refused).toHaveLength(2);
    expect(refused[0]).toMatchObject({ detail: { why: 'spent' } });
  });

  it('refuses what is unknown, revoked, expired, or an agent token, and gives nothing', async () => {
    const revoked = await lab.token({ kind: 'enrolment' });
    await lab.call('DELETE', `/tokens/${revoked.id}`);
    const expired = await lab.token({ kind: 'enrolment', expiresAt: new Date(Date.now() - 1000).toISOString() });
    const agent = await lab.token({});
    const before = await lab.redis.client.hlen(lab.keys.tokens);
    for (const [text, why] of [
      [revoked.text, 'revoked'],
      [expired.text, 'expired'],
      [agent.text, 'not known'],
      [agent.text.replace('oat_', 'oet_'), 'not known'],
      [`${revoked.text.slice(0, -4)}AAAA`, 'not known'],
      ['', 'not known'],
    ] as const) {
      const answer = await enrol(text);
      expect(answer.status).toBe(401);
      expect(answer.body['detail']).toContain(why);
    }
    expect(await lab.redis.client.hlen(lab.keys.tokens)).toBe(before);
    expect(
      (await lab.audit()).filter(({ action, target }) => action === 'token.enrol-refused' && target === `token/${revoked.id}`),
    ).toHaveLength(1);
  });

  it('is in backups, and a restore brings back no use and nothing that was revoked since', async () => {
    const { client } = lab.redis;
    const [spent, revoked] = [await lab.token({ kind: 'enrolment' }), await lab.token({})];
    expect((await enrol(spent.text)).status).toBe(201);
    expect(BACKUP_SECTIONS).toContain(TOKEN_SECTION);
    const records: SectionRecord[] = [];
    for await (const record of TOKEN_SECTION.read({ client, keys: lab.keys })) records.push(record);
    expect(records.map((record) => record['id'])).toEqual(expect.arrayContaining([spent.id, revoked.id]));
    const count = await client.hlen(lab.keys.tokens);
    await lab.call('DELETE', `/tokens/${revoked.id}`);
    await client.multi().hdel(lab.keys.tokens, spent.id).hdel(lab.keys.tokenUses, spent.id).exec();

    const restorer = TOKEN_SECTION.restorer({ client, keys: lab.keys, takenAtMs: 0, nowMs: 0 });
    for (const record of records) await restorer.restore(record);
    await restorer.activate?.();
    expect(await client.hlen(lab.keys.tokens)).toBe(count);
    expect((await lab.call('GET', `/tokens/${spent.id}`)).body).toMatchObject({ state: 'spent', uses: 1 });
    expect((await lab.call('GET', `/tokens/${revoked.id}`)).body).toMatchObject({ state: 'revoked' });
  });

  it('refuses what would break the configuration', async () => {
    const { text } = await lab.token({ kind: 'enrolment' });
    for (const body of [{ attributes: { path: 'C:\\x' } }, { executable: 'a\nb' }, { endpoint: 'ws://evil' }, { name: '' }])
      expect((await enrol(text, body)).status).toBe(422);
    expect((await enrol(text)).status).toBe(201);
  });

  it('runs as the page says', async (context) => {
    const hasCurl = await promisify(execFile)('curl', ['--version']).then(
      () => true,
      () => false,
    );
    if (!hasCurl) context.skip('no curl on the PATH');
    const page = await readFile(new URL('../../docs/agents.md', import.meta.url), 'utf8');
    const snippet = /```sh enrol\n([\s\S]+?)```/.exec(page)?.[1] ?? '';
    expect(snippet).toContain('/api/v1/enrol');
    const directory = await mkdtemp(join(tmpdir(), 'enrol-'));
    try {
      const { text } = await lab.token({ kind: 'enrolment' });
      const script = join(directory, 'install.sh');
      await writeFile(script, snippet);
      const environment = {
        PATH: process.env['PATH'] ?? '',
        API: lab.coordinator.apiUrl,
        ENROLMENT_TOKEN: text,
        TARGET: join(directory, 'supervisor.yaml'),
      };
      await promisify(execFile)('sh', ['-eu', script], { env: environment });
      const written = parse(await readFile(environment.TARGET, 'utf8')) as {
        server: { endpoint: string; headers: { Authorization: string } };
      };
      expect(written.server.endpoint).toBe(ENDPOINT);
      expect(await lab.status({ transport: 'ws', headers: bearer(written.server.headers.Authorization.slice('Bearer '.length)) })).toBe(
        101,
      );
      // The second run has no token any more: it fails, and what is there stays.
      await expect(promisify(execFile)('sh', ['-eu', script], { env: environment })).rejects.toThrow();
      expect(parse(await readFile(environment.TARGET, 'utf8'))).toEqual(written);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('slows down whoever guesses', async () => {
    const { text } = await lab.token({ kind: 'enrolment', maxUses: 1_000 });
    const statuses = new Set<number>();
    // Also with a good token: the address is what is slowed down. An attempt comes back every six seconds, perhaps between the two.
    await waitUntil(
      'an address that has to wait, whatever it shows',
      async () => {
        const { status } = await enrol('nonsense');
        statuses.add(status);
        return status === 429 ? (await enrol(text)).status : status;
      },
      (status) => status === 429,
    );
    expect([...statuses].filter((status) => status !== 401)).toEqual([429]);
  });
});
