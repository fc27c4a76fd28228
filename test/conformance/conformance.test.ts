import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CODE } from './code-map.ts';
import { REGISTRY } from './registry.ts';
import { runConformance, type CheckResult } from './run.ts';
import { startStackTarget } from './stack-target.ts';
import type { StartedServer } from './target.ts';

// Every check of the suite against two gateways of ours with coordinator, API, store and settings under its control.

const results = new Map<number, CheckResult>();
let server: StartedServer | undefined;

beforeAll(async () => {
  server = await startStackTarget();
  await runConformance(server.target, { deadlineMs: 20_000, onResult: (result) => results.set(result.id, result) });
}, 1_800_000);

afterAll(async () => {
  await server?.stop();
});

describe.each(REGISTRY)('$key $title', ({ checks }) => {
  test.for(checks)('$id $title', ({ id }, context) => {
    const result = results.get(id);
    if (result === undefined) throw new Error(`check ${id} was not run`);
    const reasons = result.results.map(({ transport, verdict, reason = '' }) => `${transport} ${verdict}: ${reason}`).join('; ');
    if (result.verdict === 'not-applicable') context.skip(reasons);
    expect(result.verdict, reasons).toBe('pass');
  });
});

test('the counts stand in docs/protocol.md, and the code it names exists', () => {
  const count = (verdict: CheckResult['verdict']): number => [...results.values()].filter((result) => result.verdict === verdict).length;
  const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
  const row = page.split('\n').find((line) => line.startsWith('| this gateway |'));
  expect(row).toContain(`| ${count('pass')} | ${count('fail')} | ${count('not-applicable')} |`);
  expect([...CODE.keys()]).toEqual(REGISTRY.map(({ key }) => key));
  for (const file of [...CODE.values()].flat()) {
    expect(existsSync(new URL(`../../packages/gateway/src/${file}`, import.meta.url)), file).toBe(true);
  }
});
