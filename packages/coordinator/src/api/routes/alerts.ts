import type { FastifyInstance } from 'fastify';
import { ALERT_SEVERITIES, ALERT_TYPES } from '../../alerts/alert.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { badCursor, decodeCursor, encodeCursor } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import { ALERT_ID_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { actorOf } from './audit.ts';

const ALERT_ID = new RegExp(ALERT_ID_PATTERN);

const DELIVERY = schema.view({
  target: schema.text('Name of the target.'),
  state: schema.text('`dead`: given up, `POST /alerts/retry` tries it again.', { enum: ['pending', 'delivered', 'dead'] }),
  attempts: schema.integer('Attempts so far.'),
  lastAttemptAt: schema.nullable(schema.time('When the last one ended.')),
  nextAttemptAt: schema.nullable(schema.time('When the next one is due.')),
  error: schema.text('Why the last one failed; empty when it did not.'),
});

const ALERT = schema.view({
  id: schema.text('Also the `webhook-id` of its webhooks.'),
  type: schema.text('What happened.', { enum: ALERT_TYPES }),
  severity: schema.text('How much it matters.', { enum: ALERT_SEVERITIES }),
  at: schema.time('When.'),
  summary: schema.text('One sentence.'),
  group: schema.nullable(schema.text('Group that it is about.')),
  rollout: schema.nullable(schema.text('Rollout that it is about.')),
  data: { type: 'object', description: 'What it rests on.' },
  deliveries: schema.list(DELIVERY, 'One for each target that was to be told.'),
});

/** What was told outside, what could not be told, and to whom. */
export function alertRoutes(app: FastifyInstance, { alerts, audit }: ApiDependencies): void {
  app.get(
    '/alerts',
    {
      schema: {
        tags: ['alerts'],
        summary: 'Alerts, newest first',
        querystring: schema.query({
          state: schema.text('Only alerts with a delivery that waits, or that was given up.', { enum: ['pending', 'dead'] }),
          ...schema.PAGE_QUERY,
        }),
        response: { 200: schema.answer('Newest first.', schema.pageSchema(ALERT)), ...schema.problems() },
      },
    },
    async (request) => {
      const { limit, cursor, state } = request.query as { limit: number; cursor?: string; state?: 'pending' | 'dead' };
      const before = cursor === undefined ? undefined : String(decodeCursor(cursor, 1)[0]);
      if (before !== undefined && !ALERT_ID.test(before)) throw badCursor();
      const items = await alerts.store.list({ limit, before, state });
      const last = items.at(-1);
      return { items, nextCursor: items.length < limit || last === undefined ? null : encodeCursor([last.id]) };
    },
  );

  app.get(
    '/alerts/targets',
    {
      schema: {
        tags: ['alerts'],
        summary: 'Who is told, and how much waits',
        response: {
          200: schema.answer(
            'As the coordinator that answers has read its file.',
            schema.view({
              items: schema.list(
                schema.view({
                  name: schema.text('Name.'),
                  host: schema.text('Host of its URL; the rest can be a secret.'),
                  minSeverity: schema.text('Least severity that it is told of.', { enum: ALERT_SEVERITIES }),
                  types: schema.nullable(schema.list({ type: 'string' }, 'Only these; null = by severity.')),
                }),
                'Targets.',
              ),
              counts: schema.view({
                outbox: schema.integer('Alerts that were not handed to the targets yet.'),
                pending: schema.integer('Deliveries that wait.'),
                dead: schema.integer('Deliveries that were given up.'),
              }),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async () => ({ items: alerts.targets(), counts: await alerts.store.counts() }),
  );

  app.post(
    '/alerts/retry',
    {
      schema: {
        tags: ['alerts'],
        summary: 'Try deliveries again that were given up',
        body: schema.body({
          ids: schema.list(schema.text('Id.', { pattern: ALERT_ID_PATTERN }), 'Of these alerts only.', { minItems: 1, maxItems: 1000 }),
          target: schema.text('To this target only.', { minLength: 1, maxLength: 64 }),
        }),
        response: {
          200: schema.answer('Done.', schema.view({ retried: schema.integer('Deliveries that are due again.') })),
          ...schema.problems('invalid-body'),
        },
      },
    },
    async (request) => {
      const { ids, target } = request.body as { ids?: string[]; target?: string };
      const retried = await alerts.store.retry({ ids, target });
      if (retried > 0)
        await audit.append({ ...actorOf(request), action: 'alerts.retry', target: 'alerts', detail: { ids, target, retried } });
      return { retried };
    },
  );

  app.post(
    '/alerts/test',
    {
      schema: {
        tags: ['alerts'],
        summary: 'Send an alert of the type `test` to every target',
        body: schema.body({ reason: schema.REASON }),
        response: {
          202: schema.answer('It is in the outbox.', schema.view({ targets: schema.integer('Targets that will be told.') })),
          ...schema.problems('invalid-body', 'no-alert-targets'),
        },
      },
    },
    async (request, reply) => {
      const { reason } = request.body as { reason?: string };
      const targets = alerts.targets().length;
      if (targets === 0) throw new ProblemError('no-alert-targets', 'this coordinator has no alert targets');
      await alerts.store.add({
        type: 'test',
        severity: 'info',
        summary: `test by ${request.actor}${reason === undefined ? '' : `: ${reason}`}`,
        group: null,
        rollout: null,
        data: { actor: request.actor },
      });
      return await reply.code(202).send({ targets });
    },
  );
}
