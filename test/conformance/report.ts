import type { CheckResult, Report, TransportResult } from './run.ts';

const WORDS = { pass: 'pass', fail: 'FAIL', 'not-applicable': 'n.a.' } as const;

/** "ws pass, http FAIL"; one word when all transports agree. */
const describeTransports = (results: readonly TransportResult[]): string => {
  const words = new Set(results.map((result) => WORDS[result.verdict]));
  if (words.size === 1 && results.length > 1) return [...words].join();
  return results.map((result) => `${result.transport} ${WORDS[result.verdict]}`).join(', ');
};

/** Reasons and notes, each once, with the transports they belong to. */
const describeDetails = (result: CheckResult): string[] => {
  const byText = new Map<string, string[]>();
  for (const { transport, verdict, reason, notes } of result.results) {
    for (const text of [...(reason === undefined ? [] : [reason]), ...notes]) {
      const key = verdict === 'fail' && text === reason ? `! ${text}` : text;
      byText.set(key, [...(byText.get(key) ?? []), transport]);
    }
  }
  return [...byText].map(([text, transports]) =>
    result.results.length > 1 && transports.length < result.results.length ? `${transports.join('+')}: ${text}` : text,
  );
};

/** One check as lines of text. */
export const renderResult = (result: CheckResult): string => {
  const head = [String(result.id).padStart(3), result.level.padEnd(7), describeTransports(result.results).padEnd(18), result.title].join(
    '  ',
  );
  return [head, ...describeDetails(result).map((line) => `${' '.repeat(14)}- ${line}`)].join('\n');
};

/** The first line of a report, before the sections. */
export const renderTitle = (url: string, startedAt: string): string => `OpAMP conformance of ${url}, ${startedAt}`;

/** What follows the sections: the failures again, the time and, as last line, the totals. */
export const renderSummary = (report: Report): string => {
  const failed = report.sections.flatMap((section) => section.checks).filter((result) => result.verdict === 'fail');
  return [
    ...(failed.length === 0 ? [] : ['Failed:', ...failed.map((result) => `  ${result.id} (${result.level}) ${result.title}`), '']),
    `Took ${(report.durationMs / 1000).toFixed(1)} s`,
    renderTotals(report),
    '',
  ].join('\n');
};

/** The whole report as text, by section. */
export const renderReport = (report: Report): string =>
  [
    renderTitle(report.url, report.startedAt),
    ...report.sections.flatMap((section) => ['', `${section.key} ${section.title}`, ...section.checks.map(renderResult)]),
    '',
    renderSummary(report),
  ].join('\n');

/** "N passed, N failed, N not applicable". */
export const renderTotals = ({ totals }: Report): string =>
  `${totals.passed} passed, ${totals.failed} failed, ${totals.notApplicable} not applicable`;
