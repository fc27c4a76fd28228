import type { Logger } from '@opamp-gateway/shared/logger';
import { LATENCY_BUCKETS_SECONDS } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';
import { HOLD_REASONS } from '@opamp-gateway/shared/rollout-types';
import type { AgentCommand, CommandOutcome } from './bus/command-bus.ts';
import type { FleetSnapshot } from './fleet-watch.ts';

/** An answered request. */
export interface AnsweredRequest {
  method: string;
  /** Pattern of the route, never the path: paths hold uids. */
  route: string;
  status: number;
  seconds: number;
  actor: string;
  requestId: string;
}

/** What happens in a coordinator, each with its counter and its log line. Ids never become labels. */
export interface CoordinatorEvents {
  onAnswer(request: AnsweredRequest): void;
  onCommand(type: AgentCommand['type'], outcome: CommandOutcome['kind']): void;
  /** A job of the public queue is done. */
  onJob(outcome: 'created' | 'existing' | 'failed'): void;
  /** One event of a rollout that this coordinator has committed. */
  onRolloutEvent(type: string): void;
  /** One evaluation of a rollout. */
  onRolloutLook(seconds: number, failed: boolean): void;
  onGatewayGone(agents: number): void;
  onTrailingHeld(): void;
  /** One attempt to tell somebody of an alert. */
  onAlertAttempt(target: string, outcome: 'delivered' | 'retry' | 'dead'): void;
  /** What this coordinator sees of the fleet. */
  onFleet(snapshot: FleetSnapshot): void;
  onExpired(removed: { agents: number; rollouts: number }): void;
  onAlertTargetsChanged(targets: number): void;
  onAlertTargetsUnreadable(error: Error): void;
  /** A gate that asks another system was answered, or not. */
  onGateAnswer(type: 'prometheus' | 'webhook', outcome: string): void;
  /** A request came without a good credential. */
  onAuthFailure(): void;
  onTokensChanged(): void;
  onTokensUnreadable(error: Error): void;
}

/** Events of rollouts that have a series from the start. */
const ALERTING_EVENTS = [
  'rollback.started',
  'rollout.rolled_back',
  'rollout.cancelled',
  'rollout.rollback_failed',
  'rollout.succeeded',
] as const;

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Builds the events of one coordinator on its metrics and log. */
export function createCoordinatorEvents({
  metrics,
  logger,
  isRedisUp,
}: {
  metrics: Metrics;
  logger: Logger;
  isRedisUp: () => boolean;
}): CoordinatorEvents {
  metrics.gauge('redis_up', { help: 'Whether this coordinator reaches Redis', collect: (gauge) => gauge.set(isRedisUp() ? 1 : 0) });
  const requests = metrics.counter('api_requests_total', {
    help: 'Requests to the REST API that were answered',
    labels: ['method', 'route', 'status'],
  });
  const durations = metrics.histogram('api_request_seconds', {
    help: 'Time from a request to the end of its answer',
    labels: ['method'],
    buckets: LATENCY_BUCKETS_SECONDS,
  });
  const commands = metrics.counter('commands_total', {
    help: 'Commands sent to gateways, by what became of them',
    labels: ['type', 'outcome'],
  });
  const jobs = metrics.counter('jobs_total', {
    help: 'Jobs of the public queue that are done, by what became of them',
    labels: ['outcome'],
  });
  const rolloutEvents = metrics.counter('rollout_events_total', {
    help: 'Events of rollouts that this coordinator committed, by type',
    labels: ['type'],
  });
  // An alert on the first of them needs the 0 before it.
  for (const type of ALERTING_EVENTS) rolloutEvents.inc({ type }, 0);
  const looks = metrics.histogram('rollout_look_seconds', {
    help: 'Time of one evaluation of a rollout, with all the steps it made',
    buckets: LATENCY_BUCKETS_SECONDS,
  });
  const lookFailures = metrics.counter('rollout_look_failures_total', {
    help: 'Evaluations of rollouts that failed; the sweep repeats them',
  });
  const gatewaysGone = metrics.counter('gateways_gone_total', {
    help: 'Gateways whose lease ended without a goodbye, and whose agents were released',
  });
  const agentsReleased = metrics.counter('agents_released_total', { help: 'Agents released because their gateway was gone' });
  const trailingHolds = metrics.counter('trailing_holds_total', {
    help: 'Times offers outside rollouts were stopped in a group because they failed',
  });
  const expired = metrics.counter('expired_total', { help: 'What was removed because it was kept long enough', labels: ['kind'] });
  const attempts = metrics.counter('alert_attempts_total', {
    help: 'Attempts to deliver an alert, by target and what became of them',
    labels: ['target', 'outcome'],
  });
  const alertFileFailures = metrics.counter('alerts_file_failures_total', {
    help: 'Times the file of alert targets could not be read again',
  });
  const onFleet = fleetGauges(metrics);
  const gateAnswers = metrics.counter('gate_answers_total', {
    help: 'Answers to questions of the gates prometheus and webhook; error: none that could be used',
    labels: ['type', 'outcome'],
  });
  const authFailures = metrics.counter('auth_failures_total', { help: 'Requests whose credential was missing or not good' });
  const tokenFailures = metrics.counter('token_file_failures_total', { help: 'Times the file of API tokens could not be read again' });

  return {
    onAnswer({ method, route, status, seconds, actor, requestId }) {
      requests.inc({ method, route, status: String(status) });
      durations.observe({ method }, seconds);
      const level = READING.has(method) || status === 404 || status === 405 ? 'debug' : 'info';
      logger[level]({ method, route, status, seconds, actor, requestId }, 'api request');
    },
    onCommand(type, outcome) {
      commands.inc({ type, outcome });
    },
    onJob(outcome) {
      jobs.inc({ outcome });
    },
    onRolloutEvent(type) {
      rolloutEvents.inc({ type });
    },
    onRolloutLook(seconds, failed) {
      looks.observe(seconds);
      if (failed) lookFailures.inc();
    },
    onGatewayGone(agents) {
      gatewaysGone.inc();
      agentsReleased.inc(agents);
    },
    onTrailingHeld() {
      trailingHolds.inc();
    },
    onAlertAttempt(target, outcome) {
      attempts.inc({ target, outcome });
    },
    onFleet,
    onExpired({ agents, rollouts }) {
      expired.inc({ kind: 'agent' }, agents);
      expired.inc({ kind: 'rollout' }, rollouts);
    },
    onAlertTargetsChanged(targets) {
      logger.info({ targets }, 'alert targets were read again');
    },
    onAlertTargetsUnreadable(error) {
      alertFileFailures.inc();
      logger.error({ err: error }, 'alert targets cannot be read, the former ones stay in force');
    },
    onGateAnswer(type, outcome) {
      gateAnswers.inc({ type, outcome });
    },
    onAuthFailure() {
      authFailures.inc();
    },
    onTokensChanged() {
      logger.info('API tokens were read again');
    },
    onTokensUnreadable(error) {
      tokenFailures.inc();
      logger.error({ err: error }, 'API tokens cannot be read, the former ones stay in force');
    },
  };
}

