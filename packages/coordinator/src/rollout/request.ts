import { createHash } from 'node:crypto';
import { FieldReader } from './field-reader.ts';
import type { FieldProblem, RolloutProblem, RolloutProblemType } from './service.ts';
import { parseStrategy } from './strategy-parser.ts';
import type { Strategy } from './strategy.ts';

/** Body of `POST /rollouts`, read. */
export interface RolloutRequest {
  group: string;
  config: { name: string; version: number };
  baseline: { name: string; version: number } | null;
  strategy: Strategy;
  reason: string;
  supersede: boolean;
}

const NAME_LIMIT = 256;
const REASON_LIMIT = 4_096;

/** Digest of a body as JSON, whatever the order of its members: tells whether an idempotency key came back with another one. */
export function digestOfBody(body: unknown): string {
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([name, member]) => [name, sorted(member)] as const)
        .toSorted(([left], [right]) => (left < right ? -1 : 1)),
    );
  };
  return createHash('sha256')
    .update(JSON.stringify(sorted(body)) ?? '')
    .digest('hex')
    .slice(0, 32);
}

/** Reads the body of `POST /rollouts`. All problems at once, each with its path. */
export function parseRolloutRequest(body: unknown): { request: RolloutRequest; problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const fields = new FieldReader(body, '', problems);
  const request: RolloutRequest = {
    group: fields.text('group', { fallback: '', maxLength: NAME_LIMIT, required: true }),
    config: readVersion(fields, 'config') ?? { name: '', version: 0 },
    baseline: fields.raw('baseline') === null ? null : (readVersion(fields, 'baseline') ?? null),
    strategy: parseStrategy(fields.raw('strategy'), problems),
    reason: fields.text('reason', { fallback: '', maxLength: REASON_LIMIT }),
    supersede: fields.boolean('supersede', false),
  };
  if (!fields.has('config')) fields.problem('config', 'is required');
  fields.rejectUnknown();
  return { request, problems };
}

function readVersion(fields: FieldReader, name: string): { name: string; version: number } | undefined {
  const version = fields.object(name);
  if (version === undefined) return undefined;
  const read = {
    name: version.text('name', { fallback: '', maxLength: NAME_LIMIT, required: true }),
    version: version.integer('version', { fallback: 0, min: 1, max: 1_000_000_000 }),
  };
  if (!version.has('version')) version.problem('version', 'is required');
  version.rejectUnknown();
  return read;
}

const TITLES: Readonly<Record<RolloutProblemType, string>> = {
  'invalid-rollout': 'The rollout is not valid',
  'group-not-found': 'There is no such group',
  'config-not-found': 'There is no such version of the config',
  'rollout-not-found': 'There is no such rollout',
  'rollout-active': 'The group has an active rollout',
  'group-observed': 'The group is only observed',
  'action-forbidden': 'The state of the rollout forbids this',
  'approver-required': 'The role of the caller does not allow to promote here',
  'own-rollout': 'Nobody approves their own rollout',
  'stale-revision': 'The rollout has changed',
  'idempotency-key-reused': 'The idempotency key belongs to another request',
};

const STATUS: Readonly<Record<RolloutProblemType, RolloutProblem['status']>> = {
  'invalid-rollout': 422,
  'group-not-found': 404,
  'config-not-found': 404,
  'rollout-not-found': 404,
  'rollout-active': 409,
  'group-observed': 409,
  'action-forbidden': 409,
  'approver-required': 403,
  'own-rollout': 403,
  'stale-revision': 412,
  'idempotency-key-reused': 422,
};

/** A problem of a closed type. */
export function problem(type: RolloutProblemType, detail: string, errors: FieldProblem[] = []): RolloutProblem {
  return { kind: 'problem', status: STATUS[type], type, title: TITLES[type], detail, errors };
}

/** The one text that a problem is told in where there is no JSON: in a failed job. */
export function problemText(found: RolloutProblem): string {
  const errors = found.errors.map((error) => `${error.path}: ${error.message}`);
  return [`${found.title}: ${found.detail}`, ...errors].join('; ');
}
