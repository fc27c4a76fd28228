import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runWith, sendProblem, startFakeCoordinator } from '../../test-support/fake-api.ts';
import type { CliRun, FakeCoordinator, RunOptions } from '../../test-support/fake-api.ts';
import { ownVersion } from '../version.ts';

let api: FakeCoordinator;
let directory: string;
let file: string;

beforeEach(async () => {
  api = await startFakeCoordinator();
  directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
  file = join(directory, 'deep', 'contexts.json');
});
afterEach(async () => {
  await api.close();
  await rm(directory, { recursive: true });
});

const cli = async (args: string[], options: RunOptions = {}): Promise<CliRun> =>
  await runWith(args, { ...options, env: { OPAMPCTL_CONFIG: file, ...options.env } });

const GROUP = {
  name: 'prod',
  selector: 'env=prod',
  priority: 5,
  mode: 'manage',
  stable: null,
  activeRollout: null,
  counts: { agents: 2, connected: 1, health: {} },
};

describe('context', () => {
  it('keeps address and token where only the owner can read them, and uses them', async () => {
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    expect(await cli(['context', 'set', 'prod', '--url', api.url, '--token-file', '-'], { stdin: 's3cret\n' })).toMatchObject({ code: 0 });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'deep'))).mode & 0o077).toBe(0);
    expect(await cli(['gateways'])).toMatchObject({ code: 0 });
    expect(api.requests[0]?.headers['authorization']).toBe('Bearer s3cret');
    // A change of something else keeps the token and the mode.
    await cli(['context', 'set', 'other', '--url', 'http://127.0.0.1:1']);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const listed = await cli(['context', 'list']);
    expect(listed.out).toMatch(/^\* prod +http:\S+ +yes\n {2}other +http:\S+ +-\n$/m);
    expect(listed.out).not.toContain('s3cret');
  });

  it('switches by use and by --context, and the environment wins over the current one', async () => {
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    await cli(['context', 'set', 'down', '--url', 'http://127.0.0.1:1']);
    await cli(['context', 'set', 'up', '--url', api.url]);
    expect((await cli(['gateways'])).err).toContain('http://127.0.0.1:1 cannot be reached');
    expect((await cli(['gateways', '--context', 'up'])).code).toBe(0);
    expect((await cli(['gateways'], { env: { OPAMP_API_URL: api.url } })).code).toBe(0);
    await cli(['context', 'use', 'up']);
    expect((await cli(['gateways'])).code).toBe(0);
    await cli(['context', 'delete', 'up']);
    expect((await cli(['context', 'use', 'up'])).err).toContain('there is no context up');
    expect((await cli(['fleet', '--context', 'up'])).err).toContain('there is no context up');
  });

  it('sends a token to its own address only', async () => {
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    await cli(['context', 'set', 'prod', '--url', 'http://127.0.0.1:1', '--token-file', '-'], { stdin: 's3cret' });
    await cli(['gateways', '--url', api.url]);
    await cli(['gateways'], { env: { OPAMP_API_URL: api.url } });
    await cli(['context', 'set', 'prod', '--url', api.url]);
    await cli(['gateways']);
    expect(api.requests).toHaveLength(3);
    expect(api.requests.map(({ headers }) => headers['authorization'])).toEqual([undefined, undefined, undefined]);
    expect(await readFile(file, 'utf8')).not.toContain('s3cret');
  });

  it('refuses a file that others may read, or that is not understood', async () => {
    await cli(['context', 'set', 'prod', '--url', api.url]);
    await chmod(file, 0o644);
    expect((await cli(['fleet'])).err).toContain(`next: chmod 600 ${file}`);
    await chmod(file, 0o600);
    await writeFile(file, '{"contexts": {"a": {}}}');
    expect((await cli(['fleet'])).err).toContain('is not understood');
    expect(api.requests).toEqual([]);
  });

  it.each([
    [['context', 'set', 'new']],
    [['context', 'set', 'a b', '--url', 'http://x']],
    [['context', 'set', 'a', '--url', 'nowhere']],
    [['context', 'set', 'a', '--url', 'http://x', '--token-file', '/nonexistent']],
  ])('refuses %j', async (args) => {
    expect((await cli(args)).code).toBe(1);
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });
});

