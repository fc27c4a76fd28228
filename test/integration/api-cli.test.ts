import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { FAST_STRATEGY } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';

const MAIN = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));

const stack = shareStack({ gateways: 1, coordinators: 1 });
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Run {
  code: number;
  out: string;
  err: string;
}

/** Runs the program as a user does, in a process of its own. */
async function opampctl(...args: string[]): Promise<Run> {
  return await new Promise((resolve) => {
    const options = { env: { PATH: process.env['PATH'] ?? '', OPAMP_API_URL: stack().apiUrl, USER: 'tester' }, timeout: 150_000 };
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err });
    });
  });
}

async function ok(...args: string[]): Promise<string> {
  const run = await opampctl(...args);
  if (run.code !== 0) throw new Error(`opampctl ${args.join(' ')} exited ${run.code}: ${run.err}${run.out}`);
  return run.out;
}

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const config = (mark: string): string =>
  `# ${mark}\nreceivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n`;

describe('opampctl against a running stack', () => {
  it('takes a fleet from nothing to a good version, back from a bad one, and says so by its exit code', async (context) => {
    const fleet = await useFleet(context, stack(), {
      name: 'cli',
      agents: 30,
      profiles: [{ profile: 'normal', fraction: 1, overrides: { failOn: [{ kind: 'validation', match: { contains: 'version bad' } }] } }],
    });
    const strategy = await file('strategy.json', JSON.stringify(FAST_STRATEGY));
    expect(await ok('config', 'push', 'base', await file('good.yaml', config('version good')), '-m', 'first')).toContain('base@1');
    await ok('config', 'push', 'base', await file('bad.yaml', config('version bad')), '-m', 'second');
    expect(await ok('config', 'diff', 'base', '1', '2')).toContain('-# version good\n+# version bad');
    await ok('group', 'set', 'cli', '--selector', fleet.selector);
    // Agents are in no group until their gateway has read the new spec.
    await waitUntil(
      'the group to have its agents',
      async () => await ok('group', 'list'),
      (out) => /^cli .* 30 +30 /m.test(out),
    );

    const good = await opampctl('rollout', 'start', '-g', 'cli', '-c', 'base@1', '--strategy', strategy, '--reason', 'first', '--watch');
    expect(good).toMatchObject({ code: 0 });
    expect(good.out).toMatch(/succeeded.*\(applied 30\)/);
    expect(good.err).toContain('warning: no_way_back');

    const bad = await opampctl('rollout', 'start', '-g', 'cli', '-c', 'base', '--strategy', strategy, '--watch');
    expect(bad).toMatchObject({ code: 2 });
    const [, id = ''] = /rollout (\S+) has started/.exec(bad.out) ?? [];
    expect(await ok('rollout', 'get', id)).toContain('base@1 -> base@2');
    expect(await ok('rollout', 'events', id)).toContain('rolled_back');
    expect(await ok('rollout', 'list', '-g', 'cli')).toMatch(/rolled_back[^]*succeeded/);
    const agents = JSON.parse(await ok('agents', 'list', '-g', 'cli', '--json')) as { config: { inSync: boolean } }[];
    expect(agents).toHaveLength(30);
    await waitUntil(
      'every agent to be back on the good version',
      async () =>
        JSON.parse(await ok('agents', 'list', '-g', 'cli', '--json')) as { config: { inSync: boolean; desired: { version: number } } }[],
      (all) => all.every(({ config: { inSync, desired } }) => inSync && desired.version === 1),
    );
    expect(await ok('fleet')).toMatch(/^agents: +30: 30 connected/m);
    expect(await ok('audit')).toContain('rollout.create');
  });

  it('restarts an agent, moves it between groups by a label, and shows what it runs', async (context) => {
    const fleet = await useFleet(context, stack(), { name: 'one', agents: 1 });
    const { uid } = await fleet.record(0);
    await ok('agents', 'restart', uid, '--reason', 'test');
    await waitUntil(
      'the agent to have got the command',
      async () => (await fleet.record(0)).restartCommands,
      (commands) => commands === 1,
    );

    await ok('group', 'set', 'gold', '--selector', 'label.tier=gold', '--priority', '50');
    await ok('agents', 'label', uid, 'tier=gold');
    await waitUntil(
      'the agent to be in its new group',
      async () => await ok('agents', 'list', '--group', 'gold'),
      (out) => out.includes(uid),
    );

    await ok('config', 'push', 'own', await file('own.yaml', config('pinned')));
    await ok('agents', 'pin', uid, 'own');
    await waitUntil(
      'the agent to run its own config',
      async () =>
        JSON.parse(await ok('agents', 'get', uid, '--json')) as {
          config: { inSync: boolean };
          effective: { files: Record<string, { body: string }> } | null;
        },
      (agent) => agent.config.inSync && Object.values(agent.effective?.files ?? {}).some(({ body }) => body.includes('otlp')),
    );
    await ok('agents', 'unpin', uid);
  });
});
