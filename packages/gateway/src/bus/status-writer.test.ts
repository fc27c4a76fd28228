import { systemClock } from '@opamp-gateway/shared/clock';
import { newUid, shardOf } from '@opamp-gateway/shared/instance-uid';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { expect, it } from 'vitest';
import type { GatewayEvents } from '../events.ts';
import { emptyWrite } from '../pending-write.ts';
import type { PendingWrite } from '../pending-write.ts';
import type { AgentSession } from '../session/agent-session.ts';
import { StatusWriter } from './status-writer.ts';

/** What the writer uses of a session. */
function dirtySession(uid: string): AgentSession {
  const session = {
    uid,
    epoch: '1',
    dirtySince: 0,
    pending: { ...emptyWrite(), set: { health: '1' } },
    writing: undefined as PendingWrite | undefined,
    bookNumber() {},
  };
  return session as unknown as AgentSession;
}

it('has at most so many calls under way, and writes every agent of every shard once', async () => {
  const uids = Array.from({ length: 300 }, (_, i) => newUid(1_700_000_000_000 + i));
  const open: (() => void)[] = [];
  let most = 0;
  let underWay = 0;
  const redis = {
    async evalsha(_sha: string, _keys: number, _key: string, args: readonly string[]) {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise<void>((resolve) => open.push(resolve));
      underWay -= 1;
      return args.filter((text) => uids.includes(text)).map(() => ['ok']);
    },
  } as unknown as RedisClient;
  const written: string[] = [];
  const writer = new StatusWriter({
    redis,
    keys: createKeys(),
    gatewayId: 'gw',
    clock: systemClock,
    events: { flushed: () => undefined } as unknown as GatewayEvents,
    flushIntervalMs: 0,
    batchSize: 10,
    callsInFlight: 3,
    callbacks: {
      onWritten: (session) => written.push(session.uid),
      onFenced: () => expect.unreachable(),
      onDelayed: () => expect.unreachable(),
    },
  });

  for (const uid of uids) writer.markDirty(dirtySession(uid));
  const done = writer.barrier().then(() => true);
  let isDone = false;
  void done.then(() => (isDone = true));
  while (!isDone) {
    open.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  expect(new Set(uids.map((uid) => shardOf(uid))).size).toBeGreaterThan(3);
  expect(most).toBe(3);
  expect(written.toSorted()).toEqual(uids.toSorted());
  expect(writer.dirtyCount).toBe(0);
});
