import { parseMember } from '@opamp-gateway/shared/agent-record';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { formatStableField, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import { releaseAgents, releaseSilentPollers } from '@opamp-gateway/shared/redis/agent-scripts';
import { endLease, swapSpecField } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { Alert } from '../alerts/alert.ts';
import { createGatewayDirectory, fleetTimeMs } from './gateway-directory.ts';
import type { KnownGateway } from './gateway-directory.ts';

export interface SweepsOptions {
  client: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  intervalMs?: number;
  /** Called first in every round. */
  beat?(): Promise<void>;
  /** Told of every group whose offers outside rollouts were stopped. */
  onTrailingHeld?(group: string): void;
  /** Told of every gateway that was swept. */
  onGatewayGone?(gateway: string, agents: number): void;
}

/** Agents released by one call. */
const BATCH = 500;
const SCAN_COUNT = 1_000;
/** Failures outside rollouts, in ten minutes, at which such offers stop: so many, and so large a share. */
const TRAILING_FAILURES = 5;
const TRAILING_SHARE = 0.05;

/** The coordinators' housekeeping over the fleet: agents of gateways that died, and pollers that fell silent. */
export interface Sweeps extends Service {
  /** One round now. Rejects when Redis cannot be reached. */
  sweepOnce(): Promise<void>;
}

/** Builds the sweeps; every coordinator runs them, doing the same work twice does no harm. */
export function createSweeps(options: SweepsOptions): Sweeps {
  const { client, keys, clock, logger } = options;
  const directory = createGatewayDirectory(options);
  let timer: ClockTimer | undefined;
  let round: Promise<void> | undefined;
  let stopped = false;

  /** Releases what the gateway had claimed before `untilMs` (Redis); `later` counts what it has claimed since then. */
  const releaseShard = async (shard: ShardKeys, gateway: string, untilMs: number): Promise<{ released: number; later: number }> => {
    let released = 0;
    let later = 0;
    for (const group of await client.smembers(shard.memberGroups)) {
      let cursor = '0';
      do {
        const [next, flat] = await client.hscan(shard.members(group), cursor, 'COUNT', SCAN_COUNT);
        cursor = next;
        const agents: { uid: string; epoch: string }[] = [];
        for (let i = 0; i + 1 < flat.length; i += 2) {
          const member = parseMember(flat[i] as string, flat[i + 1] as string);
          if (member.gateway !== gateway) continue;
          // Epochs are microseconds of the time of the claim.
          if (Number(member.epoch) < untilMs * 1_000) agents.push({ uid: member.uid, epoch: member.epoch });
          else later += 1;
        }
        for (let from = 0; from < agents.length; from += BATCH) {
          released += await releaseAgents(client, shard, gateway, agents.slice(from, from + BATCH));
        }
      } while (cursor !== '0' && !stopped);
    }
    return { released, later };
  };

  /**
   * `beforeMs`: a time before the lease was found to have ended. A gateway that is back since then has claimed its agents anew,
   * under epochs after that time, and keeps them and its lease, however long this sweep takes.
   */
  const sweepGateway = async (gateway: string, beforeMs: number): Promise<void> => {
    const shards = await Promise.all(keys.shards.map((shard) => releaseShard(shard, gateway, beforeMs)));
    if (stopped || shards.some(({ later }) => later > 0) || !(await endLease(client, keys, gateway, true))) return;
    const agents = shards.reduce((sum, { released }) => sum + released, 0);
    logger.info({ gateway, agents }, 'gateway is gone, its agents are released');
    options.onGatewayGone?.(gateway, agents);
  };

  /** Stops offers outside rollouts in groups where they fail; a rollout that succeeds lets them go on. */
  const holdTrailing = async (gateways: readonly KnownGateway[]): Promise<void> => {
    if (gateways.every(({ trailing }) => Object.keys(trailing).length === 0)) return;
    const fields = await client.hgetall(keys.spec);
    const at = new Date(await fleetTimeMs(client, keys)).toISOString();
    for (const group of parseSpec(fields).groups) {
      const { name, stable, trailingHeld } = group;
      const counts = trailingHeld ? undefined : failingOffers(group, gateways);
      if (counts === undefined) continue;
      const field = specField.stable(name);
      const audit = { at, actor: 'system', action: 'group.trailing_held', target: `group/${name}`, detail: counts };
      const to = formatStableField({ ...group, trailingHeld: true });
      const alert: Alert = {
        type: 'group.trailing_held',
        severity: 'critical',
        at,
        summary: `${counts.failures} of ${counts.offers} offers outside rollouts failed in group ${name}, they are stopped`,
        group: name,
        rollout: null,
        data: { ...counts, config: stable },
      };
      const swap = { field, from: fields[field] ?? '', to, audit: JSON.stringify(audit), outbox: JSON.stringify(alert) };
      if (await swapSpecField(client, keys, swap)) {
        options.onTrailingHeld?.(name);
        logger.warn({ group: name, ...counts }, 'offers outside rollouts fail, they are stopped for this group');
      }
    }
  };

  const sweepOnce = async (): Promise<void> => {
    await options.beat?.();
    const beforeMs = await fleetTimeMs(client, keys);
    const gateways = await directory.list();
    for (const gateway of gateways) if (!gateway.alive) await sweepGateway(gateway.id, beforeMs);
    await holdTrailing(gateways.filter((gateway) => gateway.alive));
    await Promise.all(
      keys.shards.map(async (shard) => {
        while (!stopped && (await releaseSilentPollers(client, shard, BATCH)) === BATCH);
      }),
    );
  };

  const service = createService({
    name: 'fleet sweeps',
    async start() {
      timer = clock.every(options.intervalMs ?? 2_000, () => {
        round ??= sweepOnce()
          .catch((error: unknown) => logger.debug({ err: error }, 'fleet sweep failed, the next one will try again'))
          .finally(() => {
            round = undefined;
          });
      });
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await round;
    },
  });
  return { ...service, sweepOnce };
}

/**
 * Offers of a group's proven version outside rollouts over all gateways, when too many of them failed. Counts of another version, and
 * those from before somebody let the offers go on, are left out.
 */
function failingOffers(group: GroupSpec, gateways: readonly KnownGateway[]): { offers: number; failures: number } | undefined {
  let offers = 0;
  let failures = 0;
  for (const { trailing } of gateways) {
    const counts = trailing[group.name];
    if (counts === undefined || counts.hash !== group.stable?.hash || counts.round !== (group.trailingRound ?? 0)) continue;
    offers += counts.offers;
    failures += counts.failures;
  }
  return failures >= TRAILING_FAILURES && failures >= TRAILING_SHARE * offers ? { offers, failures } : undefined;
}
