import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { waitUntil } from '../support/wait-for.ts';
import { type CliRun, OPAMPCTL_ARGS, runProgram } from './cli-program.ts';

const PAGE = new URL('../../docs/ci-recipe.md', import.meta.url);

const stack = shareStack({ gateways: 1, coordinators: 1 });

it('runs the commands of docs/ci-recipe.md as written', async (context) => {
  await useFleet(context, stack(), { name: 'prod', agents: 12 });
  const directory = await mkdtemp(join(tmpdir(), 'opampctl-recipe-'));
  context.onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const shim = join(directory, 'opampctl');
  await writeFile(shim, `#!/bin/sh\nexec "${process.execPath}" ${OPAMPCTL_ARGS.map((word) => `"${word}"`).join(' ')} "$@"\n`);
  await chmod(shim, 0o755);

  const page = await readFile(PAGE, 'utf8');
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  expect(blocks.length).toBeGreaterThan(5);
  const script = join(directory, 'recipe.sh');
  const runScript = async (text: string): Promise<CliRun> => {
    await writeFile(script, text);
    return await runProgram('/bin/sh', ['-eux', script], {
      cwd: directory,
      env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, HOME: directory, OPAMP_API_URL: stack().apiUrl },
    });
  };

  const [nightly = ''] = blocks.splice(-1);
  expect(nightly).toContain('opampctl drift');
  const run = await runScript(blocks.join('\n'));
  if (run.code !== 0) throw new Error(`the recipe exited ${run.code}:\n${run.out}\n${run.err}`);
  expect(run.out).toContain('no changes');
  expect(run.err).toContain('E_REF');
  // The night after, what agents say they run has been heard of.
  await waitUntil(
    'the job of the night to find nothing',
    async () => await runScript(nightly),
    ({ code, out }) => code === 0 && out.includes('compared 12 connected agents: as they should 12'),
  );
  const rollouts = (await stack().api.listRollouts({ group: 'edge' })).map(({ to, phase }) => [to.version, phase]);
  expect(rollouts).toEqual([
    [3, 'succeeded'],
    [2, 'succeeded'],
    [1, 'succeeded'],
  ]);
});
