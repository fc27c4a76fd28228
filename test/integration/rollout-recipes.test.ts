/** The five recipes of docs/rollout.md: the commands as they stand there, against real processes. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, type TestContext } from 'vitest';
import { STRATEGY_PRESETS } from '@opamp-gateway/coordinator/rollout/strategy';
import type { ConfigRef } from '../support/api-client.ts';
import { collectorConfig } from '../support/collector-config.ts';
import type { Fleet } from '../support/fleet.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, isEnded, waitForRollout } from '../support/rollouts.ts';
import { notOn } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';
import { type CliRun, runProgram } from './cli-program.ts';

const PAGE = new URL('../../docs/rollout.md', import.meta.url);
const CLI = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url));
const AGENTS = 8;
/** Half, and then for ever. */
const HALF = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

const stack = shareStack({ gateways: 1, coordinators: 1 });

interface Recipe {
  readonly title: string;
  readonly commands: readonly string[];
  readonly strategies: readonly object[];
}

/** The numbered sections below "Recipes", each with its commands, line by line, and its strategies. */
async function readRecipes(): Promise<readonly Recipe[]> {
  const page = await readFile(PAGE, 'utf8');
  return [...page.matchAll(/^### \d\. (.*)\n((?:(?!^##).*\n)*)/gm)].map(([, title = '', text = '']) => {
    const blocks = (language: string): string[] =>
      [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);
    return {
      title,
      commands: blocks('sh').flatMap((block) => block.trimEnd().split('\n')),
      strategies: blocks('json').map((block) => JSON.parse(block) as object),
    };
  });
}

/** A strategy that waits for nothing: what is tried here is that everything in it is understood. */
function hastened(strategy: object): object {
  const text = JSON.stringify(strategy).replaceAll(/"soak":"\w+"/g, '"soak":"0s"');
  return { ...(JSON.parse(text) as object), healthHold: '0s', canaryMinHealthy: '0s', maxInFlight: 1_000 };
}

/** A directory in which the commands of the page run. */
class Desk {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(context: TestContext): Promise<Desk> {
    const directory = await mkdtemp(join(tmpdir(), 'opampctl-recipes-'));
    context.onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const shim = join(directory, 'opampctl');
    await writeFile(shim, `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`);
    await chmod(shim, 0o755);
    return new Desk(directory);
  }

