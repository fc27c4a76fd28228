import type { FastifyInstance } from 'fastify';
import { AttemptLimiter } from '../attempt-limiter.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { ProblemError } from '../problem.ts';
import { PLAIN_TEXT_PATTERN, TOKEN_NAME_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { supervisorYaml } from '../supervisor-yaml.ts';
import type { HostChoices } from '../supervisor-yaml.ts';
import { noEndpoint } from './tokens.ts';

/** The exchange of an enrolment token. It asks for that token and for nothing else. */
export function enrolRoutes(app: FastifyInstance, { agentTokens, audit, publicEndpoint }: ApiDependencies): void {
  const limiter = new AttemptLimiter(() => Date.now());

  app.post(
    '/enrol',
    {
      schema: {
        tags: ['tokens'],
        summary: 'Exchange an enrolment token for an agent token',
        description:
          'For install scripts: `Authorization: Bearer <enrolment token>`. With `Accept: application/yaml` the answer is the supervisor’s configuration and nothing else.',
        body: schema.body({
          name: schema.text('Name of the new token, the host’s for example.', { pattern: TOKEN_NAME_PATTERN }),
          executable: schema.text('Path of the collector.', {
            minLength: 1,
            maxLength: 1024,
            pattern: PLAIN_TEXT_PATTERN,
            default: '/usr/bin/otelcol-contrib',
          }),
          storageDirectory: schema.text('Where the supervisor keeps its state.', {
            minLength: 1,
            maxLength: 1024,
            pattern: PLAIN_TEXT_PATTERN,
            default: '/var/lib/otelcol/supervisor',
          }),
          attributes: schema.mapOf(
            { type: 'string', maxLength: 256, pattern: PLAIN_TEXT_PATTERN },
            'What the agent says of itself; selectors match these.',
            {
              maxProperties: 64,
              default: {},
            },
          ),
        }),
        response: {
          201: schema.answer(
            'Exchanged.',
            schema.view({
              id: schema.text('Id of the new token.'),
              name: schema.text('Its name.'),
              token: schema.text('The token. It is shown here and nowhere else.'),
              expiresAt: schema.nullable(schema.time('End of its life.')),
              endpoint: schema.text('Where agents connect.'),
              supervisorYaml: schema.text('Configuration of a supervisor.'),
            }),
          ),
          ...schema.problems('malformed-body', 'invalid-body', 'enrolment-refused', 'too-many-attempts', 'no-endpoint'),
        },
      },
    },
    async (request, reply) => {
      if (publicEndpoint === undefined) throw noEndpoint();
      const waitSeconds = limiter.waitSeconds(request.ip);
      if (waitSeconds > 0) {
        throw new ProblemError('too-many-attempts', `too many attempts failed, the next may be made in ${waitSeconds} s`, {
          headers: { 'retry-after': String(waitSeconds) },
        });
      }
      const text = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
      const { name, ...host } = request.body as { name?: string } & HostChoices;
      const outcome = await agentTokens.enrol(text, name);
      if (outcome.kind !== 'ok') {
        limiter.failed(request.ip);
        if (outcome.kind !== 'unknown') {
          // Somebody holds a token of ours that is no longer good: a leaked one, or a script that runs twice.
          request.actor = `enrolment/${outcome.enrolment.id}`;
          const entry = {
            actor: request.actor,
            action: 'token.enrol-refused',
            outcome: 'refused' as const,
            target: `token/${outcome.enrolment.id}`,
          };
          await audit.append({ ...entry, detail: { why: outcome.kind, address: request.ip, ...(name === undefined ? {} : { name }) } });
        }
        const why = outcome.kind === 'unknown' ? 'the enrolment token is not known' : `the enrolment token is ${outcome.kind}`;
        throw new ProblemError('enrolment-refused', why, { headers: { 'www-authenticate': 'Bearer realm="opamp-enrolment"' } });
      }
      const { enrolment, token } = outcome;
      request.actor = `enrolment/${enrolment.id}`;
      await audit.append({
        actor: request.actor,
        action: 'token.enrol',
        target: `token/${token.id}`,
        before: null,
        after: { name: token.name, labels: token.labels, groups: token.groups },
        detail: { name: token.name, labels: token.labels, groups: token.groups, address: request.ip },
      });
      const yaml = supervisorYaml({ endpoint: publicEndpoint.url, token: outcome.text, caPem: publicEndpoint.caPem, host });
      reply.code(201).header('cache-control', 'no-store');
      if (/\byaml\b/.test(request.headers.accept ?? ''))
        return await reply
          .type('application/yaml')
          .serializer((body: unknown) => String(body))
          .send(yaml);
      return await reply.send({
        id: token.id,
        name: token.name,
        token: outcome.text,
        expiresAt: token.expiresAtMs === null ? null : new Date(token.expiresAtMs).toISOString(),
        endpoint: publicEndpoint.url,
        supervisorYaml: yaml,
      });
    },
  );
}
