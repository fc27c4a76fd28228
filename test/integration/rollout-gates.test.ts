import { createHmac } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { instantVector, OutsideServer } from '../support/outside-server.ts';
import type { OutsideRequest } from '../support/outside-server.ts';
import { findFreePort } from '../support/ports.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { notOn, offeredTo } from '../support/truth.ts';
import { waitUntil } from '../support/wait-for.ts';

const SECRET = 'known-to-both-sides-only';
const outside = new OutsideServer(await findFreePort());
const stack = shareStack({
  gateways: 2,
  coordinators: 2,
  coordinatorEnv: {
    OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS: `${outside.url}/prometheus`,
    OPAMP_COORDINATOR_GATE_WEBHOOK_URLS: `${outside.url}/hooks/`,
    OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET: SECRET,
  },
});

const WAVES = [
  { size: { count: 5 }, soak: '0s' },
  { size: { percent: 100 }, soak: '0s' },
];
const PROMETHEUS = {
  type: 'prometheus',
  query: 'errors{group="{{group}}",wave="{{wave}}"}',
  condition: 'value < 0.01',
  interval: '1s',
  timeout: '30s',
};
const WEBHOOK = { type: 'webhook', url: `${outside.url}/hooks/gate`, interval: '1s', timeout: '30s', deadline: '1s' };

function gated(...gates: readonly unknown[]): Record<string, unknown> {
  return { ...FAST_STRATEGY, waves: WAVES, gates: ['ackRatio', ...gates] };
}

beforeAll(async () => await outside.open());
afterAll(async () => await outside.close());
beforeEach(() => {
  outside.requests.length = 0;
});

/** As a receiver checks it: what docs/rollout.md says, with nothing of ours. */
function isSigned({ headers, body }: OutsideRequest): boolean {
  const id = String(headers['webhook-id']);
  const signature = createHmac('sha256', SECRET)
    .update(`${id}.${String(headers['webhook-timestamp'])}.${body}`)
    .digest('base64');
  return headers['webhook-signature'] === `v1,${signature}` && headers['idempotency-key'] === id;
}

async function untilHeld(id: string, hold: string): Promise<void> {
  await waitForRollout(stack().api, id, `to be held by ${hold}`, ({ holds }) => holds.length === 1 && holds[0] === hold);
}

describe('the gate prometheus', () => {
  test('lets the next wave begin while its condition is met, and takes the rollout back when it is not', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'measured', agents: 40 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('measured 1');
    const config = await deployment.store('measured 2');
    // Good after the canary, bad after the second wave.
    outside.answer = (request) =>
      instantVector(new URLSearchParams(request.body).get('query')?.includes('wave="0"') === true ? 0.001 : 0.5);
    const strategy = gated(PROMETHEUS);
    const preview = (await api.call('POST', '/rollouts?dryRun=true', {
      body: { group: fleet.name, config: { name: config.name, version: config.version }, strategy },
    })) as { gates: { name: string; outcome: string; detail: string }[] };
    expect(preview.gates.find(({ name }) => name === 'prometheus')).toMatchObject({
      outcome: 'pass',
      detail: 'the value is 0.001, wanted value < 0.01',
    });
    outside.requests.length = 0;

    const id = await deployment.start(config, strategy);
    const rollout = await deployment.finish(id, 'rolled_back');

    expect(rollout.outcome).toBe('prometheus: the value is 0.5, wanted value < 0.01');
    expect(rollout.waves.map(({ phase }) => phase)).toEqual(['passed', 'failed']);
    expect(rollout.waves.map(({ gates }) => gates.find(({ gate }) => gate === 'prometheus')?.outcome)).toEqual(['pass', 'fail']);
    expect(rollout.waves[1]?.gates.at(-1)?.evidence).toContain('errors{group="measured",wave="1"} = {"series":"0"} 0.5');
    expect(outside.requests.every(({ path }) => path === '/prometheus/api/v1/query')).toBe(true);
    const events = await api.getEvents(id);
    expect(events.filter(({ type }) => type === 'gate.answered').map(({ detail }) => detail)).toEqual([
      'prometheus: pass, the value is 0.001, wanted value < 0.01',
      'prometheus: fail, the value is 0.5, wanted value < 0.01',
    ]);
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('holds without data and goes on by itself once there is some', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'dataless', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('dataless 1');
    const config = await deployment.store('dataless 2');
    outside.answer = () => instantVector();
    const id = await deployment.start(config, gated(PROMETHEUS));
    await untilHeld(id, 'gate_inconclusive');
    expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(5);
    outside.answer = () => instantVector(0);
    await deployment.finish(id, 'succeeded');
    await expectTruth(api, fleet, id);
  });

  test('asks only servers of the setting', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'forged', agents: 5 });
    const deployment = await Deployment.create(api, fleet);
    const config = await deployment.store('forged 1');
    const body = {
      group: fleet.name,
      config: { name: config.name, version: config.version },
      strategy: gated({ ...PROMETHEUS, url: `${outside.url}/other` }, { ...WEBHOOK, url: `${outside.url}/hooks/../admin` }),
    };
    const problem = await api.refusal('POST', '/rollouts', { body });
    expect(problem).toMatchObject({ status: 422, type: '/problems/invalid-rollout' });
    expect(problem.errors?.map(({ path }) => path)).toEqual(['strategy.gates[1].url', 'strategy.gates[2].url']);
    expect(outside.requests).toEqual([]);
  });
});

