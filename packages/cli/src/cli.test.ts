import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runWith, sendProblem, startFakeCoordinator } from '../test-support/fake-api.ts';
import type { CliRun, FakeCoordinator, RunOptions } from '../test-support/fake-api.ts';

let api: FakeCoordinator;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
});
afterAll(() => rm(directory, { recursive: true }));
beforeEach(async () => {
  api = await startFakeCoordinator();
});
afterEach(() => api.close());

async function cli(args: string[], options: RunOptions = {}): Promise<CliRun> {
  return await runWith(args, { ...options, env: { OPAMP_API_URL: api.url, ...options.env } });
}

const VERSION = {
  name: 'base',
  version: 3,
  hash: 'ab'.repeat(32),
  createdAt: '2026-01-02T03:04:05.678Z',
  createdBy: 'bob',
  message: 'why',
  files: { '': { body: 'a: 1\n' } },
  validation: { errors: 0, warnings: 0, findings: [] },
};
const GROUP = {
  name: 'prod',
  selector: 'env=prod',
  priority: 5,
  mode: 'manage',
  stable: null,
  activeRollout: null,
  counts: { agents: 2, connected: 1, health: {} },
};

describe('usage', () => {
  it.each([[['--help']], [['config', '--help']], [['rollout', 'start', '--help']]])('%j prints help and exits 0', async (args) => {
    const run = await cli(args);
    expect(run.code).toBe(0);
    expect(run.out).toContain('Usage: opampctl');
  });

  it.each([
    [['nonsense']],
    [['config', 'push', 'name']],
    [['group', 'set', 'g', '--colour', 'red']],
    [['rollout', 'start', '--group', 'g']],
    [['rollout', 'start', '-g', 'g', '-c', 'a@0']],
    [['rollout', 'watch', 'r', '--timeout', '5 minutes']],
    [['agents', 'list', '--limit', '0']],
    [['agents', 'list', '--connected', '--away']],
    [['fleet', '--url', 'ftp://x']],
  ])('%j is refused with exit code 1, before anything is sent', async (args) => {
    const run = await cli(args);
    expect(run.code).toBe(1);
    expect(run.err).toMatch(/error|Usage/);
    expect(api.requests).toEqual([]);
  });

  it('says what to do when nobody answers', async () => {
    const run = await runWith(['fleet'], { env: { OPAMP_API_URL: 'http://127.0.0.1:1' } });
    expect(run.code).toBe(1);
    expect(run.err).toContain('http://127.0.0.1:1 cannot be reached');
    expect(run.err).toContain('next: is a coordinator running there?');
  });

  it('sends the token, takes a URL with /api/v1, and puts --url before the environment', async () => {
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    const run = await runWith(['gateways', '--url', `${api.url}/api/v1/`], {
      env: { OPAMP_API_URL: 'http://127.0.0.1:1', OPAMP_API_TOKEN: 't0ken' },
    });
    expect(run).toEqual({ code: 0, out: 'no gateways\n', err: '' });
    expect(api.requests[0]?.headers['authorization']).toBe('Bearer t0ken');
  });

  it('prints a single error that the summary does not contain, and not twice one that it does', async () => {
    api.on('GET /groups/g', () => GROUP);
    const errors = [{ path: 'strategy.rate', message: 'must be an object, is 40' }];
    api.on('PUT /groups/g', (_request, response) => sendProblem(response, 422, 'invalid-body', 'one field is wrong', { errors }));
    expect((await cli(['group', 'set', 'g', '--mode', 'x'])).err).toContain('  strategy.rate: must be an object, is 40\n');
    api.on('PUT /groups/g', (_request, response) =>
      sendProblem(response, 422, 'invalid-body', 'strategy.rate: must be an object, is 40', { errors }),
    );
    expect((await cli(['group', 'set', 'g', '--mode', 'x'])).err.match(/must be an object/g)).toHaveLength(1);
  });

  it('prints the whole problem with --json, and every single error without', async () => {
    api.on('PUT /groups/g', (_request, response) =>
      sendProblem(response, 422, 'invalid-body', 'two things', {
        errors: [
          { path: 'priority', message: 'must be integer' },
          { path: 'mode', message: 'must be one of manage, observe' },
        ],
      }),
    );
    api.on('GET /groups/g', () => GROUP);
    const plain = await cli(['group', 'set', 'g', '--mode', 'x']);
    expect(plain.code).toBe(1);
    expect(plain.err).toContain('  priority: must be integer\n  mode: must be one of');
    const json = await cli(['--json', 'group', 'set', 'g', '--mode', 'x']);
    expect(JSON.parse(json.out)).toMatchObject({ type: '/problems/invalid-body', status: 422 });
  });

  it('names the next step for a problem', async () => {
    api.on('GET /fleet', (_request, response) => sendProblem(response, 401, 'unauthenticated', 'no token'));
    expect((await cli(['fleet'])).err).toContain('next: put a token into OPAMP_API_TOKEN');
  });

  it('does not hand control characters to the terminal', async () => {
    const nasty = '\u001b[2Jx\r\ny';
    api.on('GET /agents', () => ({
      items: [
        {
          uid: 'u',
          attributes: { 'service.name': nasty },
          group: null,
          gateway: 'g',
          lastSeenAt: null,
          health: { status: 'healthy' },
          config: { status: 'unset', desired: null, inSync: null },
        },
      ],
      nextCursor: null,
    }));
    const run = await cli(['agents', 'list']);
    expect(run.out).toContain('[2Jx y');
    expect(run.out).not.toContain('\u001b');
  });
});

