import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SCRATCH } from '../mutations/built-copy.ts';

/** Where the soak keeps its state, its tables and the build it runs. */
export const SOAK_DIRECTORY = join(SCRATCH, 'soak');
const STATE_FILE = join(SOAK_DIRECTORY, 'state.json');

/** One thing that passed or failed. */
export interface Verdict {
  readonly name: string;
  /** The part it belongs to; a part may give several verdicts. */
  readonly part: string;
  /** What was seen, in a line. */
  readonly detail: string;
  readonly seconds: number;
  /** Empty when it passed. */
  readonly problems: readonly string[];
}

/** How often a fault was injected, and how long each recovery took, in milliseconds. */
export interface Tally {
  count: number;
  recoveriesMs: number[];
}

/** Everything a run knows; written after each part and round, so that the next start goes on from there. */
export interface SoakState {
  readonly seed: number;
  /** Digest of the build under test: results of different builds are not mixed. */
  readonly build: string;
  readonly startedAt: string;
  /** RFC 3339; null while there is something left to do. */
  finishedAt: string | null;
  /** Time spent in rounds so far, over all starts. */
  roundMs: number;
  /** Mutations and control, by name. */
  parts: Verdict[];
  rounds: Verdict[];
  faults: Record<string, Tally>;
  /** Ended rollouts by kind and phase, as `good succeeded`. */
  rollouts: Record<string, number>;
  /** Recounts of all records of one shard. */
  audits: number;
  /** Agents that were found with a version on disk of which they never said a word, over all rounds. */
  silenced: number;
}

/** A run that has done nothing yet. */
export function newState(seed: number, build: string): SoakState {
  return {
    seed,
    build,
    startedAt: new Date().toISOString(),
    finishedAt: null,
    roundMs: 0,
    parts: [],
    rounds: [],
    faults: {},
    rollouts: {},
    audits: 0,
    silenced: 0,
  };
}

/** The state of the last start, finished or not; undefined when there is none. */
export async function loadState(): Promise<SoakState | undefined> {
  try {
    return JSON.parse(await readFile(STATE_FILE, 'utf8')) as SoakState;
  } catch {
    return undefined;
  }
}

/** Writes the state so that a crash leaves the former one or this one. */
export async function saveState(state: SoakState): Promise<void> {
  await mkdir(SOAK_DIRECTORY, { recursive: true });
  await writeFile(`${STATE_FILE}.new`, JSON.stringify(state, null, 2));
  await rename(`${STATE_FILE}.new`, STATE_FILE);
}
