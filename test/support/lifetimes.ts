/** Stacks and fleets that end with the test or the file they belong to; a failed test shows the logs of its processes. */
import { afterAll, afterEach, beforeAll, type TestContext } from 'vitest';
import { createFleet, type Fleet, type FleetOptions, startFleet } from './fleet.ts';
import { type Stack, type StackOptions, startStack } from './stack.ts';

/** Shows what the processes logged during a failed test. */
async function reportFailure(stack: Stack, { name, result }: TestContext['task']): Promise<void> {
  if (result?.state !== 'fail') return;
  const kept = await stack.keepLogs();
  process.stderr.write(`\nlogs of the processes of "${name}", in full in ${kept}\n${stack.logs(result.startTime)}\n`);
}

/** A stack for this one test. */
export async function useStack(context: TestContext, options: StackOptions = {}): Promise<Stack> {
  const stack = await startStack(options);
  context.onTestFinished(async ({ task }) => {
    await reportFailure(stack, task);
    await stack.stop();
  });
  return stack;
}

/** One stack for all tests of the calling file or `describe`. */
export function shareStack(options: StackOptions = {}): () => Stack {
  let stack: Stack | undefined;
  beforeAll(async () => {
    stack = await startStack(options);
  });
  afterEach(async ({ task }) => {
    if (stack !== undefined) await reportFailure(stack, task);
  });
  afterAll(async () => {
    await stack?.stop();
  });
  return () => {
    if (stack === undefined) throw new Error('the stack has not been started');
    return stack;
  };
}

/** A fleet for this one test, connected and known. */
export async function useFleet(context: TestContext, stack: Stack, options: FleetOptions): Promise<Fleet> {
  const fleet = await startFleet(stack, options);
  context.onTestFinished(async () => await fleet.close());
  return fleet;
}

/** A fleet for this one test that waits for its `boot`. */
export async function useSleepingFleet(context: TestContext, stack: Stack, options: FleetOptions): Promise<Fleet> {
  const fleet = await createFleet(stack, options);
  context.onTestFinished(async () => await fleet.close());
  return fleet;
}
