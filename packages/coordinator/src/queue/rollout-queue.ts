import { toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { NO_TRACER } from '@opamp-gateway/shared/tracing';
import type { Tracer } from '@opamp-gateway/shared/tracing';
import { UnrecoverableError, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import { problemText } from '../rollout/request.ts';
import type { RolloutService } from '../rollout/service.ts';
import { JOBS, KEEP_JOBS_SECONDS, MAX_STALLED_COUNT } from './job-catalog.ts';

export interface RolloutQueueOptions {
  /** A connection of the role `worker`, which waits for Redis as long as it takes. */
  connection: RedisClient;
  keys: Keys;
  service: Pick<RolloutService, 'create'>;
  logger: Logger;
  tracer?: Tracer;
  /** Told of every job that is done, for audit and metrics. */
  onJob?(job: { id: string; outcome: 'created' | 'existing' | 'failed'; rollout: string | null; detail: string }): void;
}

/** How often a job is tried again when Redis failed in between, and how long it waits. */
const TRIES = 20;
const RETRY_MS = 500;

/** The worker of the public queue. */
export interface RolloutQueue {
  start(): Promise<void>;
  /** Finishes the jobs in hand. */
  stop(): Promise<void>;
}

/** Builds the worker that turns jobs `rollout.create` into rollouts. */
export function createRolloutQueue(options: RolloutQueueOptions): RolloutQueue {
  const { keys, service, logger } = options;
  const tracer = options.tracer ?? NO_TRACER;
  let stopped = false;

  const process = async (job: Job): Promise<string> => {
    const id = job.id ?? '';
    if (job.name !== JOBS.createRollout) throw new UnrecoverableError(`unknown job ${job.name}: this queue takes ${JOBS.createRollout}`);
    const span = tracer.start(`${keys.queueRollouts} process`, {
      kind: 'consumer',
      attributes: { 'messaging.system': 'bullmq', 'messaging.destination.name': keys.queueRollouts, 'messaging.message.id': id },
    });
    const how = { actor: `queue/${id}`, idempotencyKey: idempotencyKeyOf(job), trace: span.traceparent };
    const outcome = await withRetries(() => service.create(job.data, how)).catch((error: unknown) => {
      span.end({}, toError(error).message);
      throw error;
    });
    span.end({ 'opamp.job.outcome': outcome.kind });
    switch (outcome.kind) {
      case 'created':
      case 'existing':
        options.onJob?.({ id, outcome: outcome.kind, rollout: outcome.id, detail: '' });
        return outcome.id;
      case 'problem': {
        const detail = problemText(outcome);
        options.onJob?.({ id, outcome: 'failed', rollout: null, detail });
        throw new UnrecoverableError(detail);
      }
      case 'preview':
        throw new UnrecoverableError('a preview is not a job');
    }
  };

  /** A job that failed because Redis did would be lost to its producer, who may have asked for one attempt only. */
  const withRetries = async <T>(run: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await run();
      } catch (error) {
        if (attempt >= TRIES || stopped) throw toError(error);
        logger.debug({ err: error, attempt }, 'job could not be carried out, trying again');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  const worker = new Worker(keys.queueRollouts, process, {
    connection: options.connection,
    prefix: keys.queuePrefix,
    autorun: false,
    concurrency: 4,
    maxStalledCount: MAX_STALLED_COUNT,
    removeOnComplete: { age: KEEP_JOBS_SECONDS },
    removeOnFail: { age: KEEP_JOBS_SECONDS },
  });
  worker.on('error', (error) => logger.debug({ err: error }, 'rollout queue error'));
  let running: Promise<void> | undefined;

  return {
    async start() {
      await worker.waitUntilReady();
      running ??= worker.run();
      running.catch((error: unknown) => logger.warn({ err: error }, 'the worker of the rollout queue ended'));
    },
    async stop() {
      stopped = true;
      await worker.close();
    },
  };
}

/** Ids that BullMQ gave by itself are numbers, which start again with an emptied queue: the time keeps those apart. */
function idempotencyKeyOf(job: Job): string {
  const id = job.id ?? '';
  return /^\d+$/.test(id) ? `job-${id}-${job.timestamp}` : id;
}
