import type { Keys } from './keys.ts';
import { runScript, SCRIPTS } from './scripts.ts';
import type { RedisClient } from './scripts.ts';

/** One delivery to make now. */
export interface TakenAlert {
  id: string;
  target: string;
  /** Attempts before this one. */
  attempts: number;
  /** JSON, as it was put into the outbox. */
  message: string;
}

/** Moves messages from the outbox to their targets; those that somebody else has moved are left out. */
export async function admitAlerts(
  client: RedisClient,
  keys: Keys,
  options: { keep: number; mostWaiting: number; mostDead: number; messages: readonly { id: string; targets: readonly string[] }[] },
): Promise<{ moved: number; givenUp: number; dropped: number }> {
  const [moved, givenUp, dropped] = (await runScript(
    client,
    SCRIPTS.admitAlerts,
    [keys.outbox, keys.alerts, keys.alertsDead, keys.alertsTargets],
    [
      keys.tagPrefix,
      options.keep,
      options.mostWaiting,
      options.mostDead,
      ...options.messages.flatMap(({ id, targets }) => [id, targets.length, ...targets]),
    ],
  )) as [number, number, number];
  return { moved, givenUp, dropped };
}

/** Takes or renews the lease and what is due; `held` is false when another coordinator delivers. */
export async function takeAlerts(
  client: RedisClient,
  keys: Keys,
  options: {
    coordinator: string;
    /** 0 gives the lease back. */
    leaseMs: number;
    targets: readonly { name: string; limit: number; hiddenMs: number }[];
  },
): Promise<{ held: boolean; holder: string; due: TakenAlert[] }> {
  const [holder = '', ...flat] = (await runScript(
    client,
    SCRIPTS.takeAlerts,
    [keys.alertsLease],
    [
      keys.tagPrefix,
      options.coordinator,
      options.leaseMs,
      ...options.targets.flatMap(({ name, limit, hiddenMs }) => [name, limit, hiddenMs]),
    ],
  )) as string[];
  const due: TakenAlert[] = [];
  for (let at = 0; at + 3 < flat.length; at += 4) {
    const [id, target, attempts, message] = flat.slice(at, at + 4) as [string, string, string, string];
    due.push({ id, target, attempts: Number(attempts), message });
  }
  return { held: holder === options.coordinator, holder, due };
}

/** Notes the outcome of one attempt; false when the delivery was settled already. */
export async function settleAlert(
  client: RedisClient,
  keys: Keys,
  attempt: {
    id: string;
    target: string;
    outcome: 'delivered' | 'retry' | 'dead';
    attempts: number;
    /** Until the next attempt. */
    delayMs: number;
    error: string;
  },
): Promise<boolean> {
  const args = [keys.tagPrefix, attempt.id, attempt.target, attempt.outcome, attempt.attempts, Math.round(attempt.delayMs), attempt.error];
  return (await runScript(client, SCRIPTS.settleAlert, [keys.alertsDead], args)) === 1;
}

/** Makes dead deliveries due again; all of them when none is named. Returns how many. */
export async function retryAlerts(
  client: RedisClient,
  keys: Keys,
  deliveries: readonly { id: string; target: string }[] | undefined,
): Promise<number> {
  if (deliveries?.length === 0) return 0;
  const named = (deliveries ?? []).flatMap(({ id, target }) => [id, target]);
  return Number(await runScript(client, SCRIPTS.retryAlerts, [keys.alertsDead], [keys.tagPrefix, ...named]));
}

/** Changes a watched state from what was read and puts a message into the outbox, in one step. False when somebody else was first. */
export async function raiseAlert(
  client: RedisClient,
  keys: Keys,
  change: { name: string; from: string; to: string; message: string },
): Promise<boolean> {
  const args = [change.name, change.from, change.to, change.message];
  return (await runScript(client, SCRIPTS.raiseAlert, [keys.alertsStates, keys.outbox], args)) === 1;
}
