import type { RolloutProblem, RolloutProblemType } from '../rollout/service.ts';

/**
 * Every kind of problem that the REST API answers with, by the last part of its `type` (`/problems/<slug>`): the status it
 * usually comes with, its title, and what a caller can do about it. The list is closed; `docs/errors.md` shows it.
 */
export const PROBLEMS = {
  'malformed-body': {
    status: 400,
    title: 'The body cannot be read',
    help: 'Send the body as valid JSON (or YAML where the call takes it), with a matching Content-Type and no truncated text.',
  },
  'invalid-parameter': {
    status: 400,
    title: 'A query, path or header parameter is not usable',
    help: 'See `errors[]`: each entry names the parameter and what is allowed. A cursor is taken from `nextCursor` of the page before, unchanged, with the same filters.',
  },
  unauthenticated: {
    status: 401,
    title: 'A token is needed',
    help: 'Send `Authorization: Bearer <token>` with a token from the file that `OPAMP_API_TOKENS_FILE` names, or one of the issuer that `OPAMP_OIDC_ISSUER` names. One that has expired is replaced there by a new one.',
  },
  forbidden: {
    status: 403,
    title: 'The request is not accepted from there',
    help: 'A coordinator without tokens answers only requests addressed to this machine and not made by a page of another site. Configure tokens to reach it from elsewhere.',
  },
  'role-required': {
    status: 403,
    title: 'The role of the caller does not allow this',
    help: '`roles` names the roles that do. `GET /api/v1/me` shows what you may do; somebody with such a role can do it, or give you the role.',
  },
  'approver-required': {
    status: 403,
    title: 'The role of the caller does not allow to promote here',
    help: 'A wave that waits for an approval is promoted by an approver or admin; a soak is cut short by an operator or admin. `GET /api/v1/rollouts/{id}` shows what waits, `GET /api/v1/me` what you are.',
  },
  'own-rollout': {
    status: 403,
    title: 'Nobody approves their own rollout',
    help: 'Let somebody else with the role approver or admin promote it.',
  },
  'out-of-scope': {
    status: 403,
    title: 'The credential is not for this group',
    help: '`groups` names the groups that the credential is for. Use one for the group in question, or for all groups.',
  },
  'enrolment-refused': {
    status: 401,
    title: 'The enrolment token is not accepted',
    help: '`detail` says why: it is not known, revoked, expired, or spent. Make a new one: `opampctl tokens create NAME --enrolment`.',
  },
  'route-not-found': { status: 404, title: 'There is no such path', help: 'See `/api/v1/openapi.json` for all paths.' },
  'config-not-found': {
    status: 404,
    title: 'There is no such config or version',
    help: '`GET /api/v1/configs` lists the names, `GET /api/v1/configs/{name}/versions` the versions of one.',
  },
  'group-not-found': { status: 404, title: 'There is no such group', help: '`GET /api/v1/groups` lists the groups.' },
  'agent-not-found': {
    status: 404,
    title: 'There is no such agent',
    help: 'An agent is known from its first message on until its record expires. `GET /api/v1/agents` lists them.',
  },
  'rollout-not-found': {
    status: 404,
    title: 'There is no such rollout',
    help: '`GET /api/v1/rollouts` lists them; an ended one is kept for its retention time.',
  },
  'token-not-found': { status: 404, title: 'There is no such credential of agents', help: '`GET /api/v1/tokens` lists them.' },
  'problem-not-found': { status: 404, title: 'There is no problem type of that name', help: 'docs/errors.md lists them all.' },
  'method-not-allowed': {
    status: 405,
    title: 'The path does not take this method',
    help: 'The header `Allow` names the methods it takes.',
  },
  'rollout-active': {
    status: 409,
    title: 'The group has an active rollout',
    help: 'Wait for its end, or abort it (`POST /api/v1/rollouts/{id}/abort`). A new rollout may also say `"supersede": true`.',
  },
  'no-alert-targets': {
    status: 409,
    title: 'Nobody is to be told of alerts',
    help: 'Name targets in the file of `OPAMP_ALERTS_FILE` and give it to every coordinator.',
  },
  'group-observed': {
    status: 409,
    title: 'The group is only observed',
    help: 'A group in mode `observe` is offered nothing. Put it into mode `manage` first.',
  },
  'store-not-empty': {
    status: 409,
    title: 'There is something already',
    help: 'A backup is restored into an empty store. `force=true` replaces the configs, groups and rollouts that are there; the audit log and agents are kept.',
  },
  'agents-connected': {
    status: 409,
    title: 'Agents are connected',
    help: 'A backup with rollouts that go on is restored while no agent is connected: stop the gateways, restore, start them again.',
  },
  'token-exists': { status: 409, title: 'The certificate is listed already', help: 'Change the entry, or revoke it; `detail` has its id.' },
  'token-revoked': { status: 409, title: 'The credential is revoked', help: 'A revoked credential stays so. Make a new one.' },
  'no-endpoint': {
    status: 409,
    title: 'Nobody has said where agents connect',
    help: 'Enrolment hands out the address of the gateways: set `OPAMP_PUBLIC_ENDPOINT` for every coordinator.',
  },
  'action-forbidden': {
    status: 409,
    title: 'The state of the rollout forbids the action',
    help: '`detail` names the state. `GET /api/v1/rollouts/{id}` shows where the rollout stands now.',
  },
  'expect-agents': {
    status: 409,
    title: 'More agents would change config than expected',
    help: 'Call again with `?dryRun=true` to see the number, then repeat with `expectAgents` within 10 % of it.',
  },
  'agent-away': {
    status: 409,
    title: 'The agent cannot be reached now',
    help: 'Commands need an agent that is connected over a WebSocket. Try again when it is back.',
  },
  'agent-unable': {
    status: 409,
    title: 'The agent cannot do that',
    help: 'The agent did not announce the capability that the command needs, or its gateway refused the command; `detail` says which.',
  },
  'agent-connected': {
    status: 409,
    title: 'The agent is connected',
    help: 'Only the record of an agent that is away can be deleted; it would come back with its next message.',
  },
  'agent-in-rollout': {
    status: 409,
    title: 'The agent has an open row in a rollout',
    help: 'Wait until the rollout has settled the agent, then delete it.',
  },
  'stale-revision': {
    status: 412,
    title: 'The rollout has changed meanwhile',
    help: 'Read the rollout again, look at what changed, and send its `rev` in `If-Match`.',
  },
  'body-too-large': { status: 413, title: 'The body is too large', help: 'docs/limits.md lists the limits. A config may have 1 MiB.' },
  'unsupported-media-type': {
    status: 415,
    title: 'The Content-Type is not taken here',
    help: 'Send `application/json`; `PUT /api/v1/configs/{name}` takes `text/yaml` too.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    help: 'Wait for the time in `Retry-After`. `OPAMP_API_RATE_LIMIT` sets how many one credential may make; failures are limited by address.',
  },
  'invalid-body': {
    status: 422,
    title: 'The body does not have the right shape',
    help: 'See `errors[]`: each entry names a field and what is wrong with it. Unknown fields are refused.',
  },
  'invalid-backup': {
    status: 422,
    title: 'The file cannot be restored from',
    help: '`detail` says what is wrong: no file of ours, written by a newer release, cut off, or damaged, with the line. Nothing of it is in effect.',
  },
  'invalid-config': {
    status: 422,
    title: 'The config would not work',
    help: 'See `errors[]`: each entry has a line, a column and a code. `POST /api/v1/configs/validate` checks without storing.',
  },
  'invalid-selector': {
    status: 422,
    title: 'The selector cannot be read',
    help: '`detail` says at which position, and what was expected there.',
  },
  'invalid-rollout': {
    status: 422,
    title: 'The rollout cannot be started like this',
    help: 'See `errors[]`: each entry names a field. A field that is unknown or not built yet is refused, never ignored.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The idempotency key belongs to another request',
    help: 'The key was used in the last 24 h with another body. Take a new key for a new rollout, or send the same body again.',
  },
  'limit-exceeded': { status: 422, title: 'A limit is reached', help: 'docs/limits.md lists the limits. Delete what is no longer used.' },
  'too-many-attempts': {
    status: 429,
    title: 'Too many attempts failed',
    help: 'Wait for the time in `Retry-After`, and use a token that is good.',
  },
  internal: {
    status: 500,
    title: 'Something went wrong here',
    help: 'A defect of ours. The log of the coordinator has the details under the `requestId` that the answer names.',
  },
  unavailable: {
    status: 503,
    title: 'Redis cannot be reached',
    help: 'Nothing was changed that was not confirmed. Try again after the time in `Retry-After`; a create call is safe to repeat with the same `Idempotency-Key`.',
  },
  'issuer-unavailable': {
    status: 503,
    title: 'The issuer of the token cannot be reached',
    help: 'The coordinator does not know the key that the token is signed with, and cannot fetch it now. API tokens from the file work all the same.',
  },
  'gateway-not-found': {
    status: 404,
    title: 'There is no such gateway',
    help: 'A gateway makes up a new id at each start unless it is given one. `GET /api/v1/gateways` lists those that run.',
  },
  'last-gateway': {
    status: 409,
    title: 'No other gateway would take the agents',
    help: 'Draining the only gateway that serves cuts every agent off. Start another one first, or send `force: true`.',
  },
  'gateway-timeout': {
    status: 504,
    title: 'The gateway of the agent did not answer',
    help: 'The command may or may not have been sent; it is never repeated by itself. Look at the agent before trying again.',
  },
} as const satisfies Record<string, { status: number; title: string; help: string }>;

