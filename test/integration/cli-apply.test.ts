import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectorConfig } from '../support/collector-config.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { opampctl, type CliRun } from './cli-program.ts';
import { FAST_STRATEGY } from '../support/rollouts.ts';

const stack = shareStack({ gateways: 2, coordinators: 1 });
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'opampctl-apply-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const run = async (...args: string[]): Promise<CliRun> => await opampctl(args, { OPAMP_API_URL: stack().apiUrl });

async function put(file: string, text: string): Promise<void> {
  await mkdir(dirname(join(directory, file)), { recursive: true });
  await writeFile(join(directory, file), text);
}

describe('opampctl apply against a running stack', () => {
  it('brings a fleet to what a directory says, once, and says by its exit code when that was taken back', async (context) => {
    const fleet = await useFleet(context, stack(), {
      name: 'apply',
      agents: 30,
      profiles: [{ profile: 'normal', fraction: 1, overrides: { failOn: [{ kind: 'validation', match: { contains: 'version bad' } }] } }],
    });
    const group = { selector: fleet.selector, priority: 10, config: 'apply-base', strategy: FAST_STRATEGY };
    await put('configs/apply-base.yaml', collectorConfig('version good'));
    await put('groups.yaml', JSON.stringify({ 'apply-group': group }));

    const dry = await run('apply', '-f', directory, '--dry-run');
    expect(dry).toMatchObject({ code: 0 });
    expect(dry.out).toBe(
      '+ config apply-base@1\n+ group apply-group: env=apply, priority 10, manage\n> rollout of apply-group: - -> apply-base@1, strategy of its own\n',
    );
    expect((await run('config', 'list')).out).not.toContain('apply-base');

    const first = await run('apply', '-f', directory, '--wait', '-m', 'first');
    expect(first).toMatchObject({ code: 0 });
    expect(first.out).toMatch(/succeeded.*\(applied 30\)/);
    expect(await run('apply', '-f', directory, '--wait')).toEqual({ code: 0, out: 'no changes\n', err: '' });

    await put('configs/apply-base.yaml', collectorConfig('version bad'));
    const bad = await run('apply', '-f', directory, '--wait');
    expect(bad.out).toContain('~ config apply-base: version 1 -> 2\n> rollout of apply-group: apply-base@1 -> apply-base@2');
    expect(bad).toMatchObject({ code: 2 });
    // What was taken back is not tried again by the next run of a pipeline.
    const again = await run('apply', '-f', directory, '--wait');
    expect(again).toMatchObject({ code: 2 });
    expect(again.out).toContain('is not started again');

    // Going back in version control ends with what the fleet runs: a new version, and nothing to roll out.
    await put('configs/apply-base.yaml', collectorConfig('version good'));
    const back = await run('apply', '-f', directory, '--wait');
    expect(back).toMatchObject({ code: 0, out: '~ config apply-base: version 2 -> 3\n' });
    expect(await run('apply', '-f', directory)).toMatchObject({ code: 0, out: 'no changes\n' });
  });

  it('changes nothing when anything is wrong, and tells all of it', async () => {
    await put('configs/broken.yaml', collectorConfig('x').replace('receivers: [otlp]', 'receivers: [oltp]'));
    await put('groups/broken.yaml', 'selector: "a=="\nconfig: nowhere\n');
    await put('configs/fine.yaml', collectorConfig('fine'));
    const failed = await run('apply', '-f', directory);
    expect(failed.code).toBe(1);
    expect(failed.err).toContain('broken.yaml:16:19: error E_REF');
    expect(failed.err).toContain('selector');
    expect(failed.err).toContain('there is no config nowhere');
    expect(failed.err).toContain('nothing was changed: 3 problems');
    expect((await run('config', 'get', 'fine')).code).toBe(1);
  });

  it('exports what apply takes, and deletes groups on demand only', async () => {
    await put('configs/exported.yaml', `# comments stay\n${collectorConfig('exported')}`);
    await put('groups/exported.yaml', 'selector: env=nobody\npriority: 3\nmode: observe\n');
    expect(await run('apply', '-f', directory)).toMatchObject({ code: 0 });

    const copy = join(directory, 'copy');
    expect(await run('export', '-o', copy)).toMatchObject({ code: 0 });
    expect(await readFile(join(copy, 'configs', 'exported.yaml'), 'utf8')).toContain('# comments stay\n');
    expect(await run('apply', '-f', copy, '--dry-run')).toMatchObject({ code: 0, out: 'no changes\n' });
    expect(await run('export', '-o', copy)).toMatchObject({ code: 0 });
    await writeFile(join(copy, 'configs', 'exported.yaml'), 'mine\n');
    expect((await run('export', '-o', copy)).err).toContain('exported.yaml');

    await rm(join(directory, 'groups', 'exported.yaml'));
    await put('groups/other.yaml', 'selector: env=nobody\n');
    expect((await run('apply', '-f', directory)).err).toContain('kept without --prune');
    expect((await run('group', 'list')).out).toContain('exported');
    // The group of the first test goes too, and its agents would be left to themselves.
    expect((await run('apply', '-f', directory, '--prune')).err).toContain('--expect-agents apply-group=30');
    expect((await run('apply', '-f', directory, '--prune', '--expect-agents', 'apply-group=30')).out).toContain('- group exported');
    expect((await run('group', 'list')).out).not.toContain('exported');
  });
});
