import type { FastifyInstance } from 'fastify';
import { PERMISSIONS, ROLES, ROLE_PERMISSIONS, scopeList } from '../../access/roles.ts';
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
              role: schema.text('Its role.', { enum: ROLES }),
              groups: schema.list({ type: 'string' }, 'Groups that it may see and change; `["*"]`: all.'),
              permissions: schema.list({ type: 'string', enum: PERMISSIONS }, 'What its role allows.'),
            }),
          ),
          ...schema.problems(),
        },
      },
    },
    async ({ identity: { name, kind, role, scope } }) => ({
      name,
      kind,
      role,
      groups: scopeList(scope),
      permissions: ROLE_PERMISSIONS[role],
    }),
  );
}

/** How to sign in; answered without credentials. */
export function signInRoutes(app: FastifyInstance, { tokens }: Pick<ApiDependencies, 'tokens'>): void {
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
    async () => ({ anonymous: tokens === undefined, token: tokens !== undefined, oidc: null }),
  );
}
