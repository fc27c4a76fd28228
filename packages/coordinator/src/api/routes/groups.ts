import { formatSelector } from '@opamp-gateway/shared/selector';
import { GROUP_POLICY_FIELDS } from '@opamp-gateway/shared/fleet-spec';
import type { FleetSpec, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import type { FastifyInstance } from 'fastify';
import { covers } from '../../access/roles.ts';
import { requireGroup, requireWholeFleet } from '../auth.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { readFacets } from '../facets.ts';
import type { Facets } from '../facets.ts';
import { countImpact, guardImpact } from '../impact.ts';
import type { Impact } from '../impact.ts';
import { compareKeys, pageOf } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import * as schema from '../schemas.ts';
import { readSelector } from '../selector-input.ts';
import { actorOf } from './audit.ts';
import { MAX_GROUPS } from '../../stores/group-store.ts';
import type { GroupChange, GroupInput } from '../../stores/group-store.ts';

/** Priorities are small numbers that people compare; this leaves room for every scheme. */
const MAX_PRIORITY = 1_000_000;

const EXPECT_AGENTS = schema.integer(
  'Number of agents that the caller expects to change config or to leave management; needed above 20, within 10 %.',
  {
    minimum: 0,
  },
);

const PUT_BODY = schema.body(
  {
    selector: schema.text('`k=v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`, joined by commas; empty = every agent.', {
      maxLength: 4096,
    }),
    priority: schema.integer('The highest priority that matches is an agent’s group.', {
      minimum: -MAX_PRIORITY,
      maximum: MAX_PRIORITY,
      default: 0,
    }),
    mode: schema.text('`observe`: counted and shown, offered nothing.', { enum: ['manage', 'observe'], default: 'manage' }),
    policy: schema.GROUP_POLICY,
    expectAgents: EXPECT_AGENTS,
  },
  ['selector'],
);

const IMPACT = {
  dryRun: schema.flag('True: nothing was changed.'),
  agentsChanging: schema.integer('Agents that would get another config.'),
  agentsLeaving: schema.integer('Agents that would keep what they run, and get nothing from us any more.'),
  agentsAffected: schema.integer('Both together: what `expectAgents` has to say.'),
  estimated: schema.flag('Whether the number is projected from a sample.'),
  sampled: schema.integer('Records looked at.'),
  agents: schema.integer('Known agents.'),
  activeRollout: schema.nullable(schema.text('Rollout that forbids the change now.')),
};

type PutBody = Pick<GroupSpec, 'selector' | 'priority' | 'mode' | 'policy'> & { expectAgents?: number };

/** Groups: which agents belong together, and which group wins. */
export function groupRoutes(app: FastifyInstance, { groups, agents, audit }: ApiDependencies): void {
  app.put(
    '/groups/:name',
    {
      schema: {
        tags: ['groups'],
        summary: 'Create or replace a group',
        description:
          'Replaces the whole group: a field left out gets its default. With `?dryRun=true` it says how many agents would change config, and how many would leave management. More than 20 together need `expectAgents`.',
        params: schema.params({ name: schema.GROUP_NAME }),
        querystring: schema.query({ dryRun: schema.DRY_RUN }),
        body: PUT_BODY,
        response: {
          200: schema.answer('Replaced, unchanged, or (dry run) what would happen.', { anyOf: [schema.ref('Group'), schema.view(IMPACT)] }),
          201: schema.answer('Created.', schema.ref('Group')),
          ...schema.problems('malformed-body', 'rollout-active', 'expect-agents', 'invalid-body', 'invalid-selector', 'limit-exceeded'),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params as { name: string };
      const { dryRun } = request.query as { dryRun?: boolean };
      const { expectAgents, ...fields } = request.body as PutBody;
      const group: GroupInput = { name, ...fields, selector: fields.selector.trim() };
      readSelector(group.selector, 'selector');
      requireGroup(request.identity, name, `${name} is another group`);
      const [spec, activeRollouts] = await Promise.all([groups.spec(), groups.activeRollouts()]);
      const old = spec.groups.find((candidate) => candidate.name === name);
      const changed = old === undefined || !isSameGroup(old, group);
      // A new selector or priority takes agents from other groups.
      if (old === undefined || !isSameGroup(old, { ...group, mode: old.mode }))
        requireWholeFleet(request.identity, `which agents belong to group ${name} concerns other groups`);
      const active = changed ? (activeRollouts.get(name) ?? null) : null;
      if (old === undefined && spec.groups.length >= MAX_GROUPS)
        throw new ProblemError('limit-exceeded', `there are ${MAX_GROUPS} groups already`);

      const impact = changed
        ? await countImpact(agents, spec, withGroup(spec, group, old))
        : { agentsChanging: 0, agentsLeaving: 0, agentsAffected: 0, estimated: false, sampled: 0, agents: await agents.total() };
      if (dryRun === true) return { dryRun: true, ...impact, activeRollout: active };
      if (active !== null) throw activeProblem(name, active);
      guardImpact(impact, expectAgents);
      if (changed || old.selector !== group.selector || !isSamePolicy(old, group)) {
        const entry = await audit.format({
          ...actorOf(request),
          action: 'group.put',
          target: `group/${name}`,
          group: name,
          before: old === undefined ? null : { selector: old.selector, priority: old.priority, mode: old.mode },
          after: { selector: group.selector, priority: group.priority, mode: group.mode },
          detail: { ...fields, agentsChanging: impact.agentsChanging, agentsLeaving: impact.agentsLeaving },
        });
        unwrap(name, await groups.put(group, { guarded: changed, audit: entry }));
      }
      const facets = readFacets(await agents.facets());
      return await reply
        .code(old === undefined ? 201 : 200)
        .send(toView({ stable: null, previous: null, trailingHeld: false, ...provenOf(old), ...group }, activeRollouts, facets));
    },
  );

  /** One group as it is now. */
  const viewOf = async (name: string): Promise<ReturnType<typeof toView>> => {
    const [spec, activeRollouts, counters] = await Promise.all([groups.spec(), groups.activeRollouts(), agents.facets()]);
    return toView(findGroup(spec, name), activeRollouts, readFacets(counters));
  };

  app.get(
    '/groups',
    {
      schema: {
        tags: ['groups'],
        summary: 'All groups, with counts',
        querystring: schema.query(schema.PAGE_QUERY),
        response: { 200: schema.answer('By name.', schema.pageSchema(schema.ref('Group'))), ...schema.problems() },
      },
    },
    async (request) => {
      const [spec, activeRollouts, counters] = await Promise.all([groups.spec(), groups.activeRollouts(), agents.facets()]);
      const facets = readFacets(counters);
      const own = spec.groups.filter(({ name }) => covers(request.identity, name));
      const sorted = own.toSorted((left, right) => compareKeys(left.name, right.name));
      const page = pageOf(sorted, request.query as { limit: number; cursor?: string }, ({ name }) => name, compareKeys);
      return { items: page.items.map((group) => toView(group, activeRollouts, facets)), nextCursor: page.nextCursor };
    },
  );

  app.get(
    '/groups/:name',
    {
      schema: {
        tags: ['groups'],
        summary: 'One group, with counts',
        params: schema.params({ name: schema.GROUP_NAME }),
        response: { 200: schema.answer('The group.', schema.ref('Group')), ...schema.problems('group-not-found') },
      },
    },
    async (request) => {
      const { name } = request.params as { name: string };
      requireGroup(request.identity, name, `${name} is another group`);
      return await viewOf(name);
    },
  );

  app.post(
    '/groups/:name/resume',
    {
      schema: {
        tags: ['groups'],
        summary: 'Let offers outside rollouts go on',
        description:
          'Ends `trailingHeld`: what failed before does not count any more. A group that is not held is answered as it is. The hold comes back when such offers fail again.',
        params: schema.params({ name: schema.GROUP_NAME }),
        body: schema.body({ reason: schema.REASON }),
        response: {
          200: schema.answer('The group as it is now.', schema.ref('Group')),
          ...schema.problems('group-not-found', 'invalid-body'),
        },
      },
    },
    async (request) => {
      const { name } = request.params as { name: string };
      const { reason = '' } = request.body as { reason?: string };
      requireGroup(request.identity, name, `${name} is another group`);
      findGroup(await groups.spec(), name);
      const entry = { ...actorOf(request), action: 'group.trailing_lifted', target: `group/${name}`, group: name, detail: { reason } };
      await groups.liftTrailingHold(name, { audit: await audit.format(entry) });
      return await viewOf(name);
    },
  );

  app.delete(
    '/groups/:name',
    {
      schema: {
        tags: ['groups'],
        summary: 'Delete a group',
        description: 'Its agents fall to the next group that matches, or keep what they run. What the group was proven on is forgotten.',
        params: schema.params({ name: schema.GROUP_NAME }),
        querystring: schema.query({ dryRun: schema.DRY_RUN, expectAgents: EXPECT_AGENTS }),
        body: schema.body({ expectAgents: EXPECT_AGENTS }),
        response: {
          200: schema.answer('Dry run: what would happen.', schema.view(IMPACT)),
          204: { description: 'Deleted.', type: 'null' },
          ...schema.problems('group-not-found', 'rollout-active', 'expect-agents', 'invalid-body'),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params as { name: string };
      const query = request.query as { dryRun?: boolean; expectAgents?: number };
      const expectAgents = (request.body as { expectAgents?: number }).expectAgents ?? query.expectAgents;
      const [spec, activeRollouts] = await Promise.all([groups.spec(), groups.activeRollouts()]);
      const old = findGroup(spec, name);
      const active = activeRollouts.get(name) ?? null;
      const impact: Impact = await countImpact(agents, spec, { ...spec, groups: spec.groups.filter((group) => group !== old) });
      if (query.dryRun === true) return { dryRun: true, ...impact, activeRollout: active };
      if (active !== null) throw activeProblem(name, active);
      guardImpact(impact, expectAgents);
      const entry = await audit.format({
        ...actorOf(request),
        action: 'group.delete',
        target: `group/${name}`,
        group: name,
        before: { selector: old.selector, priority: old.priority, mode: old.mode, stable: old.stable },
        after: null,
        detail: { agentsChanging: impact.agentsChanging, agentsLeaving: impact.agentsLeaving },
      });
      unwrap(name, await groups.delete(name, { audit: entry }));
      return await reply.code(204).send();
    },
  );
}

function findGroup(spec: FleetSpec, name: string): GroupSpec {
  const group = spec.groups.find((candidate) => candidate.name === name);
  if (group === undefined) throw new ProblemError('group-not-found', `there is no group ${name}`);
  return group;
}

function isSamePolicy(old: Pick<GroupSpec, 'policy'>, group: Pick<GroupSpec, 'policy'>): boolean {
  return GROUP_POLICY_FIELDS.every((name) => old.policy?.[name] === group.policy?.[name]);
}

function isSameGroup(old: GroupSpec, group: GroupInput): boolean {
  const canonical = (text: string): string => formatSelector(readSelector(text, 'selector'));
  return old.priority === group.priority && old.mode === group.mode && canonical(old.selector) === canonical(group.selector);
}

/** The spec as it would be with this group in it. */
function withGroup(spec: FleetSpec, group: GroupInput, old: GroupSpec | undefined): FleetSpec {
  const changed: GroupSpec = { ...(old ?? { stable: null, previous: null, trailingHeld: false }), ...group };
  const groups = [...spec.groups.filter(({ name }) => name !== group.name), changed];
  return { ...spec, groups: groups.toSorted((left, right) => right.priority - left.priority || compareKeys(left.name, right.name)) };
}

/** What a group keeps when everything that operators say of it is replaced. */
function provenOf(old: GroupSpec | undefined): Pick<GroupSpec, 'stable' | 'previous' | 'trailingHeld'> | undefined {
  return old === undefined ? undefined : { stable: old.stable, previous: old.previous, trailingHeld: old.trailingHeld };
}

function activeProblem(name: string, id: string): ProblemError {
  return new ProblemError('rollout-active', `group ${name} has the active rollout ${id}`, { extensions: { rollout: id } });
}

function unwrap(name: string, change: GroupChange): void {
  if (change.kind === 'active') throw activeProblem(name, change.id);
  if (change.kind === 'missing') throw new ProblemError('group-not-found', `there is no group ${name}`);
}

function toView(group: GroupSpec, activeRollouts: ReadonlyMap<string, string>, facets: Facets): Record<string, unknown> {
  const { name, selector, priority, mode, policy = {}, stable, previous, trailingHeld } = group;
  const counts = facets.groups.get(name) ?? { agents: 0, connected: 0, health: {} };
  return {
    name,
    selector,
    priority,
    mode,
    policy,
    stable,
    previous,
    trailingHeld,
    activeRollout: activeRollouts.get(name) ?? null,
    counts,
  };
}
