import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runWith, sendProblem, startFakeCoordinator } from '../../test-support/fake-api.ts';
import type { CliRun, FakeCoordinator, RunOptions } from '../../test-support/fake-api.ts';

const UID = '0190aaaa-0000-7000-8000-000000000001';
let api: FakeCoordinator;
let directory: string;

beforeEach(async () => {
  api = await startFakeCoordinator();
  directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
});
afterEach(async () => {
  await api.close();
  await rm(directory, { recursive: true });
});

const cli = async (args: string[], options: RunOptions = {}): Promise<CliRun> =>
  await runWith(args, { ...options, env: { OPAMP_API_URL: api.url } });

describe('config push --force', () => {
  it('needs a reason, before anything is sent', async () => {
    const run = await cli(['config', 'push', 'base', '-', '--force'], { stdin: 'a: 1' });
    expect(run.code).toBe(1);
    expect(run.err).toContain('--force needs a reason');
    expect(api.requests).toEqual([]);
  });

  it('sends it on', async () => {
    api.on('PUT /configs/base', () => ({ name: 'base', version: 1, hash: 'ab'.repeat(32), validation: { findings: [] } }));
    await cli(['config', 'push', 'base', '-', '--force', '--reason', 'our build'], { stdin: 'a: 1' });
    expect(api.requests[0]?.body).toMatchObject({ force: true, reason: 'our build' });
  });

  it.each([
    [true, /next: .*--force --reason TEXT stores it/],
    [false, /cannot be forced/],
  ])('says whether it would help (%s)', async (forcible, words) => {
    const errors = [{ code: 'E_REF', severity: 'error', path: 'x', line: 1, column: 1, message: 'no' }];
    api.on('PUT /configs/base', (_request, response) => sendProblem(response, 422, 'invalid-config', 'x', { errors, forcible }));
    const run = await cli(['config', 'push', 'base', '-'], { stdin: 'a: 1' });
    expect(run.code).toBe(1);
    expect(run.err).toMatch(words);
  });
});

describe('config validate', () => {
  const BROKEN =
    'receivers: {nop: , kafka: {}}\nexporters: {nop: }\nservice: {pipelines: {traces: {receivers: [nopp, kafka], exporters: [nop]}}}\n';

  it('says what was not checked, and that there is more', async () => {
    api.on('POST /configs/validate', () => ({ findings: [], unchecked: ['receivers::kafka'], omitted: 7, hash: '' }));
    const run = await cli(['config', 'validate', '-'], { stdin: 'a: 1' });
    expect(run).toMatchObject({ code: 0, out: 'and 7 more\nsettings not checked: receivers::kafka\n0 errors, 0 warnings\n' });
  });

  it('checks offline by the rules of a coordinator, without asking one', async () => {
    const run = await cli(['config', 'validate', '-', '--offline'], { stdin: BROKEN });
    expect(run.code).toBe(1);
    expect(run.out).toContain('<stdin>:3:44: error E_REF: service::pipelines::traces: references receiver "nopp" which is not configured');
    expect(run.out).toContain('did you mean `nop`?');
    expect(run.out).toContain('settings not checked: receivers::kafka\n1 error, 1 warning\n');
    expect(api.requests).toEqual([]);
  });

  it('allows offline what a group would', async () => {
    const args = ['config', 'validate', '-', '--offline'];
    expect(await cli(args, { stdin: 'receivers: {nop: }' })).toMatchObject({ code: 1 });
    expect(await cli([...args, '--allow', 'fragments'], { stdin: 'receivers: {nop: }' })).toMatchObject({ code: 0 });
    expect((await cli([...args, '--allow', 'all'], { stdin: '' })).err).toContain('--allow: expected providers');
  });

  it('sees offline what merging hides, and names the file', async () => {
    const folder = join(directory, 'parts');
    await mkdir(folder);
    await writeFile(join(folder, '10.yaml'), 'receivers: {nop: }\nexporters: {nop: }\nextensions: {opamp: {}}\n');
    const rest = 'extensions: null\nservice: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n';
    await writeFile(join(folder, '20.yaml'), rest);
    const run = await cli(['config', 'validate', folder, '--offline']);
    expect(run.code).toBe(1);
    expect(run.out).toContain(`${join(folder, '10.yaml')}:3:14: error E_RESERVED: `);
  });

  it.each([
    [['--offline', '--group', 'prod'], '--offline knows no groups'],
    [['--allow', 'fragments'], '--allow and --deny go with --offline'],
  ])('refuses %j', async (options, words) => {
    const run = await cli(['config', 'validate', '-', ...options], { stdin: 'a: 1' });
    expect(run.code).toBe(1);
    expect(run.err).toContain(words);
    expect(api.requests).toEqual([]);
  });
});

