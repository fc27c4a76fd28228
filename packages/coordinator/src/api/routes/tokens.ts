import { X509Certificate } from 'node:crypto';
import { certificateId, newAgentToken, tokenProblem } from '@opamp-gateway/shared/agent-token';
import type { AgentToken, AgentTokenKind } from '@opamp-gateway/shared/agent-token';
import type { FastifyInstance } from 'fastify';
import type { AgentTokenItem } from '../../stores/agent-token-store.ts';
import { parseDuration } from '../../rollout/duration.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { decodeCursor, encodeCursor } from '../pagination.ts';
import { ProblemError } from '../problem.ts';
import { DURATION_PATTERN, LABEL_NAME_PATTERN, TOKEN_ID_PATTERN, TOKEN_NAME_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { actorOf } from './audit.ts';

const ID = schema.text('Id of the credential.', { pattern: TOKEN_ID_PATTERN });
const NAME = schema.text('For people; need not be unique.', { pattern: TOKEN_NAME_PATTERN });
const LABELS = schema.mapOf(
  { type: 'string', maxLength: 256 },
  'Attributes of every agent that connects with it, `label.<name>` in selectors; agents and operators cannot override them.',
  { maxProperties: 64, propertyNames: { pattern: LABEL_NAME_PATTERN } },
);
const GROUPS = schema.nullable(
  schema.list(schema.GROUP_NAME, 'The only groups that such agents can be in; null = every group.', { maxItems: 100, uniqueItems: true }),
);
const EXPIRES_AT = schema.nullable(schema.time('End of its life; null = none.'));
const DURATION = (what: string): schema.JsonSchema => schema.text(what, { pattern: DURATION_PATTERN });
const STATES = ['active', 'revoked', 'expired', 'spent'] as const;
const MAX_USES = 1_000_000;
/** Life of an enrolment token for which none is given. */
const ENROLMENT_TTL_MS = 86_400_000;

const FIELDS = {
  id: ID,
  kind: schema.text('What it is good for.', { enum: ['agent', 'enrolment', 'certificate'] }),
  name: NAME,
  labels: LABELS,
  groups: GROUPS,
  state: schema.text('`spent`: an enrolment token without a use left.', { enum: STATES }),
  createdAt: schema.time('When it was made.'),
  createdBy: schema.text('Who made it; `enrolment/<id>` for one that was exchanged.'),
  expiresAt: EXPIRES_AT,
  revokedAt: schema.nullable(schema.time('When it was revoked.')),
  lastUsedAt: schema.nullable(schema.time('When it was last presented, to within five minutes.')),
  enrolledBy: schema.nullable(schema.text('The enrolment token it was exchanged for.')),
  uses: schema.nullable(schema.integer('How often an enrolment token was exchanged.')),
  maxUses: schema.nullable(schema.integer('How often it may be.')),
  fingerprint: schema.nullable(schema.text('Hex SHA-256 of the certificate.')),
};
const VIEW = schema.view(FIELDS);

interface CreateBody {
  kind: AgentTokenKind;
  name: string;
  labels: Record<string, string>;
  groups: string[] | null;
  expiresAt?: string | null;
  expiresIn?: string;
  maxUses?: number;
  tokenExpiresIn?: string;
  certificate?: string;
}

interface ChangeBody {
  name?: string;
  labels?: Record<string, string>;
  groups?: string[] | null;
  expiresAt?: string | null;
}

/** Credentials of agents: tokens, enrolment tokens, and what is known of certificates. */
export function tokenRoutes(app: FastifyInstance, { agentTokens, audit, publicEndpoint }: ApiDependencies): void {
  app.post(
    '/tokens',
    {
      schema: {
        tags: ['tokens'],
        summary: 'Make a credential for agents',
        description:
          '`agent`: a bearer token. `enrolment`: exchanged for one by `POST /enrol`. `certificate`: what a client certificate allows. The token itself is in this answer and nowhere else.',
        body: schema.body(
          {
            kind: schema.text('What it is good for.', { enum: ['agent', 'enrolment', 'certificate'], default: 'agent' }),
            name: NAME,
            labels: { ...LABELS, default: {} },
            groups: { ...GROUPS, default: null },
            expiresAt: EXPIRES_AT,
            expiresIn: DURATION('Life from now on, `90d` for example; enrolment tokens live for a day when nothing is said.'),
            maxUses: schema.integer('Enrolment tokens: how often it may be exchanged; once when nothing is said.', {
              minimum: 1,
              maximum: MAX_USES,
            }),
            tokenExpiresIn: DURATION('Enrolment tokens: life of the tokens they are exchanged for; for ever when nothing is said.'),
            certificate: schema.text('Certificates: PEM, or the hex SHA-256 fingerprint.', { maxLength: 16_384 }),
          },
          ['name'],
        ),
        response: {
          201: schema.answer(
            'Made.',
            schema.view({ ...FIELDS, token: schema.nullable(schema.text('The secret; null for certificates.')) }),
          ),
          ...schema.problems('malformed-body', 'invalid-body', 'token-exists', 'no-endpoint'),
        },
      },
    },
    async (request, reply) => {
      const body = request.body as CreateBody;
      const nowMs = await agentTokens.nowMs();
      checkCombination(body);
      if (body.kind === 'enrolment' && publicEndpoint === undefined) throw noEndpoint();
      const secret = body.kind === 'certificate' ? fromCertificate(body.certificate ?? '') : newAgentToken(body.kind, nowMs);
      const token: AgentToken = {
        id: secret.id,
        kind: body.kind,
        name: body.name,
        hash: secret.hash,
        labels: body.labels,
        groups: body.groups,
        createdAtMs: nowMs,
        createdBy: request.actor,
        expiresAtMs: readExpiry(body, nowMs),
        revokedAtMs: null,
        enrolledBy: null,
        maxUses: body.kind === 'enrolment' ? (body.maxUses ?? 1) : null,
        tokenTtlMs: body.tokenExpiresIn === undefined ? null : readDuration(body.tokenExpiresIn, 'tokenExpiresIn'),
      };
      const exists = (): ProblemError => new ProblemError('token-exists', `there is an entry for this certificate: ${token.id}`);
      if ((await agentTokens.find(token.id)) !== undefined) throw exists();
      // Entered first, here and below: there is no change without an entry, whatever ends in between.
      await audit.append({
        ...actorOf(request),
        action: 'token.create',
        target: `token/${token.id}`,
        before: null,
        after: detailOf(token),
        detail: {},
      });
      if (!(await agentTokens.create(token))) throw exists();
      return await reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ ...toView({ token, lastUsedAtMs: null, uses: 0 }, nowMs), token: secret.text });
    },
  );

  app.get(
    '/tokens',
    {
      schema: {
        tags: ['tokens'],
        summary: 'All credentials of agents',
        querystring: schema.query({
          ...schema.PAGE_QUERY,
          enrolledBy: schema.text('Only those that this enrolment token was exchanged for.', { maxLength: 64 }),
        }),
        response: { 200: schema.answer('In the order in which they were made.', schema.pageSchema(VIEW)), ...schema.problems() },
      },
    },
    async (request) => {
      const { limit, cursor, enrolledBy } = request.query as { limit: number; cursor?: string; enrolledBy?: string };
      const after = cursor === undefined ? '' : String(decodeCursor(cursor, 1)[0]);
      const nowMs = await agentTokens.nowMs();
      const { items, next } = await agentTokens.list({ after, limit });
      return {
        items: items.filter(({ token }) => enrolledBy === undefined || token.enrolledBy === enrolledBy).map((item) => toView(item, nowMs)),
        nextCursor: next === undefined ? null : encodeCursor([next]),
      };
    },
  );

  app.get(
    '/tokens/:id',
    {
      schema: {
        tags: ['tokens'],
        summary: 'One credential',
        params: schema.params({ id: ID }),
        response: { 200: schema.answer('The credential, without its secret.', VIEW), ...schema.problems('token-not-found') },
      },
    },
    async (request) => {
      const { id } = request.params as { id: string };
      const item = await agentTokens.find(id);
      if (item === undefined) throw notFound(id);
      return toView(item, await agentTokens.nowMs());
    },
  );

  app.patch(
    '/tokens/:id',
    {
      schema: {
        tags: ['tokens'],
        summary: 'Change what a credential allows',
        description: 'Agents that are connected with it go on with the new labels and groups.',
        params: schema.params({ id: ID }),
        body: schema.body({ name: NAME, labels: LABELS, groups: GROUPS, expiresAt: EXPIRES_AT }),
        response: {
          200: schema.answer('The credential.', VIEW),
          ...schema.problems('malformed-body', 'invalid-body', 'token-not-found', 'token-revoked'),
        },
      },
    },
    async (request) => {
      const { id } = request.params as { id: string };
      const { expiresAt, ...fields } = request.body as ChangeBody;
      checkLabels(fields.labels ?? {});
      const end = expiresAt === undefined ? {} : { expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt) };
      const changing = (token: AgentToken): AgentToken => {
        if (token.revokedAtMs !== null) throw new ProblemError('token-revoked', `${id} is revoked, which cannot be taken back`);
        return { ...token, ...fields, ...end };
      };
      const found = await agentTokens.find(id);
      if (found === undefined) throw notFound(id);
      await audit.append({
        ...actorOf(request),
        action: 'token.change',
        target: `token/${id}`,
        before: detailOf(found.token),
        after: detailOf(changing(found.token)),
        detail: {},
      });
      const changed = await agentTokens.change(id, changing);
      if (changed === undefined) throw notFound(id);
      const item = await agentTokens.find(id);
      return toView(item ?? { token: changed.after, lastUsedAtMs: null, uses: 0 }, await agentTokens.nowMs());
    },
  );

  app.delete(
    '/tokens/:id',
    {
      schema: {
        tags: ['tokens'],
        summary: 'Revoke a credential',
        description:
          'For good. Gateways close the connections that were accepted with it, and refuse it from then on. It stays listed for a while. Those that an enrolment token was exchanged for stay in force.',
        params: schema.params({ id: ID }),
        querystring: schema.query({ reason: schema.REASON }),
        response: { 204: { description: 'Revoked.', type: 'null' }, ...schema.problems('token-not-found') },
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const { reason } = request.query as { reason?: string };
      const nowMs = await agentTokens.nowMs();
      const found = await agentTokens.find(id);
      if (found === undefined) throw notFound(id);
      if (found.token.revokedAtMs === null) {
        await audit.append({
          ...actorOf(request),
          action: 'token.revoke',
          target: `token/${id}`,
          before: detailOf(found.token),
          after: null,
          ...(reason === undefined ? {} : { reason }),
          detail: { name: found.token.name },
        });
      }
      const revoking = (token: AgentToken): AgentToken => (token.revokedAtMs === null ? { ...token, revokedAtMs: nowMs } : token);
      if ((await agentTokens.change(id, revoking)) === undefined) throw notFound(id);
      return await reply.code(204).send();
    },
  );
}

