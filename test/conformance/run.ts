import { CheckFailedError, NotApplicableError, type Check, type Level, type Section, type Transport } from './check.ts';
import { CheckContext } from './context.ts';
import { PollRefusedError } from './http-link.ts';
import { withDeadline } from './raw/deadline.ts';
import { UpgradeRefusedError } from './raw/websocket-client.ts';
import { REGISTRY } from './registry.ts';
import { missingNeed, type Target } from './target.ts';

export type Verdict = 'pass' | 'fail' | 'not-applicable';

/** What one check found over one transport. */
export interface TransportResult {
  readonly transport: Transport;
  readonly verdict: Verdict;
  /** Why it failed or does not apply. */
  readonly reason?: string;
  /** What else was seen. */
  readonly notes: readonly string[];
  readonly durationMs: number;
}

/** What one check found altogether: failed if it failed anywhere, passed if it passed somewhere and failed nowhere. */
export interface CheckResult {
  readonly id: number;
  readonly level: Level;
  readonly title: string;
  readonly clause: string;
  readonly verdict: Verdict;
  readonly results: readonly TransportResult[];
}

export interface SectionReport {
  readonly key: string;
  readonly title: string;
  readonly checks: readonly CheckResult[];
}

export interface Report {
  readonly url: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly sections: readonly SectionReport[];
  readonly totals: { readonly passed: number; readonly failed: number; readonly notApplicable: number };
}

export interface RunOptions {
  /** Numbers of the checks to run; default all. */
  readonly only?: readonly number[];
  /** Default both. */
  readonly transports?: readonly Transport[];
  /** Also run checks that may take minutes. */
  readonly isSlow?: boolean;
  /** Hang guard for each single wait. Default 10,000. */
  readonly deadlineMs?: number;
  /** Hang guard for a whole check. Default 30 times the deadline of a wait. */
  readonly checkDeadlineMs?: number;
  /** Called after each check. */
  readonly onResult?: (result: CheckResult, section: Section) => void;
  /** Default: all checks there are. */
  readonly registry?: readonly Section[];
}

const ALL_TRANSPORTS: readonly Transport[] = ['ws', 'http'];
const DEFAULT_DEADLINE_MS = 10_000;

/** The check that says whether a transport is served at all; it runs even where none of the others can. */
const TRANSPORT_CHECK_ID = 1;

/** Transports that the server refuses outright, with the reason. A server that cannot be reached is not among them. */
type ClosedTransports = ReadonlyMap<Transport, string>;

/** Runs the suite against a server, one check after the other, and reports. Never rejects because of the server. */
export const runConformance = async (target: Target, options: RunOptions = {}): Promise<Report> => {
  const { only, registry = REGISTRY, onResult } = options;
  const startedAt = new Date();
  const closed = await findClosedTransports(target, options);
  const sections: SectionReport[] = [];
  for (const section of registry) {
    const checks: CheckResult[] = [];
    for (const check of section.checks) {
      if (only !== undefined && !only.includes(check.id)) continue;
      const result = await runCheck(check, target, options, closed);
      checks.push(result);
      onResult?.(result, section);
    }
    if (checks.length > 0) sections.push({ key: section.key, title: section.title, checks });
  }
  const all = sections.flatMap((section) => section.checks);
  const count = (verdict: Verdict): number => all.filter((result) => result.verdict === verdict).length;
  return {
    url: target.url,
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    sections,
    totals: {
      passed: count('pass'),
      failed: count('fail'),
      notApplicable: count('not-applicable'),
    },
  };
};

const findClosedTransports = async (target: Target, options: RunOptions): Promise<ClosedTransports> => {
  const { transports = ALL_TRANSPORTS, deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const closed = new Map<Transport, string>();
  for (const transport of transports) {
    const context = new CheckContext(target, transport, deadlineMs);
    try {
      const agent = await context.agent();
      await agent.first();
    } catch (error) {
      if (error instanceof UpgradeRefusedError || error instanceof PollRefusedError) {
        closed.set(transport, `${error.message}; see check ${TRANSPORT_CHECK_ID}`);
      }
      // Anything else shows in the checks themselves.
    } finally {
      await context.end();
    }
  }
  return closed;
};

const runCheck = async (check: Check, target: Target, options: RunOptions, closed: ClosedTransports): Promise<CheckResult> => {
  const { transports = ALL_TRANSPORTS } = options;
  const results: TransportResult[] = [];
  for (const transport of check.transports) {
    const closedReason = check.id === TRANSPORT_CHECK_ID ? undefined : closed.get(transport);
    const skipReason = transports.includes(transport) ? closedReason : 'this transport was not asked for';
    results.push(skipReason === undefined ? await runOver(check, target, transport, options) : notRun(transport, skipReason));
  }
  const has = (verdict: Verdict): boolean => results.some((result) => result.verdict === verdict);
  return {
    id: check.id,
    level: check.level,
    title: check.title,
    clause: check.clause,
    verdict: has('fail') ? 'fail' : has('pass') ? 'pass' : 'not-applicable',
    results,
  };
};

const notRun = (transport: Transport, reason: string): TransportResult => ({
  transport,
  verdict: 'not-applicable',
  reason,
  notes: [],
  durationMs: 0,
});

const runOver = async (check: Check, target: Target, transport: Transport, options: RunOptions): Promise<TransportResult> => {
  const { deadlineMs = DEFAULT_DEADLINE_MS, isSlow = false } = options;
  const { checkDeadlineMs = deadlineMs * 30 } = options;
  const missing = missingNeed(target, check.needs);
  if (missing !== undefined) return notRun(transport, missing);
  if (check.isSlow === true && !isSlow) return notRun(transport, 'slow; runs with --slow');
  const context = new CheckContext(target, transport, deadlineMs);
  const startedAtMs = Date.now();
  let outcome: { readonly verdict: Verdict; readonly reason?: string };
  try {
    await withDeadline(check.run(context), checkDeadlineMs, 'the whole check');
    outcome = { verdict: 'pass' };
  } catch (error) {
    outcome = toOutcome(error);
  }
  const cleanupErrors = await context.end();
  if (cleanupErrors.length > 0 && outcome.verdict !== 'fail') {
    const messages = cleanupErrors.map((error) => error.message).join('; ');
    outcome = { verdict: 'fail', reason: `cleaning up failed: ${messages}` };
  }
  return { transport, ...outcome, notes: [...context.notes], durationMs: Date.now() - startedAtMs };
};

const toOutcome = (error: unknown): { readonly verdict: Verdict; readonly reason: string } => {
  if (error instanceof NotApplicableError) return { verdict: 'not-applicable', reason: error.message };
  if (error instanceof CheckFailedError) return { verdict: 'fail', reason: error.message };
  return {
    verdict: 'fail',
    reason: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
  };
};
