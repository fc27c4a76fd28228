import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serveDashboard } from './static-files.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'opamp-static-'));
  await mkdir(join(directory, 'assets'));
  await writeFile(join(directory, 'index.html'), '<!doctype html>page');
  await writeFile(join(directory, 'assets', 'index-1234.js'), 'export {};');
  await writeFile(join(directory, '.fingerprint'), 'not for the world');
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

describe('the dashboard', () => {
  it.each(['/', '/agents', '/agents/0190f000-0000-7000-8000-000000000000', '/configs/edge', '/rollouts/r1'])(
    'is one page at %s, under a strict policy',
    async (url) => {
      const app = fastify();
      await serveDashboard(app, { directory });
      const { statusCode, headers, body } = await app.inject(url);
      expect([statusCode, headers['content-type'], body]).toEqual([200, 'text/html; charset=utf-8', '<!doctype html>page']);
      expect(headers['cache-control']).toBe('no-cache');
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).not.toMatch(/unsafe|data:|https?:/);
    },
  );

  it('lets its page talk to the issuer, and to nobody else', async () => {
    const app = fastify();
    const origins: string[] = [];
    await serveDashboard(app, { directory, signInOrigins: () => origins });
    const policyOf = async (url: string): Promise<string> => String((await app.inject(url)).headers['content-security-policy']);
    expect(await policyOf('/')).toContain("connect-src 'self';");
    origins.push('https://id.example', 'https://token.example');
    expect(await policyOf('/')).toContain("connect-src 'self' https://id.example https://token.example;");
    expect(await policyOf('/assets/index-1234.js')).toContain("connect-src 'self';");
  });

  it('keeps assets for good, compresses them on demand, and answers 304 to whoever has them', async () => {
    const app = fastify();
    await serveDashboard(app, { directory });
    const url = '/assets/index-1234.js';
    const plain = await app.inject(url);
    expect([plain.statusCode, plain.body, plain.headers['content-encoding']]).toEqual([200, 'export {};', undefined]);
    expect(plain.headers['cache-control']).toContain('immutable');
    expect((await app.inject({ url, headers: { 'accept-encoding': 'gzip, br' } })).headers['content-encoding']).toBe('gzip');
    const again = await app.inject({ url, headers: { 'if-none-match': String(plain.headers['etag']) } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });

  it('serves nothing but the files of the build', async () => {
    const app = fastify();
    await serveDashboard(app, { directory });
    for (const url of ['/.fingerprint', '/assets/../.fingerprint', '/assets/%2e%2e/.fingerprint', '/assets', '/assets/none.js'])
      expect((await app.inject(url)).statusCode, url).toBe(404);
  });

  it('is a notice where it was not built', async () => {
    const app = fastify();
    await serveDashboard(app, { directory: join(directory, 'none') });
    const { statusCode, headers, body } = await app.inject('/');
    expect([statusCode, headers['content-type']]).toEqual([404, 'text/plain; charset=utf-8']);
    expect(body).toContain('/api/v1');
  });
});