/** Gauges of what is in Redis: every coordinator shows the same, so take the maximum over them and not the sum. */
function fleetGauges(metrics: Metrics): (snapshot: FleetSnapshot) => void {
  const gauge = <Label extends string = never>(name: string, help: string, labels: readonly Label[] = []) =>
    metrics.gauge<Label>(name, { help, labels });
  const agents = gauge('agents', 'Agents that are known', ['connected']);
  const health = gauge('agents_by_health', 'Connected agents by health', ['health']);
  const status = gauge('agents_by_config_status', 'Connected agents by the config status they reported last', ['status']);
  const gateways = gauge('gateways', 'Gateways; `gone`: the lease has ended and the agents are not released yet', ['state']);
  const rollouts = gauge('rollouts', 'Rollouts that have not ended', ['phase', 'held']);
  const holds = gauge('rollout_holds', 'Rollouts that are held, by reason; one may have several', ['reason']);
  const rows = gauge('rollout_agents', 'Agents in rollouts that have not ended, by their status in it', ['status']);
  const lag = gauge('rollout_due_lag_seconds', 'How late the most urgent evaluation of a rollout is');
  const frozen = gauge('fleet_frozen', 'Whether the fleet is frozen');
  const trailing = gauge('groups_trailing_held', 'Groups whose offers outside rollouts are stopped because they failed');
  const jobs = gauge('queue_jobs', 'Jobs on our BullMQ queues', ['queue', 'state']);
  const outbox = gauge('alerts_outbox', 'Alerts that were not handed to the targets yet');
  const pending = gauge('alerts_pending', 'Deliveries of alerts that wait');
  const dead = gauge('alerts_dead', 'Deliveries of alerts that were given up');
  const readAt = gauge('fleet_read_timestamp_seconds', 'When the numbers of the fleet were last read, Unix time');

  return (snapshot) => {
    agents.set({ connected: 'true' }, snapshot.agents.connected);
    agents.set({ connected: 'false' }, snapshot.agents.away);
    for (const value of ['healthy', 'unhealthy', 'unknown']) health.set({ health: value }, snapshot.health[value] ?? 0);
    for (const value of ['unset', 'applying', 'applied', 'failed']) status.set({ status: value }, snapshot.status[value] ?? 0);
    for (const [state, count] of Object.entries(snapshot.gateways)) gateways.set({ state }, count);
    const { overview } = snapshot;
    for (const phase of ['running', 'rolling_back'] as const) {
      for (const held of [true, false]) {
        const count = overview.rollouts.filter((rollout) => rollout.phase === phase && rollout.holds.length > 0 === held).length;
        rollouts.set({ phase, held: String(held) }, count);
      }
    }
    for (const reason of HOLD_REASONS) holds.set({ reason }, overview.rollouts.filter((rollout) => rollout.holds.includes(reason)).length);
    for (const [name, count] of Object.entries(snapshot.rolloutAgents)) rows.set({ status: name }, count);
    lag.set(overview.dueLagMs / 1000);
    frozen.set(overview.frozen ? 1 : 0);
    trailing.set(overview.trailingHeld);
    for (const [queue, counts] of Object.entries(snapshot.queues ?? {}))
      for (const [state, count] of Object.entries(counts)) jobs.set({ queue, state }, count);
    outbox.set(snapshot.alerts.outbox);
    pending.set(snapshot.alerts.pending);
    dead.set(snapshot.alerts.dead);
    readAt.setToCurrentTime();
  };
}