describe('the gate webhook', () => {
  test('asks with a signature, waits as told, and takes the rollout back on fail', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'hooked', agents: 40 });
    const deployment = await Deployment.create(api, fleet);
    const before = await deployment.prove('hooked 1');
    const config = await deployment.store('hooked 2');
    const decisions = ['wait', 'pass', 'fail'];
    // A question that comes once more, as after an answer that came too late, has the same id.
    const questions = (): OutsideRequest[] =>
      [...new Map(outside.requests.toReversed().map((request) => [String(request.headers['webhook-id']), request])).values()].toReversed();
    const ids: string[] = [];
    outside.answer = ({ headers }) => {
      const asked = String(headers['webhook-id']);
      if (!ids.includes(asked)) ids.push(asked);
      return { status: 200, body: { decision: decisions[ids.indexOf(asked)], reason: 'the build says so' } };
    };
    const id = await deployment.start(config, gated({ ...WEBHOOK, deadline: '1m' }));
    const rollout = await deployment.finish(id, 'rolled_back');

    expect(rollout.outcome).toBe('webhook: the build says so');
    expect(ids).toHaveLength(3);
    expect(outside.requests.every((request) => isSigned(request))).toBe(true);
    const bodies = questions().map(({ body }) => JSON.parse(body) as { wave: { index: number }; counts: Record<string, number> });
    expect(bodies.map(({ wave }) => wave.index)).toEqual([0, 0, 1]);
    expect(bodies.map(({ counts }) => counts)).toEqual([{ applied: 5 }, { applied: 5 }, { applied: 40 }]);
    expect(notOn(await fleet.records(), before.hash)).toEqual([]);
    await expectTruth(api, fleet, id);
  });

  test('that nobody answers holds the rollout, never breaks it; resume asks again', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'unheard', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('unheard 1');
    const config = await deployment.store('unheard 2');
    await outside.close();
    context.onTestFinished(async () => {
      await outside.close();
      await outside.open();
    });
    const id = await deployment.start(config, gated({ ...WEBHOOK, interval: '1h' }));
    await untilHeld(id, 'gate_error');
    expect((await api.getRollout(id)).holdDetails[0]?.detail).toContain('ECONNREFUSED');
    expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(5);

    await outside.open();
    outside.answer = () => ({ status: 200, body: { decision: 'inconclusive', reason: 'ask Ada' } });
    expect((await api.act(id, 'resume')).holds).toEqual(['gate_error']);
    await untilHeld(id, 'gate_inconclusive');
    expect((await api.getRollout(id)).holdDetails[0]?.detail).toBe('webhook: ask Ada');
    outside.answer = () => ({ status: 200, body: { decision: 'pass' } });
    await api.act(id, 'resume');
    await deployment.finish(id, 'succeeded');
    await expectTruth(api, fleet, id);
  });

  test('is asked again, with the same id, when the coordinator that asked has died', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'orphaned', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('orphaned 1');
    const config = await deployment.store('orphaned 2');
    outside.answer = () => 'hang';
    const id = await deployment.start(config, gated({ ...WEBHOOK, timeout: '5s', interval: '1h', deadline: '1h' }));
    await waitUntil(
      'the receiver to be asked',
      () => outside.requests.length,
      (count) => count >= 1,
      { pollMs: 10 },
    );
    // Nobody knows which of them asked.
    await Promise.all(
      stack()
        .names('coordinator')
        .map((name) => stack().kill(name)),
    );
    outside.answer = () => ({ status: 200, body: { decision: 'pass' } });
    await Promise.all(
      stack()
        .names('coordinator')
        .map((name) => stack().restart(name)),
    );
    await deployment.finish(id, 'succeeded');
    // Once before the end of the coordinators, and once in each wave after it.
    expect(outside.requests.length).toBeGreaterThanOrEqual(3);
    expect(outside.requests[1]?.headers['webhook-id']).toBe(outside.requests[0]?.headers['webhook-id']);
    await expectTruth(api, fleet, id);
  });
});

