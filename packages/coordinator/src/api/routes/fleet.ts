import { selectorAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import { NO_GROUP } from '@opamp-gateway/shared/redis/keys';
import { matches } from '@opamp-gateway/shared/selector';
import type { FastifyInstance } from 'fastify';
import { covers, scopeList } from '../../access/roles.ts';
import type { Identity } from '../../access/roles.ts';
import { groupWord } from '../agent-view.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { readFacets } from '../facets.ts';
import type { FacetCounts, Facets } from '../facets.ts';
import { countAbilities, surveyDrift } from '../fleet-drift.ts';
import { createSharedAnswers } from '../shared-answer.ts';
import * as schema from '../schemas.ts';
import { readSelector } from '../selector-input.ts';
import { actorOf } from './audit.ts';
import type { RolloutService } from '../../rollout/service.ts';

/** Active rollouts that the answer lists; `GET /rollouts?phase=running` lists all. */
const MAX_LISTED_ROLLOUTS = 100;

const COUNTS = schema.mapOf(schema.integer('Agents.'), 'Connected agents.');

/** The fleet as a whole: counts, and the brake for everything. */
export function fleetRoutes(app: FastifyInstance, { groups, agents, gateways, audit, configs, rollouts }: ApiDependencies): void {
  const share = createSharedAnswers();

  app.get(
    '/fleet',
    {
      schema: {
        tags: ['fleet'],
        summary: 'Counts of the whole fleet',
        response: {
          200: schema.answer(
            'Counts as of now.',
            schema.view({
              generation: schema.integer('Generation of the fleet spec; raised by every change.'),
              frozen: schema.flag('Whether all offers but rollbacks and take-backs are stopped.'),
              agents: schema.view({
                total: schema.integer('Known agents.'),
                connected: schema.integer('Connected ones.'),
                away: schema.integer('The others.'),
                health: COUNTS,
                status: COUNTS,
                sync: schema.mapOf(
                  schema.integer('Agents.'),
                  'Connected agents by `synced`, `drifted` (runs another hash), `failed`, `unverified` (cannot say), `unsupported` (takes no config), `none` (nothing desired).',
                ),
                versions: COUNTS,
              }),
              groups: schema.list(
                schema.view({
                  name: schema.nullable(schema.text('Null: agents of no group.')),
                  agents: schema.integer('Known.'),
                  connected: schema.integer('Connected.'),
                }),
                'By falling priority.',
              ),
              rollouts: schema.list(
                schema.view({
                  id: schema.text('Id.'),
                  group: schema.GROUP_NAME,
                  to: schema.ref('ConfigRef'),
                  direction: schema.text('Which way.', { enum: ['forward', 'back'] }),
                  held: schema.flag('Whether it is held.'),
                }),
                'Active ones.',
              ),
              gateways: schema.view({ alive: schema.integer('With a running lease.'), draining: schema.integer('Of these: going down.') }),
              configs: schema.integer('Named configs.'),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async ({ identity }) => {
      const [spec, activeRollouts, counters, total, gatewayList, names] = await Promise.all([
        groups.spec(),
        groups.activeRollouts(),
        agents.facets(),
        agents.total(),
        gateways.list(),
        configs.names(),
      ]);
      const facets = factsOf(identity, readFacets(counters), total);
      const alive = gatewayList.filter((gateway) => gateway.alive);
      const countsOf = (name: string): { agents: number; connected: number } => {
        const { agents: known, connected } = facets.groups.get(name) ?? { agents: 0, connected: 0 };
        return { agents: known, connected };
      };
      return {
        generation: spec.generation,
        frozen: spec.frozen,
        agents: {
          total: facets.agents,
          connected: facets.connected,
          away: Math.max(0, facets.agents - facets.connected),
          health: facets.kinds.get('health') ?? {},
          status: facets.kinds.get('status') ?? {},
          sync: facets.kinds.get('sync') ?? {},
          versions: facets.kinds.get('version') ?? {},
        },
        groups: [...spec.groups.map(({ name }) => name), null]
          .filter((name) => covers(identity, name))
          .map((name) => ({ name, ...countsOf(name ?? NO_GROUP) })),
        rollouts: await listActive(new Map([...activeRollouts].filter(([group]) => covers(identity, group))), spec, rollouts),
        gateways: { alive: alive.length, draining: alive.filter(({ draining }) => draining).length },
        configs: names.size,
      };
    },
  );

  app.get(
    '/fleet/drift',
    {
      schema: {
        tags: ['fleet'],
        summary: 'Agents that run something else than they should',
        description:
          'Compares the desired with the effective config of connected agents by meaning: every key of the desired one must be there with an equal value. A random choice of `compare` agents where there are more, and fewer of them when that takes longer than 5 s: `compared` says how many.',
        querystring: schema.query({
          selector: schema.text('Selector over attributes and labels.', { maxLength: 4096 }),
          group: schema.text('Effective group; `-` for agents of none.', { maxLength: 63 }),
          compare: schema.integer('Most agents compared.', { minimum: 1, maximum: 2000, default: 200 }),
          limit: schema.integer('Most drifted agents listed.', { minimum: 1, maximum: 1000, default: 100 }),
        }),
        response: {
          200: schema.answer(
            'Counts, and drifted agents.',
            schema.view({
              agents: schema.integer('Connected agents that were asked for.'),
              compared: schema.integer('Of these: compared ones.'),
              sampled: schema.flag('Whether not every agent was compared.'),
              estimated: schema.flag('Whether `agents` is projected from a sample.'),
              states: schema.mapOf(schema.integer('Agents.'), 'Compared agents by state.'),
              items: schema.list(
                schema.view({
                  uid: schema.UID,
                  group: schema.nullable(schema.text('Effective group.')),
                  desired: schema.nullable(schema.ref('ConfigRef')),
                  drift: schema.ref('Drift'),
                }),
                'Drifted agents.',
              ),
            }),
          ),
          ...schema.problems('invalid-selector'),
        },
      },
    },
    async (request) => {
      const { selector, group, compare, limit } = request.query as { selector?: string; group?: string; compare: number; limit: number };
      const selected = selector === undefined ? undefined : readSelector(selector, 'query.selector');
      const { identity } = request;
      const accept = (record: AgentRecord): boolean =>
        covers(identity, groupWord(record)) &&
        (group === undefined || (groupWord(record) ?? NO_GROUP) === group) &&
        (selected === undefined || matches(selected, selectorAttributes(record)));
      const isForAll = selector === undefined && group === undefined && identity.scope === '*';
      return await share(JSON.stringify(['drift', scopeList(identity.scope), selector, group, compare, limit]), async () =>
        surveyDrift({ agents, configs }, await groups.spec(), { compare, limit, accept: isForAll ? undefined : accept }),
      );
    },
  );

  app.get(
    '/fleet/abilities',
    {
      schema: {
        tags: ['fleet'],
        summary: 'What connected agents can do and report',
        response: {
          200: schema.answer(
            'Counts of connected agents.',
            schema.view({
              agents: schema.integer('Connected agents looked at.'),
              estimated: schema.flag('Whether they are a sample.'),
              acceptsRemoteConfig: schema.integer('Take configs.'),
              reportsRemoteConfig: schema.integer('Say what became of a config.'),
              reportsEffectiveConfig: schema.integer('Say what they run.'),
              reportsHealth: schema.integer('Say how they are.'),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async ({ identity }) =>
      await share(JSON.stringify(['abilities', scopeList(identity.scope)]), async () =>
        countAbilities(agents, (record) => covers(identity, groupWord(record))),
      ),
  );

  for (const [action, frozen] of [
    ['freeze', true],
    ['unfreeze', false],
  ] as const) {
    app.post(
      `/fleet/${action}`,
      {
        schema: {
          tags: ['fleet'],
          summary: frozen ? 'Stop all offers but rollbacks and take-backs' : 'Allow offers again',
          body: schema.body({ reason: schema.REASON }),
          response: {
            200: schema.answer(
              'Done.',
              schema.view({ frozen: schema.flag('As it is now.'), generation: schema.integer('Of the fleet spec.') }),
            ),
            ...schema.problems('invalid-body'),
          },
        },
      },
      async (request) => {
        const { reason } = request.body as { reason?: string };
        const entry = await audit.format({
          ...actorOf(request),
          action: `fleet.${action}`,
          target: 'fleet',
          reason,
          before: { frozen: (await groups.spec()).frozen },
          after: { frozen },
          detail: { reason: reason ?? '' },
        });
        const change = await groups.setFrozen(frozen, { audit: entry });
        return { frozen, generation: change.kind === 'ok' ? change.generation : 0 };
      },
    );
  }
}

/**
 * The counters that a caller may see. One that is for some groups only gets the sums of these; status and version are
 * not counted by group.
 */
function factsOf(identity: Identity, facets: Facets, total: number): Facets {
  if (identity.scope === '*') return { ...facets, agents: total };
  const own = [...facets.groups].filter(([name]) => covers(identity, name));
  const health: FacetCounts = {};
  for (const [, counts] of own) {
    for (const [word, count] of Object.entries(counts.health)) health[word] = (health[word] ?? 0) + count;
  }
  return {
    agents: own.reduce((sum, [, counts]) => sum + counts.agents, 0),
    connected: own.reduce((sum, [, counts]) => sum + counts.connected, 0),
    kinds: new Map([['health', health]]),
    groups: new Map(own),
  };
}

/** Active rollouts as gateways see them; those that have offered nothing yet are not in the spec and are looked up. */
async function listActive(
  active: ReadonlyMap<string, string>,
  spec: FleetSpec,
  rollouts: RolloutService,
): Promise<Record<string, unknown>[]> {
  const entries = [...active].slice(0, MAX_LISTED_ROLLOUTS).map(async ([group, id]) => {
    const known = spec.rollouts.get(group);
    if (known?.id === id) return [{ id, group, to: known.to, direction: known.direction, held: known.held }];
    const view = await rollouts.get(id);
    return view === undefined ? [] : [{ id, group, to: view.to, direction: 'forward', held: view.holds.length > 0 }];
  });
  return (await Promise.all(entries)).flat();
}
