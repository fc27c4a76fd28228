// `npm test`: the everyday tier, suite by suite, with the time of each; `npm run test:interop`: that one suite.
//
//   node scripts/test.mjs [TIER] [--suite NAME]... [--timeout-minutes N] [vitest arguments, e.g. a file or -t "name"]
//
// The last line is always `N passed, N failed` alone. The exit code is 1 when a test failed, a suite ran no test, a
// test was skipped without a reason, errors happened outside tests, or a suite did not end in time. Started by
// scripts/run.mjs on the pinned Node, with a Redis server binary on the PATH.
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureChromium, root, say } from './setup.mjs';

const TIERS = {
  everyday: ['check', 'gen:check', 'unit', 'integration', 'faults', 'conformance', 'model', 'fuzz', 'scenarios', 'browser'],
  interop: ['interop'],
};
/** Suites that are a program with a verdict instead of vitest files: each counts as one test. */
const PROGRAMS = { check: ['scripts/check.mjs'], 'gen:check': ['scripts/gen.mjs', '--check'] };
const UNIT_FILES = [
  'proto/*.test.ts',
  'packages/*/src/**/*.test.ts',
  'loadtest/src/**/*.test.ts',
  'test/support/**/*.test.ts',
  'test/conformance/**/*.unit.test.ts',
];
const TIMEOUT_MINUTES = { interop: 45 };
const DEFAULT_TIMEOUT_MINUTES = 15;
const TERM_TO_KILL_MS = 10_000;
/** How long processes that a suite started may outlive it. */
const LEFTOVER_MS = 3_000;
/** Names listed per suite before the rest is only counted. */
const MAX_LISTED = 50;

const temporary = mkdtempSync(join(tmpdir(), 'opamp-test-'));
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

let running;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    if (running !== undefined) killGroup(running, 'SIGTERM');
    say(`\nstopped by ${signal}`);
    process.exit(1);
  });
}

process.exitCode = await main();

async function main() {
  const argv = process.argv.slice(2);
  const tier = Object.hasOwn(TIERS, argv[0] ?? '') ? argv.shift() : 'everyday';
  const { suites: wanted, timeoutMinutes, vitestArgs } = parseArguments(argv, tier);
  const started = Date.now();
  const outcomes = [];
  for (const suite of wanted ?? TIERS[tier]) {
    if (!hasTests(suite)) {
      if (wanted === undefined && tier === 'everyday') continue;
      outcomes.push({
        suite,
        seconds: 0,
        passed: 0,
        failed: [{ name: `suite ${suite}`, message: 'there are no test files' }],
        skipped: [],
      });
      continue;
    }
    process.stdout.write(`\n=== ${suite}\n`);
    if (suite === 'browser') await ensureChromium();
    const minutes = timeoutMinutes ?? TIMEOUT_MINUTES[suite] ?? DEFAULT_TIMEOUT_MINUTES;
    const outcome = Object.hasOwn(PROGRAMS, suite) ? await runProgram(suite, minutes) : await runVitest(suite, minutes, vitestArgs);
    process.stdout.write(
      `=== ${suite}: ${outcome.passed} passed, ${outcome.failed.length} failed, ${outcome.skipped.length} skipped in ${outcome.seconds} s\n`,
    );
    outcomes.push(outcome);
  }
  return summarize(outcomes, started);
}

function parseArguments(argv, tier) {
  const vitestArgs = [];
  const suites = [];
  let timeoutMinutes;
  const { tokens } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: { suite: { type: 'string', multiple: true }, 'timeout-minutes': { type: 'string' } },
  });
  const taken = new Set();
  for (const token of tokens) {
    if (token.kind !== 'option' || (token.name !== 'suite' && token.name !== 'timeout-minutes')) continue;
    if (token.value === undefined) usageError(`--${token.name} needs a value`);
    taken.add(token.index);
    if (token.inlineValue === false) taken.add(token.index + 1);
    if (token.name === 'suite') suites.push(...token.value.split(','));
    else timeoutMinutes = Number(token.value);
  }
  argv.forEach((argument, index) => taken.has(index) || vitestArgs.push(argument));
  for (const suite of suites) {
    if (!TIERS[tier].includes(suite)) usageError(`unknown suite "${suite}": ${tier} has ${TIERS[tier].join(', ')}`);
  }
  if (timeoutMinutes !== undefined && !(timeoutMinutes > 0)) usageError('--timeout-minutes needs a positive number');
  return { suites: suites.length === 0 ? undefined : suites, timeoutMinutes, vitestArgs };
}

function usageError(message) {
  say(message);
  process.exit(1);
}

function hasTests(suite) {
  if (Object.hasOwn(PROGRAMS, suite)) return existsSync(join(root, PROGRAMS[suite][0]));
  const patterns = suite === 'unit' ? UNIT_FILES : [`test/${suite}/**/*.test.ts`];
  return globSync(patterns, { cwd: root, exclude: (name) => name === 'node_modules' }).some(
    (path) => suite === 'unit' || !path.endsWith('.unit.test.ts'),
  );
}

