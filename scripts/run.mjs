#!/usr/bin/env node
// Starts every command of this repository: `node scripts/run.mjs NAME [arguments]`.
//
// Runs on any Node >= 18 without dependencies. It installs what is missing, builds what is stale, and then starts the
// real work on the pinned Node 22 of the lock file, whatever Node the machine has. The program's exit status becomes
// ours, also when a signal ended it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { COMMANDS } from './commands.mjs';
import { SetupError, ensureReady, ensureRedis, pinnedNode, root, say, stopStep } from './setup.mjs';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'];
/** A terminal sends these to everybody in the foreground, our child included; a second copy would mean "at once". */
const FROM_TERMINAL = new Set(['SIGINT', 'SIGHUP']);

let child;
/** The signal that ended set-up. */
let interrupted;
const onSignal = new Map(FORWARDED.map((signal) => [signal, () => handleSignal(signal)]));

function handleSignal(signal) {
  if (child !== undefined) {
    const terminalDelivers = FROM_TERMINAL.has(signal) && (process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY);
    if (!terminalDelivers) child.kill(signal);
    return;
  }
  if (signal === 'SIGUSR2') return;
  interrupted = signal;
  // A step is waited for, so that nobody else starts while an npm still writes.
  if (!stopStep()) endBySignal(signal);
}

/** Ends this process the way its child ended, so that a shell or supervisor sees the truth. */
function endBySignal(signal) {
  for (const [name, handler] of onSignal) process.removeListener(name, handler);
  process.exitCode = 128 + (constants.signals[signal] ?? 0);
  // Locks are let go by exit handlers, which a signal would skip.
  process.emit('exit', process.exitCode);
  process.kill(process.pid, signal);
  // Delivered asynchronously; some signals do not end a process.
  setTimeout(() => process.exit(), 1_000);
}

function usage() {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, command]) => `  ${name.padEnd(width)}  ${command.does}`);
  return `usage: npm run NAME [-- arguments]\n${lines.join('\n')}`;
}

async function main() {
  const [name, ...args] = process.argv.slice(2);
  if (args[0] === '--') args.shift();
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    say(usage());
    process.exitCode = 1;
    return;
  }
  await ensureReady({ build: command.build ?? true });
  if (command.entry === undefined) return;
  const entry = join(root, command.entry);
  if (!existsSync(entry)) throw new SetupError(`npm run ${name}: not built yet (${command.entry} does not exist in this checkout)`);
  const needsRedis = typeof command.redis === 'function' ? command.redis(args) : command.redis === true;
  const redisFolder = needsRedis ? await ensureRedis() : undefined;

  const path = [dirname(pinnedNode()), ...(process.env.PATH ?? '').split(delimiter)];
  if (redisFolder !== undefined && !path.includes(redisFolder)) path.push(redisFolder);
  // npm starts scripts in the root and says in INIT_CWD where the user is.
  const caller = process.env.npm_lifecycle_event === name ? (process.env.INIT_CWD ?? process.cwd()) : process.cwd();
  child = spawn(pinnedNode(), [...(command.nodeArgs ?? []), entry, ...(command.fixed ?? []), ...args], {
    stdio: 'inherit',
    cwd: command.cwd === 'caller' ? caller : root,
    env: { ...process.env, PATH: path.join(delimiter) },
  });
  child.on('error', (error) => {
    say(`cannot start ${command.entry}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    child = undefined;
    if (signal !== null) endBySignal(signal);
    else process.exitCode = code;
  });
}

for (const [signal, handler] of onSignal) process.on(signal, handler);
try {
  await main();
} catch (error) {
  if (interrupted !== undefined) {
    endBySignal(interrupted);
  } else {
    say(error instanceof SetupError ? error.message : error.stack);
    process.exitCode = 1;
  }
}