describe('config', () => {
  it('pushes a file with its message', async () => {
    const file = join(directory, 'a.yaml');
    await writeFile(file, 'a: 1\n');
    api.on('PUT /configs/base', () => VERSION);
    const run = await cli(['config', 'push', 'base', file, '--message', 'why']);
    expect(run).toMatchObject({ code: 0, out: 'base@3  abababababab\n' });
    expect(api.requests[0]?.body).toEqual({ files: { '': { body: 'a: 1\n', contentType: 'text/yaml' } }, message: 'why' });
  });

  it('shows findings the way compilers do', async () => {
    const errors = [
      {
        code: 'E_REF',
        severity: 'error',
        path: 'service',
        line: 7,
        column: 5,
        message: 'no such receiver',
        suggestion: 'did you mean otlp?',
      },
      { code: 'W_UNUSED', severity: 'warning', path: 'x', line: 2, column: 1, message: 'not used' },
    ];
    api.on('PUT /configs/base', (_request, response) => sendProblem(response, 422, 'invalid-config', 'x', { errors }));
    const run = await cli(['config', 'push', 'base', '-'], { stdin: 'a: 1' });
    expect(run.code).toBe(1);
    expect(run.err).toContain('<stdin>:7:5: error E_REF: no such receiver (did you mean otlp?)\n<stdin>:2:1: warning W_UNUSED: not used\n');
    expect(run.err).toContain('error: <stdin> was not stored: 1 error\n');
  });

  it('validate exits 1 on errors and 0 on warnings', async () => {
    const finding = { code: 'W_UNUSED', severity: 'warning', path: 'x', line: 2, column: 1, message: 'not used' };
    api.on('POST /configs/validate', () => ({ findings: [finding] }));
    expect(await cli(['config', 'validate', '-'], { stdin: 'a: 1' })).toMatchObject({
      code: 0,
      out: '<stdin>:2:1: warning W_UNUSED: not used\n0 errors, 1 warning\n',
    });
    api.on('POST /configs/validate', () => ({ findings: [{ ...finding, severity: 'error' }] }));
    expect((await cli(['config', 'validate', '-'], { stdin: 'a: 1' })).code).toBe(1);
  });

  it('prints the text of a version', async () => {
    api.on('GET /configs/base/versions/3', () => VERSION);
    expect((await cli(['config', 'get', 'base@3'])).out).toBe('a: 1\n');
    expect(JSON.parse((await cli(['config', 'get', 'base@3', '--json'])).out)).toEqual(VERSION);
  });

  it('walks over the pages of a list', async () => {
    api.on('GET /configs/base/versions', ({ path }) =>
      path.includes('cursor=next')
        ? { items: [{ ...VERSION, version: 1 }], nextCursor: null }
        : { items: [VERSION, { ...VERSION, version: 2 }], nextCursor: 'next' },
    );
    const run = await cli(['config', 'versions', 'base']);
    expect(run.out.split('\n').map((line) => line.split(' ', 1)[0])).toEqual(['CONFIG', 'base@3', 'base@2', 'base@1', '']);
  });
});

