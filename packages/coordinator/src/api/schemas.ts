import { AGENT_CAPABILITIES } from '@opamp-gateway/shared/capabilities';
import { HOLD_REASONS, ROLLOUT_PHASES, WAVE_PHASES } from '@opamp-gateway/shared/rollout-types';
import { DRIFT_STATES } from './drift.ts';
import { MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE } from './pagination.ts';
import { CONFIG_NAME_PATTERN, GROUP_NAME_PATTERN, UID_PATTERN } from './patterns.ts';
import { PROBLEMS, problemUri } from './problem.ts';
import type { ProblemType } from './problem.ts';

/** A JSON Schema (2020-12 as far as OpenAPI 3.1 and the validator share it). */
export type JsonSchema = { readonly [keyword: string]: unknown };

export const text = (description: string, more: JsonSchema = {}): JsonSchema => ({ type: 'string', description, ...more });
export const integer = (description: string, more: JsonSchema = {}): JsonSchema => ({ type: 'integer', description, ...more });
export const flag = (description: string): JsonSchema => ({ type: 'boolean', description });
export const time = (description: string): JsonSchema => ({ type: 'string', format: 'date-time', description });
export const nullable = (schema: JsonSchema): JsonSchema =>
  typeof schema['type'] === 'string' ? { ...schema, type: [schema['type'], 'null'] } : { anyOf: [schema, { type: 'null' }] };
export const list = (items: JsonSchema, description: string, more: JsonSchema = {}): JsonSchema => ({
  type: 'array',
  items,
  description,
  ...more,
});
export const mapOf = (values: JsonSchema, description: string, more: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  additionalProperties: values,
  description,
  ...more,
});
export const ref = (id: string): JsonSchema => ({ $ref: `${id}#` });

/** An object of a request: fields that are not listed are refused by name. */
export function body(properties: Record<string, JsonSchema>, required: readonly string[] = []): JsonSchema {
  return { type: 'object', additionalProperties: false, properties, ...(required.length > 0 ? { required } : {}) };
}

/** An object of an answer: newer releases may add fields. */
export function view(properties: Record<string, JsonSchema>, optional: readonly string[] = []): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) };
}

/** `{ items, nextCursor }`. */
export function pageSchema(item: JsonSchema): JsonSchema {
  return view({
    items: list(item, 'In the stable order of the list.'),
    nextCursor: nullable(text('Hand it in as `cursor` for the next page; null on the last one.')),
  });
}

/** Query parameters of a list. */
export const PAGE_QUERY = {
  limit: integer('Most items of the page.', { minimum: 1, maximum: MAX_PAGE_SIZE, default: DEFAULT_PAGE_SIZE }),
  cursor: text('`nextCursor` of the page before, with the same filters.', { maxLength: 1024 }),
} as const;

export const DRY_RUN = flag('Says what would happen and changes nothing.');

export const CONFIG_NAME = text('Name of the config.', { pattern: CONFIG_NAME_PATTERN });
export const GROUP_NAME = text('Name of the group.', { pattern: GROUP_NAME_PATTERN });
export const VERSION_NUMBER = integer('Number of the version, from 1.', { minimum: 1, maximum: 2 ** 31 });
export const UID = text("The agent's instance uid as UUID text.", { pattern: UID_PATTERN });
export const REASON = text('Why; kept with the event and the audit entry.', { maxLength: 4096 });

/** Path parameters of one resource. */
export function params(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties) };
}

/** Query parameters; unknown ones are refused by name. */
export function query(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: 'object', additionalProperties: false, properties };
}

/** The problem answers of a call, by status. 400, 401, 403, 500 and 503 belong to every call. */
export function problems(...types: readonly ProblemType[]): Record<number, JsonSchema> {
  const byStatus = new Map<number, ProblemType[]>();
  const general: readonly ProblemType[] = [
    'invalid-parameter',
    'unauthenticated',
    'forbidden',
    'role-required',
    'out-of-scope',
    'rate-limited',
    'internal',
    'unavailable',
    'issuer-unavailable',
  ];
  for (const type of [...general, ...types]) {
    const { status } = PROBLEMS[type];
    byStatus.set(status, [...(byStatus.get(status) ?? []), type]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      status,
      {
        description: names.map((name) => `\`${problemUri(name)}\`: ${PROBLEMS[name].title}.`).join(' '),
        content: { 'application/problem+json': { schema: ref('Problem') } },
      },
    ]),
  );
}

