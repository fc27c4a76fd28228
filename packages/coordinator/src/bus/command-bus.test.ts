import { EventEmitter } from 'node:events';
import { createManualClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { describe, expect, it } from 'vitest';
import { createCommandBus } from './command-bus.ts';

const KEYS = createKeys();

interface Sent {
  channel: string;
  message: { type: string; uid?: string; requestId?: string; replyTo?: string; shard?: number };
}

async function createBus() {
  const sent: Sent[] = [];
  const outcomes: string[] = [];
  const subscriber = Object.assign(new EventEmitter(), { subscribe: async () => 1, unsubscribe: async () => 0, status: 'ready' });
  const client = {
    publish: async (channel: string, text: string) => {
      sent.push({ channel, message: JSON.parse(text) as Sent['message'] });
      return 1;
    },
  };
  const clock = createManualClock();
  const bus = createCommandBus({
    client: client as unknown as RedisClient,
    subscriber: subscriber as unknown as RedisClient,
    keys: KEYS,
    coordinatorId: 'c1',
    logger: createSilentLogger(),
    clock,
    timeoutMs: 5000,
    onOutcome: (type, outcome) => outcomes.push(`${type} ${outcome}`),
  });
  await bus.start();
  const answer = (message: unknown, channel = 'opamp:coordinator:c1'): void =>
    void subscriber.emit('message', channel, typeof message === 'string' ? message : JSON.stringify(message));
  const flush = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  return { bus, sent, clock, answer, flush, outcomes };
}

describe('the command bus', () => {
  it('asks the one gateway and takes its answer', async () => {
    const { bus, sent, answer, flush, outcomes } = await createBus();
    const outcome = bus.send('gw-1', { type: 'restart', uid: 'u' });
    await flush();
    expect(sent).toEqual([
      {
        channel: 'opamp:gateway:gw-1',
        message: { type: 'restart', uid: 'u', requestId: expect.any(String) as string, replyTo: 'opamp:coordinator:c1' },
      },
    ]);
    answer({ requestId: sent[0]?.message.requestId, ok: true });
    expect(await outcome).toEqual({ kind: 'ok' });
    expect(outcomes).toEqual(['restart ok']);
  });

  it('hands on why a gateway refused', async () => {
    const { bus, sent, answer, flush } = await createBus();
    const outcome = bus.send('gw-1', { type: 'restart', uid: 'u' });
    await flush();
    answer({ requestId: sent[0]?.message.requestId, ok: false, reason: 'not here' });
    expect(await outcome).toEqual({ kind: 'refused', reason: 'not here' });
  });

  it('gives up after its time, sends nothing again, and ignores what comes later', async () => {
    const { bus, sent, clock, answer, flush } = await createBus();
    const outcome = bus.send('gw-1', { type: 'restart', uid: 'u' });
    await flush();
    clock.advance(4999);
    clock.advance(1);
    expect(await outcome).toEqual({ kind: 'timeout' });
    answer({ requestId: sent[0]?.message.requestId, ok: true });
    expect(sent).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('tells concurrent commands apart, and ignores strangers', async () => {
    const { bus, sent, answer, flush } = await createBus();
    const first = bus.send('gw-1', { type: 'restart', uid: 'a' });
    const second = bus.send('gw-2', { type: 'restart', uid: 'b' });
    await flush();
    for (const nonsense of ['{', 'null', '{}', '{"requestId":1,"ok":true}', '{"requestId":"x","ok":true}']) answer(nonsense);
    answer({ requestId: sent[0]?.message.requestId, ok: true }, 'opamp:coordinator:c2');
    answer({ requestId: sent[1]?.message.requestId, ok: true });
    answer({ requestId: sent[0]?.message.requestId, ok: false });
    expect(await second).toEqual({ kind: 'ok' });
    expect(await first).toEqual({ kind: 'refused', reason: 'the gateway gave no reason' });
  });

  it('ends what waits when it stops', async () => {
    const { bus, flush } = await createBus();
    const outcome = bus.send('gw-1', { type: 'restart', uid: 'a' });
    await flush();
    await bus.stop();
    expect(await outcome).toEqual({ kind: 'timeout' });
  });

  it('sends hints that nobody answers', async () => {
    const { bus, sent } = await createBus();
    await bus.hintEdited('gw-1', 7);
    expect(sent).toEqual([{ channel: 'opamp:gateway:gw-1', message: { type: 'edited', shard: 7 } }]);
  });
});
