import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { Queue } from 'bullmq';

/** Jobs of our queues by state. */
export type QueueCounts = Readonly<Record<'rollouts' | 'wakes', Readonly<Record<'waiting' | 'active' | 'failed', number>>>>;

/** Counts jobs. */
export interface QueueReader {
  counts(): Promise<QueueCounts>;
  stop(): Promise<void>;
}

/** Builds the reader on a connection of the role `producer`, which is ready. */
export function createQueueReader(options: { producer: RedisClient; keys: Keys; onError(error: Error): void }): QueueReader {
  const { keys } = options;
  const open = (name: string): Queue => {
    const queue = new Queue(name, { connection: options.producer, prefix: keys.queuePrefix, skipWaitingForReady: true });
    queue.on('error', options.onError);
    return queue;
  };
  const queues = { rollouts: open(keys.queueRollouts), wakes: open(keys.queueWakes) };
  const count = async (queue: Queue): Promise<QueueCounts['rollouts']> => {
    const {
      waiting = 0,
      prioritized = 0,
      delayed = 0,
      active = 0,
      failed = 0,
    } = await queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active', 'failed');
    return { waiting: waiting + prioritized + delayed, active, failed };
  };
  return {
    async counts() {
      const [rollouts, wakes] = await Promise.all([count(queues.rollouts), count(queues.wakes)]);
      return { rollouts, wakes };
    },
    async stop() {
      await Promise.all(Object.values(queues).map((queue) => queue.close()));
    },
  };
}
