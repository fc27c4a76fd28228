import { ROLLOUT_PHASES } from '@opamp-gateway/shared/rollout-types';
import type { RolloutPhase } from '@opamp-gateway/shared/rollout-types';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { allows } from '../../access/roles.ts';
import type { Identity } from '../../access/roles.ts';
import { requireGroup } from '../auth.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { fromRolloutProblem, ProblemError } from '../problem.ts';
import { streamRolloutEvents } from '../rollout-stream.ts';
import * as schema from '../schemas.ts';
import type { CommandRights } from '../../rollout/approval.ts';
import { actorOf } from './audit.ts';
import type { AuditInput } from '../../stores/audit-log.ts';
import { ROLLOUT_ACTIONS } from '../../rollout/service.ts';
import type { ActOutcome, RolloutAction, RolloutBefore, RolloutView } from '../../rollout/service.ts';

const ID = schema.text('Id of the rollout.', { minLength: 1, maxLength: 128 });
const IDEMPOTENCY_KEY_PATTERN = /^[\x21-\x39\x3b-\x7e]{1,128}$/;
const MAX_EVENTS = 1000;
const MAX_FAILURES = 16_000;
const DEFAULT_FAILURES = 1000;

const STRATEGY: schema.JsonSchema = {
  type: 'object',
  description: 'See docs/rollout.md for every field and its default. Unknown fields are refused.',
  examples: [
    { waves: [{ size: { count: 20 }, soak: '10m' }, { size: { percent: 25 } }, { size: { percent: 100 } }], onFailure: 'rollback' },
  ],
};

const HEADERS: schema.JsonSchema = {
  type: 'object',
  properties: { 'if-match': schema.text('Revision of the rollout that the caller has seen; 412 when it has changed since.') },
};

const ACTION_HELP: Record<RolloutAction, string> = {
  pause: 'Offer to nobody new; who was offered goes on',
  resume: 'Go on, once the gates pass',
  promote: 'Approve, or skip a soak',
  abort: 'Stop, and take everybody back',
  rollback: 'Take back a rollout, also one that succeeded',
  retry: 'Try again the agents that failed',
  cancel: 'End a rollout that has offered nothing yet',
};

const CREATED = schema.view(
  {
    id: schema.text('Id.'),
    rev: schema.integer('Revision.'),
    phase: schema.text('Phase.'),
    warnings: schema.list({ type: 'string' }, 'For example `no_way_back`.'),
    created: schema.flag('False: the key had been used, this is its rollout.'),
  },
  ['rev', 'phase', 'warnings'],
);

