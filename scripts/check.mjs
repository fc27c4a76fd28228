// `npm run check`: formatting, lint, types, dead code. Runs every step, also after one failed, and says which did.
// Started by scripts/run.mjs on the pinned Node. Arguments name the steps to run; none means all.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, say } from './setup.mjs';

const bin = (path) => join(root, 'node_modules', path);
const STEPS = {
  format: [bin('oxfmt/bin/oxfmt'), '--list-different'],
  lint: [bin('oxlint/bin/oxlint'), '--deny-warnings'],
  types: [bin('typescript/bin/tsc'), '-p', 'tsconfig.check.json'],
  'dashboard types': [bin('typescript/bin/tsc'), '-p', 'packages/dashboard/tsconfig.json'],
  build: [bin('typescript/bin/tsc'), '-b'],
  'dead code': [bin('knip/bin/knip.js'), '--no-progress'],
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(STEPS, name));
if (unknown.length > 0) {
  say(`unknown step ${unknown.join(', ')}: there are ${Object.keys(STEPS).join(', ')}`);
  process.exit(1);
}

const failed = [];
for (const [name, command] of Object.entries(STEPS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const started = Date.now();
  const result = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) failed.push(name);
  const verdict = result.status === 0 ? 'ok' : `FAILED (${result.signal ?? `exit code ${result.status}`})`;
  process.stdout.write(`check ${name}: ${verdict} in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}
if (failed.length > 0) {
  process.stdout.write(`check failed: ${failed.join(', ')}${failed.includes('format') ? ' (npm run fix formats)' : ''}\n`);
  process.exitCode = 1;
}
