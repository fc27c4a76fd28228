import type { Logger } from '@opamp-gateway/shared/logger';
import { LATENCY_BUCKETS_SECONDS } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';
import type { AgentCommand, CommandOutcome } from './bus/command-bus.ts';

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
  onTokensChanged(): void;
  onTokensUnreadable(error: Error): void;
}

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Builds the events of one coordinator on its metrics and log. */
export function createCoordinatorEvents({ metrics, logger }: { metrics: Metrics; logger: Logger }): CoordinatorEvents {
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
    onTokensChanged() {
      logger.info('API tokens were read again');
    },
    onTokensUnreadable(error) {
      tokenFailures.inc();
      logger.error({ err: error }, 'API tokens cannot be read, the former ones stay in force');
    },
  };
}
