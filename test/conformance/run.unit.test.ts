import { expect, test } from 'vitest';
import type { Check, Transport } from './check.ts';
import type { CheckContext } from './context.ts';
import { renderReport, renderResult, renderTotals } from './report.ts';
import { runConformance, type RunOptions } from './run.ts';
import type { Target } from './target.ts';

const target: Target = { url: 'ws://127.0.0.1:9/v1/opamp', httpUrl: 'http://127.0.0.1:9/v1/opamp' };

const check = (id: number, run: (context: CheckContext) => Promise<void>, more: Partial<Check> = {}): Check => ({
  id,
  level: 'MUST',
  title: `promise ${id}`,
  clause: 'somewhere',
  transports: ['ws', 'http'],
  needs: [],
  run,
  ...more,
});

const runChecks = (checks: readonly Check[], options: RunOptions = {}) =>
  runConformance(target, {
    deadlineMs: 1_000,
    ...options,
    registry: [{ key: 'A1', title: 'Section', file: 'none.ts', checks }],
  });

const onlyOn =
  (transport: Transport, act: (context: CheckContext) => void) =>
  (context: CheckContext): Promise<void> => {
    if (context.transport === transport) act(context);
    return Promise.resolve();
  };

test('a check fails if it fails anywhere, and passes if it passes somewhere', async () => {
  const report = await runChecks([
    check(10, () => Promise.resolve()),
    check(
      11,
      onlyOn('http', (context) => context.fail('broken')),
    ),
    check(
      12,
      onlyOn('ws', (context) => context.notApplicable('not here')),
    ),
    check(13, (context) => context.notApplicable('nowhere')),
    check(14, () => Promise.reject(new TypeError('a bug'))),
  ]);
  const results = report.sections[0]?.checks ?? [];
  expect(results.map(({ verdict }) => verdict)).toEqual(['pass', 'fail', 'pass', 'not-applicable', 'fail']);
  expect(report.totals).toEqual({ passed: 2, failed: 2, notApplicable: 1 });
  expect(renderTotals(report)).toBe('2 passed, 2 failed, 1 not applicable');
  expect(results[1]?.results.map(({ reason }) => reason)).toEqual([undefined, 'broken']);
  expect(results[4]?.results[0]?.reason).toBe('TypeError: a bug');
});

test('needs, slowness and transports that were not asked for keep a check from running', async () => {
  const ran: string[] = [];
  const note = (context: CheckContext): Promise<void> => {
    ran.push(context.transport);
    return Promise.resolve();
  };
  const report = await runChecks([check(10, note, { needs: ['api', 'second-node'] }), check(11, note, { isSlow: true }), check(12, note)], {
    transports: ['http'],
  });
  expect(ran).toEqual(['http']);
  const reasons = report.sections[0]?.checks.map(({ results }) => results.map(({ reason }) => reason));
  expect(reasons?.[0]?.[0]).toBe('this transport was not asked for');
  expect(reasons?.[0]?.[1]).toContain('--api');
  expect(reasons?.[0]?.[1]).toContain('--second-url');
  expect(reasons?.[1]?.[1]).toContain('--slow');
});

test('only the chosen checks run, and each is reported as it ends', async () => {
  const seen: number[] = [];
  const report = await runChecks([check(10, () => Promise.resolve()), check(11, () => Promise.resolve())], {
    only: [11],
    onResult: ({ id }) => seen.push(id),
  });
  expect(seen).toEqual([11]);
  expect(report.totals.passed).toBe(1);
});

test('what a check opened is undone, last first, even when it fails; a failed clean-up fails the check', async () => {
  const undone: string[] = [];
  const report = await runChecks(
    [
      check(10, (context) => {
        context.onEnd(() => void undone.push('first'));
        context.onEnd(() => void undone.push('second'));
        return context.fail('broken');
      }),
      check(11, (context) => {
        context.onEnd(() => Promise.reject(new Error('stuck')));
        return Promise.resolve();
      }),
    ],
    { transports: ['ws'] },
  );
  expect(undone).toEqual(['second', 'first']);
  expect(report.sections[0]?.checks[1]?.results[0]).toMatchObject({ verdict: 'fail', reason: 'cleaning up failed: stuck' });
});

test('a check that hangs ends at its deadline', async () => {
  const hanging = check(10, () => new Promise(() => undefined), { transports: ['ws'] });
  const report = await runChecks([hanging], { checkDeadlineMs: 30 });
  expect(report.sections[0]?.checks[0]?.results[0]?.reason).toContain('the whole check');
});

test('a server that is not there fails every check that connects', async () => {
  const report = await runChecks([
    check(1, async (context) => {
      await context.link().then((link) => link.provoke(Buffer.from([0])));
    }),
  ]);
  expect(report.sections[0]?.checks[0]?.verdict).toBe('fail');
});

test('the report names transports, reasons and notes once', async () => {
  const report = await runChecks([
    check(10, (context) => {
      context.note('seen on both');
      if (context.transport === 'http') context.fail('broken');
      return Promise.resolve();
    }),
  ]);
  const result = report.sections[0]?.checks[0];
  const text = result === undefined ? '' : renderResult(result);
  expect(text.split('\n').map((line) => line.trim())).toEqual([
    '10  MUST     ws pass, http FAIL  promise 10',
    '- seen on both',
    '- http: ! broken',
  ]);
  const lines = renderReport(report).trimEnd().split('\n');
  expect(lines.at(-1)).toBe('0 passed, 1 failed, 0 not applicable');
  expect(lines).toContain('A1 Section');
});