describe('--watch', () => {
  /** Runs until the fake API was asked this often. */
  async function watch(args: string[], times: number, options: RunOptions = {}): Promise<CliRun> {
    const interrupt = new AbortController();
    let asked = 0;
    api.on('GET /groups', (_request, response) => {
      asked += 1;
      if (asked === times) setImmediate(() => interrupt.abort());
      if (asked === 2) return sendProblem(response, 503, 'unavailable', 'away');
      return { items: [GROUP], nextCursor: null };
    });
    return await cli([...args, '--watch', '100ms'], { ...options, env: { OPAMP_API_URL: api.url }, interrupted: interrupt.signal });
  }

  it('shows a list again until interrupted, also when the API is away for a while', async () => {
    const run = await watch(['group', 'list'], 4);
    expect(run.code).toBe(0);
    expect(run.out.match(/^GROUP/gm)?.length).toBeGreaterThanOrEqual(2);
    expect(run.err).toContain('error: ');
    expect(run.out).not.toContain('\u001b');
  });

  it('draws in place on a terminal, and prints an object per line as JSON', async () => {
    expect((await watch(['group', 'list'], 4, { columns: 80 })).out.startsWith('\u001b[H\u001b[2JGROUP')).toBe(true);
    const lines = (await watch(['group', 'list', '--json'], 4)).out.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThanOrEqual(2);
    for (const line of lines) expect(JSON.parse(line)).toEqual([GROUP]);
  });

  it('ends with what will not pass', async () => {
    const run = await cli(['group', 'list', '--watch'], { env: { OPAMP_API_URL: api.url } });
    expect(run.code).toBe(1);
    expect(api.requests).toHaveLength(1);
  });
});

describe('colours', () => {
  it.each([
    [80, {}, true],
    [undefined, {}, false],
    [80, { NO_COLOR: '1' }, false],
    [80, { TERM: 'dumb' }, false],
  ])('with %s columns and %j: %s', async (columns, env, coloured) => {
    api.on('GET /gateways', () => ({
      items: [
        {
          id: 'g',
          alive: true,
          draining: false,
          address: 'a',
          connected: 1,
          unhealthy: 0,
          observed: '1:a',
          startedAt: '2026-01-01T00:00:00Z',
        },
      ],
      nextCursor: null,
    }));
    const run = await cli(['gateways'], { ...(columns === undefined ? {} : { columns }), env: { OPAMP_API_URL: api.url, ...env } });
    expect(run.out.includes('\u001b[32malive\u001b[0m')).toBe(coloured);
    expect(run.out.includes('\u001b')).toBe(coloured);
  });
});

describe('completion', () => {
  const complete = async (...words: string[]): Promise<string[]> =>
    (await cli(['__complete', '--', ...words], { env: { OPAMP_API_URL: api.url } })).out.split('\n').slice(0, -1);

  it('knows commands and options', async () => {
    expect(await complete('ro')).toEqual(['rollout']);
    expect(await complete('')).toContain('apply');
    expect(await complete('')).not.toContain('__complete');
    expect(await complete('config', 'p')).toEqual(['push']);
    expect(await complete('--json', 'agents', 're')).toEqual(['restart']);
    expect(await complete('apply', '--pr')).toEqual(['--prune']);
    expect(await complete('completion', '')).toEqual(['bash', 'fish', 'zsh']);
  });

  it('asks the API for names, and is silent when it cannot', async () => {
    expect(await complete('group', 'delete', '')).toEqual([]);
    api.on('GET /groups', () => ({ items: [GROUP, { ...GROUP, name: 'test' }], nextCursor: null }));
    api.on('GET /configs', () => ({ items: [{ name: 'base' }], nextCursor: null }));
    expect(await complete('group', 'delete', 'pr')).toEqual(['prod']);
    expect(await complete('rollout', 'start', '-g', '')).toEqual(['prod', 'test']);
    expect(await complete('rollout', 'start', '-g', 'prod', '--config', 'b')).toEqual(['base']);
    expect(await complete('config', 'get', '')).toEqual(['base']);
  });

  it.each(['bash', 'zsh', 'fish'])('prints a script for %s', async (shell) => {
    expect(await cli(['completion', shell])).toMatchObject({ code: 0, err: '' });
    expect((await cli(['completion', shell])).out).toContain('opampctl __complete --');
  });

  it('says which shells there are', async () => {
    expect((await cli(['completion', 'tcsh'])).err).toContain('next: one of bash, zsh, fish');
  });
});