describe('config push of a folder', () => {
  it.each([['push'], ['validate']])('names the file of each finding: %s', async (command) => {
    await writeFile(join(directory, 'a.yaml'), 'a: 1');
    await writeFile(join(directory, 'b.yaml'), 'a: 1');
    const finding = { code: 'E_REF', severity: 'error', path: 'b.yaml#service', line: 4, column: 2, message: 'no' };
    api.on('PUT /configs/base', (_request, response) => sendProblem(response, 422, 'invalid-config', 'x', { errors: [finding] }));
    api.on('POST /configs/validate', () => ({ findings: [finding], hash: '' }));
    const run = await cli(['config', command, ...(command === 'push' ? ['base'] : []), directory]);
    expect(run.code).toBe(1);
    expect(run.out + run.err).toContain(`${join(directory, 'b.yaml')}:4:2: error E_REF: no`);
  });
});

describe('config import', () => {
  const agent = (body: string | null): unknown => ({
    uid: UID,
    effective: body === null ? null : { reportedAt: '2026-01-01T00:00:00Z', truncated: false, files: { '': { body } } },
  });

  it('writes a draft, and does not replace a file', async () => {
    api.on(`GET /agents/${UID}`, () => agent('receivers: {otlp: {}}\n'));
    const file = join(directory, 'base.yaml');
    const args = ['config', 'import', '--agent', UID, '--name', 'base', '-o', file];
    expect(await cli(args)).toMatchObject({ code: 0, out: `${file} is written\n` });
    expect(await readFile(file, 'utf8')).toContain('receivers: { otlp: {} }');
    expect((await cli(args)).err).toContain('an existing file is not replaced');
  });

  it('stores at once on demand, but nothing that lacks its secrets', async () => {
    api.on('PUT /configs/base', () => ({ name: 'base', version: 1, hash: 'ab'.repeat(32) }));
    api.on(`GET /agents/${UID}`, () => agent('a: 1\n'));
    expect(await cli(['config', 'import', '--agent', UID, '--name', 'base', '--push'])).toMatchObject({
      code: 0,
      out: 'base@1  abababababab\n',
    });
    api.on(`GET /agents/${UID}`, () => agent('token: "[redacted]"\n'));
    const run = await cli(['config', 'import', '--agent', UID, '--name', 'base', '--push']);
    expect(run.code).toBe(1);
    expect(run.err).toContain('1 values are secret and not known here: token');
  });

  it('says so when the agent has told nothing', async () => {
    api.on(`GET /agents/${UID}`, () => agent(null));
    expect((await cli(['config', 'import', '--agent', UID, '--name', 'base'])).err).toContain('has not reported what it runs');
  });
});

describe('drift', () => {
  const SURVEY = {
    agents: 500,
    compared: 200,
    sampled: true,
    estimated: false,
    states: { none: 198, drifted: 1, pending: 1, unknown: 0 },
    items: [
      {
        uid: UID,
        group: 'prod',
        desired: { name: 'base', version: 3, hash: '' },
        drift: {
          state: 'drifted',
          reason: '',
          truncated: false,
          differences: [
            { path: 'a::b', change: 'changed', desired: '1s', effective: '2s' },
            { path: 'c', change: 'missing', desired: 'x', effective: null },
          ],
        },
      },
    ],
  };

  it('shows who differs in what, and fails on demand', async () => {
    api.on('GET /fleet/drift', () => SURVEY);
    const run = await cli(['drift', '--selector', 'env=prod', '--compare', '200']);
    expect(run.code).toBe(0);
    expect(run.out).toContain('base@3   a::b: 1s -> 2s\n');
    expect(run.out).toContain('c: x is missing\n');
    expect(run.out).toContain('compared 200 connected agents of 500, chosen at random: drifted 1, as they should 198, pending 1\n');
    expect(api.requests[0]?.path).toBe('/fleet/drift?selector=env%3Dprod&compare=200&limit=100');
    expect((await cli(['drift', '--check'])).code).toBe(1);
  });

  it('stands with the agent too', async () => {
    api.on(`GET /agents/${UID}`, () => ({
      uid: UID,
      gateway: null,
      lastSeenAt: null,
      group: null,
      attributes: {},
      labels: {},
      capabilities: [],
      health: { status: 'healthy', since: null },
      config: { status: 'applied', hash: null, error: '', desired: null, inSync: null },
      pin: null,
      history: [{ hash: 'ab'.repeat(32), config: { name: 'base', version: 3 }, status: 'applied', at: '2026-01-01T00:00:00Z' }],
      drift: SURVEY.items[0]?.drift,
    }));
    expect((await cli(['agents', 'get', UID])).out).toMatch(/drift: +drifted\n +a::b: 1s -> 2s\n +c: x is missing\n/);
    expect((await cli(['agents', 'get', UID])).out).toContain('2026-01-01T00:00:00Z applied base@3 abababababab');
  });
});
