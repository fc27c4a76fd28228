// `npm run fix`: repairs what the linter can repair safely, then formats. Arguments name files; none means everything.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './setup.mjs';

const files = process.argv.slice(2);
for (const command of [
  ['oxlint/bin/oxlint', '--fix', '--quiet'],
  ['oxfmt/bin/oxfmt', '--write'],
]) {
  const [path, ...args] = command;
  const result = spawnSync(process.execPath, [join(root, 'node_modules', path), ...args, ...files], { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) process.exitCode = 1;
}
