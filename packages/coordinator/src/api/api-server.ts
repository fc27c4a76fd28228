import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import { toError } from '@opamp-gateway/shared/errors';
import { NO_TRACER } from '@opamp-gateway/shared/tracing';
import type { Span, Tracer } from '@opamp-gateway/shared/tracing';
import { fastify, LogController } from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Identity } from '../access/roles.ts';
import { RateLimiter } from '../access/rate-limit.ts';
import { authorize, identify } from './auth.ts';
import { API_HEADERS } from './api-headers.ts';
import type { ApiDependencies } from './dependencies.ts';
import { toProblem } from './error-answers.ts';
import { isProblemType, ProblemError, PROBLEMS } from './problem.ts';
import { ruleOf } from './route-permissions.ts';
import type { RouteRule } from './route-permissions.ts';
import { SHARED_SCHEMAS } from './schemas.ts';
import { serveDashboard } from './static-files.ts';
import { decodeUtf8 } from './utf8.ts';
import { accessRoutes, signInRoutes } from './routes/access.ts';
import { agentCommandRoutes } from './routes/agent-commands.ts';
import { agentRoutes } from './routes/agents.ts';
import { alertRoutes } from './routes/alerts.ts';
import { actorOf, auditRoutes } from './routes/audit.ts';
import { backupRoutes } from './routes/backup.ts';
import { configRoutes } from './routes/configs.ts';
import { fleetRoutes } from './routes/fleet.ts';
import { gatewayRoutes } from './routes/gateways.ts';
import { groupRoutes } from './routes/groups.ts';
import { historyRoutes } from './routes/history.ts';
import { rolloutRoutes } from './routes/rollouts.ts';
import { enrolRoutes } from './routes/enrol.ts';
import { tokenRoutes } from './routes/tokens.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Name of who makes the request, for events and audit entries; empty until it is known. */
    actor: string;
    /** Who makes the request; known in every route below `/api/v1` that needs credentials. */
    identity: Identity;
  }
  interface FastifyRequest {
    /** The span of the request; undefined while nothing is traced. */
    span: Span | undefined;
  }
  interface FastifyContextConfig {
    /** What the route asks of its caller, see `route-permissions.ts`. */
    rule?: RouteRule;
  }
  interface FastifyInstance {
    /** Aborts when the server begins to close: streams end themselves. */
    closing: AbortSignal;
  }
}

const API_PREFIX = '/api/v1';

/** Bytes of a body, except for configs. */
const BODY_LIMIT_BYTES = 256 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** Requests of one address that are told why their credential is not good; the rest is 429. */
const FAILURES_AT_ONCE = 20;
const FAILURES_PER_SECOND = 0.5;

/**
 * Builds the REST API: every route validates by the schema that the OpenAPI document shows, and every answer other than
 * success is `application/problem+json`. The server does not listen yet.
 */
