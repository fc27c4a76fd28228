/** The quick start of the README, block by block as written, with a real supervisor and a real collector. */
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { findFreePort } from '../support/ports.ts';
import { Child } from './support/child.ts';
import { startStack } from './support/stack.ts';
import { CleanUp, describeInterop } from './support/suite.ts';
import { waitFor } from './support/wait-for.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HEADING = '## Five minutes with a real collector';
const DEADLINE_MS = 300_000;

interface Block {
  readonly language: string;
  readonly text: string;
}

/** Code blocks of the section in their order, without the indentation of the list they stand in. */
async function readBlocks(): Promise<Block[]> {
  const readme = await readFile(path.join(ROOT, 'README.md'), 'utf8');
  const from = readme.indexOf(HEADING);
  expect(from, `the README has the section "${HEADING}"`).toBeGreaterThan(0);
  const section = readme.slice(from, readme.indexOf('\n## ', from + 1));
  return [...section.matchAll(/^( *)```(\w+)\n(.*?)^ *```/gms)].map(([, indent = '', language = '', text = '']) => ({
    language,
    text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}

describeInterop('the quick start of the README', (binaries) => {
  it('does what it says, block by block', { timeout: 2 * DEADLINE_MS }, async (context) => {
    const cleanUp = new CleanUp();
    context.onTestFinished(() => cleanUp.run());
    const [processes, supervisorYaml, supervisor, rollout, bad, ...more] = await readBlocks();
    expect(more).toEqual([]);
    // The stack is these two on ports of its own; that the commands exist is all that is left of the block.
    const started = [...(processes?.text ?? '').matchAll(/^npm run (\w+)/gm)].map(([, name]) => name);
    expect(started).toEqual(['coordinator', 'gateway']);
    const { scripts } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    for (const name of started) expect(Object.keys(scripts)).toContain(name);

    const stack = cleanUp.add(await startStack(), (running) => running.stop());
    const scratch = cleanUp.add(await mkdtemp(path.join(tmpdir(), 'opamp-quick-start-')), (folder) =>
      rm(folder, { recursive: true, force: true }),
    );
    const gateway = new URL(stack.gatewayUrls[0] ?? '');
    const free = await findFreePort();
    const adapt = (block: Block | undefined): string =>
      (block?.text ?? '')
        .replaceAll('127.0.0.1:4320', gateway.host)
        .replaceAll('127.0.0.1:4317', `127.0.0.1:${free}`)
        // Any port that is taken will do.
        .replaceAll('127.0.0.1:6379', gateway.host);

    const shim = async (name: string, script: string): Promise<void> => {
      await writeFile(path.join(scratch, name), `#!/bin/sh\n${script}\n`);
      await chmod(path.join(scratch, name), 0o755);
    };
    const cli = path.join(ROOT, 'packages/cli/dist/main.js');
    await shim(
      'npm',
      `while [ "$1" != opampctl ]; do shift; done; shift; [ "$1" = -- ] && shift; exec "${process.execPath}" "${cli}" "$@"`,
    );
    await shim('opampsupervisor', `echo $$ > supervisor.pid; exec "${binaries().supervisor}" "$@"`);
    const bash = (script: string, ...options: string[]): Child =>
      new Child(
        'env',
        [`PATH=${scratch}:/usr/local/bin:/usr/bin:/bin`, `OPAMP_API_URL=${stack.apiUrl}`, 'bash', ...options, '-c', script],
        {
          cwd: scratch,
        },
      );

    // Its own metrics would listen on port 8888, which another collector on this machine may have.
    const yaml = adapt(supervisorYaml).replace(
      /^( +)executable: .*$/m,
      `$1executable: ${binaries().collector}\n$1args: ["--set=service.telemetry.metrics.level=none"]`,
    );
    expect(yaml).toContain(binaries().collector);
    const folder = /^mkdir -p .*$/m.exec(processes?.text ?? '')?.[0] ?? '';
    expect(await bash(folder, '-e').exited).toMatchObject({ code: 0 });
    await writeFile(path.join(scratch, 'quickstart', 'supervisor.yaml'), yaml);
    const running = cleanUp.add(bash(adapt(supervisor)), async (child) => {
      process.kill(Number(await readFile(path.join(scratch, 'supervisor.pid'), 'utf8')), 'SIGINT');
      await child.exited;
    });
    const run = async (script: string, ...options: string[]): Promise<{ code: number | null; out: string }> => {
      // One pipe for both: lines of two would come in an order of their own.
      const child = bash(`exec 2>&1\n${script}`, ...options);
      const { code } = await child.exited;
      return { code, out: child.lines.join('\n') };
    };
    await waitFor(
      'the supervisor to connect',
      DEADLINE_MS,
      async () => {
        return (await run('npm run opampctl -- agents list')).out.includes('otelcol');
      },
      () => running.tail(),
    );

    const first = await run(adapt(rollout), '-e');
    expect(first.out).toContain('succeeded: 1 agent');
    expect(first.code).toBe(0);

    // Whoever follows it in a checkout finds nothing new in `git status`.
    const left = (await readdir(scratch)).filter((name) => !['npm', 'opampsupervisor', 'supervisor.pid'].includes(name));
    expect(left).toEqual(['quickstart']);

    const second = await run(`${adapt(bad).replace(/^(npm run .*rollout start.*)$/m, '$1; echo "exit code $?"')}`);
    expect(second.out).toContain('exit code 2');
    expect(second.out.split('\n').at(-1)).toMatch(/applied +collector@1/);
  });
});
