// Compiles all packages with `tsc -b`, copies what is not TypeScript beside it, removes outputs without a source, and builds
// the dashboard when its sources changed.
// Started by set-up on the pinned Node when a source changed; `npx tsc -b` alone does the compiling.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { buildProjects, dashboard, dashboardCurrent, dashboardFingerprint, root } from './setup.mjs';

const OUTPUT = /\.(?:js|js\.map|d\.ts|d\.ts\.map)$/;

/** The coordinator's validation of configs, which the command line client brings along: its package depends on nothing of ours. */
const validation = join(root, 'packages', 'coordinator', 'dist', 'validation');
const carried = join(root, 'packages', 'cli', 'dist', 'validation');

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
    if (path.startsWith(carried + sep)) continue;
    const stem = relative(output, path).replace(OUTPUT, '');
    // A deleted or renamed module must not stay importable.
    if (OUTPUT.test(path) && !existsSync(join(source, `${stem}.ts`)) && !existsSync(join(source, relative(output, path)))) rmSync(path);
  }
}
carryValidation();
const dashboardStatus = buildDashboard();
process.exitCode = result.status === 0 ? dashboardStatus : (result.status ?? 1);

function carryValidation() {
  rmSync(carried, { recursive: true, force: true });
  for (const path of filesUnder(validation)) {
    if (!path.endsWith('.js')) continue;
    const target = join(carried, relative(validation, path));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path, target);
  }
}

/** Exit code of the dashboard's own build, 0 when nothing has to be done. */
function buildDashboard() {
  if (dashboardCurrent()) return 0;
  // Taken before the build, so that what is saved during it counts as changed.
  const fingerprint = dashboardFingerprint();
  const { status } = spawnSync(process.execPath, [join(dashboard, 'build.mjs')], { cwd: dashboard, stdio: 'inherit' });
  if (status === 0) writeFileSync(join(dashboard, 'dist', '.fingerprint'), fingerprint);
  return status ?? 1;
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.split(sep).includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name));
}
