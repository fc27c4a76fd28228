import type { FastifyInstance, FastifyRequest } from 'fastify';
import { covers } from '../../access/roles.ts';
import type { AuditEntry, AuditInput } from '../../stores/audit-log.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { badCursor, decodeCursor, encodeCursor } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import { HASH_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';

const STREAM_ID = /^\d{1,20}-\d{1,20}$/;

const QUERY = {
  actor: schema.text('Only what this actor did.', { maxLength: 256 }),
  action: schema.text('Only this action, or all that begin with it: `rollout` finds `rollout.create`.', { maxLength: 128 }),
  target: schema.text('Only what concerns this: `group/prod`, `agent/<uid>`, …', { maxLength: 256 }),
  group: schema.text('Only what concerns this group.', { maxLength: 63 }),
  since: schema.text('RFC 3339; only entries from then on.', { maxLength: 64 }),
  until: schema.text('RFC 3339; only entries up to then.', { maxLength: 64 }),
  ...schema.PAGE_QUERY,
};

type Query = {
  actor?: string;
  action?: string;
  target?: string;
  group?: string;
  since?: string;
  until?: string;
  limit: number;
  cursor?: string;
};

const ITEM = schema.view(
  {
    id: schema.text('Place in the log.'),
    seq: schema.integer('Number in the chain of hashes.'),
    previous: schema.text('Hash of the entry before.'),
    hash: schema.text('Hash of this entry: SHA-256 over `<seq>:<previous>:<SHA-256 of the entry as it is stored>`.'),
    at: schema.time('When.'),
    actor: schema.text('Who.'),
    auth: schema.text('How the actor proved itself.', { enum: ['token', 'oidc', 'anonymous'] }),
    role: schema.text('Role of the actor then.'),
    action: schema.text('`group.put`, for example.'),
    target: schema.text('`group/prod`, for example.'),
    group: schema.nullable(schema.text('Group that it concerns.')),
    outcome: schema.text('`refused`: asked for and not done.', { enum: ['refused'] }),
    reason: schema.text('Why, as the actor gave it.'),
    before: { description: 'How it was.' },
    after: { description: 'How it is since.' },
    detail: { type: 'object', description: 'What exactly.' },
  },
  ['seq', 'previous', 'hash', 'auth', 'role', 'group', 'outcome', 'reason', 'before', 'after'],
);

/** Who changed what, and whether the record of it is whole. */
export function auditRoutes(app: FastifyInstance, { audit }: ApiDependencies): void {
  app.get(
    '/audit',
    {
      schema: {
        tags: ['audit'],
        summary: 'Changes made through the API, newest first',
        description: 'A page may hold fewer entries than `limit` (none, even) while there are more: go on until `nextCursor` is null.',
        querystring: schema.query(QUERY),
        response: { 200: schema.answer('Newest first.', schema.pageSchema(ITEM)), ...schema.problems() },
      },
    },
    async (request) => {
      const { actor, action, target, group, since, until, limit, cursor } = request.query as Query;
      const before = cursor === undefined ? undefined : String(decodeCursor(cursor, 1)[0]);
      if (before !== undefined && !STREAM_ID.test(before)) throw badCursor();
      const accept = (entry: AuditEntry): boolean =>
        covers(request.identity, entry.group ?? null) &&
        (actor === undefined || entry.actor === actor) &&
        (action === undefined || entry.action === action || entry.action.startsWith(`${action}.`)) &&
        (target === undefined || entry.target === target) &&
        (group === undefined || entry.group === group);
      const { items, next } = await audit.list({
        limit,
        before,
        sinceMs: readTime('since', since),
        untilMs: readTime('until', until),
        accept,
      });
      return { items, nextCursor: next === undefined ? null : encodeCursor([next]) };
    },
  );

  app.get(
    '/audit/verify',
    {
      schema: {
        tags: ['audit'],
        summary: 'Whether the audit log is whole',
        description:
          'Computes the hash of every entry anew. `seq` and `hash` of an answer, kept elsewhere and given here later, show that the log up to there has not been written anew.',
        querystring: schema.query({
          seq: schema.integer('Number of an entry whose hash was noted.', { minimum: 1 }),
          hash: schema.text('The hash that it had.', { pattern: HASH_PATTERN }),
        }),
        response: {
          200: schema.answer(
            'Also when it is not.',
            schema.view({
              ok: schema.flag('Whether nothing is changed or missing.'),
              entries: schema.integer('Entries looked at.'),
              unchained: schema.integer('Entries of former releases at the beginning, which have no hash.'),
              first: schema.nullable(schema.integer('Number of the oldest entry; those before were kept long enough.')),
              last: schema.nullable(schema.view({ seq: schema.integer('Number.'), hash: schema.text('Hash.') })),
              defects: schema.list(
                schema.view(
                  {
                    kind: schema.text('What is wrong.', { enum: ['changed', 'missing', 'inserted', 'head'] }),
                    id: schema.nullable(schema.text('Place in the log.')),
                    seq: schema.nullable(schema.integer('Number of the entry, or of the first that is missing.')),
                    throughSeq: schema.integer('Number of the last that is missing.'),
                    detail: schema.text('In a sentence.'),
                  },
                  ['throughSeq'],
                ),
                'At most 100.',
              ),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async (request) => {
      const { seq, hash } = request.query as { seq?: number; hash?: string };
      if ((seq === undefined) !== (hash === undefined)) throw new ProblemError('invalid-parameter', 'seq and hash go together');
      return await audit.verify(seq === undefined || hash === undefined ? undefined : { seq, hash });
    },
  );
}

/** What an audit entry says of who makes this request. */
export function actorOf({ identity }: FastifyRequest): Pick<AuditInput, 'actor' | 'auth' | 'role'> {
  return { actor: identity.name, auth: identity.kind, role: identity.role };
}

function readTime(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms) && ms >= 0) return ms;
  const message = 'must be a time such as 2027-01-31T12:00:00Z';
  throw new ProblemError('invalid-parameter', `query.${name}: ${message}`, { errors: [{ path: `query.${name}`, message }] });
}
