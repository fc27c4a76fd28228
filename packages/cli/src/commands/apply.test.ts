import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runWith, sendProblem, startFakeCoordinator } from '../../test-support/fake-api.ts';
import type { CliRun, FakeCoordinator } from '../../test-support/fake-api.ts';

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

const BASE = 'service: {}\n';
const HASH = { v1: '11'.repeat(32), v2: '22'.repeat(32) };
const STABLE = { name: 'base', version: 1, hash: HASH.v1 };

async function put(file: string, text: string): Promise<void> {
  await mkdir(dirname(join(directory, file)), { recursive: true });
  await writeFile(join(directory, file), text);
}

const apply = async (...args: string[]): Promise<CliRun> =>
  await runWith(['apply', '-f', directory, ...args], { env: { OPAMP_API_URL: api.url } });

/** Methods and paths of calls that change something. */
const changes = (): string[] =>
  api.requests
    .filter(({ method, path }) => method !== 'GET' && !path.includes('dryRun') && path !== '/configs/validate')
    .map(({ method, path }) => `${method} ${path}`);

/** A fleet with one config in version 2, and one group that is proven on version 1. */
function fleet(group: object = {}, rollouts: object[] = []): void {
  api.on('GET /groups', () => ({
    items: [{ name: 'prod', selector: 'env=prod', priority: 5, mode: 'manage', stable: STABLE, activeRollout: null, ...group }],
    nextCursor: null,
  }));
  api.on('GET /configs/base', () => ({ name: 'base', version: 2, hash: HASH.v2, files: { '': { body: BASE } } }));
  api.on('GET /rollouts', () => ({ items: rollouts, nextCursor: null }));
  api.on('POST /configs/validate', () => ({ findings: [], hash: '33'.repeat(32) }));
  api.on('POST /rollouts', () => ({ id: 'r9', created: true }));
}

const rollout = (more: object = {}): object => ({
  id: 'r1',
  phase: 'rolled_back',
  to: { name: 'base', version: 2, hash: HASH.v2 },
  revertOf: null,
  ...more,
});

describe('what a directory may say', () => {
  it.each([
    ['nothing', {}, 'there is nothing to apply'],
    ['an unknown field', { 'groups/a.yaml': 'selector: x\ncolour: red\n' }, 'a.yaml: there is no field colour'],
    ['no selector', { 'groups/a.yaml': 'priority: 1\n' }, 'selector must be a text'],
    ['a mode that is none', { 'groups.yaml': 'a: {selector: x, mode: maybe}\n' }, 'groups.yaml: a: mode must be manage or observe'],
    ['a priority that is none', { 'groups.yaml': 'a: {selector: x, priority: high}\n' }, 'priority must be a whole number'],
    ['a strategy without a config', { 'groups.yaml': 'a: {selector: x, strategy: fast}\n' }, 'strategy and baseline need a config'],
    ['a config that is no name', { 'groups.yaml': 'a: {selector: x, config: 7}\n' }, 'config must be NAME or NAME@VERSION'],
    ['a policy that is none', { 'groups.yaml': 'a: {selector: x, policy: {allowAll: true}}\n' }, 'policy must be a map of allowProviders'],
    ['a list of groups', { 'groups.yaml': '- a\n' }, 'expected a map of groups by name'],
    ['the same group twice', { 'groups.yaml': 'a: {selector: x}\n', 'groups/a.yaml': 'selector: y\n' }, 'group a stands in'],
    ['the same config twice', { 'configs/a.yaml': BASE, 'configs/a.yml': BASE }, 'config a stands in'],
    ['a name that is none', { 'configs/-a.yaml': BASE }, 'cannot be the name of a config'],
    ['no YAML', { 'groups.yaml': 'a: [\n' }, 'groups.yaml:'],
  ] as [string, Record<string, string>, string][])('refuses %s before anything is sent', async (_what, files, words) => {
    for (const [file, text] of Object.entries(files)) await put(file, text);
    const run = await apply();
    expect(run.code).toBe(1);
    expect(run.err).toContain(words);
    expect(api.requests).toEqual([]);
  });

  it('tells all mistakes at once', async () => {
    await put('groups.yaml', 'a: {selector: 1, mode: x}\nb: {}\n');
    const { err } = await apply();
    for (const words of ['a: selector must', 'a: mode must', 'b: selector must']) expect(err).toContain(words);
  });
});