export async function createApiServer(dependencies: ApiDependencies): Promise<FastifyInstance> {
  const { trustedProxies = [] } = dependencies;
  const app: FastifyInstance = fastify({
    loggerInstance: dependencies.logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: BODY_LIMIT_BYTES,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 512 },
    exposeHeadRoutes: false,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true, allErrors: true, verbose: true } },
    frameworkErrors: (error, request, reply) => void sendProblem(request, reply, toProblem(error)),
  }) as unknown as FastifyInstance;

  const closing = new AbortController();
  app.decorate('closing', closing.signal);
  app.decorateRequest('actor', '');
  app.decorateRequest('span');
  traceRequests(app, dependencies.tracer ?? NO_TRACER);
  app.decorateRequest('identity');
  app.addHook('onRequest', async (_request, reply) => void reply.headers(API_HEADERS));
  app.addHook('preClose', async () => closing.abort());

  // Answers are written as they are: a schema that lags behind must never drop a field of them.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(async (error, request, reply) => {
    const problem = toProblem(error);
    await noteRefusal(request, problem, dependencies);
    return await sendProblem(request, reply, problem);
  });
  readJsonBodies(app);

  app.addHook('onResponse', async (request, reply) => {
    dependencies.onAnswer?.({
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
      actor: request.actor,
      requestId: request.id,
    });
  });
  const methods = trackMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = methods(path);
    if (allowed.length === 0) return sendProblem(request, reply, new ProblemError('route-not-found', `there is no ${path}`));
    return sendProblem(
      request,
      reply,
      new ProblemError('method-not-allowed', `${path} takes ${allowed.join(', ')}, not ${request.method}`, {
        headers: { allow: allowed.join(', ') },
      }),
    );
  });

  for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'OpAMP coordinator',
        version: '1',
        description: 'Configs, groups, agents and rollouts. Errors are `application/problem+json`, see docs/errors.md.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `def-${index}`) },
  });

  const limits = createLimits(dependencies);
  await app.register(
    async (api) => {
      api.addHook('onRoute', (route) => {
        const pattern = route.url.slice(API_PREFIX.length);
        for (const method of [route.method].flat()) route.config = { ...route.config, rule: ruleOf(method, pattern) };
      });
      api.addHook('onRequest', async (request) => {
        const { rule } = request.routeOptions.config;
        if (rule === undefined) throw new Error(`the route ${request.routeOptions.url ?? ''} has no rule`);
        request.identity = await limits.identified(request, identify(request, dependencies));
        request.actor = request.identity.name;
        authorize(request.identity, rule);
      });
      api.addHook('preValidation', prepareForValidation);
      for (const routes of [
        accessRoutes,
        configRoutes,
        groupRoutes,
        agentRoutes,
        agentCommandRoutes,
        rolloutRoutes,
        fleetRoutes,
        historyRoutes,
        gatewayRoutes,
        auditRoutes,
        alertRoutes,
        backupRoutes,
        tokenRoutes,
      ]) {
        await api.register(async (scope) => routes(scope, dependencies));
      }
    },
    { prefix: API_PREFIX },
  );
  // Hosts that enrol have an enrolment token and nothing else.
  await app.register(
    async (open) => {
      open.addHook('preValidation', prepareForValidation);
      enrolRoutes(open, dependencies);
    },
    { prefix: API_PREFIX },
  );
  publicRoutes(app, dependencies);
  await serveDashboard(app, { signInOrigins: () => dependencies.oidc?.origins() ?? [] });
  return app;
}

/** A span for every request that changes something; `traceparent` of the client is continued. */
function traceRequests(app: FastifyInstance, tracer: Tracer): void {
  if (!tracer.enabled) return;
  app.addHook('onRequest', async (request) => {
    if (request.method === 'GET' || request.method === 'HEAD' || request.method === 'OPTIONS') return;
    const parent = request.headers['traceparent'];
    const route = request.routeOptions.url ?? 'none';
    request.span = tracer.start(`${request.method} ${route}`, {
      kind: 'server',
      parent: typeof parent === 'string' ? parent : undefined,
      attributes: { 'http.request.method': request.method, 'http.route': route, 'opamp.request.id': request.id },
    });
  });
  app.addHook('onResponse', async (request, reply) => {
    request.span?.end(
      { 'http.response.status_code': reply.statusCode, 'enduser.id': request.actor },
      reply.statusCode >= 500 ? `answered ${reply.statusCode}` : undefined,
    );
  });
}

/** What may be read without a token: the API's own description, and how to sign in. */
function publicRoutes(app: FastifyInstance, dependencies: ApiDependencies): void {
  void app.register(async (open) => signInRoutes(open, dependencies), { prefix: API_PREFIX });
  app.get('/api/v1/openapi.json', { schema: { hide: true } }, () => app.swagger());
  app.get('/problems/:type', { schema: { hide: true } }, async (request, reply) => {
    const { type } = request.params as { type: string };
    if (!isProblemType(type)) throw new ProblemError('problem-not-found', `there is no problem type ${type}`);
    const { status, title, help } = PROBLEMS[type];
    return await reply.type('text/plain; charset=utf-8').send(`${title} (${status})\n\n${help}\n`);
  });
}

/**
 * Limits of callers. Whoever has a good credential is never kept out by what others try from the same address (a load balancer's,
 * perhaps): only the failures themselves are limited there.
 */
function createLimits({ requestsPerSecond = 0, onAuthFailure }: ApiDependencies): {
  identified(request: FastifyRequest, identity: Promise<Identity>): Promise<Identity>;
} {
  const failures = new RateLimiter({ perSecond: FAILURES_PER_SECOND, burst: FAILURES_AT_ONCE });
  const requests = requestsPerSecond > 0 ? new RateLimiter({ perSecond: requestsPerSecond, burst: 10 * requestsPerSecond }) : undefined;
  return {
    async identified(request, identity) {
      let found: Identity;
      try {
        found = await identity;
      } catch (error) {
        if (!(error instanceof ProblemError) || error.problem !== 'unauthenticated') throw error;
        onAuthFailure?.();
        const waitSeconds = failures.take(request.ip);
        throw waitSeconds === 0 ? error : tooMany(`too many requests without a good credential from ${request.ip}`, waitSeconds);
      }
      const waitSeconds = found.kind === 'anonymous' ? 0 : (requests?.take(found.name) ?? 0);
      if (waitSeconds > 0) throw tooMany(`${found.name} makes more than ${requestsPerSecond} requests a second`, waitSeconds);
      return found;
    },
  };
}