/** Last part of a problem's `type`. */
export type ProblemType = keyof typeof PROBLEMS;

// Every type that the rollout service may answer with stands in the list above.
const ROLLOUT_TYPES_ARE_KNOWN: Record<RolloutProblemType, unknown> = PROBLEMS;
void ROLLOUT_TYPES_ARE_KNOWN;

/** True when `text` names an entry of {@link PROBLEMS}. */
export function isProblemType(text: string): text is ProblemType {
  return Object.hasOwn(PROBLEMS, text);
}

/** One thing that is wrong with a request. Findings of a config carry code, severity, line and column too. */
export interface ProblemItem {
  path: string;
  message: string;
  code?: string;
  severity?: string;
  line?: number | null;
  column?: number | null;
  suggestion?: string;
}

/** Body of an `application/problem+json` answer. [RFC 9457 section 3] */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: ProblemItem[];
  [extension: string]: unknown;
}

/** An answer other than success; thrown by handlers, turned into `application/problem+json` in one place. */
export class ProblemError extends Error {
  override name = 'ProblemError';
  readonly problem: ProblemType;
  readonly status: number;
  readonly title: string;
  readonly errors: readonly ProblemItem[];
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    problem: ProblemType,
    detail: string,
    options: {
      errors?: readonly ProblemItem[];
      /** Further members of the body. */
      extensions?: Readonly<Record<string, unknown>>;
      headers?: Readonly<Record<string, string>>;
      title?: string;
      status?: number;
      cause?: unknown;
    } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.problem = problem;
    this.status = options.status ?? PROBLEMS[problem].status;
    this.title = options.title ?? PROBLEMS[problem].title;
    this.errors = options.errors ?? [];
    this.extensions = options.extensions ?? {};
    this.headers = options.headers ?? {};
  }

  /** The answer's body. */
  toBody(): ProblemBody {
    return {
      type: problemUri(this.problem),
      title: this.title,
      status: this.status,
      detail: this.message,
      ...(this.errors.length > 0 ? { errors: [...this.errors] } : {}),
      ...this.extensions,
    };
  }
}

/** The `type` of a problem: a reference relative to the API's origin, where `GET` explains it. */
export function problemUri(problem: ProblemType): string {
  return `/problems/${problem}`;
}

/** The answer to a call that the rollout service refused. */
export function fromRolloutProblem(problem: RolloutProblem): ProblemError {
  return new ProblemError(problem.type, problem.detail, {
    title: problem.title,
    status: problem.status,
    errors: problem.errors.map(({ path, message }) => ({ path, message })),
  });
}

/** The table of all problem types, as docs/errors.md shows it. */
export function renderProblemTable(): string {
  const rows = (Object.keys(PROBLEMS) as ProblemType[]).map((type) => {
    const { status, title, help } = PROBLEMS[type];
    return `| \`${problemUri(type)}\` | ${status} | ${title} | ${help} |`;
  });
  return ['| type | status | title | what to do |', '|---|---|---|---|', ...rows].join('\n');
}
