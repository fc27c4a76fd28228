// `npm run gen`: the protocol code in proto/gen and the generated parts of docs/. `--check` compares instead of writing
// and exits 1 when something is not current; `--only proto` or `--only docs` does half of it.
// Started by scripts/run.mjs on the pinned Node.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from './setup.mjs';

const STEPS = { proto: generateProto, docs: generateDocs };

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false }, only: { type: 'string' } } });
if (values.only !== undefined && !Object.hasOwn(STEPS, values.only)) {
  say(`unknown part ${values.only}: there are ${Object.keys(STEPS).join(', ')}`);
  process.exit(1);
}
for (const [name, step] of Object.entries(STEPS)) {
  if (values.only !== undefined && values.only !== name) continue;
  if (!step(values.check)) process.exitCode = 1;
}
if (process.exitCode === 1 && values.check) say('generated files are not current: run `npm run gen` and commit the result');

/** Generates beside the working tree first, so that a failure leaves the old files and a check touches none. */
function generateProto(check) {
  const project = join(root, 'proto');
  const temporary = mkdtempSync(join(tmpdir(), 'opamp-gen-'));
  try {
    const bin = join(root, 'node_modules', '.bin');
    const result = spawnSync(
      process.execPath,
      [join(root, 'node_modules', '@bufbuild', 'buf', 'bin', 'buf'), 'generate', '-o', temporary],
      {
        cwd: project,
        stdio: 'inherit',
        // buf looks for its plugin on the PATH.
        env: { ...process.env, PATH: [bin, dirname(process.execPath), process.env.PATH].join(delimiter) },
      },
    );
    if (result.status !== 0) return false;
    const made = join(temporary, 'gen');
    const current = join(project, 'gen');
    if (check) return sameFiles(made, current);
    rmSync(current, { recursive: true, force: true });
    cpSync(made, current, { recursive: true });
    return true;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function generateDocs(check) {
  const args = [
    '--conditions=source',
    '--disable-warning=ExperimentalWarning',
    join(root, 'scripts', 'docs.ts'),
    ...(check ? ['--check'] : []),
  ];
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

function sameFiles(made, current) {
  const names = new Set([...filesUnder(made), ...filesUnder(current)]);
  const different = [...names].filter((name) => textOf(join(made, name)) !== textOf(join(current, name)));
  for (const name of different) say(`not current: ${relative(root, join(current, name))}`);
  return different.length === 0;
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function textOf(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
