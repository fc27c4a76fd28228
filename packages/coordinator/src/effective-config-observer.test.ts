import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { expect, it, vi } from 'vitest';
import { EffectiveConfigObserver } from './effective-config-observer.ts';

const ROLLOUT = { id: 'r1', to: { name: 'c', version: 1, hash: 'aa' }, healthHoldMs: 0 };

function uidOf(index: number): string {
  return `0190f000-0000-7000-8000-${String(index).padStart(12, '0')}`;
}

/** An observer of agents that tell nothing; `looked` are those that it has looked at. */
function createObserver() {
  const looked: string[] = [];
  const observer = new EffectiveConfigObserver({
    client: { evalsha: async () => 0 } as unknown as RedisClient,
    keys: createKeys(),
    agents: {
      effective: async (uid: string) => {
        looked.push(uid);
        return undefined;
      },
    },
    configs: { files: async () => undefined },
    logger: createSilentLogger(),
  });
  return { observer, looked };
}

it('looks at each agent once, at no more than there is room for, and leaves nobody out for being late in the list', async () => {
  const { observer, looked } = createObserver();
  const uids = Array.from({ length: 6_000 }, (_, index) => uidOf(index));
  observer.observe(ROLLOUT, uids);
  await vi.waitFor(() => expect(looked.length).toBeGreaterThanOrEqual(2_000), 30_000);
  await observer.stop();
  expect(looked).toHaveLength(2_000);
  expect(new Set(looked).size).toBe(2_000);
  // Of the last thousand some 333; fewer than 100 are not seen in the age of the universe.
  expect(looked.filter((uid) => uid >= uidOf(5_000)).length).toBeGreaterThan(100);
});
