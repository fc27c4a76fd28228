/** Where exactly a process is to die: baits for the traps of the proxy between it and Redis. */
import { SCRIPTS } from '@opamp-gateway/shared/redis/scripts';
import { Queue } from 'bullmq';
import type { Stack } from './stack.ts';
import type { Bait, Trap } from './tcp-proxy.ts';
import { waitUntil, type WaitOptions } from './wait-for.ts';

const UID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Answer to the timer's question: the time, then the ids of due rollouts, which are pushed ahead by then. */
const DUE = /\*\d+\r\n\$13\r\n\d{13}\r\n\$17\r\nr[0-9a-z]{16}\r\n/;
const POLL_MS = 5;

/** A coordinator has decided about a rollout (any, unless one is named), and its compare-and-set has not left. */
export function beforeCommit(rollout = ''): Bait {
  return { on: 'request', fits: (data) => data.includes(SCRIPTS.commitRollout.sha) && data.includes(rollout) };
}

/** Redis has given a coordinator due rollouts and pushed them ahead; it does not know yet. */
export const AFTER_TIMER: Bait = { on: 'reply', fits: (data) => DUE.test(data.toString('latin1')) };

/** Redis has given a coordinator a wake job, which is active from then on; it does not know yet. */
export const AFTER_WAKE: Bait = { on: 'reply', fits: (data) => data.includes('rollout.wake') };

/** A gateway has claimed an agent, and its first write about that agent has not left. A new one for each trap: it remembers. */
export function beforeFirstFlush(): Bait {
  const claimed = new Set<string>();
  return {
    on: 'request',
    fits: (data) => {
      const text = data.toString('latin1');
      const isFlush = text.includes(SCRIPTS.flush.sha) && (text.match(UID) ?? []).some((uid) => claimed.has(uid));
      if (text.includes(SCRIPTS.claim.sha)) for (const uid of text.match(UID) ?? []) claimed.add(uid);
      return isFlush;
    },
  };
}

/** A gateway has recorded offers (of any hash, unless one is named), and none of them has been sent. */
export function afterOfferRecorded(hash = ''): Bait {
  return {
    on: 'request',
    fits: (data) => data.includes(SCRIPTS.flush.sha) && data.includes(`offered\r\n$64\r\n${hash}`),
    passes: true,
  };
}

/** Waits until a trap has sprung. */
export async function untilSprung(what: string, trap: Trap, options: WaitOptions = {}): Promise<void> {
  await waitUntil(what, () => trap.isSprung, Boolean, { pollMs: POLL_MS, ...options });
}

/** Adds wake jobs for a rollout, as a coordinator does, until one of them springs the trap of the coordinator that took it. */
export async function wakeUntilSprung(stack: Stack, rollout: string, trap: Trap, options: WaitOptions = {}): Promise<void> {
  const { hostname, port } = new URL(stack.redisUrl);
  const queue = new Queue(stack.keys.queueWakes, { connection: { host: hostname, port: Number(port) }, prefix: stack.keys.queuePrefix });
  queue.on('error', () => undefined);
  try {
    await waitUntil(
      'a coordinator to take a wake job',
      async () => {
        if (!trap.isSprung) await queue.add('rollout.wake', { id: rollout }, { removeOnComplete: true, removeOnFail: true });
        return trap.isSprung;
      },
      Boolean,
      { pollMs: 20, ...options },
    );
  } finally {
    await queue.close();
  }
}