/** Rollouts: start, watch, steer. The rules are in the rollout service; here is only HTTP. */
export function rolloutRoutes(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { rollouts, audit, logger } = dependencies;

  /** The rollout's own events are the record of what happened; an audit entry that is lost must not turn success into failure. */
  const note = async (action: string, id: string, entry: Omit<AuditInput, 'action' | 'target'>): Promise<void> => {
    try {
      await audit.append({ ...entry, action: `rollout.${action}`, target: `rollout/${id}` });
    } catch (error) {
      logger.warn({ err: error, rollout: id, action }, 'audit entry was lost');
    }
  };

  /** Looks the rollout up where the caller's credential is for some groups only. An unknown one is left to the call itself. */
  const requireRollout = async (identity: Identity, id: string): Promise<void> => {
    if (identity.scope === '*') return;
    const view = await rollouts.get(id);
    if (view !== undefined) requireGroup(identity, view.group, `rollout ${id} belongs to another group`);
  };

  app.post(
    '/rollouts',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'Start a rollout, or preview it',
        headers: {
          type: 'object',
          properties: {
            'idempotency-key': schema.text(
              '1 to 128 printable characters without colon. The same key with the same body answers with the same rollout for 24 h, with another body with 422.',
            ),
          },
        },
        querystring: schema.query({ dryRun: schema.DRY_RUN }),
        // Checked as a whole by the rollout service, which reports every problem at once; the queue takes the same body.
        body: {
          type: 'object',
          properties: {
            group: { description: 'Name of the group.' },
            config: { description: '`{ "name", "version" }`.' },
            strategy: { description: STRATEGY['description'], examples: STRATEGY['examples'] },
            reason: { description: 'Why.' },
            baseline: { description: '`{ "name", "version" }` to go back to, for the first rollout of a group.' },
            supersede: { description: 'Abort the active rollout of the group first.' },
          },
        },
        response: {
          200: schema.answer('Preview.', schema.ref('RolloutPreview')),
          202: schema.answer('It exists.', CREATED),
          ...schema.problems(
            'malformed-body',
            'group-not-found',
            'config-not-found',
            'rollout-active',
            'group-observed',
            'stale-revision',
            'invalid-body',
            'invalid-rollout',
            'idempotency-key-reused',
          ),
        },
      },
    },
    async (request, reply) => {
      const { dryRun } = request.query as { dryRun?: boolean };
      const { group } = (request.body ?? {}) as { group?: unknown };
      // A body without a group is refused below, with everything else that is wrong with it.
      if (typeof group === 'string') requireGroup(request.identity, group, `${group} is another group`);
      const outcome = await rollouts.create(request.body, {
        actor: request.actor,
        idempotencyKey: idempotencyKey(request),
        dryRun,
        expectedRev: ifMatch(request),
        trace: request.span?.traceparent,
      });
      switch (outcome.kind) {
        case 'preview':
          return outcome.preview;
        case 'created':
          request.log.info({ rollout: outcome.id, group: outcome.view.group, actor: request.actor }, 'rollout created');
          await note('create', outcome.id, {
            ...actorOf(request),
            group: outcome.view.group,
            reason: outcome.view.reason,
            before: outcome.view.from,
            after: outcome.view.to,
            detail: { group: outcome.view.group, to: outcome.view.to, reason: outcome.view.reason, strategy: outcome.view.strategy },
          });
          return await sendCreated(reply, outcome);
        case 'existing':
          return await reply.code(202).header('location', `/api/v1/rollouts/${outcome.id}`).send({ id: outcome.id, created: false });
        case 'problem':
          throw fromRolloutProblem(outcome);
      }
    },
  );

  app.get(
    '/rollouts',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'Rollouts, newest first',
        querystring: schema.query({
          group: schema.GROUP_NAME,
          phase: schema.text('Only these.', { enum: ROLLOUT_PHASES }),
          ...schema.PAGE_QUERY,
        }),
        response: { 200: schema.answer('Newest first.', schema.pageSchema(schema.ref('Rollout'))), ...schema.problems() },
      },
    },
    async (request) => {
      const { group, phase, limit, cursor } = request.query as { group?: string; phase?: RolloutPhase; limit: number; cursor?: string };
      if (group !== undefined) requireGroup(request.identity, group, `${group} is another group`);
      const { scope } = request.identity;
      return await rollouts.list({ group, groups: scope === '*' ? undefined : scope, phase, limit, cursor });
    },
  );

  app.get(
    '/rollouts/:id',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'One rollout, counts as of now',
        params: schema.params({ id: ID }),
        response: {
          200: schema.answer('The rollout; its `rev` is the `ETag`.', schema.ref('Rollout')),
          ...schema.problems('rollout-not-found'),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const view = known(id, await rollouts.get(id));
      requireGroup(request.identity, view.group, `rollout ${id} belongs to another group`);
      return await sendView(reply, view);
    },
  );

  app.get(
    '/rollouts/:id/failures',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'What failed: groups of agents by message, version and stratum, and agents with their errors',
        description: 'The groups count every agent. With `limit=0` they are all that is read: for those who look again and again.',
        params: schema.params({ id: ID }),
        querystring: schema.query({
          limit: schema.integer('Most agents that are listed.', { minimum: 0, maximum: MAX_FAILURES, default: DEFAULT_FAILURES }),
        }),
        response: {
          200: schema.answer(
            'Of the agents at most 1,000 per shard are kept; `total` says how many. Who was restored is still listed.',
            schema.ref('RolloutFailures'),
          ),
          ...schema.problems('rollout-not-found'),
        },
      },
    },
    async (request) => {
      const { id } = request.params as { id: string };
      await requireRollout(request.identity, id);
      const { limit } = request.query as { limit: number };
      const { items, total, groups } = known(id, await rollouts.failures(id, limit));
      return { items, total, groups, nextCursor: null };
    },
  );

  app.get(
    '/rollouts/:id/events',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'What happened, as a stream',
        description:
          'Server-sent events: `id` is the sequence number, `data` one event as JSON; after the last event of an ended rollout comes one of type `end`. `Last-Event-ID` or `after` continues. With `Accept: application/json` a list of at most 1,000 instead.',
        params: schema.params({ id: ID }),
        querystring: schema.query({ after: schema.integer('Only events with a greater sequence number.', { minimum: 0 }) }),
        headers: { type: 'object', properties: { 'last-event-id': schema.text('Sequence number of the last event received.') } },
        response: {
          200: {
            description: 'The stream.',
            content: { 'text/event-stream': { schema: { type: 'string' } }, 'application/json': { schema: { type: 'object' } } },
          },
          ...schema.problems('rollout-not-found'),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const after = startOf(request);
      requireGroup(request.identity, known(id, await rollouts.get(id)).group, `rollout ${id} belongs to another group`);
      const accept = request.headers.accept ?? '*/*';
      if (accept.includes('application/json') && !accept.includes('text/event-stream')) {
        const items = known(id, await rollouts.events(id, after, MAX_EVENTS));
        return { items, nextCursor: null };
      }
      await streamRolloutEvents({ id, after, rollouts, request, reply, closing: app.closing });
      return reply;
    },
  );

  for (const action of ROLLOUT_ACTIONS) {
    app.post(
      `/rollouts/:id/${action}`,
      {
        schema: {
          tags: ['rollouts'],
          summary: ACTION_HELP[action],
          params: schema.params({ id: ID }),
          headers: HEADERS,
          body: schema.body({ reason: schema.REASON }),
          response: {
            200: schema.answer('Done: the rollout as it is now.', schema.ref('Rollout')),
            ...(action === 'rollback' ? { 202: schema.answer('A new rollout takes it back.', CREATED) } : {}),
            ...schema.problems(
              'rollout-not-found',
              'action-forbidden',
              'rollout-active',
              'stale-revision',
              'invalid-body',
              ...(action === 'promote' ? (['approver-required', 'own-rollout'] as const) : []),
            ),
          },
        },
      },
      async (request, reply) => {
        const { id } = request.params as { id: string };
        const { reason } = request.body as { reason?: string };
        await requireRollout(request.identity, id);
        const outcome = await rollouts.act(id, action, {
          actor: request.actor,
          ...(action === 'promote' ? { rights: rightsOf(request.identity) } : {}),
          reason,
          expectedRev: ifMatch(request),
        });
        request.log.info({ rollout: id, action, actor: request.actor, outcome: outcome.kind }, 'rollout action');
        if (outcome.kind !== 'problem')
          await note(action, id, {
            ...actorOf(request),
            group: outcome.view.group,
            reason,
            ...(outcome.kind === 'ok' ? { before: stateOf(outcome.before), after: stateOf(outcome.view) } : {}),
            detail: { reason: reason ?? '', ...(outcome.kind === 'created' ? { rollout: outcome.id } : {}) },
          });
        return await sendOutcome(reply, outcome);
      },
    );
  }

  app.patch(
    '/rollouts/:id',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'Change tunable fields of a running rollout',
        params: schema.params({ id: ID }),
        headers: HEADERS,
        body: schema.body(
          {
            strategy: { ...STRATEGY, description: 'Only the fields to change: maxInFlight, maxInFlightPer, rate, failure, onFailure.' },
            reason: schema.REASON,
          },
          ['strategy'],
        ),
        response: {
          200: schema.answer('The rollout as it is now.', schema.ref('Rollout')),
          ...schema.problems('rollout-not-found', 'action-forbidden', 'stale-revision', 'invalid-body', 'invalid-rollout'),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const { strategy, reason } = request.body as { strategy: unknown; reason?: string };
      await requireRollout(request.identity, id);
      const outcome = await rollouts.tune(id, strategy, { actor: request.actor, reason, expectedRev: ifMatch(request) });
      if (outcome.kind === 'ok')
        await note('tune', id, {
          ...actorOf(request),
          group: outcome.view.group,
          reason,
          before: { rev: outcome.before.rev, strategy: outcome.before.strategy },
          after: { rev: outcome.view.rev, strategy: outcome.view.strategy },
          detail: { reason: reason ?? '', strategy },
        });
      return await sendOutcome(reply, outcome);
    },
  );
}

