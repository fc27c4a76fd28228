import { reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { Clock } from '@opamp-gateway/shared/clock';
import type { RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import type { Row, RowStatus } from '@opamp-gateway/shared/rollout-types';
import type { GatewayEvents } from '../events.ts';
import { applyStatusReport, SOFT_FAILURE, SOFT_FAILURE_MS } from '../reconciler/reconcile.ts';
import type { StatusReport } from '../reconciler/reconcile.ts';
import type { AgentSession } from './agent-session.ts';
import type { HealthWatch } from './health-watch.ts';
import { bookFailed } from './offer-desk.ts';
import type { OfferDesk } from './offer-desk.ts';
import { withEntry } from './interning.ts';
import type { SessionWriter, SpecSource } from './ports.ts';
import { mergeStatus } from './report.ts';

export interface StatusDeskOptions {
  clock: Clock;
  events: GatewayEvents;
  spec: SpecSource;
  writer: SessionWriter;
  desk: OfferDesk;
  health: HealthWatch;
}

/** Rows that were settled without an answer. */
const LATE: ReadonlySet<RowStatus> = new Set<RowStatus>(['lost', 'timedOut', 'unverified', 'observed']);
/** How long before its deadline a soft failure is judged here. */
const SOFT_LEAD_MS = 3_000;
/** Hashes that one agent is remembered to have FAILED. */
const MAX_FAILED_HASHES = 16;

/** Books what an agent says of a config: its rows, its memory of failed hashes, whether the offer has its answer. */
export class StatusDesk {
  readonly #options: StatusDeskOptions;

  constructor(options: StatusDeskOptions) {
    this.#options = options;
  }

  /** `freshProcess`: the message is the complete first one of a process, so a hash it does not name is not on its disk. */
  handle(session: AgentSession, report: StatusReport, freshProcess: boolean): void {
    const now = this.#options.clock.nowMs();
    const { record } = session;
    const { writer, events } = this.#options;
    const first = !session.statusSeen;
    session.statusSeen = true;
    if (report.hash !== '' || report.status !== 'UNSET') events.statusReported(report.status, session.uid, report.hash, report.error);

    const outcome = applyStatusReport(this.#options.spec.spec, record, report);
    if (outcome.stale) events.staleStatus(session.uid, report.hash);
    const mayForget = (first || session.awaitingReportUntilMs !== 0) && !session.offeredHere;
    if (
      mayForget &&
      record.offered !== '' &&
      report.hash !== record.offered &&
      (reportsRemoteConfig(record.capabilities) || freshProcess)
    ) {
      // The offer never arrived, or the agent was reinstalled: it does not have those bytes.
      record.offered = '';
      record.offerAnswered = true;
      record.offeredFor = undefined;
      Object.assign(session.write().set, { offered: '', offerAnswered: '1', offeredFor: '' });
    }
    if (outcome.answered || report.status === 'APPLYING') this.#options.desk.returnCredit(session);
    if (outcome.answered && !record.offerAnswered) {
      record.offerAnswered = true;
      session.write().set.offerAnswered = '1';
    }
    const soft = report.status === 'FAILED' && SOFT_FAILURE.test(report.error);
    if (outcome.failed !== null) {
      record.failed.delete(report.hash);
      record.failed = withEntry(record.failed, report.hash, outcome.failed);
      while (record.failed.size > MAX_FAILED_HASHES) record.failed.delete(record.failed.keys().next().value as string);
      bookFailed(session, writer);
      if (outcome.failed.by.startsWith('group:')) this.#options.desk.trailingFailed(outcome.failed.by.slice('group:'.length), report.hash);
    } else if (outcome.answered && !soft && record.failed.delete(report.hash)) bookFailed(session, writer);
    if (report.status === 'APPLIED' && record.reportedStatus !== 'APPLIED') session.appliedAtMs = now;
    if (soft && outcome.rows.length > 0) {
      // A little before Redis would judge the row, so that the failed hash is known here, where the agent is taken back.
      session.softUntilMs = now + SOFT_FAILURE_MS - SOFT_LEAD_MS;
      this.#options.health.watch(session);
    } else session.softUntilMs = 0;

    Object.assign(session.write().set, mergeStatus(record, report, now));
    for (const row of outcome.rows) this.#options.desk.bookRow(session, row);
    if (outcome.lateApplied !== null) {
      const hold = this.#rollout(outcome.lateApplied)?.healthHoldMs ?? 0;
      session.lateApplied = { rollout: outcome.lateApplied, dueMs: now + hold };
      this.#options.health.watch(session);
      if (hold === 0) this.#options.health.judge(session, now);
    }
    if (record.healthy === false) this.#options.health.watch(session);
  }

  /**
   * A row stands in Redis otherwise than it was to be written: it had been judged there. An APPLIED that came too late still
   * counts, after the health hold.
   */
  adopted(session: AgentSession, rolloutId: string, row: Row): void {
    if (session.lateApplied !== undefined || !LATE.has(row.status)) return;
    const { record } = session;
    const rollout = this.#rollout(rolloutId);
    if (rollout === undefined || rollout.direction === 'back') return;
    if (record.reportedStatus !== 'APPLIED' || record.reportedHash !== rollout.to.hash || !reportsRemoteConfig(record.capabilities)) return;
    session.lateApplied = { rollout: rollout.id, dueMs: this.#options.clock.nowMs() + rollout.healthHoldMs };
    this.#options.health.watch(session);
  }

  #rollout(id: string): RolloutSpec | undefined {
    return [...this.#options.spec.spec.rollouts.values()].find((candidate) => candidate.id === id);
  }
}
