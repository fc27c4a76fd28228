import { CodedError } from '@opamp-gateway/shared/errors';
import type { FastifyError, FastifySchemaValidationError } from 'fastify';
import { wordsOfPattern } from './patterns.ts';
import { ProblemError } from './problem.ts';
import type { ProblemItem } from './problem.ts';

/** Entries of `errors[]` at most. */
const MAX_ITEMS = 100;

/** Seconds after which a caller may try again while Redis is away. */
const RETRY_AFTER_SECONDS = '2';

/** Redis clients and servers say "not now" in these words. */
const AWAY_NAMES = new Set(['MaxRetriesPerRequestError', 'ClusterAllFailedError', 'AbortError']);
const AWAY_TEXT =
  /^(?:Connection is closed|Stream isn't writeable|connect |read E|write E|getaddrinfo |Command timed out|None of startup nodes|Too many Cluster redirections|Cluster isn't ready)|^(?:LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOREPLICAS|OOM|BUSY|MISCONF)\b/;

/** Turns anything thrown while a request was handled into the answer to it. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (isFastifyError(error)) {
    const known = fromFastify(error);
    if (known !== undefined) return known;
  }
  if (isAway(error)) {
    return new ProblemError('unavailable', 'Redis does not answer now', { headers: { 'retry-after': RETRY_AFTER_SECONDS }, cause: error });
  }
  return new ProblemError('internal', 'the request failed because of a defect of the coordinator', { cause: error });
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

function isAway(error: unknown): boolean {
  if (error instanceof CodedError) return error.code === 'unavailable' || error.code === 'timeout';
  return error instanceof Error && (AWAY_NAMES.has(error.name) || AWAY_TEXT.test(error.message));
}

function fromFastify(error: FastifyError): ProblemError | undefined {
  if (error.validation !== undefined) return fromValidation(error.validation, error.validationContext ?? 'body');
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ProblemError('body-too-large', 'the body is larger than this call takes');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ProblemError('unsupported-media-type', 'the Content-Type is missing or not one that this call takes');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ProblemError('malformed-body', 'the body does not have the length that Content-Length says');
    case 'FST_ERR_BAD_URL':
      return new ProblemError('invalid-parameter', 'the path is not properly percent-encoded');
    default:
      return undefined;
  }
}

function fromValidation(failures: readonly FastifySchemaValidationError[], context: string): ProblemError {
  const where = context === 'body' ? '' : context === 'querystring' ? 'query' : context;
  // A name that does not fit is told by what it does not fit; that the object is therefore wrong says nothing more.
  const told = failures.filter(({ keyword }) => keyword !== 'propertyNames');
  const items = told.slice(0, MAX_ITEMS).map((failure) => toItem(failure, where));
  const detail = items.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
  return new ProblemError(context === 'body' ? 'invalid-body' : 'invalid-parameter', detail, { errors: items });
}

function toItem(failure: FastifySchemaValidationError, where: string): ProblemItem {
  const base = toPath(failure.instancePath, where);
  const { params } = failure;
  switch (failure.keyword) {
    case 'additionalProperties':
      return { path: join(base, String(params['additionalProperty'])), message: 'there is no such field' };
    case 'required':
      return { path: join(base, String(params['missingProperty'])), message: 'is required' };
    case 'enum':
      return { path: base, message: `must be one of ${(params['allowedValues'] as unknown[]).join(', ')}` };
    case 'pattern': {
      const words = wordsOfPattern(String(params['pattern']));
      const { propertyName } = failure as { propertyName?: unknown };
      const path = typeof propertyName === 'string' ? join(base, propertyName) : base;
      return { path, message: words === undefined ? (failure.message ?? 'is not valid') : `must ${words}` };
    }
    default:
      return { path: base, message: failure.message ?? 'is not valid' };
  }
}

/** `/files/a~1b/body` -> `files.a/b.body`. */
function toPath(pointer: string, where: string): string {
  const parts = pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return parts.reduce((path, part) => join(path, part), where);
}

function join(path: string, part: string): string {
  if (/^\d+$/.test(part)) return `${path}[${part}]`;
  return path === '' ? part : `${path}.${part}`;
}
