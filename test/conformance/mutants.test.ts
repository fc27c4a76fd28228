import { afterAll, beforeAll, expect, test } from 'vitest';
import { GATEWAY_MUTATIONS } from '../mutations/gateway-mutations.ts';
import { failedChecks, MUTANT_SETTINGS, runConformanceAgainstMutant } from '../mutations/run-mutations.ts';
import { type Stack, startStack } from '../support/stack.ts';

// A suite that is green against everything says nothing: it has to go red where a gateway breaks the protocol.

let stack: Stack | undefined;

const running = (): Stack => {
  if (stack === undefined) throw new Error('the stack has not been started');
  return stack;
};

beforeAll(async () => {
  stack = await startStack({ gateways: 0, coordinators: 1 });
});

afterAll(async () => {
  await stack?.stop();
});

test('the checks below pass against the gateway as it is', async () => {
  const gateway = await running().startGateway(MUTANT_SETTINGS);
  expect(await failedChecks(running(), gateway, [...new Set(GATEWAY_MUTATIONS.flatMap(({ checks }) => checks))])).toEqual([]);
});

test.each(GATEWAY_MUTATIONS)('the suite notices that $does', async (mutation) => {
  expect(await runConformanceAgainstMutant(running(), mutation)).toEqual(mutation.checks);
});
