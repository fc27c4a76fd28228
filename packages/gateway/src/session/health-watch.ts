import { reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import type { Row, RowStatus } from '@opamp-gateway/shared/rollout-types';
import type { AgentSession } from './agent-session.ts';
import { withEntry } from './interning.ts';
import type { SessionWriter, SpecSource } from './ports.ts';
import { bookFailed } from './offer-desk.ts';
import type { OfferDesk } from './offer-desk.ts';

/** Rows of an agent that cannot report and was sent the version. */
const UNREPORTED: ReadonlySet<RowStatus> = new Set<RowStatus>(['offered', 'unverified', 'observed']);

/**
 * Judges applied agents by their health until the rollout ends: unhealthy without a break for a while is `degraded`,
 * healthy again for the health hold is `applied` (`unverified` where the agent cannot report); an agent whose APPLIED came after its row had been settled becomes
 * applied after the hold.
 */
export class HealthWatch {
  readonly #spec: SpecSource;
  readonly #desk: OfferDesk;
  readonly #writer: SessionWriter;
  readonly #degradedAfterMs: number;
  readonly #watched = new Set<AgentSession>();
  #unhealthy = 0;

  constructor(options: { spec: SpecSource; desk: OfferDesk; writer: SessionWriter; degradedAfterMs: number }) {
    this.#spec = options.spec;
    this.#desk = options.desk;
    this.#writer = options.writer;
    this.#degradedAfterMs = options.degradedAfterMs;
  }

  /** Number of sessions whose agents report themselves unhealthy, as of the last tick: those are watched all the time. */
  get unhealthy(): number {
    return this.#unhealthy;
  }

  /** Looks at the session with each tick from now on, until nothing is to be judged. */
  watch(session: AgentSession): void {
    this.#watched.add(session);
  }

  forget(session: AgentSession): void {
    this.#watched.delete(session);
  }

  /** Called once a second. */
  tick(nowMs: number): void {
    let unhealthy = 0;
    for (const session of this.#watched) {
      if (session.phase !== 'live' || !this.judge(session, nowMs)) this.#watched.delete(session);
      else if (session.record.healthy === false) unhealthy += 1;
    }
    this.#unhealthy = unhealthy;
  }

  /** Applies the rules to one session; true while something is still to be watched. */
  judge(session: AgentSession, nowMs: number): boolean {
    let open = session.lateApplied !== undefined || session.softUntilMs !== 0 || session.record.healthy === false;
    for (const rollout of this.#spec.spec.rollouts.values()) {
      const row = session.record.rows.get(rollout.id);
      if (row === undefined || rollout.direction === 'back') continue;
      open = this.#judgeRow(session, rollout, row, nowMs) || open;
    }
    return open;
  }

  #judgeRow(session: AgentSession, rollout: RolloutSpec, row: Row, nowMs: number): boolean {
    const { record } = session;
    if (record.offered !== '' && record.offered !== rollout.to.hash) return false;
    const late = session.lateApplied;
    if (late?.rollout === rollout.id && nowMs >= late.dueMs) {
      session.lateApplied = undefined;
      if (record.healthy !== false || record.unhealthyWhenOffered) this.#book(session, rollout, row, 'applied', '');
      return false;
    }
    if (row.soft && row.status === 'verifying' && session.softUntilMs !== 0) {
      if (nowMs < session.softUntilMs || record.healthy !== false) return nowMs < session.softUntilMs;
      session.softUntilMs = 0;
      record.failed = withEntry(record.failed, rollout.to.hash, { by: rollout.id, attempt: row.attempt });
      bookFailed(session, this.#writer);
      this.#book(session, rollout, row, 'failed', record.reportedError);
      this.#desk.evaluate(session, 'session');
      return false;
    }
    const silent = !reportsRemoteConfig(record.capabilities);
    const runs = row.status === 'verifying' || row.status === 'applied' || (silent && UNREPORTED.has(row.status));
    if (record.healthy === false && runs && !record.unhealthyWhenOffered && !row.soft) {
      const sinceMs = Math.max(record.healthSinceMs, silent ? row.offeredAtMs : session.appliedAtMs);
      if (nowMs - sinceMs >= this.#degradedAfterMs) {
        const reason = record.healthTree?.lastError ?? '';
        this.#book(session, rollout, row, 'degraded', reason === '' ? 'unhealthy after applying' : reason);
      }
      return true;
    }
    if (row.status === 'degraded') {
      if (record.healthy === true && nowMs - record.healthSinceMs >= rollout.healthHoldMs)
        this.#book(session, rollout, row, silent ? 'unverified' : 'applied', '');
      return true;
    }
    return false;
  }

  #book(session: AgentSession, rollout: RolloutSpec, row: Row, status: RowStatus, error: string): void {
    this.#desk.bookRow(session, {
      rollout: rollout.id,
      wave: row.wave,
      status,
      attempt: row.attempt,
      deadlineInMs: -1,
      ackTimeoutMs: row.ackTimeoutMs,
      soft: false,
      error: error.slice(0, 1024),
    });
  }
}
