/** What the exit code of `opampctl` says; scripts rely on it. */
export const EXIT = Object.freeze({
  /** Done, or the rollout succeeded. */
  ok: 0,
  /** Wrong usage, or the API refused or could not be reached. */
  error: 1,
  rolledBack: 2,
  /** The rollout waits for somebody, or did not end in the time given. */
  heldOrTimedOut: 3,
  cancelled: 4,
  rollbackFailed: 5,
});

/** The exit code for a rollout's final phase; undefined while it goes on. */
export function exitCodeOfPhase(phase: string): number | undefined {
  switch (phase) {
    case 'succeeded':
      return EXIT.ok;
    case 'rolled_back':
      return EXIT.rolledBack;
    case 'cancelled':
      return EXIT.cancelled;
    case 'rollback_failed':
      return EXIT.rollbackFailed;
    default:
      return undefined;
  }
}
