import { admitAlerts, raiseAlert, retryAlerts, settleAlert, takeAlerts } from '@opamp-gateway/shared/redis/alert-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { parseAlert } from '../alerts/alert.ts';
import type { Alert } from '../alerts/alert.ts';
import type { AlertStore, AlertView, DeliveryView } from '../alerts/ports.ts';
import { redisNowMs } from './redis-time.ts';

/** Alerts that are remembered; one with a delivery that waits or is dead is kept longer. */
const KEEP = 1_000;
const MOST_WAITING = 10_000;
const MOST_DEAD = 1_000;
/** Alerts read at a time while a list is filtered. */
const CHUNK = 200;
const MAX_ERROR_CHARS = 300;

/** Builds the store of alerts on one Redis. */
export function createAlertStore(options: { client: RedisClient; keys: Keys; coordinator: string }): AlertStore {
  const { client, keys, coordinator } = options;

  const messageOf = async (alert: Omit<Alert, 'at'>): Promise<string> =>
    JSON.stringify({ at: new Date(await redisNowMs(client)).toISOString(), ...alert });

  const views = async (ids: readonly string[]): Promise<AlertView[]> => {
    if (ids.length === 0) return [];
    const pipeline = client.pipeline();
    for (const id of ids) pipeline.hgetall(keys.alert(id));
    const replies = (await pipeline.exec()) ?? [];
    return replies.flatMap(([error, reply], index) => {
      if (error !== null) throw error;
      return toView(ids[index] as string, reply as Record<string, string>) ?? [];
    });
  };

  return {
    async outbox(limit) {
      const entries = await client.xrange(keys.outbox, '-', '+', 'COUNT', limit);
      return entries.map(([id, fields]) => ({ id, message: fields[1] ?? '' }));
    },

    async admit(messages) {
      return await admitAlerts(client, keys, { keep: KEEP, mostWaiting: MOST_WAITING, mostDead: MOST_DEAD, messages });
    },

    knownTargets: () => client.smembers(keys.alertsTargets),

    take: ({ leaseMs, targets }) => takeAlerts(client, keys, { coordinator, leaseMs, targets }),

    settle: (attempt) => settleAlert(client, keys, { ...attempt, error: attempt.error.replaceAll(/\s+/g, ' ').slice(0, MAX_ERROR_CHARS) }),

    async retry({ ids, target }) {
      if (ids === undefined && target === undefined) return await retryAlerts(client, keys, undefined);
      const dead = await client.zrange(keys.alertsDead, 0, '-1');
      const chosen = dead
        .map((member) => ({ id: member.split(' ', 1)[0] as string, target: member.slice(member.indexOf(' ') + 1) }))
        .filter((entry) => (ids === undefined || ids.includes(entry.id)) && (target === undefined || entry.target === target));
      return await retryAlerts(client, keys, chosen);
    },

    async list({ limit, before, state }) {
      const found: AlertView[] = [];
      const max = before === undefined ? '+inf' : timeOf(before);
      let begun = before === undefined;
      for (let offset = 0; ; offset += CHUNK) {
        const ids = await client.zrevrangebyscore(keys.alerts, max, '-inf', 'LIMIT', offset, CHUNK);
        // Those of the same millisecond that were listed before stand first, up to `before` itself unless it is forgotten.
        const from = begun ? 0 : ids.findIndex((id) => timeOf(id) !== max || id === before);
        const rest = from < 0 ? [] : ids.slice(ids[from] === before ? from + 1 : from);
        begun ||= from >= 0;
        for (const view of await views(rest)) {
          if (state !== undefined && !view.deliveries.some((delivery) => delivery.state === state)) continue;
          found.push(view);
          if (found.length === limit) return found;
        }
        if (ids.length < CHUNK) return found;
      }
    },

    async counts() {
      const targets = await client.smembers(keys.alertsTargets);
      const pipeline = client.pipeline().xlen(keys.outbox).zcard(keys.alertsDead);
      for (const target of targets) pipeline.zcard(keys.alertsDue(target));
      const [outbox = 0, dead = 0, ...pending] = ((await pipeline.exec()) ?? []).map(([error, count]) => {
        if (error !== null) throw error;
        return Number(count);
      });
      return { outbox, dead, pending: pending.reduce((sum, count) => sum + count, 0) };
    },

    async add(alert) {
      await client.xadd(keys.outbox, 'MAXLEN', '~', 100_000, '*', 'message', await messageOf(alert));
    },

    async stateOf(name) {
      return (await client.hget(keys.alertsStates, name)) ?? '';
    },

    async change({ name, from, to, alert }) {
      return await raiseAlert(client, keys, { name, from, to, message: await messageOf(alert) });
    },
  };
}

/** Milliseconds of an id, as text. */
function timeOf(id: string): string {
  return id.split('-', 1)[0] as string;
}

function toView(id: string, fields: Readonly<Record<string, string>>): AlertView | undefined {
  const alert = parseAlert(fields['message'] ?? '');
  if (alert === undefined) return undefined;
  const deliveries = Object.entries(fields)
    .filter(([name]) => name.startsWith('t:'))
    .map(([name, text]) => toDelivery(name.slice(2), text))
    .toSorted((a, b) => (a.target < b.target ? -1 : 1));
  return { id, ...alert, deliveries };
}

/** `state|attempts|last attempt ms|next attempt ms|error` */
function toDelivery(target: string, text: string): DeliveryView {
  const [state = '', attempts = '0', lastMs = '0', nextMs = '0', ...error] = text.split('|');
  const textOf = (ms: string): string | null => (Number(ms) > 0 ? new Date(Number(ms)).toISOString() : null);
  return {
    target,
    state: state === 'delivered' || state === 'dead' ? state : 'pending',
    attempts: Number(attempts),
    lastAttemptAt: textOf(lastMs),
    nextAttemptAt: textOf(nextMs),
    error: error.join('|'),
  };
}
