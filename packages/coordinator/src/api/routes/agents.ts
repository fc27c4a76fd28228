import { randomUUID } from 'node:crypto';
import { selectorAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord, RecordField } from '@opamp-gateway/shared/agent-record';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { HTTP_OWNER, NO_GROUP, SHARD_COUNT } from '@opamp-gateway/shared/redis/keys';
import { ROW_STATUSES } from '@opamp-gateway/shared/rollout-types';
import { matches } from '@opamp-gateway/shared/selector';
import type { FleetSpec, Pin } from '@opamp-gateway/shared/fleet-spec';
import type { FastifyInstance } from 'fastify';
import type { AgentPosition } from '../../bus/agent-reader.ts';
import { groupWord, healthWord, statusWord, SYNC_WORDS, syncWord, toAgentDetail, toAgentView } from '../agent-view.ts';
import type { SyncWord } from '../agent-view.ts';
import { covers } from '../../access/roles.ts';
import type { Identity } from '../../access/roles.ts';
import { requireGroup, requirePermission } from '../auth.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { driftOf } from '../fleet-drift.ts';
import { changesConfig, desiredOf } from '../impact.ts';
import { badCursor, decodeCursor, encodeCursor } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import { LABEL_NAME_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { readSelector } from '../selector-input.ts';
import { actorOf } from './audit.ts';
import type { AuditInput } from '../../stores/audit-log.ts';

/** Records read for one page; a filter that matches few agents gets short pages instead of slow ones. */
const SCAN_LIMIT = 20_000;

const MAX_LABELS = 64;
const MAX_LABEL_BYTES = 256;

const CONFIG_STATUSES = ['unset', 'applying', 'applied', 'failed'] as const;

const LIST_QUERY = {
  selector: schema.text('Selector over attributes and labels.', { maxLength: 4096 }),
  group: schema.text('Effective group; `-` for agents of none.', { maxLength: 63 }),
  status: schema.text('What the agent last said of a config; together with `rollout` its status in that rollout.', {
    enum: [...new Set([...CONFIG_STATUSES, ...ROW_STATUSES])],
  }),
  health: schema.text('Health.', { enum: ['healthy', 'unhealthy', 'unknown'] }),
  gateway: schema.text('Id of the gateway that holds the connection, `http` for pollers.', { maxLength: 128 }),
  transport: schema.text('How the agent talks to us.', { enum: ['ws', 'http'] }),
  rollout: schema.text('Only agents that have a row in this rollout.', { maxLength: 128 }),
  connected: schema.flag('Connected or away.'),
  sync: schema.text('What it last said, against what is desired now: as `agents.sync` of `GET /fleet` counts it.', { enum: SYNC_WORDS }),
  ...schema.PAGE_QUERY,
};

type ListQuery = {
  selector?: string;
  group?: string;
  status?: string;
  health?: string;
  gateway?: string;
  transport?: string;
  rollout?: string;
  connected?: boolean;
  sync?: SyncWord;
  limit: number;
  cursor?: string;
};

const CONFIG_NAME_AND_VERSION = schema.body({ name: schema.CONFIG_NAME, version: schema.VERSION_NUMBER }, ['name', 'version']);

/** Agents: listing, one agent, its labels and its pin. */
export function agentRoutes(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { agents, groups, configs, commands, audit } = dependencies;

  const find = async (uid: string): Promise<AgentRecord> => {
    const record = await agents.get(uid.toLowerCase());
    if (record === undefined) throw new ProblemError('agent-not-found', `there is no agent ${uid}`);
    return record;
  };

  /** The agent, if the caller's credential is for its group. */
  const findOwn = async (uid: string, identity: Identity): Promise<AgentRecord> => {
    const record = await find(uid);
    requireAgent(identity, await groups.spec(), record);
    return record;
  };

  const edit = async (
    record: AgentRecord,
    change: { set?: Record<string, string>; del?: string[] },
    entry: Omit<AuditInput, 'target' | 'group'>,
  ): Promise<Record<string, unknown>> => {
    // Entered first: there is no change without an entry, whatever ends in between.
    await audit.append({ ...entry, target: `agent/${record.uid}`, group: groupOf(await groups.spec(), record) });
    const owner = await agents.edit(record.uid, { set: change.set ?? {}, del: change.del ?? [] });
    if (owner === undefined) throw new ProblemError('agent-not-found', `there is no agent ${record.uid}`);
    if (owner !== '' && owner !== HTTP_OWNER) await commands.hintEdited(owner, shardOf(record.uid as InstanceUid));
    return toAgentView(await find(record.uid), await groups.spec());
  };

  app.get(
    '/agents',
    {
      schema: {
        tags: ['agents'],
        summary: 'Agents, in a stable order',
        description: 'A page may hold fewer agents than `limit` (none, even) while there are more: go on until `nextCursor` is null.',
        querystring: schema.query(LIST_QUERY),
        response: { 200: schema.answer('A page.', schema.pageSchema(schema.ref('Agent'))), ...schema.problems('invalid-selector') },
      },
    },
    async (request) => {
      const query = request.query as ListQuery;
      const spec = await groups.spec();
      const active = [...spec.rollouts.values()].map(({ id }) => id);
      const page = await agents.page({
        after: query.cursor === undefined ? undefined : toPosition(query.cursor),
        limit: query.limit,
        scanLimit: SCAN_LIMIT,
        rollouts: [...new Set([...active, ...(query.rollout === undefined ? [] : [query.rollout])])],
        accept: toFilter(query, request.identity, spec),
        filterFields: filterFieldsOf(query, request.identity),
      });
      return {
        items: page.records.map((record) => toAgentView(record, spec)),
        nextCursor: page.next === undefined ? null : encodeCursor([page.next.shard, page.next.uid]),
      };
    },
  );

  app.get(
    '/agents/:uid',
    {
      schema: {
        tags: ['agents'],
        summary: 'Everything that is known of one agent',
        params: schema.params({ uid: schema.UID }),
        querystring: schema.query({
          reveal: schema.flag('Shows secrets of the effective config; needs `secrets.reveal`, and is entered in the audit log.'),
        }),
        response: { 200: schema.answer('The agent.', schema.ref('AgentDetail')), ...schema.problems('agent-not-found') },
      },
    },
    async (request) => {
      const record = await findOwn((request.params as { uid: string }).uid, request.identity);
      const reveal = (request.query as { reveal?: boolean }).reveal === true;
      const [spec, effective] = await Promise.all([groups.spec(), agents.effective(record.uid)]);
      if (reveal) {
        requirePermission(request.identity, 'secrets.reveal');
        // Entered first: nobody sees a secret of which there is no record.
        await audit.append({
          ...actorOf(request),
          action: 'secrets.reveal',
          target: `agent/${record.uid}`,
          group: groupOf(spec, record),
          detail: {},
        });
      }
      return toAgentDetail(record, spec, effective, await driftOf(record, spec, effective, configs), reveal);
    },
  );

  app.put(
    '/agents/:uid/labels',
    {
      schema: {
        tags: ['agents'],
        summary: 'Replace the labels of an agent',
        description: 'Labels are ours, not the agent’s; selectors see them as `label.<name>`.',
        params: schema.params({ uid: schema.UID }),
        body: schema.body(
          {
            labels: schema.mapOf({ type: 'string', maxLength: MAX_LABEL_BYTES }, 'All of them; those left out are removed.', {
              maxProperties: MAX_LABELS,
              propertyNames: { pattern: LABEL_NAME_PATTERN },
            }),
          },
          ['labels'],
        ),
        response: {
          200: schema.answer('The agent.', schema.ref('Agent')),
          ...schema.problems('malformed-body', 'agent-not-found', 'invalid-body'),
        },
      },
    },
    async (request) => {
      const { labels } = request.body as { labels: Record<string, string> };
      const tooLong = Object.entries(labels).filter(([, value]) => Buffer.byteLength(value) > MAX_LABEL_BYTES);
      if (tooLong.length > 0) {
        const errors = tooLong.map(([name]) => ({ path: `labels.${name}`, message: `must not have more than ${MAX_LABEL_BYTES} bytes` }));
        throw new ProblemError('invalid-body', errors.map(({ path, message }) => `${path}: ${message}`).join('; '), { errors });
      }
      const record = await findOwn((request.params as { uid: string }).uid, request.identity);
      // Labels choose the group: nobody may move an agent to where they may not go themselves.
      if (request.identity.scope !== '*')
        requireAgent(request.identity, await groups.spec(), { ...record, labels }, 'it would then be in another group');
      return await edit(
        record,
        { set: { labels: JSON.stringify(labels) } },
        { ...actorOf(request), action: 'agent.labels', before: record.labels, after: labels, detail: { labels } },
      );
    },
  );

  app.put(
    '/agents/:uid/pin',
    {
      schema: {
        tags: ['agents'],
        summary: 'Give one agent its own config',
        description: 'A pin wins over the group and its rollouts. Pinning again offers the config again, also after it was FAILED.',
        params: schema.params({ uid: schema.UID }),
        querystring: schema.query({ dryRun: schema.DRY_RUN }),
        body: schema.body(
          { config: CONFIG_NAME_AND_VERSION, expectAgents: schema.integer('Not needed: it is one agent.', { minimum: 0 }) },
          ['config'],
        ),
        response: {
          200: schema.answer('The agent, or (dry run) what would happen.', { type: 'object' }),
          ...schema.problems('malformed-body', 'agent-not-found', 'config-not-found', 'invalid-body'),
        },
      },
    },
    async (request) => {
      const { config } = request.body as { config: { name: string; version: number } };
      const record = await findOwn((request.params as { uid: string }).uid, request.identity);
      const [version] = await configs.versions(config.name, [config.version]);
      if (version === undefined) throw new ProblemError('config-not-found', `there is no config ${config.name} version ${config.version}`);
      const pin: Pin = { id: randomUUID(), config: { name: version.name, version: version.version, hash: version.hash } };
      if ((request.query as { dryRun?: boolean }).dryRun === true) return await dryRunPin(record, pin, dependencies);
      return await edit(
        record,
        { set: { pin: JSON.stringify(pin) } },
        {
          ...actorOf(request),
          action: 'agent.pin',
          before: record.pin?.config ?? null,
          after: pin.config,
          detail: { config: pin.config },
        },
      );
    },
  );

  app.delete(
    '/agents/:uid/pin',
    {
      schema: {
        tags: ['agents'],
        summary: 'Let an agent follow its group again',
        params: schema.params({ uid: schema.UID }),
        querystring: schema.query({ dryRun: schema.DRY_RUN }),
        response: {
          200: schema.answer('The agent, or (dry run) what would happen.', { type: 'object' }),
          ...schema.problems('agent-not-found'),
        },
      },
    },
    async (request) => {
      const record = await findOwn((request.params as { uid: string }).uid, request.identity);
      if ((request.query as { dryRun?: boolean }).dryRun === true) return await dryRunPin(record, null, dependencies);
      return await edit(
        record,
        { del: ['pin'] },
        {
          ...actorOf(request),
          action: 'agent.unpin',
          before: record.pin?.config ?? null,
          after: null,
          detail: { was: record.pin?.config ?? null },
        },
      );
    },
  );

  app.delete(
    '/agents/:uid',
    {
      schema: {
        tags: ['agents'],
        summary: 'Forget an agent that is away',
        params: schema.params({ uid: schema.UID }),
        response: {
          204: { description: 'Forgotten.', type: 'null' },
          ...schema.problems('agent-not-found', 'agent-connected', 'agent-in-rollout'),
        },
      },
    },
    async (request, reply) => {
      const record = await findOwn((request.params as { uid: string }).uid, request.identity);
      switch (await agents.delete(record.uid)) {
        case 'ok':
          await audit.append({
            ...actorOf(request),
            action: 'agent.delete',
            target: `agent/${record.uid}`,
            group: groupOf(await groups.spec(), record),
            before: { labels: record.labels, pin: record.pin?.config ?? null },
            after: null,
            detail: {},
          });
          return await reply.code(204).send();
        case 'connected':
          throw new ProblemError('agent-connected', `agent ${record.uid} is connected`);
        case 'open':
          throw new ProblemError('agent-in-rollout', `agent ${record.uid} has an open row in ${[...record.rows.keys()].join(', ')}`);
        case 'unknown':
          throw new ProblemError('agent-not-found', `there is no agent ${record.uid}`);
      }
    },
  );
}

/** The group that an agent belongs to by this spec, null when no selector matches. */
export function groupOf(spec: FleetSpec, record: AgentRecord): string | null {
  return desiredOf(spec, record).group?.name ?? null;
}

/** Throws a ProblemError unless the caller's credential is for the group that the agent belongs to by this spec. */
export function requireAgent(identity: Identity, spec: FleetSpec, record: AgentRecord, what = 'it belongs to another group'): void {
  requireGroup(identity, groupOf(spec, record), `agent ${record.uid}: ${what}`);
}

async function dryRunPin(record: AgentRecord, pin: Pin | null, { groups }: ApiDependencies): Promise<Record<string, unknown>> {
  const spec = await groups.spec();
  const changes = changesConfig({ spec, record }, { spec, record: { ...record, pin } });
  return {
    dryRun: true,
    agentsChanging: changes ? 1 : 0,
    agentsLeaving: 0,
    agentsAffected: changes ? 1 : 0,
    estimated: false,
    sampled: 1,
    agents: 1,
  };
}

function toPosition(cursor: string): AgentPosition {
  const [shard, uid] = decodeCursor(cursor, 2);
  if (typeof shard !== 'number' || typeof uid !== 'string' || !Number.isInteger(shard) || shard < 0 || shard >= SHARD_COUNT)
    throw badCursor();
  return { shard, uid };
}

/** What the filter of a list looks at; undefined when it lets everybody through, or looks at all that is listed. */
function filterFieldsOf(query: ListQuery, { scope }: Identity): readonly RecordField[] | undefined {
  const { limit: _limit, cursor: _cursor, selector, ...others } = query;
  // What is desired of an agent depends on nearly everything that is listed.
  if (query.sync !== undefined || (scope === '*' && selector === undefined && Object.keys(others).length === 0)) return undefined;
  return [
    ...(['owner', 'group', 'health', 'reportedStatus', 'transport'] as const),
    ...(selector === undefined ? [] : (['attributes', 'labels', 'tokenLabels'] as const)),
  ];
}

function toFilter(query: ListQuery, identity: Identity, spec: FleetSpec): (record: AgentRecord) => boolean {
  const selector = query.selector === undefined ? undefined : readSelector(query.selector, 'query.selector');
  const { rollout, status } = query;
  if (rollout === undefined && status !== undefined && !(CONFIG_STATUSES as readonly string[]).includes(status)) {
    const message = `without rollout it must be one of ${CONFIG_STATUSES.join(', ')}`;
    throw new ProblemError('invalid-parameter', `query.status: ${message}`, { errors: [{ path: 'query.status', message }] });
  }
  return (record) => {
    if (!covers(identity, groupWord(record))) return false;
    if (query.connected !== undefined && (record.owner !== '') !== query.connected) return false;
    if (query.gateway !== undefined && record.owner !== query.gateway) return false;
    if (query.transport !== undefined && record.transport !== query.transport) return false;
    if (query.group !== undefined && (groupWord(record) ?? NO_GROUP) !== query.group) return false;
    if (query.health !== undefined && healthWord(record) !== query.health) return false;
    if (query.sync !== undefined && syncWord(record, spec) !== query.sync) return false;
    if (rollout !== undefined) {
      const row = record.rows.get(rollout);
      if (row === undefined || (status !== undefined && row.status !== status)) return false;
    } else if (status !== undefined && statusWord(record) !== status) return false;
    return selector === undefined || matches(selector, selectorAttributes(record));
  };
}
