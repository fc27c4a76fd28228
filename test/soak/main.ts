/** The soak: `npm run test:soak -- --minutes N --seed S`. Mutations and control first, then rounds of faults. */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyBuild, digestOf } from '../mutations/built-copy.ts';
import { createRandom } from '../support/random.ts';
import { takeLock } from './lock.ts';
import { type Finding, PARTS } from './parts.ts';
import { planRound } from './plan.ts';
import { renderReport, writeReport } from './report.ts';
import { Arena } from './rounds.ts';
import { loadState, newState, saveState, SOAK_DIRECTORY, type SoakState, type Verdict } from './state.ts';

const USAGE = `usage: npm run test:soak -- [--minutes N] [--seed S] [--only parts|rounds] [--fresh]

  --minutes N   how long coordinators, gateways and Redis are killed; default 15. Mutations and control take some five more
  --seed S      fixes what happens in which round; default random, printed
  --only WHAT   parts: mutations and control; rounds: the kills
  --fresh       forget an unfinished run; without it, a run of the same build goes on where it was stopped

Writes .tmp/soak/report.md and report.json. The last line is "N passed, N failed"; ends with 1 when something failed.
`;

const DEFAULT_MINUTES = 15;
/** Every failed round costs a new stack; more than these, and the rest would say the same. */
const MAX_FAILED_ROUNDS = 3;
const INTERRUPTED = 130;

interface Options {
  readonly minutes: number;
  readonly seed: number | undefined;
  readonly only: 'parts' | 'rounds' | undefined;
  readonly isFresh: boolean;
}

function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string', default: String(DEFAULT_MINUTES) },
      seed: { type: 'string' },
      only: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error('--minutes takes a positive number');
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0)) throw new Error('--seed takes a whole number');
  const { only } = values;
  if (only !== undefined && only !== 'parts' && only !== 'rounds') throw new Error('--only takes parts or rounds');
  return { minutes, seed, only, isFresh: values.fresh };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function sayVerdict({ name, detail, seconds, problems }: Verdict): void {
  say(`${problems.length === 0 ? 'passed' : 'FAILED'}  ${name} (${seconds} s): ${detail}`);
  for (const problem of problems) say(`        ${problem}`);
}

/** The state to go on with: that of the last start if it is unfinished, of the same build and not of another seed. */
async function stateFor({ seed, isFresh }: Options, build: string): Promise<SoakState> {
  const former = isFresh ? undefined : await loadState();
  if (former !== undefined && former.finishedAt === null && former.build === build && (seed ?? former.seed) === former.seed) {
    say(`going on with the run of ${former.startedAt}: ${former.parts.length} parts and ${former.rounds.length} rounds are done`);
    return former;
  }
  return newState(seed ?? randomInt(1_000_000), build);
}

/** Runs the parts that have no verdict yet. */
async function runParts(state: SoakState, isStopped: () => boolean): Promise<void> {
  for (const [index, part] of PARTS.entries()) {
    if (isStopped()) return;
    if (state.parts.some((verdict) => verdict.part === part.name)) continue;
    const startedAtMs = performance.now();
    let verdicts: readonly Finding[];
    try {
      verdicts = await part.run(createRandom(state.seed + index));
    } catch (error) {
      verdicts = [{ name: part.name, detail: 'did not run', problems: [error instanceof Error ? error.message : String(error)] }];
    }
    if (isStopped()) return;
    const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
    for (const verdict of verdicts) {
      state.parts.push({ ...verdict, part: part.name, seconds });
      sayVerdict({ ...verdict, part: part.name, seconds });
    }
    await saveState(state);
  }
}

/** Rounds until their time is over. A failed one is followed by a new stack: the next shall not suffer for it. */
async function runRounds(
  state: SoakState,
  root: string,
  minutes: number,
  hold: (arena: Arena | undefined) => void,
  isStopped: () => boolean,
): Promise<void> {
  let arena: Arena | undefined;
  const close = async (): Promise<void> => {
    const old = arena;
    arena = undefined;
    hold(undefined);
    await old?.close();
  };
  while (!isStopped() && state.roundMs < minutes * 60_000) {
    const startedAtMs = performance.now();
    const number = state.rounds.length + 1;
    const random = createRandom(state.seed * 100_003 + number);
    if (arena === undefined) {
      arena = await Arena.open(root, state);
      hold(arena);
    }
    const verdict = await arena.run(planRound(number, random), random);
    if (isStopped()) break;
    state.rounds.push(verdict);
    state.roundMs += performance.now() - startedAtMs;
    sayVerdict(verdict);
    await saveState(state);
    await writeReport(state);
    if (verdict.problems.length > 0) {
      say(`        logs: ${await arena.stack.keepLogs()}`);
      await close().catch((error: unknown) => say(`        ${error instanceof Error ? error.message : String(error)}`));
      if (state.rounds.filter(({ problems }) => problems.length > 0).length >= MAX_FAILED_ROUNDS) {
        say(`${MAX_FAILED_ROUNDS} rounds have failed, that is enough`);
        return;
      }
    }
  }
  await close();
}

async function main(argv: readonly string[]): Promise<number> {
  let options: Options | undefined;
  try {
    options = readOptions(argv);
    if (options !== undefined) await takeLock();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { minutes, only } = options;
  let isStopped = false;
  let arena: Arena | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // The second one does not wait: the exit handlers kill what is left.
      if (isStopped) process.exit(INTERRUPTED);
      isStopped = true;
      say(`\n${signal}: cleaning up; the next start goes on from here`);
      void Promise.resolve(arena?.close())
        .catch(() => undefined)
        .finally(() => process.exit(INTERRUPTED));
    });
  }

  // The run keeps its own copy: a build in between changes nothing.
  const root = await copyBuild(join(SOAK_DIRECTORY, 'build'));
  const state = await stateFor(options, await digestOf(root));
  say(`seed ${state.seed}, build ${state.build}, ${minutes} min of faults`);
  if (only !== 'rounds') await runParts(state, () => isStopped);
  if (only !== 'parts' && !isStopped)
    await runRounds(
      state,
      root,
      minutes,
      (held) => (arena = held),
      () => isStopped,
    );
  // The signal's handler ends the process.
  if (isStopped) await new Promise(() => undefined);
  if (only === undefined) state.finishedAt = new Date().toISOString();
  await saveState(state);
  const file = await writeReport(state);
  const all = [...(only === 'rounds' ? [] : state.parts), ...(only === 'parts' ? [] : state.rounds)];
  const failed = all.filter(({ problems }) => problems.length > 0).length;
  say(`\n${renderReport(state)}\nwritten to ${file}`);
  say(`${all.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
