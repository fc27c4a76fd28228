import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runProgram } from './cli-program.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGE = join(ROOT, 'packages', 'cli');

/** npm's words for a registry that cannot be reached or does not have what is asked for. */
const NO_REGISTRY = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|ENOTCACHED|E40[0-9]|E50[0-9]|network/i;

/** What npm needs of the environment: its caches and settings, but not those of the run that started the tests. */
function npmEnv(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name, value]) =>
      value !== undefined &&
      (/^(HOME|TMPDIR|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS)$/i.test(name) || /^npm_config_(cache|registry|userconfig)$/i.test(name)),
  );
  return {
    ...(Object.fromEntries(kept) as Record<string, string>),
    npm_config_update_notifier: 'false',
    npm_config_fund: 'false',
    npm_config_audit: 'false',
  };
}

it('the packed command line client runs where nothing of the repository is', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'opampctl-package-'));
  context.onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const packed = await runProgram('npm', ['pack', '--json', '--pack-destination', directory], { cwd: PACKAGE, env: npmEnv() });
  if (packed.code !== 0) throw new Error(`npm pack exited ${packed.code}: ${packed.err}`);
  const [{ filename, files }] = JSON.parse(packed.out) as [{ filename: string; files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  expect(paths).toContain('dist/main.js');
  expect(paths).toContain('README.md');
  expect(paths.filter((path) => !/^(dist\/.*\.js|package\.json|README\.md|LICENSE)$/.test(path) || path.includes('.test.'))).toEqual([]);

  const scratch = join(directory, 'elsewhere');
  await mkdir(scratch);
  // A command that needs more than the client's own code: the validation it carries, and both dependencies.
  await writeFile(
    join(scratch, 'broken.yaml'),
    'receivers: {nop: }\nexporters: {nop: }\nservice: {pipelines: {traces: {receivers: [nopp]}}}\n',
  );
  const validate = ['config', 'validate', '--offline', 'broken.yaml'];
  const npx = await runProgram('npx', ['--yes', '--prefer-offline', '--package', `../${filename}`, 'opampctl', ...validate], {
    cwd: scratch,
    env: { ...npmEnv(), npm_config_fetch_retries: '1', npm_config_fetch_timeout: '20000' },
  });
  let { code, out } = npx;
  if (!out.includes('E_') && NO_REGISTRY.test(npx.err)) {
    process.stderr.write(
      `npx could not fetch commander and yaml; the unpacked package is started beside those of the checkout:\n${npx.err}\n`,
    );
    await runProgram('tar', ['-xzf', join(directory, filename), '-C', scratch]);
    const { dependencies } = JSON.parse(await readFile(join(scratch, 'package', 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    await mkdir(join(scratch, 'node_modules'));
    for (const name of Object.keys(dependencies)) await symlink(join(ROOT, 'node_modules', name), join(scratch, 'node_modules', name));
    ({ code, out } = await runProgram(process.execPath, [join(scratch, 'package', 'dist', 'main.js'), ...validate], { cwd: scratch }));
  } else if (code !== 1) throw new Error(`npx exited ${code}: ${npx.err}`);
  expect(code).toBe(1);
  expect(out).toContain('error E_REF: service::pipelines::traces: references receiver "nopp" which is not configured');
});