describe('the gate manual', () => {
  test('waits in each wave for somebody else than the author, and keeps who it was', async (context) => {
    const { api, directory } = stack();
    const file = join(directory, 'tokens');
    await writeFile(
      file,
      'grace:grace-0123456789abcdef role=operator\nalan:alan-0123456789abcdef role=operator\nada:ada-0123456789abcdef role=approver\n',
      { mode: 0o600 },
    );
    const guarded = await stack().startCoordinator({ OPAMP_API_TOKENS_FILE: file });
    const strict = api.at(stack().apiUrlOf(guarded));
    const as = (name: string, body: unknown) => ({ headers: { authorization: `Bearer ${name}-0123456789abcdef` }, body });

    const fleet = await useFleet(context, stack(), { name: 'approved', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('approved 1');
    const config = await deployment.store('approved 2');
    const body = {
      group: fleet.name,
      config: { name: config.name, version: config.version },
      strategy: gated({ type: 'manual', name: 'board' }),
    };
    const { id } = (await strict.call('POST', '/rollouts', as('grace', body))) as { id: string };

    for (const wave of [0, 1]) {
      await waitForRollout(api, id, `to wait in wave ${wave}`, ({ waveIndex, holds }) => waveIndex === wave && holds[0] === 'approval');
      expect((await api.getRollout(id)).holdDetails[0]?.detail).toBe(`wave ${wave + 1} waits for promote (board)`);
      for (const operator of ['grace', 'alan'])
        expect(await strict.refusal('POST', `/rollouts/${id}/promote`, as(operator, { reason: 'mine' }))).toMatchObject({ status: 403 });
      expect(offeredTo(await fleet.records(), config.hash)).toHaveLength(wave === 0 ? 5 : 20);
      await strict.call('POST', `/rollouts/${id}/promote`, as('ada', { reason: `wave ${wave} is fine` }));
    }
    const rollout = await deployment.finish(id, 'succeeded');
    expect(rollout.waves.map(({ approvals }) => approvals.map(({ by, what, reason }) => [by, what, reason]))).toEqual([
      [['ada', 'after', 'wave 0 is fine']],
      [['ada', 'after', 'wave 1 is fine']],
    ]);
    await expectTruth(api, fleet, id);
  });
});
