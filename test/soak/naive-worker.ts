/**
 * The control: a rollout as a chain of steps whose position stands in `job.data`, the pattern that comes to mind first with a
 * job queue. It is right as long as nobody dies. Arguments: Redis URL, lock time in milliseconds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Worker } from 'bullmq';
import { NAIVE, type NaiveJob, offerWave } from './naive-rollout.ts';

const [, , url = '', lockMs = '1000'] = process.argv;
const connection = new Redis(url, { maxRetriesPerRequest: null });
connection.on('error', () => undefined);

const worker = new Worker<NaiveJob>(
  NAIVE.queue,
  async (job) => {
    for (let { step } = job.data; step < NAIVE.waves; step += 1) {
      await offerWave(connection, job.data.rollout, step);
      // The agents of the wave answer meanwhile.
      await sleep(NAIVE.waveMs);
      await job.updateData({ ...job.data, step: step + 1 });
    }
    await connection.sadd(NAIVE.finished, job.data.rollout);
  },
  { connection, concurrency: 4, lockDuration: Number(lockMs), stalledInterval: Number(lockMs), maxStalledCount: 1_000 },
);
worker.on('error', () => undefined);
process.stdout.write('ready\n');
