import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import { ROW_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import { watchFailedRate } from './alerts/failed-rate-watch.ts';
import type { FailedRateLimits } from './alerts/failed-rate-watch.ts';
import type { AlertCounts, AlertStore } from './alerts/ports.ts';
import { readFacets } from './api/facets.ts';
import type { AgentReader } from './bus/agent-reader.ts';
import type { GatewayDirectory } from './bus/gateway-directory.ts';
import type { QueueCounts } from './queue/queue-reader.ts';
import { countOf } from './rollout/counters.ts';
import type { FleetReader } from './rollout/ports.ts';
import type { RolloutOverview } from './stores/rollout-overview.ts';

/** What is known of the fleet at one time; every coordinator sees the same. */
export interface FleetSnapshot {
  agents: { connected: number; away: number };
  /** Connected agents by health, and by their last config status. */
  health: Readonly<Record<string, number>>;
  status: Readonly<Record<string, number>>;
  gateways: { alive: number; draining: number; gone: number };
  overview: RolloutOverview;
  /** Agents in all running rollouts, by their status in it. */
  rolloutAgents: Readonly<Record<RowStatus, number>>;
  alerts: AlertCounts;
  /** Undefined without BullMQ. */
  queues: QueueCounts | undefined;
}

export interface FleetWatchOptions {
  agents: Pick<AgentReader, 'facets'>;
  gateways: GatewayDirectory;
  overview: { read(): Promise<RolloutOverview> };
  fleet: Pick<FleetReader, 'counters'>;
  alerts: Pick<AlertStore, 'counts' | 'stateOf' | 'change'>;
  queues: { counts(): Promise<QueueCounts> } | undefined;
  failedRate: FailedRateLimits;
  clock: Clock;
  logger: Logger;
  intervalMs: number;
  onSnapshot(snapshot: FleetSnapshot): void;
}

/** Rollouts whose counters are read in one round; there is one for each group at most. */
const MAX_ROLLOUTS = 100;

/** Looks at the whole fleet again and again, for metrics and for alerts that belong to no single change. */
export interface FleetWatch extends Service {
  /** One look now. Rejects when Redis cannot be reached. */
  lookOnce(): Promise<void>;
}

/** Builds the watch of one coordinator. */
export function createFleetWatch(options: FleetWatchOptions): FleetWatch {
  const { clock, logger } = options;
  let timer: ClockTimer | undefined;
  let round: Promise<void> | undefined;

  const read = async (): Promise<FleetSnapshot> => {
    const [facets, gateways, overview, alerts, queues] = await Promise.all([
      options.agents.facets().then(readFacets),
      options.gateways.list(),
      options.overview.read(),
      options.alerts.counts(),
      options.queues?.counts(),
    ]);
    const started = overview.rollouts.filter((rollout) => rollout.started).slice(0, MAX_ROLLOUTS);
    const counters = await Promise.all(started.map(({ id }) => options.fleet.counters(id)));
    const sum = (status: RowStatus): number => counters.reduce((total, counter) => total + countOf(counter.total, [status]), 0);
    return {
      agents: { connected: facets.connected, away: facets.agents - facets.connected },
      health: facets.kinds.get('health') ?? {},
      status: facets.kinds.get('status') ?? {},
      gateways: {
        alive: gateways.filter(({ alive, draining }) => alive && !draining).length,
        draining: gateways.filter(({ alive, draining }) => alive && draining).length,
        gone: gateways.filter(({ alive }) => !alive).length,
      },
      overview,
      rolloutAgents: Object.fromEntries(ROW_STATUSES.map((status) => [status, sum(status)])) as Record<RowStatus, number>,
      alerts,
      queues,
    };
  };

  const lookOnce = async (): Promise<void> => {
    const snapshot = await read();
    options.onSnapshot(snapshot);
    const outcome = await watchFailedRate(options.alerts, options.failedRate, {
      connected: snapshot.agents.connected,
      failed: snapshot.status['failed'] ?? 0,
    });
    if (outcome !== 'unchanged')
      logger.warn({ ...snapshot.agents, failed: snapshot.status['failed'] ?? 0 }, `share of agents that report FAILED: ${outcome}`);
  };

  const service = createService({
    name: 'fleet watch',
    async start() {
      timer = clock.every(options.intervalMs, () => {
        round ??= lookOnce()
          .catch((error: unknown) => logger.debug({ err: error }, 'the fleet could not be looked at, the next look will'))
          .finally(() => {
            round = undefined;
          });
      });
    },
    async stop() {
      timer?.cancel();
      await round;
    },
  });
  return { ...service, lookOnce };
}
