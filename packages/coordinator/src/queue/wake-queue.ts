import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { Queue, Worker } from 'bullmq';
import type { Waker } from '../rollout/ports.ts';
import { JOBS, MAX_STALLED_COUNT } from './job-catalog.ts';
import type { WakeJob } from './job-catalog.ts';

export interface WakeQueueOptions {
  /** A connection of the role `producer`, which fails at once while Redis is away. */
  producer: RedisClient;
  /** A connection of the role `worker`. */
  connection: RedisClient;
  keys: Keys;
  /** Looks at one rollout; never rejects. */
  run(id: string): Promise<void>;
  logger: Logger;
}

/** The queue of wake-ups: the fast leg, beside the sweep that repairs. */
export interface WakeQueue extends Waker {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Builds producer and worker of the wake-ups. 200 wakes of one rollout in a row are two runs. */
export function createWakeQueue(options: WakeQueueOptions): WakeQueue {
  const { keys, logger, run } = options;
  const queue = new Queue<WakeJob>(keys.queueWakes, {
    connection: options.producer,
    prefix: keys.queuePrefix,
    skipWaitingForReady: true,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  });
  const worker = new Worker<WakeJob>(keys.queueWakes, async (job) => run(job.data.id), {
    connection: options.connection,
    prefix: keys.queuePrefix,
    autorun: false,
    concurrency: 8,
    maxStalledCount: MAX_STALLED_COUNT,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 0 },
  });
  const onError = (error: Error): void => logger.debug({ err: error }, 'wake queue error');
  queue.on('error', onError);
  worker.on('error', onError);
  let running: Promise<void> | undefined;

  return {
    async start() {
      await worker.waitUntilReady();
      running ??= worker.run();
      running.catch((error: unknown) => logger.warn({ err: error }, 'the worker of the wake queue ended'));
    },
    wake(id) {
      queue
        .add(JOBS.wake, { id }, { deduplication: { id: `ro-${id}`, keepLastIfActive: true } })
        .catch((error: unknown) => logger.debug({ err: error, rollout: id }, 'rollout could not be woken, the sweep will find it'));
    },
    async stop() {
      await worker.close();
      await queue.close();
    },
  };
}