describe('group', () => {
  it('changes only what is given', async () => {
    api.on('GET /groups/prod', () => GROUP);
    api.on('PUT /groups/prod', ({ body }) => ({ ...GROUP, ...(body as object) }));
    const run = await cli(['group', 'set', 'prod', '--priority', '-7', '--expect-agents', '30']);
    expect(run).toMatchObject({ code: 0, out: 'group prod: env=prod, priority -7, manage\n' });
    expect(api.requests.at(-1)?.body).toEqual({ selector: 'env=prod', priority: -7, mode: 'manage', policy: {}, expectAgents: 30 });
  });

  it('sets and clears what the configs of a group may do', async () => {
    api.on('GET /groups/prod', () => ({ ...GROUP, policy: { allowProviders: false, allowFragments: true } }));
    api.on('PUT /groups/prod', ({ body }) => ({ ...GROUP, ...(body as object) }));
    const run = await cli(['group', 'set', 'prod', '--allow', 'no-pipelines', '--deny', 'fragments', '--usual', 'providers']);
    expect(run.out).toBe('group prod: env=prod, priority 5, manage, allows no-pipelines, denies fragments\n');
    expect(api.requests.at(-1)?.body).toMatchObject({ policy: { allowNoPipelines: true, allowFragments: false } });
    expect((await cli(['group', 'set', 'prod', '--allow', 'everything'])).err).toContain('expected providers, no-pipelines, fragments');
  });

  it('needs a selector for a new group', async () => {
    api.on('GET /groups/prod', (_request, response) => sendProblem(response, 404, 'group-not-found', 'none'));
    const run = await cli(['group', 'set', 'prod']);
    expect(run.code).toBe(1);
    expect(run.err).toContain('next: add --selector');
  });

  it('names the flag that confirms a large change', async () => {
    api.on('GET /groups/prod', () => GROUP);
    api.on('PUT /groups/prod', (_request, response) =>
      sendProblem(response, 409, 'expect-agents', '300 agents would change', { agentsChanging: 300 }),
    );
    expect((await cli(['group', 'set', 'prod', '--selector', ''])).err).toContain(
      'next: if that is right, repeat with --expect-agents 300',
    );
  });

  it('fits its tables to the terminal', async () => {
    api.on('GET /groups', () => ({ items: [{ ...GROUP, selector: `env in (${'long,'.repeat(40)}x)` }], nextCursor: null }));
    const lines = (await cli(['group', 'list'], { columns: 100 })).out.trimEnd().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(lines[1]).toContain('…');
    // Not a terminal: nothing is cut, other programs read it.
    expect((await cli(['group', 'list'])).out).toContain('long,x)');
  });
});

describe('agents', () => {
  const UID = '0190aaaa-0000-7000-8000-000000000001';

  it('passes filters on', async () => {
    api.on('GET /agents', () => ({ items: [], nextCursor: null }));
    await cli(['agents', 'list', '-s', 'env=prod', '-g', 'prod', '--away', '--rollout', 'r1', '--status', 'failed']);
    expect(api.requests[0]?.path).toBe('/agents?selector=env%3Dprod&group=prod&rollout=r1&status=failed&connected=false&limit=100');
  });

  it('sets and removes labels', async () => {
    api.on(`GET /agents/${UID}`, () => ({ labels: { a: '1', b: '2' } }));
    api.on(`PUT /agents/${UID}/labels`, ({ body }) => body);
    const run = await cli(['agent', 'label', UID, 'c=3=x', 'a-']);
    expect(run.out).toBe('b=2, c=3=x\n');
    expect(api.requests.at(-1)?.body).toEqual({ labels: { b: '2', c: '3=x' } });
  });

  it('pins to the newest version unless one is given', async () => {
    api.on('GET /configs/base', () => VERSION);
    api.on(`PUT /agents/${UID}/pin`, () => ({}));
    expect((await cli(['agents', 'pin', UID, 'base'])).out).toBe('pinned to base@3\n');
    expect(api.requests.at(-1)?.body).toEqual({ config: { name: 'base', version: 3 } });
  });
});