  async write(file: string, content: string | object): Promise<void> {
    await writeFile(join(this.#directory, file), typeof content === 'string' ? content : JSON.stringify(content));
  }

  /** Runs a line of the page, with other names in it where the page has made some up. Rejects when it ends with another code. */
  async run(line: string | undefined, replace: Readonly<Record<string, string>> = {}, code = 0): Promise<CliRun> {
    let command = line ?? '';
    for (const [from, to] of Object.entries(replace)) {
      if (!command.includes(from)) throw new Error(`"${command}" has no "${from}": the page has changed, and this test has to`);
      command = command.replaceAll(from, to);
    }
    const run = await runProgram('/bin/sh', ['-euc', command], {
      cwd: this.#directory,
      env: {
        PATH: `${this.#directory}:${process.env['PATH'] ?? ''}`,
        HOME: this.#directory,
        OPAMP_API_URL: stack().apiUrl,
        USER: 'tester',
      },
    });
    if (run.code !== code) throw new Error(`"${command}" ended with ${run.code}, not ${code}:\n${run.out}\n${run.err}`);
    return run;
  }
}

async function newest(): Promise<string> {
  return (await stack().api.listRollouts({ group: 'edge' }))[0]?.id ?? '';
}

async function expectAllOn(fleet: Fleet, { hash }: ConfigRef): Promise<void> {
  await waitUntilRight('every agent to run it', async () => notOn(await fleet.records(), hash));
}

it('does what the recipes of docs/rollout.md say, command by command', { timeout: 600_000 }, async (context) => {
  const { api } = stack();
  const fleet = await useFleet(context, stack(), { name: 'edge', agents: AGENTS });
  const desk = await Desk.open(context);
  const [first, exporter, single, emergency, nights, ...more] = await readRecipes();
  expect(more).toEqual([]);
  const versionOf = async (): Promise<ConfigRef> => await api.putConfig('collector', collectorConfig('as it is'));

  // 1. The first config of a new fleet.
  const [observe, list, push1, push2, manage, preview, start, ...rest1] = first?.commands ?? [];
  expect(rest1).toEqual([]);
  await desk.write('running-now.yaml', collectorConfig('running now'));
  await desk.write('collector.yaml', collectorConfig('first'));
  await desk.write('careful.json', hastened({ preset: 'careful', ...STRATEGY_PRESETS['careful'] }));
  const asFile = { '--strategy careful': '--strategy careful.json' };
  await desk.run(observe);
  await waitUntil(
    'the list to show every agent of the group',
    async () => (await desk.run(list)).out,
    (out) => (out.match(/otelcol/g) ?? []).length >= AGENTS,
  );
  expect((await desk.run(push1)).out).toContain('collector@1');
  expect((await desk.run(push2)).out).toContain('collector@2');
  await desk.run(manage);
  await desk.run(preview, asFile);
  expect((await desk.run(start, asFile, 3)).err).toContain('approval');
  await desk.run('opampctl rollout promote ID', { ID: await newest() });
  const begun = await waitForRollout(api, await newest(), 'to end', isEnded);
  expect(begun).toMatchObject({ phase: 'succeeded', to: { version: 2 }, from: { version: 1 }, counts: { applied: AGENTS } });
  await expectTruth(api, fleet, begun.id);
  const deployment = await Deployment.create(api, fleet);

  // 2. Add an exporter everywhere.
  const [push3, diff, preview3, start3, ...rest2] = exporter?.commands ?? [];
  expect(rest2).toEqual([]);
  await desk.write('collector.yaml', collectorConfig('second'));
  await desk.write('exporter.json', hastened(exporter?.strategies[0] ?? {}));
  await desk.run(push3);
  expect((await desk.run(diff, { ' 11 12': ' 2 3' })).out).toContain('second');
  await desk.run(preview3, { '@12': '@3' });
  await desk.run(start3, { '@12': '@3' });
  const added = await api.getRollout(await newest());
  expect(added).toMatchObject({ phase: 'succeeded', to: { version: 3 }, counts: { applied: AGENTS } });

  // 3. One agent only.
  const [push4, pin, get, unpin, ...rest3] = single?.commands ?? [];
  expect(rest3).toEqual([]);
  const uid = (await fleet.record(0)).uid;
  const named = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(pin ?? '')?.[0] ?? '';
  await desk.write('debug.yaml', collectorConfig('debug'));
  await desk.run(push4);
  await desk.run(pin, { [named]: uid });
  const isOn = async (hash: string): Promise<void> => {
    await waitUntil(
      'the agent to run it',
      async () => (await fleet.record(0)).running,
      (running) => running === hash,
    );
  };
  await isOn((await api.putConfig('debug', collectorConfig('debug'))).hash);
  expect((await desk.run(get, { [named]: uid })).out).toContain('debug@1');
  await desk.run(unpin, { [named]: uid });
  await isOn(added.to.hash);
  await desk.write('one.json', JSON.parse(JSON.stringify(single?.strategies[0]).replaceAll(named, uid)) as object);
  const canary = await desk.run('opampctl rollout start -g edge -c collector@3 --strategy one.json --dry-run');
  expect(canary.out).toContain(uid);

  // 4. Emergency rollback.
  const [abort, rollback, freeze, rollouts, abortAll, unfreeze, supersede, ...rest4] = emergency?.commands ?? [];
  expect(rest4).toEqual([]);
  const bad = await versionOf();
  const half = async (): Promise<string> => {
    const id = await deployment.start(bad, HALF);
    await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
    return id;
  };
  const aborted = await half();
  await desk.run(abort, { ID: aborted });
  await deployment.finish(aborted, 'rolled_back');
  const done = await deployment.start(bad);
  await deployment.finish(done, 'succeeded');
  await desk.run(rollback, { ID: done });
  const taken = await newest();
  await deployment.finish(taken, 'succeeded');
  expect(await api.getRollout(taken)).toMatchObject({ revertOf: done, to: { version: 3 } });
  await expectAllOn(fleet, added.to);
  const stopped = await half();
  await desk.run(freeze);
  expect((await desk.run(rollouts)).out).toContain(stopped);
  await desk.run(abortAll, { ID: stopped });
  await deployment.finish(stopped, 'rolled_back');
  await desk.run(unfreeze);
  const replaced = await half();
  const fixed = await api.putConfig('collector', collectorConfig('fixed'));
  await desk.write('hotfix.json', hastened(emergency?.strategies[0] ?? {}));
  await desk.run(supersede, { '@13': `@${fixed.version}` });
  expect((await api.getRollout(replaced)).phase).toBe('rolled_back');
  await expectAllOn(fleet, fixed);

  // 5. A maintenance window.
  const [preview5, start5, ...rest5] = nights?.commands ?? [];
  expect(rest5).toEqual([]);
  const version = { '@12': `@${(await versionOf()).version}` };
  await desk.write('nights.json', nights?.strategies[0] ?? {});
  expect((await desk.run(preview5, version)).out).toContain('2030-01-28');
  await desk.run(start5, version);
  const night = await newest();
  await waitForRollout(api, night, 'to wait for its time', ({ holds }) => holds.includes('not_started'));
  await desk.run('opampctl rollout cancel ID', { ID: night });
  await deployment.finish(night, 'cancelled');
  await expectAllOn(fleet, fixed);
});