/** Where a rollout stands, for an audit entry. */
function stateOf({ rev, phase, waveIndex, holds }: RolloutBefore): Omit<RolloutBefore, 'strategy'> {
  return { rev, phase, waveIndex, holds };
}

function rightsOf(identity: Identity): CommandRights {
  return {
    approve: allows(identity, 'rollouts.approve'),
    advance: allows(identity, 'rollouts.write'),
    identified: identity.kind !== 'anonymous',
  };
}

function known<Value>(id: string, value: Value | undefined): Value {
  if (value === undefined) throw new ProblemError('rollout-not-found', `there is no rollout ${id}`);
  return value;
}

async function sendView(reply: FastifyReply, view: RolloutView): Promise<FastifyReply> {
  return await reply.header('etag', `"${view.rev}"`).send(view);
}

async function sendCreated(reply: FastifyReply, { id, rev, view }: { id: string; rev: number; view: RolloutView }): Promise<FastifyReply> {
  return await reply
    .code(202)
    .headers({ location: `/api/v1/rollouts/${id}`, etag: `"${rev}"` })
    .send({ id, rev, phase: view.phase, warnings: view.warnings, created: true });
}

async function sendOutcome(reply: FastifyReply, outcome: ActOutcome): Promise<FastifyReply> {
  switch (outcome.kind) {
    case 'ok':
      return await sendView(reply, outcome.view);
    case 'created':
      return await sendCreated(reply, outcome);
    case 'problem':
      throw fromRolloutProblem(outcome);
  }
}

/** `If-Match: "7"`, also weak or without quotes; `*` and no header mean any revision. */
function ifMatch(request: FastifyRequest): number | undefined {
  const header = request.headers['if-match'];
  if (header === undefined || header.trim() === '*') return undefined;
  const match = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header.trim());
  if (match !== null) return Number(match[1]);
  throw headerProblem('if-match', 'must be the rev of the rollout, for example "7"');
}

function idempotencyKey(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && IDEMPOTENCY_KEY_PATTERN.test(key)) return key;
  throw headerProblem('idempotency-key', 'must have 1 to 128 printable characters without spaces and colons');
}

function startOf(request: FastifyRequest): number {
  const { after } = request.query as { after?: number };
  const last = request.headers['last-event-id'];
  if (last === undefined || last === '') return after ?? 0;
  if (typeof last === 'string' && /^\d{1,15}$/.test(last)) return Number(last);
  throw headerProblem('last-event-id', 'must be the sequence number of an event');
}

function headerProblem(name: string, message: string): ProblemError {
  return new ProblemError('invalid-parameter', `${name}: ${message}`, { errors: [{ path: `headers.${name}`, message }] });
}
