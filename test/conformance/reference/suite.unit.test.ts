import { describe, expect, test } from 'vitest';
import { allChecks } from '../registry.ts';
import { runConformance, type CheckResult } from '../run.ts';
import { FAULTS, type Fault } from './faults.ts';
import { startReferenceServer } from './reference-server.ts';

/** Check 4 binds the real default port, which other tests of the machine may hold. */
const DEFAULT_PORT_CHECK = 4;
/** A fault that shows as silence costs this long per wait. */
const FAULT_DEADLINE_MS = 700;

const run = async (fault: Fault | undefined, only: readonly number[], deadlineMs: number): Promise<readonly CheckResult[]> => {
  const server = await startReferenceServer({
    maxMessageBytes: 128 * 1024,
    authorization: 'Bearer right',
    ...(fault === undefined ? {} : { fault }),
  });
  try {
    const report = await runConformance(server.target, { only, deadlineMs });
    return report.sections.flatMap((section) => section.checks);
  } finally {
    await server.stop();
  }
};

const reasons = (results: readonly CheckResult[]): string[] =>
  results.flatMap(({ id, results: byTransport }) =>
    byTransport.filter(({ verdict }) => verdict === 'fail').map(({ transport, reason }) => `${id} ${transport}: ${reason}`),
  );

test('a correct server fails no check', async () => {
  const only = allChecks()
    .map(({ id }) => id)
    .filter((id) => id !== DEFAULT_PORT_CHECK);
  const results = await run(undefined, only, 20_000);
  expect(reasons(results)).toEqual([]);
  const passed = results.filter(({ verdict }) => verdict === 'pass').map(({ id }) => id);
  // Every check that a fault is listed for has to apply to the correct server, or the fault proves nothing.
  const expected = [...new Set<number>(Object.values(FAULTS).flat())];
  expect(passed).toEqual(expect.arrayContaining(expected));
});

describe('each fault is noticed by', () => {
  const faults = Object.entries(FAULTS) as [Fault, readonly number[]][];
  test.concurrent.each(faults)('%s: %j', async (fault, ids) => {
    const results = await run(fault, ids, FAULT_DEADLINE_MS);
    const failed = results.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id);
    expect(failed).toEqual(ids.toSorted((left, right) => left - right));
  });
});
