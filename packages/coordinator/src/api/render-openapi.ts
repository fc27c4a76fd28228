import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createApiServer } from './api-server.ts';
import type { ApiDependencies } from './dependencies.ts';

/** The OpenAPI document of the REST API, as `/api/v1/openapi.json` serves it; for generated documentation. Opens nothing. */
export async function renderOpenApi(): Promise<Record<string, unknown>> {
  // Routes are only described, never called.
  const nothing = new Proxy({}, { get: () => undefined });
  const dependencies = {
    logger: createSilentLogger(),
    tokens: undefined,
    validate: () => ({ findings: [], components: [], unchecked: [], omitted: 0 }),
  };
  const parts = ['configs', 'groups', 'audit', 'agents', 'commands', 'rollouts', 'gateways'].map((name) => [name, nothing] as const);
  const app = await createApiServer({ ...Object.fromEntries(parts), ...dependencies } as unknown as ApiDependencies);
  try {
    await app.ready();
    return app.swagger() as unknown as Record<string, unknown>;
  } finally {
    await app.close();
  }
}
