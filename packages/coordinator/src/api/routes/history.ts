import type { FastifyInstance } from 'fastify';
import type { ApiDependencies } from '../dependencies.ts';
import { toSeries } from '../history-series.ts';
import * as schema from '../schemas.ts';

const DAY_HOURS = 24;

const COLUMN = schema.list({ type: ['integer', 'null'] }, 'One entry per step, oldest first; null where no minute was recorded.');

/** The last day of the fleet. */
export function historyRoutes(app: FastifyInstance, { history }: ApiDependencies): void {
  app.get(
    '/fleet/history',
    {
      schema: {
        tags: ['fleet'],
        summary: 'Connected agents over the last day',
        description:
          'Recorded by the minute. A step of several minutes shows the worst of them: fewest connected, most unhealthy, so that a short dip is seen. The last step is the present one.',
        querystring: schema.query({
          hours: schema.integer('How far back.', { minimum: 1, maximum: DAY_HOURS, default: DAY_HOURS }),
          step: schema.integer('Minutes of a step.', { minimum: 1, maximum: 60, default: 5 }),
          gateways: schema.flag('Whether to list each gateway too.'),
        }),
        response: {
          200: schema.answer(
            'Columns of equal length.',
            schema.view({
              from: schema.time('Start of the first step.'),
              stepMinutes: schema.integer('Minutes of a step.'),
              connected: COLUMN,
              unhealthy: COLUMN,
              gateways: schema.mapOf(COLUMN, 'Sessions by gateway, empty unless asked for. Of each minute the 100 with most sessions.'),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async (request) => {
      const { hours, step, gateways } = request.query as { hours: number; step: number; gateways?: boolean };
      return toSeries(await history.read(), { hours, stepMinutes: step, withGateways: gateways === true });
    },
  );
}