/** A successful answer. */
export function answer(description: string, schema: JsonSchema): JsonSchema {
  return { description, content: { 'application/json': { schema } } };
}

const CONFIG_REF = view({ name: CONFIG_NAME, version: VERSION_NUMBER, hash: text('Hex config hash.') });

const FINDING = view(
  {
    code: text('What kind of defect; `E_…` are errors, `W_…` advice.'),
    severity: text('`error` refuses the config.', { enum: ['error', 'warning'] }),
    path: text('Place in the config, keys joined by `::`.'),
    line: nullable(integer('From 1.')),
    column: nullable(integer('From 1.')),
    message: text('What is wrong.'),
    suggestion: text('What to write instead.'),
  },
  ['suggestion'],
);

const VALIDATION = view({
  errors: integer('Number of errors; 0 in everything that was stored without `force`.'),
  warnings: integer('Number of warnings.'),
  findings: list(ref('Finding'), 'By line.'),
});

const CONFIG_VERSION = view({
  name: CONFIG_NAME,
  version: VERSION_NUMBER,
  hash: text('Hex config hash, the one that agents report.'),
  createdAt: time('When it was stored.'),
  createdBy: text('Who stored it.'),
  message: text('Why.'),
  files: mapOf(
    view(
      {
        contentType: text('Media type.'),
        sizeBytes: integer('Size of the body.'),
        body: text('The text; only where one version is asked for.'),
      },
      ['body'],
    ),
    'By file name; the name is empty where there is one file only.',
  ),
  validation: VALIDATION,
});

const PROBLEM = view(
  {
    type: text('What kind of problem, see docs/errors.md.', { enum: (Object.keys(PROBLEMS) as ProblemType[]).map(problemUri) }),
    title: text('The kind in words.'),
    status: integer('The HTTP status.'),
    detail: text('What happened in this case.'),
    errors: list(
      view(
        {
          path: text('Which field or place.'),
          message: text('What is wrong with it.'),
          code: text('Code of a finding.'),
          severity: text('Of a finding.'),
          line: nullable(integer('Of a finding.')),
          column: nullable(integer('Of a finding.')),
          suggestion: text('Of a finding.'),
        },
        ['code', 'severity', 'line', 'column', 'suggestion'],
      ),
      'Every single thing that is wrong.',
    ),
    forcible: flag('Of a config with errors: whether `force` would store it.'),
    requestId: text('Finds the request in the log.'),
    permission: text('What the role of the caller does not allow.'),
    roles: list({ type: 'string' }, 'Roles that allow it.'),
    role: text('Role of the caller.'),
    groups: list({ type: 'string' }, 'Groups that the credential is for.'),
  },
  ['errors', 'forcible', 'requestId', 'permission', 'roles', 'role', 'groups'],
);

/** What the configs of a group may do beyond the usual. */
export const GROUP_POLICY: JsonSchema = {
  ...body({
    allowProviders: flag('`${file:…}`, `${http:…}`, `${https:…}`, `${yaml:…}`: true = no warning, false = refused; left out = a warning.'),
    allowNoPipelines: flag('Configs without pipelines.'),
    allowFragments: flag('Configs that are a part of what the agents merge, because they have files of their own.'),
  }),
  description: 'Switches for the configs of this group; a field left out is the usual.',
};

const PREFLIGHT_SUMMARY = view({
  agents: integer('Agents of the group that take configs, connected or not.'),
  unable: integer('Of these: their build lacks a component; the rollout passes them by.'),
  unknown: integer('Their build has not told its components.'),
  lines: list({ type: 'string' }, 'The whole in sentences.'),
  needs: list(view({ kind: text('`receivers`, for example.'), type: text('`kafka`, for example.') }), 'Components that some lack.'),
});

const COUNTS = mapOf(integer('Number of agents.'), 'Agents by status; a status that is missing has none.');

const HEALTH_SHARES = view({
  agents: integer('Agents that were compared; `control`: of those without the new config.'),
  unhealthyRatio: { type: 'number', description: 'Share of them that is unhealthy, 0 to 1.' },
  reconnectedRatio: { type: 'number', description: 'Share of them that lost its connection since the wave began, 0 to 1.' },
});