/** The answer while nobody has said where agents find the gateways. */
export function noEndpoint(): ProblemError {
  return new ProblemError('no-endpoint', 'set OPAMP_PUBLIC_ENDPOINT of the coordinators to the URL at which agents reach the gateways');
}

function notFound(id: string): ProblemError {
  return new ProblemError('token-not-found', `there is no credential ${id}`);
}

function invalid(path: string, message: string): ProblemError {
  return new ProblemError('invalid-body', `${path}: ${message}`, { errors: [{ path, message }] });
}

function checkCombination(body: CreateBody): void {
  checkLabels(body.labels);
  if (body.kind !== 'enrolment')
    for (const field of ['maxUses', 'tokenExpiresIn'] as const)
      if (body[field] !== undefined) throw invalid(field, 'is for enrolment tokens');
  if (body.kind === 'certificate' && body.certificate === undefined) throw invalid('certificate', 'is required');
  if (body.kind !== 'certificate' && body.certificate !== undefined) throw invalid('certificate', 'is for the kind certificate');
  if (body.expiresAt !== undefined && body.expiresIn !== undefined) throw invalid('expiresIn', 'not together with expiresAt');
}

function checkLabels(labels: Record<string, string>): void {
  for (const [name, value] of Object.entries(labels))
    if (Buffer.byteLength(value) > 256) throw invalid(`labels.${name}`, 'must not have more than 256 bytes');
}