describe('doctor', () => {
  const GATEWAY = {
    id: 'g1',
    alive: true,
    draining: false,
    version: ownVersion(),
    connected: 3,
    unhealthy: 0,
    observed: '7:ab',
    backlog: {},
  };
  const ABLE = { agents: 3, estimated: false, acceptsRemoteConfig: 3, reportsRemoteConfig: 3, reportsEffectiveConfig: 3, reportsHealth: 3 };
  const FLEET = { generation: 7, frozen: false, agents: { connected: 3, away: 1, health: { healthy: 3 } }, rollouts: [] };

  function healthy(): void {
    api.on('GET /fleet', () => FLEET);
    api.on('GET /gateways', () => ({ items: [GATEWAY], nextCursor: null }));
    api.on('GET /groups', () => ({ items: [GROUP], nextCursor: null }));
    api.on('GET /fleet/abilities', () => ABLE);
    api.on('GET /fleet/drift', () => ({ compared: 3, states: { none: 3, drifted: 0, pending: 0, unknown: 0 } }));
  }
  const doctor = async (options: RunOptions = {}): Promise<CliRun> =>
    await cli(['doctor'], { env: { OPAMP_API_URL: api.url }, ...options });

  it('finds nothing wrong with a fleet in which nothing is', async () => {
    healthy();
    const run = await doctor();
    expect(run.code).toBe(0);
    expect(run.out).not.toMatch(/^(warning|failed)/m);
    expect(run.out).toMatch(/^ok +reports +all 3 connected agents report everything$/m);
  });

  it('tells what is not as it should be', async () => {
    healthy();
    api.on('GET /fleet', () => ({ ...FLEET, frozen: true, rollouts: [{ id: 'r1', group: 'prod', held: true }] }));
    api.on('GET /gateways', () => ({
      items: [
        { ...GATEWAY, version: '9.9.9', observed: '5:ab' },
        { ...GATEWAY, id: 'g2', alive: false },
      ],
      nextCursor: null,
    }));
    api.on('GET /fleet/abilities', () => ({ ...ABLE, reportsRemoteConfig: 1, reportsHealth: 2 }));
    api.on('GET /fleet/drift', () => ({ compared: 3, states: { none: 1, drifted: 2, pending: 0, unknown: 0 } }));
    const run = await doctor({ nowMs: () => Date.now() + 90_000 });
    expect(run.code).toBe(0);
    for (const words of [
      /^warning +fleet +frozen/m,
      /^warning +rollouts +r1 of prod is held/m,
      /^warning +gateway g1 +is 2 changes of the fleet spec behind/m,
      /^warning +gateway g2 +its lease has ended/m,
      /^warning +version .*9\.9\.9/m,
      /^warning +reports +2 of 3 connected agents accept configs and cannot say/m,
      /^warning +reports +1 of 3 connected agents do not report health/m,
      /^warning +drift +2 of 3 agents/m,
      /^warning +clock +9\d s ahead of/m,
    ])
      expect(run.out).toMatch(words);
  });

  it.each([
    ['unauthenticated', 401, /^failed +token/m],
    ['unavailable', 503, /^failed +Redis/m],
  ])('fails for %s', async (problem, status, words) => {
    api.on('GET /fleet', (_request, response) => sendProblem(response, status, problem, 'x'));
    const run = await doctor();
    expect(run.code).toBe(1);
    expect(run.out).toMatch(words);
  });

  it('fails when nobody answers, or no gateway is alive', async () => {
    const away = await doctor({ env: { OPAMP_API_URL: 'http://127.0.0.1:1' } });
    expect(away.code).toBe(1);
    expect(away.out).toMatch(/^failed +API +.*cannot be reached/m);
    healthy();
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    expect((await doctor()).code).toBe(1);
  });
});