const WAVE = view({
  phase: text('Where the wave stands.', { enum: WAVE_PHASES }),
  size: { type: 'object', description: 'As asked for: `count`, `percent`, `agents` or `labels`.' },
  counts: COUNTS,
  members: nullable(integer('Connected members of the group when the wave started.')),
  startedAt: nullable(time('When it started.')),
  passedAt: nullable(time('When it passed.')),
  gates: list(
    view({
      gate: text('Its name.'),
      outcome: text('What it says; `pending`: was not answered yet.', {
        enum: ['pending', 'pass', 'fail', 'notApplicable', 'inconclusive', 'wait', 'error'],
      }),
      detail: text('Why.'),
      at: nullable(time('When it was answered.')),
      evidence: text('The query with its values, or what the receiver said.'),
      asked: integer('How often it was asked.'),
      comparison: nullable(view({ cohort: HEALTH_SHARES, control: HEALTH_SHARES })),
    }),
    'What the gates said of it; empty before it has soaked.',
  ),
  approvals: list(
    view({
      what: text('Before it started, or at its gates.', { enum: ['before', 'after'] }),
      by: text('Who.'),
      at: time('When.'),
      reason: text('Why.'),
    }),
    'Who approved it.',
  ),
  awaiting: nullable(integer('Agents that are away and waited for (`offline: wait`).')),
});

const ROLLOUT = view({
  id: text('Id of the rollout.'),
  rev: integer('Revision, also in the header `ETag`; an action may name it in `If-Match`.'),
  phase: text('The last four are final.', { enum: ROLLOUT_PHASES }),
  holds: list({ type: 'string', enum: HOLD_REASONS }, 'Why it does not advance; empty when it does.'),
  holdDetails: list(
    view({ reason: text('One of `holds`.'), since: time('Since when.'), detail: text('In words.') }),
    'One for each of `holds`.',
  ),
  waveIndex: integer('Index of the current wave, from 0.'),
  waves: list(WAVE, 'In order.'),
  late: view({ counts: COUNTS }),
  counts: COUNTS,
  group: GROUP_NAME,
  from: nullable(ref('ConfigRef')),
  to: ref('ConfigRef'),
  strategy: { type: 'object', description: 'With every default filled in.' },
  attempt: integer('Raised by `retry`.'),
  revertOf: nullable(text('The succeeded rollout that this one takes back.')),
  createdAt: time('When it was created.'),
  createdBy: text('Who created it.'),
  reason: text('Why.'),
  endedAt: nullable(time('When it ended.')),
  outcome: text('Why it rolls back or ended; empty while it goes forward.'),
  warnings: list({ type: 'string' }, '`no_way_back`, `agents_skipped`, for example.'),
  preflight: nullable(PREFLIGHT_SUMMARY),
  eventSeq: integer('Number of events so far.'),
  fleetFrozen: flag(
    'The whole fleet is frozen (`POST /fleet/freeze`): nobody new is offered it until that ends. False once it has ended, and for one that takes another one back.',
  ),
});

const ROLLOUT_PREVIEW = view({
  group: GROUP_NAME,
  from: nullable(ref('ConfigRef')),
  to: ref('ConfigRef'),
  strategy: { type: 'object', description: 'With every default filled in.' },
  agents: { type: 'object', description: 'Members of the group in numbers: connected, away, unverified, by version, label and stratum.' },
  waves: list(
    view({
      size: { type: 'object', description: 'As asked for.' },
      agents: integer('Agents that have been offered it when the wave is through.'),
      adds: integer('Of these, agents that this wave adds.'),
      soak: text('Duration.'),
      approval: text('Who waits for `promote`.', { enum: ['none', 'before', 'after'] }),
      onFailure: text('What a failure does.', { enum: ['pause', 'rollback'] }),
    }),
    'In order.',
  ),
  schedule: view({
    startsAt: time('When it would start.'),
    windowOpen: nullable(flag('Whether a window is open now; null without windows.')),
  }),
  canary: view({
    agents: list(UID, 'The first of them.'),
    strata: integer('Strata.'),
    strataCovered: integer('Strata of which it has one.'),
  }),
  eta: text('Shortest time in which it can finish.'),
  preflight: nullable({ type: 'object', description: 'Which agents could load the config.' }),
  diff: nullable(
    view({
      unified: text('What differs between `from` and `to`, as unified diff, at most 64 KiB; empty when they are the same.'),
      added: integer('Lines that are new, in the whole.'),
      removed: integer('Lines that are gone, in the whole.'),
      truncated: flag('Whether `unified` was cut.'),
    }),
  ),
  validation: nullable(
    view({
      errors: integer('Errors in all.'),
      warnings: integer('Warnings in all.'),
      findings: list({ type: 'object' }, 'At most 50: `code`, `severity`, `path`, `line`, `column`, `message`, `suggestion`.'),
    }),
  ),
  problems: list({ type: 'string' }, 'Why it would be refused; empty when it would start.'),
  gates: list(
    view({ name: text('Its name.'), outcome: text('What it would say now.'), detail: text('Why.') }),
    'Webhooks and people are not asked.',
  ),
  conflict: nullable(text('The active rollout of the group.')),
  warnings: list({ type: 'string' }, '`no_way_back`, `agents_skipped`, `no_agents`.'),
});

