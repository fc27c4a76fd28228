import type { AgentRecord, ReportedStatus } from '@opamp-gateway/shared/agent-record';
import { acceptsRemoteConfig, reportsEffectiveConfig, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { ConfigRef, Desired, FailedHash, FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { FAILING_STATUSES, isSettled } from '@opamp-gateway/shared/rollout-types';
import type { Row, RowStatus } from '@opamp-gateway/shared/rollout-types';

/** What the reconciler reads of an agent: the part of its record that decides about offers and rows. */
export type ReconcileState = Pick<
  AgentRecord,
  'capabilities' | 'healthy' | 'reportedHash' | 'reportedStatus' | 'offered' | 'offerAnswered' | 'offeredFor' | 'failed' | 'rows' | 'pin'
>;

/** A row to write: the changed part of {@link Row}; `deadlineInMs` counts from Redis' now, -1 keeps the stored one. */
export interface RowChange {
  rollout: string;
  wave: string;
  status: RowStatus;
  attempt: number;
  deadlineInMs: number;
  ackTimeoutMs: number;
  soft: boolean;
  error: string;
}

/** An offer that is due. `paced` offers pass a token bucket, the others only the credit window. */
export interface OfferPlan {
  config: ConfigRef;
  /** Kept with the hash should the agent answer FAILED. */
  offeredFor: FailedHash;
  /** Row that goes with the offer, null outside rollouts and for a taken-back agent, whose row stays `failed`. */
  row: RowChange | null;
  kind: 'rollout' | 'back' | 'takeBack' | 'trailing';
}

/** Outcome of {@link reconcile}: rows to book now, and the offer that is due. */
export interface ReconcileOutcome {
  rows: RowChange[];
  offer: OfferPlan | null;
}

/** Rows that say the agent was never given the rollout's version. */
const UNTOUCHED: ReadonlySet<RowStatus> = new Set<RowStatus>(['skipped', 'left']);
/** Rows that a rollback has nothing more to do for. */
const DONE_BACK: ReadonlySet<RowStatus> = new Set<RowStatus>(['skipped', 'left', 'restored', 'restoreFailed']);
/** How long after its offer an agent that cannot report is looked at first. */
const FIRST_LOOK_MS = 1_000;
const RESTORE: ReadonlySet<RowStatus> = new Set<RowStatus>(['restoring', 'restored', 'restoreFailed']);

/** True when the agent has a row saying it was offered the rollout's version. */
export function wasOffered(rows: ReadonlyMap<string, Row>, rolloutId: string): boolean {
  const row = rows.get(rolloutId);
  return row !== undefined && !UNTOUCHED.has(row.status);
}

function change(rollout: RolloutSpec, status: RowStatus, over: Partial<RowChange> = {}): RowChange {
  return {
    rollout: rollout.id,
    wave: rollout.wave,
    status,
    attempt: rollout.attempt,
    deadlineInMs: -1,
    ackTimeoutMs: rollout.ackTimeoutMs,
    soft: false,
    error: '',
    ...over,
  };
}

function offeredForOf(desired: Desired, state: ReconcileState): FailedHash {
  if (desired.source === 'pin') return { by: `pin:${state.pin?.id ?? ''}`, attempt: 1 };
  if (desired.source === 'rollout' && desired.rollout !== null) return { by: desired.rollout.id, attempt: desired.rollout.attempt };
  return { by: `group:${desired.group?.name ?? ''}`, attempt: 1 };
}

/**
 * Compares what an agent should run with what was last sent to it. Offers iff desired is a hash other than `offered`
 * (nothing ever offered: other than the reported one). `keepsEffective`: effective configs are stored. Pure: no clock, no I/O; pacing is
 * the caller's.
 */
export function reconcile(spec: FleetSpec, state: ReconcileState, desired: Desired, keepsEffective = true): ReconcileOutcome {
  const rows = leftRows(spec, state, desired);
  const takes = acceptsRemoteConfig(state.capabilities);
  const rollout = desired.rollout;
  const row = rollout === null ? undefined : state.rows.get(rollout.id);
  const managed = desired.group === null || desired.group.mode === 'manage';

  if (rollout !== null && rollout.direction === 'back' && row !== undefined && state.pin === null && !UNTOUCHED.has(row.status)) {
    return planRestore(state, desired, rollout, row, rows);
  }
  if (!takes) {
    if (rollout !== null && desired.inCohort && row === undefined) rows.push(change(rollout, 'skipped'));
    return { rows, offer: null };
  }
  if (rollout !== null && desired.inCohort && desired.lacking && row === undefined) rows.push(change(rollout, 'skipped'));
  if (desired.config === null || !managed) return { rows, offer: null };

  const known = state.offered === '' ? state.reportedHash : state.offered;
  if (desired.source === 'rollout' && rollout !== null) {
    // A row that is open here may have been judged in Redis meanwhile: a new attempt covers both.
    const earlier = row !== undefined && row.attempt < rollout.attempt && (FAILING_STATUSES.has(row.status) || !isSettled(row.status));
    const again = row === undefined || UNTOUCHED.has(row.status) || earlier;
    if (known !== rollout.to.hash) {
      const booked = change(rollout, 'offered', { deadlineInMs: rollout.ackTimeoutMs });
      return { rows, offer: { config: rollout.to, offeredFor: offeredForOf(desired, state), row: booked, kind: 'rollout' } };
    }
    if (again) rows.push(bookWithoutOffer(state, rollout, keepsEffective));
    return { rows, offer: null };
  }
  if (known === desired.config.hash) return { rows, offer: null };
  const failedHere = row?.status === 'failed' || (state.failed.size > 0 && state.failed.has(state.offered));
  return {
    rows,
    offer: { config: desired.config, offeredFor: offeredForOf(desired, state), row: null, kind: failedHere ? 'takeBack' : 'trailing' },
  };
}

/** The agent has the rollout's version already: its report is the verdict. */
function bookWithoutOffer(state: ReconcileState, rollout: RolloutSpec, keepsEffective: boolean): RowChange {
  if (!reportsRemoteConfig(state.capabilities)) return unreported(state, rollout, keepsEffective);
  if (state.reportedHash === rollout.to.hash && state.reportedStatus === 'APPLIED') return change(rollout, 'applied');
  return change(rollout, 'offered', { deadlineInMs: rollout.ackTimeoutMs });
}

/**
 * What becomes of an agent that has the rollout's version and cannot report: one that tells its effective config is judged by it from
 * now on, by whoever settles the rows; of any other, and where effective configs are not kept, nothing will be known.
 */
export function unreported(state: Pick<ReconcileState, 'capabilities'>, rollout: RolloutSpec, keepsEffective: boolean): RowChange {
  if (!keepsEffective || !reportsEffectiveConfig(state.capabilities)) return change(rollout, 'unverified');
  return change(rollout, 'offered', { deadlineInMs: Math.min(FIRST_LOOK_MS, rollout.ackTimeoutMs / 10) });
}

/**
 * Rows of rollouts that the agent no longer belongs to: the unsettled ones, and in direction `back` every touched one, for
 * nothing of that rollout is restored on an agent that has another group or a pin.
 */
function leftRows(spec: FleetSpec, state: ReconcileState, desired: Desired): RowChange[] {
  const rows: RowChange[] = [];
  if (state.rows.size === 0) return rows;
  for (const rollout of spec.rollouts.values()) {
    const row = state.rows.get(rollout.id);
    if (row === undefined || (rollout.group === desired.group?.name && state.pin === null)) continue;
    const open = rollout.direction === 'back' ? !DONE_BACK.has(row.status) : !isSettled(row.status);
    if (open) rows.push(change(rollout, 'left', { attempt: row.attempt }));
  }
  return rows;
}

/**
 * Direction `back`: every touched row becomes `restoring`, and is settled only by an answer to an offer of the old
 * version that was made after the bad one.
 */
function planRestore(state: ReconcileState, desired: Desired, rollout: RolloutSpec, row: Row, rows: RowChange[]): ReconcileOutcome {
  const attempt = row.attempt;
  const settledAlready = row.status === 'restored' || row.status === 'restoreFailed';
  if (desired.config === null) {
    if (!settledAlready) {
      if (row.status !== 'restoring') rows.push(change(rollout, 'restoring', { attempt, deadlineInMs: rollout.ackTimeoutMs }));
      rows.push(change(rollout, 'restoreFailed', { attempt, error: 'no version to go back to' }));
    }
    return { rows, offer: null };
  }
  // An open row with no offer on record: the agent may have taken the bad version without a word, so its report proves nothing.
  const known = state.offered === '' && settledAlready ? state.reportedHash : state.offered;
  if (known !== desired.config.hash) {
    const booked = settledAlready ? null : change(rollout, 'restoring', { attempt, deadlineInMs: rollout.ackTimeoutMs });
    return { rows, offer: { config: desired.config, offeredFor: offeredForOf(desired, state), row: booked, kind: 'back' } };
  }
  if (settledAlready) return { rows, offer: null };
  if (row.status !== 'restoring') rows.push(change(rollout, 'restoring', { attempt, deadlineInMs: rollout.ackTimeoutMs }));
  const verdict = restoreVerdict(state, desired.config.hash);
  if (verdict !== undefined) rows.push(change(rollout, verdict.status, { attempt, error: verdict.error }));
  return { rows, offer: null };
}

function restoreVerdict(state: ReconcileState, hash: string): { status: RowStatus; error: string } | undefined {
  if (!reportsRemoteConfig(state.capabilities)) return { status: 'restored', error: '' };
  if (!state.offerAnswered && state.offered !== '') return undefined;
  if (state.reportedHash !== hash) return undefined;
  if (state.reportedStatus === 'APPLIED') return { status: 'restored', error: '' };
  return state.reportedStatus === 'FAILED' ? { status: 'restoreFailed', error: 'the previous version was refused' } : undefined;
}

/** A `RemoteConfigStatus` as the agent reported it. */
export interface StatusReport {
  hash: string;
  status: ReportedStatus;
  error: string;
}

/** What a status report means for the agent's rows and memory of failed hashes. */
export interface StatusOutcome {
  rows: RowChange[];
  /** The offer has its final answer. */
  answered: boolean;
  /** Remember this hash as failed (key: hash). */
  failed: FailedHash | null;
  /** The report names another hash than the one offered. */
  stale: boolean;
  /** The agent is late: it becomes applied after the health hold, with no unsettled status in between. */
  lateApplied: string | null;
}

/** The supervisor's timer ran out while the collector was not healthy yet: judged by health for a while. */
export const SOFT_FAILURE = /config apply timeout exceeded/i;
/** How long a soft failure may recover. */
export const SOFT_FAILURE_MS = 60_000;

/** Applies one status report. The caller has not merged it into `state` yet. Pure. */
export function applyStatusReport(spec: FleetSpec, state: ReconcileState, report: StatusReport): StatusOutcome {
  const outcome: StatusOutcome = { rows: [], answered: false, failed: null, stale: false, lateApplied: null };
  const known = state.offered === '' ? state.reportedHash : state.offered;
  if (report.hash === '' || report.hash !== known) {
    outcome.stale = state.offered !== '' && report.hash !== '';
    return outcome;
  }
  const candidates = [...spec.rollouts.values()].filter((candidate) => candidate.to.hash === report.hash && state.rows.has(candidate.id));
  const rollout = candidates.find((candidate) => candidate.id === state.offeredFor?.by) ?? candidates[0];
  const row = rollout === undefined ? undefined : state.rows.get(rollout.id);
  const judges = rollout !== undefined && row !== undefined && !RESTORE.has(row.status);
  const soft = report.status === 'FAILED' && SOFT_FAILURE.test(report.error);

  switch (report.status) {
    case 'UNSET':
      break;
    case 'APPLYING':
      if (judges && row.status === 'offered') outcome.rows.push(change(rollout, 'applying', { attempt: row.attempt }));
      break;
    case 'APPLIED':
      outcome.answered = true;
      if (judges) appliedRow(rollout, row, outcome);
      break;
    case 'FAILED':
      outcome.answered = true;
      if (soft) {
        if (judges && !isSettled(row.status)) {
          outcome.rows.push(change(rollout, 'verifying', { attempt: row.attempt, deadlineInMs: SOFT_FAILURE_MS, soft: true }));
        }
        break;
      }
      outcome.failed = state.offeredFor ?? { by: '', attempt: 1 };
      if (judges)
        outcome.rows.push(
          change(rollout, 'failed', { attempt: row.attempt, error: report.error === '' ? 'FAILED without a message' : report.error }),
        );
      break;
  }
  return outcome;
}

function appliedRow(rollout: RolloutSpec, row: Row, outcome: StatusOutcome): void {
  switch (row.status) {
    case 'offered':
    case 'applying':
      if (rollout.healthHoldMs === 0) outcome.rows.push(change(rollout, 'applied', { attempt: row.attempt }));
      else outcome.rows.push(change(rollout, 'verifying', { attempt: row.attempt, deadlineInMs: rollout.healthHoldMs }));
      break;
    case 'lost':
    case 'timedOut':
    case 'unverified':
    case 'observed':
      outcome.lateApplied = rollout.id;
      break;
    default:
      break;
  }
}
