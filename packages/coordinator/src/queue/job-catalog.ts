/** The jobs on our queues. `rollout.create` is public: any BullMQ client may add it. */
export const JOBS = {
  /** Queue `opamp-rollouts`. Data = the body of `POST /rollouts`, job id = idempotency key, result = the rollout's id. */
  createRollout: 'rollout.create',
  /** Queue `opamp-wakes`. Data = {@link WakeJob}. Says only that a rollout should be looked at; losing it costs latency. */
  wake: 'rollout.wake',
} as const;

/** Data of a wake job. */
export interface WakeJob {
  id: string;
}

/** How long finished jobs stay readable, in seconds. */
export const KEEP_JOBS_SECONDS = 86_400;

/** Our jobs are idempotent, so a worker that died is no reason to give one up. */
export const MAX_STALLED_COUNT = 1_000;