const FAILURE_GROUP = { count: integer('Agents.'), examples: list(UID, 'Some of them.') } as const;

const ROLLOUT_FAILURES = view({
  items: list(
    view({
      uid: UID,
      status: text('Status that was bad.'),
      wave: text('Index of the wave, or `late`.'),
      error: text('What the agent said.'),
    }),
    'Agents.',
  ),
  total: integer('How many agents are kept one by one; `items` has the first `limit` of them.'),
  nextCursor: nullable(text('Always null.')),
  groups: view({
    total: integer('Agents that are counted in the groups.'),
    omitted: integer('Agents that failed when there were too many to count them in groups.'),
    byMessage: list(
      view({ ...FAILURE_GROUP, status: text('Status that was bad.'), message: text('Without what differs from agent to agent.') }),
      'The largest first.',
    ),
    byVersion: list(view({ ...FAILURE_GROUP, version: text('Of the collector; empty when it said none.') }), 'The largest first.'),
    byStratum: list(
      view({ ...FAILURE_GROUP, stratum: mapOf({ type: 'string' }, 'By the attributes of `spreadBy`.') }),
      'The largest first; empty without `spreadBy`.',
    ),
  }),
});

const HEALTH = view({
  status: text('`unknown`: never reported.', { enum: ['healthy', 'unhealthy', 'unknown'] }),
  since: nullable(time('Since when.')),
});

const AGENT_PROPERTIES = {
  uid: UID,
  connected: flag('Whether a gateway holds a connection, or an HTTP agent polled lately.'),
  gateway: nullable(text('Id of the gateway, `http` for an agent that polls.')),
  transport: text('How it talks to us.', { enum: ['ws', 'http'] }),
  group: nullable(text('Effective group; null when no selector matches.')),
  attributes: mapOf({ type: 'string' }, 'Both attribute lists, identifying ones winning.'),
  labels: mapOf({ type: 'string' }, 'Server-side labels, `label.<name>` in selectors.'),
  credential: nullable(
    view({
      id: text('The token or certificate that it last connected with.'),
      labels: mapOf({ type: 'string' }, 'Labels of that; they win over those of the agent.'),
      groups: nullable(list(text('Group.'), 'The only groups that it can be in; null = every group.')),
    }),
  ),
  health: HEALTH,
  config: view({
    status: text('What the agent last said.', { enum: ['unset', 'applying', 'applied', 'failed'] }),
    hash: nullable(text('The config hash it said that of.')),
    error: text('Its error message.'),
    offered: nullable(text('Hash last sent to it.')),
    desired: nullable(
      view({
        name: CONFIG_NAME,
        version: VERSION_NUMBER,
        hash: text('Hex config hash.'),
        source: text('Which rule chose it.', { enum: ['pin', 'rollout', 'stable', 'previous'] }),
      }),
    ),
    inSync: nullable(flag('Whether it applied what is desired; null when nothing is.')),
  }),
  rollouts: mapOf(
    view({ wave: text('Index of the wave, or `late`.'), status: text('Status in the rollout.') }),
    'Its rows, by rollout id.',
  ),
  pin: nullable(ref('ConfigRef')),
  createdAt: time('First contact.'),
  connectedAt: nullable(time('Start of the connection, or of the last one.')),
  lastSeenAt: nullable(time('When it went away; null while connected.')),
} as const;

