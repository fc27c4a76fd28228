import type { FastifyInstance } from 'fastify';
import { PERMISSIONS, permissionsOf, ROLES, scopeList } from '../../access/roles.ts';
import type { ApiDependencies } from '../dependencies.ts';
import * as schema from '../schemas.ts';

/** Who the caller is, and what it may do. */
export function accessRoutes(app: FastifyInstance): void {
  app.get(
    '/me',
    {
      schema: {
        tags: ['access'],
        summary: 'Who I am, and what I may do',
        response: {
          200: schema.answer(
            'The caller.',
            schema.view({
              name: schema.text('The actor in events and audit entries.'),
              kind: schema.text('How it proved itself; `anonymous`: no credentials are configured.', {
                enum: ['token', 'oidc', 'anonymous'],
              }),
              role: schema.text('Its role; of several the strongest.', { enum: ROLES }),
              groups: schema.list({ type: 'string' }, 'Groups that it may see and change; `["*"]`: all.'),
              permissions: schema.list({ type: 'string', enum: PERMISSIONS }, 'What its role allows, or its roles together.'),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async ({ identity }) => ({
      name: identity.name,
      kind: identity.kind,
      role: identity.role,
      groups: scopeList(identity.scope),
      permissions: permissionsOf(identity),
    }),
  );
}

/** How to sign in; answered without credentials. */
export function signInRoutes(app: FastifyInstance, { tokens, oidc }: Pick<ApiDependencies, 'tokens' | 'oidc'>): void {
  app.get(
    '/auth',
    {
      schema: {
        tags: ['access'],
        summary: 'How callers prove who they are',
        security: [],
        response: {
          200: schema.answer(
            'What is configured.',
            schema.view({
              anonymous: schema.flag('No credentials are needed, from this machine.'),
              token: schema.flag('API tokens are taken.'),
              oidc: schema.nullable(
                schema.view({
                  issuer: schema.text('URL of the issuer, whose discovery document has the rest.'),
                  clientId: schema.text('Id of this public client.'),
                  scopes: schema.list({ type: 'string' }, 'Scopes to ask for.'),
                }),
              ),
            }),
          ),
        },
      },
    },
    async () => ({
      anonymous: tokens === undefined && oidc === undefined,
      token: tokens !== undefined,
      oidc: oidc === undefined ? null : { issuer: oidc.settings.issuer, clientId: oidc.settings.clientId, scopes: oidc.settings.scopes },
    }),
  );
}
