import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { useFleet, useStack } from '../support/lifetimes.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notDesired, notOn } from '../support/truth.ts';
import { waitUntil, waitUntilRight } from '../support/wait-for.ts';
import { opampctl, type CliRun } from './cli-program.ts';

/** Half of the fleet, then a soak that only `promote` ends, then the rest. */
const HALF_THEN_WAIT = {
  ...FAST_STRATEGY,
  waves: [
    { size: { percent: 50 }, soak: '1h' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

test('a backup that is restored into an emptied store brings everything back, and no agent is offered what it has', async (context) => {
  // The lease of the gateway that lives on may not run out before the restore that it is to be in the way of.
  const stack = await useStack(context, { gateways: 2, coordinators: 1, gatewayEnv: { OPAMP_GATEWAY_LEASE_MS: '6000' } });
  const { api } = stack;
  const cli = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await opampctl(args, { OPAMP_API_URL: stack.apiUrl });
    expect(code, err).toBe(0);
    return out;
  };
  const quiet = await useFleet(context, stack, { name: 'quiet', agents: 80 });
  const half = await useFleet(context, stack, { name: 'half', agents: 80 });
  const quietDeployment = await Deployment.create(api, quiet);
  const former = await quietDeployment.prove('quiet 1');
  const proven = await quietDeployment.prove('quiet 2');
  const halfDeployment = await Deployment.create(api, half);
  await halfDeployment.prove('half 1');
  const next = await halfDeployment.store('half 2');
  const id = await halfDeployment.start(next, HALF_THEN_WAIT);
  await waitForRollout(api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
  const [pinned, labelled] = (await api.listAgents({ selector: quiet.selector })).map(({ uid }) => uid);
  await api.call('PUT', `/agents/${pinned ?? ''}/pin`, { body: { config: { name: quiet.name, version: former.version } } });
  await api.call('PUT', `/agents/${labelled ?? ''}/labels`, { body: { labels: { ring: 'first' } } });
  await waitUntil(
    'the pinned agent to run its pin',
    async () => (await api.getAgent(pinned ?? '')).config,
    ({ inSync }) => inSync === true,
  );

  await api.call('POST', '/tokens', { body: { kind: 'agent', name: 'host-1' } });
  const file = join(stack.directory, 'fleet.backup');
  expect(await cli('backup', '-o', file)).toMatch(/holds \d+ audit, 8 configs, 4 spec, 1 tokens, \d+ rollouts, \d+ agents/);
  const before = {
    configs: await api.call('GET', `/configs/${quiet.name}/versions`),
    groups: (await Promise.all([quiet.name, half.name].map(async (name) => await api.getGroup(name)))).map(({ stable, previous }) => ({
      stable,
      previous,
    })),
    rollout: await api.getRollout(id),
    events: await api.getEvents(id),
    audit: ((await api.call('GET', '/audit?limit=1000')) as { items: { action: string }[] }).items,
    tokens: ((await api.call('GET', '/tokens')) as { items: unknown[] }).items,
    offers: offersOf([...(await quiet.records()), ...(await half.records())]),
  };

  await stack.kill('gateway-2');
  await stack.stopRedis('SIGKILL');
  await stack.startRedis();
  await stack.waitUntilReady('coordinator-1');
  await waitUntil(
    'the store to be empty, but for the agents of the gateway that lives on',
    async () => ({ rollouts: (await api.listRollouts()).length, connected: (await api.listGateways()).map(({ connected }) => connected) }),
    ({ rollouts, connected }) => rollouts === 0 && connected.some((count) => count > 0),
  );
  expect(await cli('restore', file, '--dry-run')).toContain('is whole');
  expect(await api.listRollouts()).toEqual([]);
  // The gateway that lives on does not know what the file says of its agents, and would take those of the rollout back.
  const refused = await opampctl(['restore', file], { OPAMP_API_URL: stack.apiUrl });
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/\d+ agents are connected, and the file has rollouts that go on/);
  await stack.kill('gateway-1');
  await waitUntil(
    'the lease of the gateway to end',
    async () => await api.listGateways(),
    (gateways) => gateways.every(({ alive }) => !alive),
  );
  expect(await cli('restore', file)).toContain(`rollout ${id} of group half is held: resume it when its agents are back`);
  await Promise.all([stack.restart('gateway-1'), stack.restart('gateway-2')]);

  for (const fleet of [quiet, half]) {
    await fleet.waitUntilConnected();
    await waitUntilRight(`the agents of ${fleet.name} to be what they should`, async () =>
      notDesired(await fleet.records(), await api.listAgents({ selector: fleet.selector })),
    );
    expect(await api.listAgents({ selector: fleet.selector })).toHaveLength(80);
  }
  expect(offersOf([...(await quiet.records()), ...(await half.records())]), 'offers that agents have had in all').toEqual(before.offers);
  expect(await api.call('GET', `/configs/${quiet.name}/versions`)).toEqual(before.configs);
  const groups = (await Promise.all([quiet.name, half.name].map(async (name) => await api.getGroup(name)))).map(({ stable, previous }) => ({
    stable,
    previous,
  }));
  expect(groups).toEqual(before.groups);
  expect(before.tokens).toHaveLength(1);
  expect(((await api.call('GET', '/tokens')) as { items: unknown[] }).items).toEqual(before.tokens);
  const audit = ((await api.call('GET', '/audit?limit=1000')) as { items: { action: string }[] }).items;
  expect(audit[0]).toMatchObject({ action: 'backup.restore' });
  expect(audit.slice(-before.audit.length + 1)).toEqual(before.audit.slice(1));
  expect(await api.call('GET', '/audit/verify'), 'the chain goes on over the restore').toMatchObject({ ok: true });
  expect((await api.getAgent(pinned ?? '')).config.desired).toMatchObject({ version: former.version, source: 'pin' });
  expect((await api.listAgents({ selector: 'label.ring=first' })).map(({ uid }) => uid)).toEqual([labelled]);
  expect(
    notOn(
      (await quiet.records()).filter(({ uid }) => uid !== pinned),
      proven.hash,
    ),
  ).toEqual([]);

  // The rollout stands where it stood, held; and goes on when it is told to.
  const held = await waitForRollout(
    api,
    id,
    'to count all of its agents',
    ({ counts }) => counts['applied'] === before.rollout.counts['applied'],
  );
  expect(held).toMatchObject({ phase: 'running', holds: ['manual'], waveIndex: 0, createdAt: before.rollout.createdAt });
  expect((await api.getEvents(id)).slice(0, before.events.length)).toEqual(before.events);
  await api.act(id, 'resume');
  await api.act(id, 'promote');
  const rollout = await halfDeployment.finish(id, 'succeeded');
  expect(rollout.counts).toEqual({ applied: 80 });
  expect(notOn(await half.records(), next.hash)).toEqual([]);
  await expectTruth(api, half, id);
});

test('what cannot be restored is refused, with the reason, and changes nothing', async (context) => {
  const stack = await useStack(context, { gateways: 1, coordinators: 1 });
  const { api } = stack;
  const run = async (...args: string[]): Promise<CliRun> => await opampctl(args, { OPAMP_API_URL: stack.apiUrl });
  await api.putGroup('kept', { selector: 'env=kept' });
  const file = join(stack.directory, 'fleet.backup');
  expect((await run('backup', '-o', file)).code).toBe(0);
  await api.putGroup('later', { selector: 'env=later' });
  const names = async (): Promise<string[]> =>
    ((await api.call('GET', '/groups')) as { items: { name: string }[] }).items.map(({ name }) => name);

  const occupied = await run('restore', file);
  expect(occupied.code).toBe(1);
  expect(occupied.err).toContain('there are 2 groups already');
  expect(occupied.err).toContain('--force');

  const bytes = await readFile(file);
  const cut = join(stack.directory, 'cut.backup');
  await writeFile(cut, bytes.subarray(0, bytes.length - 20));
  const unreadable = await run('restore', cut, '--force');
  expect(unreadable.code).toBe(1);
  expect(unreadable.err).toMatch(/cannot be read as a backup|no whole backup/);
  // The coordinator does not trust its clients either.
  for (const [body, reason] of [
    [bytes.subarray(0, bytes.length - 20), /cut off|damaged/],
    [Buffer.from('hello'), /not gzip/],
    [Buffer.alloc(0), /empty|cut off/],
  ] as const) {
    const answer = await fetch(`${stack.apiUrl}/api/v1/restore?force=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/gzip' },
      body,
    });
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as { detail: string }).detail).toMatch(reason);
  }
  expect((await run('restore', file, '--force')).code).toBe(0);
  expect(await names()).toEqual(['kept']);
});

function offersOf(records: readonly { readonly uid: string; readonly offerCount: number }[]): Record<string, number> {
  return Object.fromEntries(records.map(({ uid, offerCount }) => [uid, offerCount]));
}
