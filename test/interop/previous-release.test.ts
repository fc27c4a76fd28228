/** The release before this one beside it: both kinds of process of both, on one Redis, during a rollout. */
import { execFile } from 'node:child_process';
import { cp, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { SCHEMA_VERSION } from '@opamp-gateway/shared/redis/keys';
import { beforeAll, expect, test, type TestContext } from 'vitest';
import { SCRATCH } from '../mutations/built-copy.ts';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = ['proto', 'packages/shared', 'packages/gateway', 'packages/coordinator'] as const;
const NAMES = ['proto', 'shared', 'gateway', 'coordinator'] as const;
const run = promisify(execFile);

let previous: { readonly tag: string; readonly root: string } | undefined;
let reason = '';

/** The newest tag of a release below this commit; '' when there is none, or no git. */
async function previousTag(): Promise<string> {
  try {
    const { stdout } = await run('git', ['describe', '--tags', '--abbrev=0', '--match', 'v*', 'HEAD~1'], { cwd: ROOT });
    return stdout.trim();
  } catch {
    return '';
  }
}

/** Builds the programs of a tag with the compiler and libraries of this checkout. Answers where. */
async function buildTag(tag: string): Promise<string> {
  const root = join(SCRATCH, 'previous', tag);
  await rm(root, { recursive: true, force: true });
  await mkdir(join(root, 'node_modules', '@opamp-gateway'), { recursive: true });
  const archive = join(SCRATCH, 'previous', `${tag}.tar`);
  await run('git', ['archive', '--format=tar', '-o', archive, tag, 'tsconfig.base.json', ...PACKAGES], { cwd: ROOT });
  await run('tar', ['-xf', archive, '-C', root]);
  await rm(archive);
  for (const [index, name] of NAMES.entries()) {
    await symlink(join(root, PACKAGES[index] ?? ''), join(root, 'node_modules', '@opamp-gateway', name), 'dir');
  }
  await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-b', ...PACKAGES.slice(2)], { cwd: root });
  // Served at the root of the API; any will do.
  await cp(join(ROOT, 'packages/dashboard/dist'), join(root, 'packages/dashboard/dist'), { recursive: true }).catch(() => undefined);
  return root;
}

beforeAll(async () => {
  const tag = await previousTag();
  if (tag === '') {
    reason = 'this checkout has no tag of an earlier release';
    process.stdout.write(`skipped: previous release: ${reason}\n`);
    return;
  }
  previous = { tag, root: await buildTag(tag) };
});

function needPrevious(context: TestContext): string {
  if (previous === undefined) context.skip(reason);
  return previous.root;
}

test('the previous release and this one run a rollout together, and agents move between them', async (context) => {
  const root = needPrevious(context);
  const stack = await useStack(context, { gateways: 1, coordinators: 1, root });
  const { api } = stack;
  const fleet = await useFleet(context, stack, { name: 'mixed', agents: 60 });
  const deployment = await Deployment.create(api, fleet);
  await deployment.prove('mixed 1');

  // One by one, as an upgrade does: first a gateway of this release beside the old one, then a coordinator.
  const gateway = await stack.startGateway({}, ROOT);
  const coordinator = await stack.startCoordinator({}, ROOT);
  const config = await deployment.store('mixed 2');
  const id = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 10 });
  await waitForRollout(api, id, 'to be in its second wave', ({ waveIndex }) => waveIndex >= 1);
  await stack.kill('coordinator-1', 'SIGTERM');
  await deployment.finish(id, 'succeeded');
  await expectTruth(api, fleet, id);

  // A rollout of the new release that the old one takes over in the middle: the way back.
  await stack.restart('coordinator-1');
  const back = await deployment.start(await deployment.store('mixed 3'), { ...FAST_STRATEGY, maxInFlight: 10 });
  await waitForRollout(api, back, 'to be in its second wave', ({ waveIndex }) => waveIndex >= 1);
  await stack.kill(coordinator, 'SIGTERM');
  await stack.kill(gateway, 'SIGTERM');
  await deployment.finish(back, 'succeeded');
  await fleet.waitUntilConnected();
  await expectTruth(api, fleet, back);
});

test('the previous release refuses data of a newer layout, and says so', async (context) => {
  const root = needPrevious(context);
  const stack = await useStack(context, { gateways: 0, coordinators: 1 });
  const redis = new Redis(stack.redisUrl);
  context.onTestFinished(() => redis.disconnect());
  await redis.hset(stack.keys.meta, 'schemaVersion', String(SCHEMA_VERSION + 1));
  await expect(stack.startCoordinator({}, root)).rejects.toThrow(/newer release/u);
  await expect(stack.startGateway({}, root)).rejects.toThrow(/newer release/u);
  // They ended by themselves, as they should.
  await stack.kill('coordinator-2');
  await stack.kill('gateway-1');
});
