import type { Redis } from 'ioredis';

/** Sizes, times and key names of the control. */
export const NAIVE = {
  queue: 'naive-rollouts',
  rollouts: 12,
  waves: 6,
  agentsPerWave: 5,
  waveMs: 250,
  /** Set of rollouts that a worker has finished. */
  finished: 'naive:finished',
  /** List of `<rollout>:<wave>`, one entry for each start of a wave. */
  starts: 'naive:starts',
  /** Hash: agent of a rollout to how often it was updated. */
  agents: (rollout: string): string => `naive:agents:${rollout}`,
} as const;

/** Where a rollout stands, kept in the job. */
export interface NaiveJob {
  readonly rollout: string;
  readonly step: number;
}

/** Starts a wave: every agent in it gets the new version. */
export async function offerWave(redis: Redis, rollout: string, wave: number): Promise<void> {
  await redis.rpush(NAIVE.starts, `${rollout}:${wave}`);
  for (let agent = 0; agent < NAIVE.agentsPerWave; agent += 1) {
    await redis.hincrby(NAIVE.agents(rollout), `${wave}:${agent}`, 1);
  }
}

/** What went wrong in the control. */
export interface NaiveAnomalies {
  readonly wavesStartedTwice: number;
  readonly rolloutsUnfinished: number;
  readonly agentsNeverUpdated: number;
}

/** Adds up what went wrong. */
export async function countAnomalies(redis: Redis, rollouts: readonly string[]): Promise<NaiveAnomalies> {
  const starts = await redis.lrange(NAIVE.starts, 0, -1);
  const agents = NAIVE.waves * NAIVE.agentsPerWave;
  const updated = await Promise.all(rollouts.map(async (rollout) => await redis.hlen(NAIVE.agents(rollout))));
  const finished = new Set(await redis.smembers(NAIVE.finished));
  return {
    wavesStartedTwice: starts.length - new Set(starts).size,
    rolloutsUnfinished: rollouts.filter((rollout) => !finished.has(rollout)).length,
    agentsNeverUpdated: updated.reduce((missing, count) => missing + agents - count, 0),
  };
}
