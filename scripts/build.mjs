// Compiles all packages with `tsc -b`, copies what is not TypeScript beside it, and removes outputs without a source.
// Started by set-up on the pinned Node when a source changed; `npx tsc -b` alone does the compiling.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { buildProjects, root } from './setup.mjs';

const OUTPUT = /\.(?:js|js\.map|d\.ts|d\.ts\.map)$/;

const result = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], { cwd: root, stdio: 'inherit' });
for (const project of buildProjects()) {
  const source = join(project, 'src');
  const output = join(project, 'dist');
  for (const path of filesUnder(source)) {
    if (path.endsWith('.ts')) continue;
    const target = join(output, relative(source, path));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path, target);
  }
  for (const path of filesUnder(output)) {
    const stem = relative(output, path).replace(OUTPUT, '');
    // A deleted or renamed module must not stay importable.
    if (OUTPUT.test(path) && !existsSync(join(source, `${stem}.ts`)) && !existsSync(join(source, relative(output, path)))) rmSync(path);
  }
}
process.exitCode = result.status ?? 1;

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.split(sep).includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name));
}
