#!/usr/bin/env node
// Starts every command of this repository: `node scripts/run.mjs NAME [-- args]`.
//
// Runs on any Node >= 18 without dependencies. It installs what is missing, builds what is stale, and then starts the
// real work on the pinned Node 22 that stands in the lock file, whatever Node the machine has.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { acquireSetupLock, ensureBuild, ensureDependencies, ensureRedis, pinnedNode, root } from './setup.mjs';
import { COMMANDS } from './commands.mjs';

const name = process.argv[2];
const args = process.argv.slice(3);
if (args[0] === '--') args.shift();

const command = name === undefined ? undefined : COMMANDS[name];
if (command === undefined) {
  process.stderr.write(`usage: node scripts/run.mjs NAME [arguments]\nNAME is one of: ${Object.keys(COMMANDS).join(', ')}\n`);
  process.exit(1);
}

const release = await acquireSetupLock();
try {
  await ensureDependencies();
  if (command.build !== false) ensureBuild();
  if (command.redis === true) ensureRedis();
} finally {
  release();
}
if (command.script === undefined) process.exit(0);

for (const step of command.steps ?? [command.script]) {
  const [file, ...fixed] = step;
  const result = spawnSync(pinnedNode(), [...(command.nodeArgs ?? []), join(root, file), ...fixed, ...(command.passArgs === false ? [] : args)], {
    stdio: 'inherit',
    cwd: command.cwd === 'caller' ? process.cwd() : root,
    env: { ...process.env, PATH: `${join(pinnedNode(), '..')}:${process.env.PATH ?? ''}` },
  });
  if (result.error) {
    process.stderr.write(`cannot start ${file}: ${result.error.message}\n`);
    process.exit(1);
  }
  if (result.signal) process.kill(process.pid, result.signal);
  if (result.status !== 0) process.exit(result.status ?? 1);
}