async function runProgram(suite, minutes) {
  const [file, ...args] = PROGRAMS[suite];
  const end = await run([join(root, file), ...args], minutes);
  const failed = end.code === 0 ? [] : [{ name: suite, message: end.message }];
  return { suite, seconds: end.seconds, passed: 1 - failed.length, failed, skipped: [] };
}

async function runVitest(suite, minutes, vitestArgs) {
  const file = join(temporary, `${suite}.json`);
  const cli = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  // A forgotten `.only` would hide every other test.
  const args = [
    'run',
    '--project',
    suite,
    '--reporter=default',
    `--reporter=${join(root, 'scripts', 'vitest-reporter.mjs')}`,
    '--allowOnly=false',
    ...vitestArgs,
  ];
  const end = await run([cli, ...args], minutes, { TEST_RESULT_FILE: file });
  const result = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { passed: 0, failed: [], skipped: [], errors: [] };
  const failed = [...result.failed];
  for (const message of result.errors) failed.push({ name: `suite ${suite}, outside any test`, message });
  // A name filter skips whatever does not match.
  const filtered = vitestArgs.some((argument) => /^(?:-t|--testNamePattern)/.test(argument));
  if (filtered) result.skipped = result.skipped.filter((test) => test.reason !== undefined);
  for (const test of result.skipped) {
    if (test.reason === undefined) failed.push({ name: test.name, message: "it was skipped without a reason: use context.skip('why')" });
  }
  const ranNothing = result.passed === 0 && failed.length === 0;
  // These may skip as a whole, with their reasons, on a machine that cannot run them.
  if (ranNothing && !(['interop', 'browser'].includes(suite) && result.skipped.length > 0))
    failed.push({ name: `suite ${suite}`, message: 'it ran no test' });
  if (end.code !== 0 && failed.length === 0) failed.push({ name: `suite ${suite}`, message: end.message });
  if (end.timedOut) failed.push({ name: `suite ${suite}`, message: end.message });
  return { suite, seconds: end.seconds, passed: result.passed, failed, skipped: result.skipped };
}

/**
 * Runs one program in its own process group, so that a suite that hangs can be ended with all it started. What a
 * suite leaves running is ended and named.
 */
function run(args, minutes, extraEnv) {
  const started = Date.now();
  const env = { ...process.env, ...extraEnv };
  // A developer's own gateway settings, above all OPAMP_REDIS_URL, are none of the tests' business.
  for (const name of Object.keys(env)) if (name.startsWith('OPAMP_')) delete env[name];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    running = child.pid;
    let timedOut = false;
    const guard = setTimeout(() => {
      timedOut = true;
      say(`\nthe suite did not end in ${minutes} minutes: stopping it`);
      killGroup(child.pid, 'SIGTERM');
      setTimeout(() => killGroup(child.pid, 'SIGKILL'), TERM_TO_KILL_MS).unref();
    }, minutes * 60_000);
    const finish = async (code, message) => {
      clearTimeout(guard);
      await endLeftovers(child.pid);
      running = undefined;
      const seconds = Math.round((Date.now() - started) / 100) / 10;
      resolve({ code, timedOut, seconds, message: timedOut ? `it did not end in ${minutes} minutes` : message });
    };
    child.on('error', (error) => void finish(1, error.message));
    child.on('exit', (code, signal) => void finish(code ?? 1, signal === null ? `exit code ${code}` : `ended by ${signal}`));
  });
}

async function endLeftovers(group) {
  const deadline = Date.now() + LEFTOVER_MS;
  while (killGroup(group, 0)) {
    if (Date.now() > deadline) {
      say('warning: the suite left processes running; they are stopped now');
      killGroup(group, 'SIGKILL');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Signals a process group; false when it has no members. */
function killGroup(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

function summarize(outcomes, started) {
  const line = (text) => process.stdout.write(`${text}\n`);
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.flatMap((outcome) => outcome.failed);
  const skipped = outcomes.flatMap((outcome) => outcome.skipped);
  line('\nsuite            passed  failed  skipped   seconds');
  for (const { suite, ...outcome } of outcomes) {
    const cells = [outcome.passed, outcome.failed.length, outcome.skipped.length].map((value) => String(value).padStart(8)).join('');
    line(`${suite.padEnd(15)}${cells}${outcome.seconds.toFixed(1).padStart(11)}`);
  }
  line(`total ${((Date.now() - started) / 1000).toFixed(1)} s`);
  list(
    line,
    'skipped',
    skipped.map((test) => `${test.name}: ${test.reason ?? 'no reason given'}`),
  );
  list(
    line,
    'failed',
    failed.map((test) => `${test.name}: ${test.message}`),
  );
  line(`${passed} passed, ${failed.length} failed`);
  return failed.length === 0 && outcomes.length > 0 ? 0 : 1;
}

function list(line, title, entries) {
  if (entries.length === 0) return;
  line(`\n${title}:`);
  for (const entry of entries.slice(0, MAX_LISTED)) line(`  ${entry}`);
  if (entries.length > MAX_LISTED) line(`  ... and ${entries.length - MAX_LISTED} more`);
  line('');
}
