/**
 * Plain data that gateways, coordinators and the API name alike: the statuses of an agent inside a rollout, the phases
 * of a rollout and of its waves, and the reasons for which a rollout is held.
 */

/** Status of one agent in one rollout. An agent has at most one per rollout. */
export const ROW_STATUSES = [
  'offered',
  'applying',
  'verifying',
  'applied',
  'failed',
  'degraded',
  'lost',
  'timedOut',
  'skipped',
  'unverified',
  'observed',
  'left',
  'restoring',
  'restored',
  'restoreFailed',
] as const;

export type RowStatus = (typeof ROW_STATUSES)[number];

/** Statuses that still wait for something: an answer, the health hold, or an acknowledged restore. */
export const UNSETTLED_STATUSES: ReadonlySet<RowStatus> = new Set<RowStatus>(['offered', 'applying', 'verifying', 'restoring']);

/** Statuses that count as failing for the breaker. */
export const FAILING_STATUSES: ReadonlySet<RowStatus> = new Set<RowStatus>(['failed', 'degraded', 'lost', 'timedOut']);

/** True when nothing is awaited from the agent any more. */
export function isSettled(status: RowStatus): boolean {
  return !UNSETTLED_STATUSES.has(status);
}

/** True when `text` is one of {@link ROW_STATUSES}. */
export function isRowStatus(text: string): text is RowStatus {
  return (ROW_STATUSES as readonly string[]).includes(text);
}

/** Wave label under which an agent is booked that was first touched after its wave had been assigned. */
export const LATE_WAVE = 'late';

/** Field `r:<rollout>` of an agent's record: the one row this agent has in that rollout. */
export interface Row {
  /** Index of the wave as text, or {@link LATE_WAVE}. */
  wave: string;
  status: RowStatus;
  /** Raised by `retry`; a settled row becomes unsettled only in a higher attempt (or when it is restored). */
  attempt: number;
  /** Redis time in ms at which the settle script judges an unsettled row. */
  deadlineMs: number;
  /** Redis time in ms of the offer, 0 when nothing was offered. */
  offeredAtMs: number;
  /** The rollout's acknowledgement timeout, kept with the row so that a disconnect can extend the deadline. */
  ackTimeoutMs: number;
  /** True while a "Config apply timeout exceeded" is judged by health instead of at once. */
  soft: boolean;
}

/** Writes a row as the text stored in Redis: `wave|status|attempt|deadline|offeredAt|ackTimeout|soft`. */
export function formatRow(row: Row): string {
  return `${row.wave}|${row.status}|${row.attempt}|${row.deadlineMs}|${row.offeredAtMs}|${row.ackTimeoutMs}|${row.soft ? 1 : 0}`;
}

/** Reads the text of {@link formatRow}; `undefined` when it is not a row. */
export function parseRow(text: string): Row | undefined {
  const parts = text.split('|');
  const [wave, status, attempt, deadline, offeredAt, ackTimeout, soft] = parts;
  if (wave === undefined || status === undefined || !isRowStatus(status)) return undefined;
  return {
    wave,
    status,
    attempt: Number(attempt ?? 1),
    deadlineMs: Number(deadline ?? 0),
    offeredAtMs: Number(offeredAt ?? 0),
    ackTimeoutMs: Number(ackTimeout ?? 0),
    soft: soft === '1',
  };
}

/** Phases of a rollout; those of {@link TERMINAL_PHASES} are never left. */
export const ROLLOUT_PHASES = ['running', 'rolling_back', 'succeeded', 'cancelled', 'rolled_back', 'rollback_failed'] as const;
export type RolloutPhase = (typeof ROLLOUT_PHASES)[number];
export const TERMINAL_PHASES: ReadonlySet<RolloutPhase> = new Set<RolloutPhase>([
  'succeeded',
  'cancelled',
  'rolled_back',
  'rollback_failed',
]);

/** Phases of a wave. */
export const WAVE_PHASES = ['pending', 'assigning', 'converging', 'soaking', 'gating', 'passed', 'failed'] as const;
export type WavePhase = (typeof WAVE_PHASES)[number];

/** Reasons for which a rollout does not advance. Advancing stops while the set of holds is not empty. */
export const HOLD_REASONS = [
  'manual',
  'not_started',
  'predecessor',
  'threshold',
  'gate_inconclusive',
  'gate_error',
  'approval',
  'no_agents',
  'window_closed',
  'deadline',
  'fleet_breaker',
  'lagging_gateway',
] as const;
export type HoldReason = (typeof HOLD_REASONS)[number];