function tooMany(detail: string, waitSeconds: number): ProblemError {
  return new ProblemError('rate-limited', detail, { headers: { 'retry-after': String(waitSeconds) } });
}

/** Answers to a caller who is known, and asked for what it may not do. */
const REFUSALS: ReadonlySet<string> = new Set(['role-required', 'out-of-scope', 'approver-required', 'own-rollout']);

/** Enters who tried to change what they may not. Reading is not entered, and what fails without credentials is counted only. */
async function noteRefusal(request: FastifyRequest, problem: ProblemError, { audit, logger }: ApiDependencies): Promise<void> {
  if (!REFUSALS.has(problem.problem) || request.method === 'GET' || request.actor === '') return;
  const [path = ''] = request.url.split('?', 1);
  try {
    await audit.append({
      ...actorOf(request),
      action: 'access.refused',
      target: `${request.method} ${path.slice(0, 512)}`,
      outcome: 'refused',
      detail: { type: problem.problem, detail: problem.message },
    });
  } catch (error) {
    logger.warn({ err: error, actor: request.actor }, 'audit entry was lost');
  }
}

function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: ProblemError): FastifyReply {
  if (problem.status >= 500) {
    request.log[problem.status === 500 ? 'error' : 'warn'](
      { err: problem.cause ?? problem, requestId: request.id, method: request.method, url: request.url },
      'request failed',
    );
  }
  const body = problem.toBody();
  const withId = problem.status >= 500 ? { ...body, requestId: request.id } : body;
  return reply
    .code(problem.status)
    .headers({ ...API_HEADERS, ...problem.headers })
    .type('application/problem+json')
    .serializer((data: unknown) => JSON.stringify(data))
    .send(withId);
}

/** JSON bodies: an empty one is no body, whatever its Content-Type; anything else must parse. */
function readJsonBodies(app: FastifyInstance): void {
  app.removeContentTypeParser(['application/json', 'text/plain']);
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    if (bytes.length === 0) return done(null, undefined);
    let text: string;
    try {
      text = decodeUtf8(bytes as Buffer);
    } catch (error) {
      return done(toError(error));
    }
    return parse(request, text, (error, parsed) => {
      if (error === null) done(null, parsed);
      else done(new ProblemError('malformed-body', jsonProblem(text)));
    });
  });
}

/** What is wrong with a text that could not be read as JSON, with the place where the parser can tell. */
function jsonProblem(text: string): string {
  try {
    JSON.parse(text);
    return 'the body has a key such as __proto__, which is not taken';
  } catch (error) {
    return `the body is not valid JSON: ${toError(error).message}`;
  }
}

/** Gives query parameters the type that the schema asks for, and calls without a body an empty one. */
async function prepareForValidation(request: FastifyRequest): Promise<void> {
  const schema = request.routeOptions.schema;
  if (request.body === undefined && (schema?.body as { type?: string } | undefined)?.type === 'object') request.body = {};
  for (const [part, values] of [
    [schema?.querystring, request.query],
    [schema?.params, request.params],
  ] as [{ properties?: Record<string, { type?: string }> } | undefined, Record<string, unknown>][]) {
    for (const [name, property] of Object.entries(part?.properties ?? {})) {
      const value = values[name];
      if (typeof value !== 'string') continue;
      if (property.type === 'integer' && /^-?\d{1,15}$/.test(value)) values[name] = Number(value);
      if (property.type === 'boolean' && (value === 'true' || value === '')) values[name] = true;
      if (property.type === 'boolean' && value === 'false') values[name] = false;
    }
  }
}

/** Remembers the methods of every route; the result tells those of a path. */
function trackMethods(app: FastifyInstance): (path: string) => string[] {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', (route) => {
    const source = route.url.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/:[A-Za-z]+/g, '[^/]+');
    routes.push({ pattern: new RegExp(`^${source}/?$`), methods: [route.method].flat() });
  });
  return (path) => [...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))].toSorted();
}
