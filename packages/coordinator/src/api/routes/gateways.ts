import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { planRebalance } from '../../bus/rebalance.ts';
import type { ApiDependencies, GatewayEntry } from '../dependencies.ts';
import { compareKeys, pageOf } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import * as schema from '../schemas.ts';
import { actorOf } from './audit.ts';
import type { AuditInput } from '../../stores/audit-log.ts';

/** Agents that are sent away come back at once: a longer window is easier on the other gateways. */
const WINDOW_SECONDS = schema.integer('Seconds over which agents are sent away, evenly.', { minimum: 0, maximum: 3600, default: 30 });
const TOLD = schema.answer(
  'The gateway will do it within its next renewal of the lease, normally at once.',
  schema.view({ id: schema.text('The gateway.') }),
);

/** The gateways that are, or lately were, alive, and what they can be told. */
export function gatewayRoutes(app: FastifyInstance, { gateways, audit }: ApiDependencies): void {
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

  /** Writes the order, and the audit entry before it. */
  const tell = async (id: string, order: Parameters<typeof gateways.tell>[1], entry: Omit<AuditInput, 'target'>): Promise<void> => {
    await audit.append({ ...entry, target: `gateway/${id}` });
    if (!(await gateways.tell(id, order))) throw new ProblemError('gateway-not-found', `there is no running gateway ${id}`);
  };

  /** The gateways that run, this one among them. */
  const requireRunning = async (id: string): Promise<readonly GatewayEntry[]> => {
    const running = (await gateways.list()).filter(({ alive }) => alive);
    if (!running.some((gateway) => gateway.id === id)) throw new ProblemError('gateway-not-found', `there is no running gateway ${id}`);
    return running;
  };

  app.post(
    '/gateways/:id/drain',
    {
      schema: {
        tags: ['gateways'],
        summary: 'Send the agents of a gateway away',
        description: 'The gateway takes nobody new and is not ready until it is told to serve again, or ends. A rollout goes on meanwhile.',
        params: schema.params({ id: schema.text('Id of the gateway.', { maxLength: 256 }) }),
        body: schema.body({
          windowSeconds: WINDOW_SECONDS,
          force: { ...schema.flag('Also when no other gateway serves.'), default: false },
          reason: schema.REASON,
        }),
        response: { 202: TOLD, ...schema.problems('gateway-not-found', 'last-gateway', 'invalid-body') },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const { windowSeconds, force, reason } = request.body as { windowSeconds: number; force: boolean; reason?: string };
      const running = await requireRunning(id);
      if (!force && !running.some((gateway) => gateway.id !== id && !gateway.draining))
        throw new ProblemError('last-gateway', `no gateway but ${id} serves: its agents would have nowhere to go`);
      await tell(
        id,
        { drainMs: windowSeconds * 1000 },
        { ...actorOf(request), action: 'gateway.drain', detail: { windowSeconds, force, reason: reason ?? '' } },
      );
      return await reply.code(202).send({ id });
    },
  );

  app.post(
    '/gateways/:id/undrain',
    {
      schema: {
        tags: ['gateways'],
        summary: 'Let a drained gateway serve again',
        params: schema.params({ id: schema.text('Id of the gateway.', { maxLength: 256 }) }),
        body: schema.body({ reason: schema.REASON }),
        response: { 202: TOLD, ...schema.problems('gateway-not-found', 'invalid-body') },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const { reason } = request.body as { reason?: string };
      await requireRunning(id);
      await tell(id, { drainMs: null }, { ...actorOf(request), action: 'gateway.undrain', detail: { reason: reason ?? '' } });
      return await reply.code(202).send({ id });
    },
  );

  app.post(
    '/gateways/rebalance',
    {
      schema: {
        tags: ['gateways'],
        summary: 'Spread connections over the gateways again',
        description:
          'Gateways that hold more than the mean and the tolerance send away what is above the mean, in random order. Where these agents go is up to the load balancer: it should prefer the gateway with the fewest connections.',
        querystring: schema.query({ dryRun: { ...schema.DRY_RUN, default: false } }),
        body: schema.body({
          tolerancePercent: schema.integer('How far above the mean a gateway may be.', { minimum: 0, maximum: 1000, default: 10 }),
          windowSeconds: WINDOW_SECONDS,
          reason: schema.REASON,
        }),
        response: {
          200: schema.answer(
            'What gateways were told, or would be.',
            schema.view({
              mean: schema.integer('Agents for each gateway that serves.'),
              items: schema.list(
                schema.view({
                  id: schema.text('The gateway.'),
                  connected: schema.integer('Agents that it holds.'),
                  count: schema.integer('Agents that it sends away.'),
                }),
                'Gateways that send agents away.',
              ),
            }),
          ),
          ...schema.problems('invalid-body'),
        },
      },
    },
    async (request) => {
      const { dryRun } = request.query as { dryRun: boolean };
      const { tolerancePercent, windowSeconds, reason } = request.body as {
        tolerancePercent: number;
        windowSeconds: number;
        reason?: string;
      };
      const { mean, sheds } = planRebalance(await gateways.list(), tolerancePercent);
      if (!dryRun && sheds.length > 0) {
        const detail = { sheds: Object.fromEntries(sheds.map(({ id, count }) => [id, count])), windowSeconds, reason: reason ?? '' };
        await audit.append({ ...actorOf(request), action: 'gateway.rebalance', target: 'gateways', detail });
        const order = randomUUID();
        // One that ends in between needs no order any more.
        for (const { id, count } of sheds) await gateways.tell(id, { shed: { id: order, count, windowMs: windowSeconds * 1000 } });
      }
      return { mean, items: sheds };
    },
  );
}
