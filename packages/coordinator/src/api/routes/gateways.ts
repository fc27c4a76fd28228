import type { FastifyInstance } from 'fastify';
import type { ApiDependencies } from '../dependencies.ts';
import { compareKeys, pageOf } from '../pagination.ts';
import * as schema from '../schemas.ts';

/** The gateways that are, or lately were, alive. */
export function gatewayRoutes(app: FastifyInstance, { gateways }: ApiDependencies): void {
  app.get(
    '/gateways',
    {
      schema: {
        tags: ['gateways'],
        summary: 'Gateways and what they carry',
        querystring: schema.query(schema.PAGE_QUERY),
        response: {
          200: schema.answer(
            'By id.',
            schema.pageSchema(
              schema.view({
                id: schema.text('Unique per process.'),
                address: schema.text('Where agents reach it.'),
                version: schema.text('Release.'),
                alive: schema.flag('Whether its lease runs.'),
                draining: schema.flag('Whether it sends its agents away.'),
                leaseEndsAt: schema.time('By the clock of Redis.'),
                observed: schema.text('`<generation>:<contentHash>` of the fleet spec that all its sessions follow.'),
                backlog: schema.mapOf(schema.integer('Sessions.'), 'Sessions that are eligible and not offered yet, by rollout.'),
                connected: schema.integer('Agents connected.'),
                unhealthy: schema.integer('Of these: unhealthy.'),
                startedAt: schema.time('Start of the process.'),
              }),
            ),
          ),
          ...schema.problems(),
        },
      },
    },
    async (request) => {
      const sorted = [...(await gateways.list())].toSorted((left, right) => compareKeys(left.id, right.id));
      const page = pageOf(sorted, request.query as { limit: number; cursor?: string }, ({ id }) => id, compareKeys);
      const items = page.items.map(({ leaseEndsAtMs, startedAtMs, ...gateway }) => ({
        ...gateway,
        leaseEndsAt: new Date(leaseEndsAtMs).toISOString(),
        startedAt: new Date(startedAtMs).toISOString(),
      }));
      return { items, nextCursor: page.nextCursor };
    },
  );
}
