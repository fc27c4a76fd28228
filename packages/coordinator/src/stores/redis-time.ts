import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** The time of Redis, Unix milliseconds: the one clock that all coordinators share. */
export async function redisNowMs(client: RedisClient): Promise<number> {
  const [seconds = 0, micros = 0] = await client.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}
