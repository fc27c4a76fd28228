import { performance } from 'node:perf_hooks';

import { afterAll, beforeAll, beforeEach, describe } from 'vitest';

import { buildInterop, findGo } from '../build.ts';
import type { InteropBinaries } from '../build.ts';

const print = (line: string): void => void process.stderr.write(`${line}\n`);

/**
 * A block of tests that need the Go programs: builds them first, prints its time at the end, and skips every test with
 * the reason where there is no Go.
 */
export function describeInterop(name: string, tests: (binaries: () => InteropBinaries) => void): void {
  const go = findGo();
  describe(`${name}`, () => {
    let binaries: InteropBinaries | undefined;
    let startedMs = 0;
    if (go.kind === 'skipped') {
      print(`${name}: ${go.reason}`);
      beforeEach((context) => context.skip(go.reason));
    } else {
      beforeAll(async () => {
        binaries = await buildInterop(print);
        startedMs = performance.now();
      });
      afterAll(() => {
        print(`interop: ${name} took ${Math.round((performance.now() - startedMs) / 1_000)} s`);
      });
    }
    tests(() => {
      if (binaries === undefined) {
        throw new Error('the programs are built before the first test');
      }
      return binaries;
    });
  });
}

/** Things to undo at the end of a test, last one first. */
export class CleanUp {
  readonly #steps: (() => Promise<unknown>)[] = [];

  /** Registers `undo` for the value and returns it. */
  add<T>(value: T, undo: (value: T) => Promise<unknown>): T {
    this.#steps.push(() => undo(value));
    return value;
  }

  /** Runs every step, also after a failed one; throws the first error. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      throw errors[0];
    }
  }
}