const DRIFT = view({
  state: text('`none`: runs what it should; `drifted`: does not; `pending`: has not applied it yet; `unknown`: cannot be told.', {
    enum: DRIFT_STATES,
  }),
  reason: text('Why it is `pending` or `unknown`.'),
  differences: list(
    view({
      path: text('Keys and list indices joined by `::`.'),
      change: text('Whether the key is missing or has another value.', { enum: ['missing', 'changed'] }),
      desired: text('As text, cut, secrets replaced.'),
      effective: nullable(text('The same; null when missing.')),
    }),
    'Keys of the desired config that the agent runs otherwise.',
  ),
  truncated: flag('Whether there are more differences.'),
});

const AGENT_DETAIL = view({
  ...AGENT_PROPERTIES,
  identifyingAttributes: mapOf({ type: 'string' }, 'As the agent sent them.'),
  nonIdentifyingAttributes: mapOf({ type: 'string' }, 'As the agent sent them.'),
  capabilities: list({ type: 'string' }, `Among them ${Object.keys(AGENT_CAPABILITIES).slice(0, 3).join(', ')}, ….`),
  customCapabilities: list({ type: 'string' }, 'Names of custom message protocols.'),
  origin: text('The uid under which it was first known.'),
  sequenceNum: nullable(text('Number of its last message.')),
  healthTree: nullable({ type: 'object', description: 'Health of its components, as reported.' }),
  failedHashes: list(
    view({ hash: text('Hex config hash.'), by: text('Rollout or pin that offered it.'), attempt: integer('Attempt of the rollout.') }),
    'What it FAILED and is not offered again.',
  ),
  history: list(
    view(
      {
        hash: text('Hex config hash.'),
        config: nullable({
          ...view({ name: text('Name.'), version: integer('Version.') }),
          description: 'What it is called here; null when neither the groups nor the rollouts of now, nor a pin of the agent, have it.',
        }),
        status: text('Verdict.'),
        at: time('When.'),
        error: text('Error message.'),
      },
      ['error'],
    ),
    'Its verdicts, newest first.',
  ),
  drift: ref('Drift'),
  effective: nullable(
    view({
      reportedAt: time('When the agent reported it.'),
      truncated: flag('Whether it was cut at its limit.'),
      files: mapOf(view({ body: text('With secrets replaced.'), contentType: text('Media type.') }), 'By file name.'),
    }),
  ),
  effectiveUnreadable: nullable(
    text('Why the stored effective config cannot be read, where `effective` is null for that: encrypted with a key that is not here.'),
  ),
});

const GROUP = view({
  name: GROUP_NAME,
  selector: text('Which agents; empty = all.'),
  priority: integer('The highest priority that matches is an agent’s group.'),
  mode: text('`observe`: counted, offered nothing.', { enum: ['manage', 'observe'] }),
  policy: GROUP_POLICY,
  stable: nullable(ref('ConfigRef')),
  previous: nullable(ref('ConfigRef')),
  trailingHeld: flag('Whether offers outside rollouts are stopped because they failed.'),
  activeRollout: nullable(text('Id.')),
  counts: view({
    agents: integer('Known agents.'),
    connected: integer('Connected ones.'),
    health: mapOf(integer('Agents.'), 'Connected agents by health.'),
  }),
});

/** Schemas that the document names under `components`. */
export const SHARED_SCHEMAS: readonly JsonSchema[] = [
  { $id: 'Problem', ...PROBLEM },
  { $id: 'Finding', ...FINDING },
  { $id: 'ConfigRef', ...CONFIG_REF },
  { $id: 'ConfigVersion', ...CONFIG_VERSION },
  { $id: 'Rollout', ...ROLLOUT },
  { $id: 'RolloutFailures', ...ROLLOUT_FAILURES },
  { $id: 'RolloutPreview', ...ROLLOUT_PREVIEW },
  { $id: 'Drift', ...DRIFT },
  { $id: 'Agent', ...view(AGENT_PROPERTIES) },
  { $id: 'AgentDetail', ...AGENT_DETAIL },
  { $id: 'Group', ...GROUP },
];