describe('the plan', () => {
  beforeEach(async () => {
    await put('configs/base.yaml', BASE);
    await put('groups/prod.yaml', 'selector: env=prod\npriority: 5\nconfig: base\nstrategy: fast\n');
  });

  it('starts what is missing, with strategy and reason', async () => {
    fleet();
    const run = await apply('-m', 'because');
    expect(run).toMatchObject({ code: 0, out: '> rollout of prod: base@1 -> base@2, strategy fast\nrollout r9 of prod has started\n' });
    expect(changes()).toEqual(['POST /rollouts']);
    expect(api.requests.at(-1)?.body).toEqual({ group: 'prod', config: { name: 'base', version: 2 }, strategy: 'fast', reason: 'because' });
  });

  it('does nothing where all is as it should be', async () => {
    fleet({ stable: { ...STABLE, version: 2, hash: HASH.v2 } });
    expect(await apply()).toEqual({ code: 0, out: 'no changes\n', err: '' });
    expect(changes()).toEqual([]);
    expect(JSON.parse((await apply('--dry-run', '--json')).out)).toMatchObject({
      changes: false,
      groups: [{ action: 'none' }],
      rollouts: [{ action: 'none' }],
    });
  });

  it.each([
    ['rolled_back', 2],
    ['rollback_failed', 5],
    ['cancelled', 4],
  ])('does not try again what was %s, unless told to', async (phase, code) => {
    fleet({}, [rollout({ phase })]);
    const run = await apply();
    expect(run.code).toBe(code);
    expect(run.out).toContain('is not started again: r1 took it back');
    expect(changes()).toEqual([]);
    expect((await apply('--again')).code).toBe(0);
    expect(changes()).toEqual(['POST /rollouts']);
  });

  it('does not try again what somebody took back after it had succeeded', async () => {
    fleet({}, [rollout({ id: 'r2', phase: 'succeeded', to: STABLE, revertOf: 'r1' })]);
    api.on('GET /rollouts/r1', () => rollout({ phase: 'succeeded' }));
    expect((await apply()).code).toBe(2);
    expect(changes()).toEqual([]);
  });

  it('takes up a rollout to the same version, and stops at one to another', async () => {
    fleet({ activeRollout: 'r1' });
    api.on('GET /rollouts/r1', () => rollout({ phase: 'running' }));
    expect(await apply()).toMatchObject({ code: 0, out: expect.stringContaining('is under way: r1') as string });
    expect(changes()).toEqual([]);
    api.on('GET /rollouts/r1', () => rollout({ phase: 'running', to: { name: 'other', version: 1, hash: 'ff' } }));
    const run = await apply();
    expect(run.code).toBe(1);
    expect(run.err).toContain('has the active rollout r1 to other@1 (running); --supersede aborts it first');
    expect((await apply('--supersede')).code).toBe(0);
    expect(api.requests.at(-1)?.body).toMatchObject({ supersede: true });
  });

  it('offers nothing to a group that is only observed', async () => {
    await put('groups/prod.yaml', 'selector: env=prod\npriority: 5\nmode: observe\nconfig: base\n');
    fleet({ mode: 'observe' });
    const run = await apply();
    expect(run).toMatchObject({ code: 0, out: 'no changes\n' });
    expect(run.err).toContain('is only observed');
  });

  it('changes a group that moves many agents only when that is expected', async () => {
    fleet({ priority: 1, stable: { ...STABLE, hash: HASH.v2 } });
    api.on('PUT /groups/prod', ({ path }) => (path.includes('dryRun') ? { agentsChanging: 300, activeRollout: null } : {}));
    const run = await apply();
    expect(run.code).toBe(1);
    expect(run.out).toContain('~ group prod: priority 1 -> 5 (300 agents change config at once)');
    expect(run.err).toContain('--expect-agents prod=300 allows it');
    expect((await apply('--expect-agents', 'prod=100')).code).toBe(1);
    expect(changes()).toEqual([]);
    expect((await apply('--expect-agents', 'prod=290')).code).toBe(0);
    expect(api.requests.at(-1)).toMatchObject({
      method: 'PUT',
      body: { selector: 'env=prod', priority: 5, mode: 'manage', expectAgents: 300 },
    });
  });

  it('knows no configs that nobody has', async () => {
    await put('groups/prod.yaml', 'selector: env=prod\npriority: 5\nconfig: base@7\n');
    fleet();
    api.on('GET /configs/base/versions/7', (_request, response) => sendProblem(response, 404, 'config-not-found', 'none'));
    expect((await apply()).err).toContain('there is no config base@7');
    expect(changes()).toEqual([]);
  });
});

describe('the switches of a group', () => {
  it('are set before the configs that are judged by them', async () => {
    fleet();
    api.on('GET /configs/idle', (_request, response) => sendProblem(response, 404, 'config-not-found', 'none'));
    api.on('PUT /groups/idle', ({ path }) => (path.includes('dryRun') ? { agentsChanging: 0, activeRollout: null } : {}));
    api.on('PUT /configs/idle', () => ({ version: 1 }));
    api.on('GET /fleet', () => ({ generation: 1 }));
    api.on('GET /gateways', () => ({ items: [], nextCursor: null }));
    await put('configs/idle.yaml', BASE);
    await put('groups/idle.yaml', 'selector: env=idle\npolicy: {allowNoPipelines: true}\nconfig: idle\n');
    expect((await apply()).code).toBe(0);
    expect(changes()).toEqual(['PUT /groups/idle', 'PUT /configs/idle', 'POST /rollouts']);
    const bodyOf = (call: string): unknown => api.requests.findLast(({ method, path }) => `${method} ${path}` === call)?.body;
    expect(bodyOf('POST /configs/validate')).toMatchObject({ policy: { allowNoPipelines: true }, files: { '': { body: BASE } } });
    expect(bodyOf('PUT /configs/idle')).toMatchObject({ group: 'idle' });
    expect(bodyOf('PUT /groups/idle')).toMatchObject({ policy: { allowNoPipelines: true } });
  });
});
