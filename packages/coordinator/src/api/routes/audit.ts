import type { FastifyInstance } from 'fastify';
import type { ApiDependencies } from '../dependencies.ts';
import { badCursor, decodeCursor, encodeCursor } from '../pagination.ts';
import * as schema from '../schemas.ts';

const STREAM_ID = /^\d{1,20}-\d{1,20}$/;

/** Who changed what. */
export function auditRoutes(app: FastifyInstance, { audit }: ApiDependencies): void {
  app.get(
    '/audit',
    {
      schema: {
        tags: ['audit'],
        summary: 'Changes made through the API, newest first',
        querystring: schema.query(schema.PAGE_QUERY),
        response: {
          200: schema.answer(
            'Newest first.',
            schema.pageSchema(
              schema.view({
                id: schema.text('Place in the log.'),
                at: schema.time('When.'),
                actor: schema.text('Who.'),
                action: schema.text('`group.put`, for example.'),
                target: schema.text('`group/prod`, for example.'),
                detail: { type: 'object', description: 'What exactly.' },
              }),
            ),
          ),
          ...schema.problems(),
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query as { limit: number; cursor?: string };
      const before = cursor === undefined ? undefined : String(decodeCursor(cursor, 1)[0]);
      if (before !== undefined && !STREAM_ID.test(before)) throw badCursor();
      const items = await audit.list({ limit, before });
      const last = items.at(-1);
      return { items, nextCursor: items.length < limit || last === undefined ? null : encodeCursor([last.id]) };
    },
  );
}