function readExpiry({ kind, expiresAt, expiresIn }: CreateBody, nowMs: number): number | null {
  if (expiresAt !== undefined) return expiresAt === null ? null : Date.parse(expiresAt);
  if (expiresIn !== undefined) return nowMs + readDuration(expiresIn, 'expiresIn');
  return kind === 'enrolment' ? nowMs + ENROLMENT_TTL_MS : null;
}

function readDuration(text: string, path: string): number {
  const durationMs = parseDuration(text);
  if (durationMs === undefined || durationMs === 0) throw invalid(path, 'must be more than nothing and at most 366 days');
  return durationMs;
}

/** A certificate is its own secret: only the fingerprint is stored. */
function fromCertificate(text: string): { id: string; hash: string; text: null } {
  let hash = text.replaceAll(':', '').trim().toLowerCase();
  if (text.includes('-----BEGIN')) {
    try {
      hash = new X509Certificate(text).fingerprint256.replaceAll(':', '').toLowerCase();
    } catch {
      throw invalid('certificate', 'cannot be read as PEM');
    }
  }
  if (!/^[0-9a-f]{64}$/.test(hash)) throw invalid('certificate', 'must be a certificate in PEM, or its SHA-256 fingerprint in hex');
  return { id: certificateId(hash), hash, text: null };
}

function timeOrNull(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}

/** What the audit log keeps of a credential: nothing that could be used. */
function detailOf({ kind, name, labels, groups, expiresAtMs, maxUses }: AgentToken): Record<string, unknown> {
  return { kind, name, labels, groups, expiresAt: timeOrNull(expiresAtMs), ...(maxUses === null ? {} : { maxUses }) };
}

function toView({ token, lastUsedAtMs, uses }: AgentTokenItem, nowMs: number): Record<string, unknown> {
  const spent = token.maxUses !== null && uses >= token.maxUses;
  return {
    id: token.id,
    kind: token.kind,
    name: token.name,
    labels: token.labels,
    groups: token.groups,
    state: tokenProblem(token, nowMs) ?? (spent ? 'spent' : 'active'),
    createdAt: new Date(token.createdAtMs).toISOString(),
    createdBy: token.createdBy,
    expiresAt: timeOrNull(token.expiresAtMs),
    revokedAt: timeOrNull(token.revokedAtMs),
    lastUsedAt: timeOrNull(lastUsedAtMs),
    enrolledBy: token.enrolledBy,
    uses: token.kind === 'enrolment' ? uses : null,
    maxUses: token.maxUses,
    fingerprint: token.kind === 'certificate' ? token.hash : null,
  };
}
