import { selectorAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { matches } from '@opamp-gateway/shared/selector';
import type { Selector } from '@opamp-gateway/shared/selector';
import type { GroupPolicy } from '@opamp-gateway/shared/fleet-spec';
import type { FastifyInstance } from 'fastify';
import { covers } from '../../access/roles.ts';
import type { Identity } from '../../access/roles.ts';
import { groupWord } from '../agent-view.ts';
import { requireGroup } from '../auth.ts';
import { diffConfigs } from '../config-diff.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { compareKeys, decodeCursor, encodeCursor, pageOf } from '../pagination.ts';
import type { Page } from '../pagination.ts';
import { checkBuilds, groupBuilds } from '../agent-builds.ts';
import { preflight } from '../../validation/preflight.ts';
import type { ComponentType } from '../../validation/component-set.ts';
import { ProblemError } from '../problem.ts';
import { actorOf } from './audit.ts';
import { decodeUtf8 } from '../utf8.ts';
import { readSelector } from '../selector-input.ts';
import type { ProblemItem } from '../problem.ts';
import { GROUP_NAME_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { hashOfFiles, MAX_CONFIGS, textsOf } from '../../stores/config-store.ts';
import type { ConfigFiles, ConfigVersion, StoredValidation } from '../../stores/config-store.ts';
import { findBrickingDefects } from '../../validation/bricking.ts';
import type { Finding } from '../../validation/finding.ts';
import { MAX_CONFIG_BYTES } from '../../validation/yaml-limits.ts';

/** JSON escapes can make a body six times as long as the text it carries. */
const CONFIG_BODY_LIMIT_BYTES = 6 * MAX_CONFIG_BYTES + 64 * 1024;

const MAX_FILES = 16;
const MAX_FILE_NAME_CHARS = 255;
const MAX_MESSAGE_CHARS = 1024;
const YAML_TYPES = ['text/yaml', 'application/yaml', 'text/x-yaml', 'application/x-yaml'];
/** Media types whose bodies are collector configs; the empty one is what many agents send. */
const VALIDATED_TYPES = new Set([...YAML_TYPES, '']);

const MESSAGE = schema.text('Why; shown in the history.', { maxLength: MAX_MESSAGE_CHARS });
const FORCE = schema.flag('Store it although it has errors. Never done for a text that a supervisor could not start from again.');
const FORCE_REASON = schema.text('Why it is forced; kept in the audit log. Needed with `force`.', { maxLength: MAX_MESSAGE_CHARS });
const FILES = schema.mapOf(
  schema.body({ body: schema.text('The text.'), contentType: schema.text('Media type.', { maxLength: 127, default: 'text/yaml' }) }, [
    'body',
  ]),
  'By file name; a single file usually has the empty name.',
  { minProperties: 1, maxProperties: MAX_FILES, propertyNames: { maxLength: MAX_FILE_NAME_CHARS } },
);
const FOR_GROUP = schema.text('Judge it by the switches of this group.', { pattern: GROUP_NAME_PATTERN });
const PUT_BODY = schema.body(
  {
    files: FILES,
    message: MESSAGE,
    group: FOR_GROUP,
    force: FORCE,
    reason: FORCE_REASON,
  },
  ['files'],
);

const PREFLIGHT = schema.view({
  agents: schema.integer('Agents that the selector matches.'),
  able: schema.integer('Of these: their build has every component.'),
  unable: schema.integer('Their build lacks one.'),
  unknown: schema.integer('Their build has not told its components.'),
  missing: schema.list({ type: 'object' }, 'One entry for each component that some lack: `kind`, `type`, `agents`, `builds`, `text`.'),
  lines: schema.list({ type: 'string' }, 'The same in sentences.'),
  estimated: schema.flag('Whether the numbers are those of a sample.'),
});

type PutOptions = { message?: string; group?: string; force?: boolean; reason?: string };
type PutBody = PutOptions & { files: ConfigFiles };

/** Named configs: immutable versions, history, diff and validation. */
export function configRoutes(app: FastifyInstance, { configs, groups, agents, audit, validate }: ApiDependencies): void {
  app.addContentTypeParser(
    YAML_TYPES,
    { parseAs: 'buffer', bodyLimit: CONFIG_BODY_LIMIT_BYTES },
    async (_request: unknown, bytes: Buffer) => decodeUtf8(bytes),
  );

  app.put(
    '/configs/:name',
    {
      bodyLimit: CONFIG_BODY_LIMIT_BYTES,
      schema: {
        tags: ['configs'],
        summary: 'Store a version of a config',
        description:
          'The same content as the newest version answers 200 and that version. A config with errors is refused with every finding; `force` with a `reason` stores it all the same, unless `forcible` of the answer is false: such a text would keep a supervisor from ever starting again.',
        params: schema.params({ name: schema.CONFIG_NAME }),
        querystring: schema.query({ message: MESSAGE, group: FOR_GROUP, force: FORCE, reason: FORCE_REASON }),
        body: {
          content: {
            'application/json': { schema: PUT_BODY },
            ...Object.fromEntries(YAML_TYPES.map((type) => [type, { schema: { type: 'string' } }])),
          },
        },
        response: {
          200: schema.answer('The newest version has this content already.', schema.ref('ConfigVersion')),
          201: schema.answer('Stored.', schema.ref('ConfigVersion')),
          ...schema.problems(
            'malformed-body',
            'body-too-large',
            'unsupported-media-type',
            'group-not-found',
            'invalid-body',
            'invalid-config',
            'limit-exceeded',
          ),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params as { name: string };
      const input = toPutBody(request.body, request.query as PutOptions);
      checkSize(input.files);
      const reason = forceReason(input);
      const {
        components: _used,
        unchecked: _unchecked,
        omitted: _omitted,
        ...validation
      } = validateFiles(input.files, validate, await policyOf(groups, input.group));
      if (validation.errors > 0) refuseUnlessForced(input.files, validation, reason);
      if ((await configs.newest(name)) === undefined && (await configs.names()).size >= MAX_CONFIGS) {
        throw new ProblemError('limit-exceeded', `there are ${MAX_CONFIGS} configs already`);
      }
      if (reason !== undefined && validation.errors > 0) await auditForce(name, input.files, { reason, by: actorOf(request), validation });
      const { created, version } = await configs.put({
        name,
        files: input.files,
        message: input.message ?? '',
        by: actorOf(request),
        validation,
      });
      return await reply
        .code(created ? 201 : 200)
        .header('location', `/api/v1/configs/${name}/versions/${version.version}`)
        .send({ ...version, validation });
    },
  );

  /** Written before the version is stored: there is never a forced one without its reason. */
  const auditForce = async (
    name: string,
    files: ConfigFiles,
    { reason, by, validation }: { reason: string; by: ReturnType<typeof actorOf>; validation: { errors: number; findings: Finding[] } },
  ): Promise<void> => {
    const hash = hashOfFiles(files);
    const newest = await configs.newest(name);
    if (newest !== undefined && (await configs.versions(name, [newest]))[0]?.hash === hash) return;
    const codes = [...new Set(validation.findings.filter(({ severity }) => severity === 'error').map(({ code }) => code))];
    await audit.append({
      ...by,
      action: 'config.force',
      target: `config/${name}`,
      reason,
      detail: { hash, reason, errors: validation.errors, codes },
    });
  };

  app.get(
    '/configs',
    {
      schema: {
        tags: ['configs'],
        summary: 'The newest version of every config',
        querystring: schema.query(schema.PAGE_QUERY),
        response: { 200: schema.answer('By name.', schema.pageSchema(schema.ref('ConfigVersion'))), ...schema.problems() },
      },
    },
    async (request) => {
      const names = [...(await configs.names())];
      const page = pageOf(names, request.query as { limit: number; cursor?: string }, ([name]) => name, compareKeys);
      const items = await Promise.all(page.items.map(async ([name, version]) => await configs.versions(name, [version])));
      return { items: items.flat(), nextCursor: page.nextCursor };
    },
  );

  app.get(
    '/configs/:name',
    {
      schema: {
        tags: ['configs'],
        summary: 'The newest version of a config, with its text',
        params: schema.params({ name: schema.CONFIG_NAME }),
        response: { 200: schema.answer('The version.', schema.ref('ConfigVersion')), ...schema.problems('config-not-found') },
      },
    },
    async (request) => {
      const { name } = request.params as { name: string };
      return await withBodies(configs, await versionOf(configs, name, await newestOf(configs, name)));
    },
  );

  app.get(
    '/configs/:name/versions',
    {
      schema: {
        tags: ['configs'],
        summary: 'The history of a config, newest first',
        params: schema.params({ name: schema.CONFIG_NAME }),
        querystring: schema.query(schema.PAGE_QUERY),
        response: {
          200: schema.answer('Newest first.', schema.pageSchema(schema.ref('ConfigVersion'))),
          ...schema.problems('config-not-found'),
        },
      },
    },
    async (request): Promise<Page<ConfigVersion>> => {
      const { name } = request.params as { name: string };
      const { limit, cursor } = request.query as { limit: number; cursor?: string };
      const newest = await newestOf(configs, name);
      const start = cursor === undefined ? newest : Number(decodeCursor(cursor, 1)[0]) - 1;
      const numbers = Array.from({ length: Math.max(0, Math.min(limit, start)) }, (_, index) => start - index);
      const last = numbers.at(-1);
      return { items: await configs.versions(name, numbers), nextCursor: last === undefined || last <= 1 ? null : encodeCursor([last]) };
    },
  );

  app.get(
    '/configs/:name/versions/:version',
    {
      schema: {
        tags: ['configs'],
        summary: 'One version of a config, with its text',
        params: schema.params({ name: schema.CONFIG_NAME, version: schema.VERSION_NUMBER }),
        response: { 200: schema.answer('The version.', schema.ref('ConfigVersion')), ...schema.problems('config-not-found') },
      },
    },
    async (request, reply) => {
      const { name, version } = request.params as { name: string; version: number };
      const found = await withBodies(configs, await versionOf(configs, name, version));
      return await reply.header('etag', `"${found.hash}"`).send(found);
    },
  );

  app.get(
    '/configs/:name/diff',
    {
      schema: {
        tags: ['configs'],
        summary: 'What changed between two versions',
        params: schema.params({ name: schema.CONFIG_NAME }),
        querystring: { ...schema.query({ from: schema.VERSION_NUMBER, to: schema.VERSION_NUMBER }), required: ['from', 'to'] },
        response: {
          200: schema.answer(
            'As text and by key.',
            schema.view({
              name: schema.CONFIG_NAME,
              from: schema.VERSION_NUMBER,
              to: schema.VERSION_NUMBER,
              identical: schema.flag('Whether both have the same content.'),
              unified: schema.text('Unified diff, empty when identical.'),
              structural: schema.list(
                schema.view(
                  {
                    file: schema.text('File name.'),
                    path: schema.text('Keys joined by `::`.'),
                    change: schema.text('What happened.', { enum: ['added', 'removed', 'changed'] }),
                    from: {},
                    to: {},
                  },
                  ['from', 'to'],
                ),
                'By file and path.',
              ),
              truncated: schema.flag('Whether `structural` was cut.'),
            }),
          ),
          ...schema.problems('config-not-found'),
        },
      },
    },
    async (request) => {
      const { name } = request.params as { name: string };
      const { from, to } = request.query as { from: number; to: number };
      const [left, right] = await Promise.all(
        [from, to].map(async (number) => await withBodies(configs, await versionOf(configs, name, number))),
      );
      const filesOf = (version: VersionWithBodies | undefined): ConfigFiles => version?.files ?? {};
      return {
        name,
        from,
        to,
        identical: left?.hash === right?.hash,
        ...diffConfigs(filesOf(left), filesOf(right), { from: `${name}@${from}`, to: `${name}@${to}` }),
      };
    },
  );

  app.post(
    '/configs/validate',
    {
      bodyLimit: CONFIG_BODY_LIMIT_BYTES,
      schema: {
        tags: ['configs'],
        summary: 'Check a config without storing it',
        description:
          'Either `yaml`, or `files` as for storing; several are judged as the agent merges them. With `group` by its switches, with `policy` by those; with `selector`, or else for the agents of `group`, it also says which of them could load the config, by the component lists that they sent.',
        body: schema.body({
          yaml: schema.text('The text of a collector config.'),
          files: FILES,
          selector: schema.text('Agents that would get it.', { maxLength: 4096 }),
          group: FOR_GROUP,
          policy: schema.GROUP_POLICY,
        }),
        response: {
          200: schema.answer(
            'Also when there are errors.',
            schema.view(
              {
                findings: schema.list(schema.ref('Finding'), 'By line.'),
                omitted: schema.integer('Findings left out of the list, because there are too many.'),
                unchecked: schema.list(
                  schema.text('Path.'),
                  'Components whose settings were not checked: no rules are known for their type, or the settings are not there to be read.',
                ),
                hash: schema.text('Hash it would get.'),
                preflight: PREFLIGHT,
              },
              ['preflight'],
            ),
          ),
          ...schema.problems('malformed-body', 'body-too-large', 'group-not-found', 'invalid-body', 'invalid-selector'),
        },
      },
    },
    async (request) => {
      const { yaml, files, selector, group, policy } = request.body as ValidateBody;
      if ((yaml === undefined) === (files === undefined)) {
        const message = 'give either the text of one file, or files';
        throw new ProblemError('invalid-body', `yaml: ${message}`, { errors: [{ path: 'yaml', message }] });
      }
      const all = files ?? { '': { body: yaml ?? '', contentType: 'text/yaml' } };
      checkSize(all);
      if (group !== undefined) requireGroup(request.identity, group, `${group} is another group`);
      const selected = selector === undefined ? undefined : readSelector(selector, 'selector');
      const switches = policy ?? (await policyOf(groups, group));
      const { findings, components, unchecked, omitted } = validateFiles(all, validate, switches);
      const builds =
        selected === undefined
          ? group === undefined
            ? undefined
            : { ...preflight(components, await groupBuilds(agents, group)), estimated: false }
          : await checkBuilds(agents, ownMatches(selected, request.identity), components);
      return { ...(builds === undefined ? {} : { preflight: builds }), findings, omitted, unchecked, hash: hashOfFiles(all) };
    },
  );
}

type ValidateBody = { yaml?: string; files?: ConfigFiles; selector?: string; group?: string; policy?: GroupPolicy };

/** Agents of the caller's groups that a selector matches. */
function ownMatches(selector: Selector, identity: Identity): (record: AgentRecord) => boolean {
  return (record) => covers(identity, groupWord(record)) && matches(selector, selectorAttributes(record));
}

type VersionWithBodies = Omit<ConfigVersion, 'files'> & { files: ConfigFiles };

function toPutBody(body: unknown, query: PutOptions): PutBody {
  if (body === undefined)
    throw new ProblemError(
      'unsupported-media-type',
      `the request has no body, or no Content-Type; send application/json or ${YAML_TYPES[0]}`,
    );
  if (typeof body === 'string') return { ...query, files: { '': { body, contentType: 'text/yaml' } } };
  const put = body as PutBody;
  for (const name of ['message', 'group', 'force', 'reason'] as const) {
    if (put[name] !== undefined && query[name] !== undefined && put[name] !== query[name])
      throw new ProblemError('invalid-parameter', `the query and the body give different values for ${name}`);
  }
  return { ...put, ...query };
}

/** The reason when the caller insists; undefined when not. Throws when the reason is missing. */
function forceReason({ force, reason }: PutOptions): string | undefined {
  if (force !== true) return undefined;
  const text = reason?.trim() ?? '';
  if (text !== '') return text;
  const message = 'is needed with force, and is kept in the audit log';
  throw new ProblemError('invalid-body', `reason: ${message}`, { errors: [{ path: 'reason', message }] });
}

function checkSize(files: ConfigFiles): void {
  const bytes = Object.values(files).reduce((sum, file) => sum + Buffer.byteLength(file.body), 0);
  if (bytes > MAX_CONFIG_BYTES)
    throw new ProblemError('body-too-large', `the config has ${bytes} bytes, at most ${MAX_CONFIG_BYTES} are taken`);
}

/** The switches of a group; the usual ones when none is named. */
async function policyOf(groups: ApiDependencies['groups'], name: string | undefined): Promise<GroupPolicy> {
  if (name === undefined) return {};
  const group = (await groups.spec()).groups.find((candidate) => candidate.name === name);
  if (group === undefined) throw new ProblemError('group-not-found', `there is no group ${name}`);
  return group.policy ?? {};
}

/** Findings of all files: in full of what the agent makes of its collector configs, of others what no supervisor survives. */
function validateFiles(
  files: ConfigFiles,
  validate: ApiDependencies['validate'],
  policy: GroupPolicy,
): StoredValidation & { findings: Finding[]; components: readonly ComponentType[]; unchecked: readonly string[]; omitted: number } {
  const collector = Object.fromEntries(Object.entries(files).filter(([, { contentType }]) => isCollectorConfig(contentType)));
  const {
    findings: found,
    components,
    unchecked,
    omitted,
  } = Object.keys(collector).length === 0
    ? { findings: [], components: [], unchecked: [], omitted: 0 }
    : validate(textsOf(collector), { policy });
  const isSingle = Object.keys(files).length === 1;
  const named = found.map((finding) =>
    isSingle || Object.keys(collector).length > 1 ? finding : { ...finding, path: `${Object.keys(collector)[0] ?? ''}#${finding.path}` },
  );
  const known = new Set(named.map(placeOf));
  // Merging can hide what is wrong with a part; a single file has been looked at in full.
  const hidden = isSingle && Object.keys(collector).length === 1 ? [] : brickingDefectsOf(files);
  const findings = [...named, ...hidden.filter((finding) => !known.has(placeOf(finding)))];
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  return { errors, warnings: findings.length - errors, findings, components, unchecked, omitted };
}

/** What no supervisor survives, in each file: it ignores the media type and merges every entry as YAML. */
function brickingDefectsOf(files: ConfigFiles): Finding[] {
  const isSingle = Object.keys(files).length === 1;
  return Object.entries(files).flatMap(([name, { body, contentType }]) => {
    const found = isCollectorConfig(contentType) ? findBrickingDefects(body) : brickingDefectsOfOther(body);
    return found.map((finding) => (isSingle ? finding : { ...finding, path: `${name}#${finding.path}` }));
  });
}

function isCollectorConfig(contentType: string): boolean {
  return VALIDATED_TYPES.has(contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '');
}

function placeOf({ code, path, line }: Finding): string {
  return `${code} ${path} ${line ?? 0}`;
}

/** Defects of a file that is no collector config by its media type: it need not have a collector's sections. */
function brickingDefectsOfOther(text: string): Finding[] {
  return findBrickingDefects(text).filter(({ code }) => code !== 'E_EMPTY' || text.trim() === '');
}

/** Throws a ProblemError with every finding, unless there is a reason to go on and nothing that could brick a supervisor. */
function refuseUnlessForced(files: ConfigFiles, validation: { findings: Finding[] }, reason: string | undefined): void {
  const bricking = brickingDefectsOf(files);
  if (reason !== undefined && bricking.length === 0) return;
  const found = reason === undefined ? validation.findings : bricking;
  const errors = found.filter(({ severity }) => severity === 'error');
  const place = typeof errors[0]?.line === 'number' ? `line ${errors[0].line}: ` : '';
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const never = reason === undefined ? '' : '; this cannot be forced, because a supervisor could not start again from it';
  throw new ProblemError('invalid-config', `${place}${errors[0]?.message ?? ''}${more}${never}`, {
    errors: validation.findings.map(toProblemItem),
    extensions: { forcible: bricking.length === 0 },
  });
}

function toProblemItem(finding: Finding): ProblemItem {
  return { ...finding };
}

async function newestOf(configs: ApiDependencies['configs'], name: string): Promise<number> {
  const newest = await configs.newest(name);
  if (newest === undefined) throw new ProblemError('config-not-found', `there is no config ${name}`);
  return newest;
}

async function versionOf(configs: ApiDependencies['configs'], name: string, number: number): Promise<ConfigVersion> {
  const [version] = await configs.versions(name, [number]);
  if (version !== undefined) return version;
  const newest = await newestOf(configs, name);
  throw new ProblemError('config-not-found', `config ${name} has no version ${number}, the newest is ${newest}`);
}

async function withBodies(configs: ApiDependencies['configs'], version: ConfigVersion): Promise<VersionWithBodies> {
  const bodies = (await configs.files(version.hash)) ?? {};
  const files = Object.entries(bodies).map(([name, file]) => [name, { ...version.files[name], ...file }] as const);
  return { ...version, files: Object.fromEntries(files) };
}
