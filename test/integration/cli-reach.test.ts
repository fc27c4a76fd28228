import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { renderOpenApi } from '@opamp-gateway/coordinator/api/render-openapi';
import { runWith, startFakeCoordinator } from '../../packages/cli/test-support/fake-api.ts';
import type { FakeCoordinator } from '../../packages/cli/test-support/fake-api.ts';

const DOCUMENT = (await renderOpenApi()) as { paths: Record<string, Record<string, unknown>> };
const UID = '01900000-0000-7000-8000-000000000001';

/** Operations without a command that is tried here, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'GET /auth': 'tells a browser how to sign in; a token is what opampctl has',
  'GET /tokens/{id}': '`opampctl tokens list` shows all there is to know of each',
  'POST /enrol': 'a host calls it with its enrolment token, by a script; the test of enrolment runs it',
  'POST /restore': '`opampctl restore` sends nothing but a whole backup; the test of backups does',
};

/** The command that makes each call; `FILE` is a file with a config, `BACKUP` one to write. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  'GET /me': ['whoami'],
  'PUT /configs/{name}': ['config', 'push', 'base', 'FILE'],
  'GET /configs/{name}': ['config', 'get', 'base'],
  'GET /configs': ['config', 'list'],
  'GET /configs/{name}/versions': ['config', 'versions', 'base'],
  'GET /configs/{name}/versions/{version}': ['config', 'get', 'base@1'],
  'GET /configs/{name}/diff': ['config', 'diff', 'base', '1', '2'],
  'POST /configs/validate': ['config', 'validate', 'FILE'],
  'PUT /groups/{name}': ['group', 'set', 'prod', '--selector', 'a=b'],
  'GET /groups/{name}': ['group', 'get', 'prod'],
  'DELETE /groups/{name}': ['group', 'delete', 'prod'],
  'GET /groups': ['group', 'list'],
  'GET /agents': ['agents', 'list'],
  'GET /agents/{uid}': ['agents', 'get', UID],
  'DELETE /agents/{uid}': ['agents', 'delete', UID],
  'PUT /agents/{uid}/labels': ['agents', 'label', UID, 'a=b'],
  'PUT /agents/{uid}/pin': ['agents', 'pin', UID, 'base@1'],
  'DELETE /agents/{uid}/pin': ['agents', 'unpin', UID],
  'POST /agents/{uid}/restart': ['agents', 'restart', UID],
  'POST /agents/{uid}/custom-messages': ['agents', 'message', UID, 'capability', 'type', '--data', 'x'],
  'POST /rollouts': ['rollout', 'start', '--group', 'prod', '--config', 'base@1'],
  'GET /rollouts': ['rollout', 'list'],
  'GET /rollouts/{id}': ['rollout', 'get', 'r1'],
  'PATCH /rollouts/{id}': ['rollout', 'tune', 'r1', '--strategy', '{"maxInFlight":5}'],
  'GET /rollouts/{id}/failures': ['rollout', 'failures', 'r1'],
  'GET /rollouts/{id}/events': ['rollout', 'events', 'r1'],
  ...Object.fromEntries(
    ['pause', 'resume', 'promote', 'abort', 'rollback', 'retry', 'cancel'].map((action) => [
      `POST /rollouts/{id}/${action}`,
      ['rollout', action, 'r1'],
    ]),
  ),
  'GET /fleet': ['fleet'],
  'GET /fleet/drift': ['drift'],
  'GET /fleet/abilities': ['doctor'],
  'POST /fleet/freeze': ['freeze'],
  'POST /fleet/unfreeze': ['unfreeze'],
  'GET /fleet/history': ['history'],
  'GET /gateways': ['gateways', 'list'],
  'POST /gateways/{id}/drain': ['gateways', 'drain', 'gw-1'],
  'POST /gateways/{id}/undrain': ['gateways', 'undrain', 'gw-1'],
  'POST /gateways/rebalance': ['gateways', 'rebalance'],
  'GET /backup': ['backup', '--output', 'BACKUP'],
  'GET /audit': ['audit'],
  'GET /audit/verify': ['audit', 'verify'],
  'GET /alerts': ['alerts', 'list'],
  'GET /alerts/targets': ['alerts', 'targets'],
  'POST /alerts/retry': ['alerts', 'retry', '--all'],
  'POST /alerts/test': ['alerts', 'test'],
  'GET /tokens': ['tokens', 'list'],
  'POST /tokens': ['tokens', 'create', 'rack 7'],
  'PATCH /tokens/{id}': ['tokens', 'change', 'abc', '--all-groups'],
  'DELETE /tokens/{id}': ['tokens', 'revoke', 'abc'],
  'POST /groups/{name}/resume': ['group', 'resume', 'prod'],
};

const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/^\/api\/v1/, '')}`),
);

let api: FakeCoordinator;
let directory: string;

beforeEach(async () => {
  api = await startFakeCoordinator();
  directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
  await writeFile(join(directory, 'config.yaml'), 'service: {}\n');
  for (const [route, answer] of Object.entries({
    'GET /configs/base/versions/1': { name: 'base', version: 1, hash: 'aa', files: {} },
    [`GET /agents/${UID}`]: { labels: {} },
    'GET /fleet': {
      generation: 1,
      frozen: false,
      agents: { total: 1, connected: 1, away: 0, health: {}, status: {}, versions: {} },
      groups: [],
      rollouts: [],
      gateways: { alive: 1, draining: 0 },
      configs: 0,
    },
    'GET /groups/prod': { name: 'prod', selector: 'a=b', priority: 0, mode: 'manage', stable: null, activeRollout: null },
    'GET /gateways': { items: [], nextCursor: null },
    'GET /groups': { items: [], nextCursor: null },
  }))
    api.on(route, () => answer);
});
afterEach(async () => {
  await api.close();
  await rm(directory, { recursive: true });
});

it('has a command, or a reason to have none, for every operation of the API and for nothing else', () => {
  const named = [...Object.keys(COMMANDS), ...Object.keys(EXCEPTIONS)];
  expect(named.toSorted()).toEqual(OPERATIONS.toSorted());
});

it.each(Object.entries(COMMANDS))('%s is called by its command', async (operation, command) => {
  const args = command.map((word) =>
    word === 'FILE' ? join(directory, 'config.yaml') : word === 'BACKUP' ? join(directory, 'backup') : word,
  );
  // Most answers are no more than a refusal here; what counts is that the call is made.
  await runWith(args, { env: { OPAMP_API_URL: api.url } });
  const [method = '', template = ''] = operation.split(' ');
  const pattern = new RegExp(`^${method} ${template.replaceAll(/\{\w+\}/g, '[^/?]+')}(?:\\?.*)?$`);
  expect(api.requests.map((request) => `${request.method} ${request.path}`)).toContainEqual(expect.stringMatching(pattern));
});
