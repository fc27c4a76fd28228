import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAlertStore } from '@opamp-gateway/coordinator/stores/alert-store';
import type { Alert } from '@opamp-gateway/coordinator/alerts/alert';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { commitRollout } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { RolloutCommitReply } from '@opamp-gateway/shared/redis/fleet-scripts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectorConfig } from '../support/collector-config.ts';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';
import { startStack } from '../support/stack.ts';
import type { Stack } from '../support/stack.ts';
import { waitUntil } from '../support/wait-for.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';
import { opampctl } from './cli-program.ts';

/** A line of `opampctl alerts dead`: the alert that a test asked for, given up at the one target and delivered at the other. */
const TOLD_TO_ONE = /(\d{13}-\d+) .*test.*flaky dead \(2\), ops delivered/;
const SECRET = 'the secret that both sides know';

describe('the store of alerts', () => {
  let redis: RedisLab;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.stop();
  });

  const alert: Omit<Alert, 'at'> = { type: 'rollout.held', severity: 'warning', summary: 'held', group: 'g', rollout: 'r', data: {} };
  const ops = { name: 'ops', limit: 10, hiddenMs: 60_000 };

  it('hands each message over once, to one coordinator, and remembers what became of it', async () => {
    const keys = redis.keys();
    const [first, second] = ['one', 'two'].map((coordinator) => createAlertStore({ client: redis.client, keys, coordinator }));
    if (first === undefined || second === undefined) throw new Error('unreachable');
    await first.add(alert);
    const [message] = await first.outbox(10);
    const id = message?.id ?? '';
    expect(await first.admit([{ id, targets: ['ops', 'web'] }])).toMatchObject({ givenUp: 0, dropped: 0 });
    await second.admit([{ id, targets: ['other'] }]);
    expect(await first.outbox(10)).toEqual([]);
    expect(await first.counts()).toEqual({ outbox: 0, pending: 2, dead: 0 });

    expect(await first.take({ leaseMs: 60_000, targets: [ops] })).toMatchObject({ held: true, due: [{ id, target: 'ops', attempts: 0 }] });
    // Taken is not due again for now, and nobody else delivers meanwhile.
    expect((await first.take({ leaseMs: 60_000, targets: [ops] })).due).toEqual([]);
    expect(await second.take({ leaseMs: 60_000, targets: [ops] })).toEqual({ held: false, holder: 'one', due: [] });

    await first.settle({ id, target: 'ops', outcome: 'retry', attempts: 1, delayMs: 0, error: 'answered 500\n| twice' });
    expect((await first.list({ limit: 10 }))[0]).toMatchObject({
      id,
      type: 'rollout.held',
      deliveries: [{ target: 'ops', state: 'pending', attempts: 1, error: 'answered 500 | twice' }, { target: 'web' }],
    });
    await first.take({ leaseMs: 0, targets: [] });
    expect(await second.take({ leaseMs: 60_000, targets: [ops] })).toMatchObject({ held: true, due: [{ attempts: 1 }] });
    expect(await second.settle({ id, target: 'ops', outcome: 'delivered', attempts: 2, delayMs: 0, error: '' })).toBe(true);
    // The one that was thought dead comes late.
    expect(await first.settle({ id, target: 'ops', outcome: 'dead', attempts: 2, delayMs: 0, error: 'late' })).toBe(false);
    expect(await first.counts()).toEqual({ outbox: 0, pending: 1, dead: 0 });
    expect(await first.list({ limit: 10, state: 'dead' })).toEqual([]);
  });

  it('tries a dead delivery again with all its attempts, only the ones that were named', async () => {
    const keys = redis.keys();
    const store = createAlertStore({ client: redis.client, keys, coordinator: 'one' });
    await store.add(alert);
    await store.add(alert);
    const ids = (await store.outbox(10)).map(({ id }) => id);
    await store.admit(ids.map((id) => ({ id, targets: ['ops'] })));
    await store.take({ leaseMs: 60_000, targets: [ops] });
    for (const id of ids) await store.settle({ id, target: 'ops', outcome: 'dead', attempts: 15, delayMs: 0, error: 'no connection' });
    expect(await store.counts()).toEqual({ outbox: 0, pending: 0, dead: 2 });
    expect((await store.list({ limit: 10, state: 'dead' })).map(({ id }) => id)).toEqual(ids.toReversed());
    expect(await store.retry({ target: 'web' })).toBe(0);
    expect(await store.retry({ ids: [ids[0] ?? ''] })).toBe(1);
    expect((await store.take({ leaseMs: 60_000, targets: [ops] })).due).toMatchObject([{ id: ids[0], attempts: 0 }]);
    expect(await store.retry({})).toBe(1);
  });

  it('pages over alerts of one millisecond, and forgets old ones that are done with', async () => {
    const keys = redis.keys();
    const store = createAlertStore({ client: redis.client, keys, coordinator: 'one' });
    const message = JSON.stringify({ at: '2026-01-01T00:00:00Z', ...alert });
    const ids = Array.from({ length: 1_010 }, (_, index) => `${1_700_000_000_000 + Math.floor(index / 300)}-${index % 300}`);
    for (const id of ids) await redis.client.xadd(keys.outbox, id, 'message', message);
    for (let from = 0; from < ids.length; from += 100)
      await store.admit(ids.slice(from, from + 100).map((id, index) => ({ id, targets: from + index < 3 ? ['ops'] : [] })));
    const seen: string[] = [];
    for (;;) {
      const page = await store.list({ limit: 90, before: seen.at(-1) });
      seen.push(...page.map(({ id }) => id));
      if (page.length < 90) break;
    }
    expect(new Set(seen).size).toBe(seen.length);
    // The oldest three wait for a target and are not forgotten.
    expect(seen).toHaveLength(1_000);
    expect(seen).toEqual(expect.arrayContaining([...ids.slice(0, 3), ...ids.slice(300)]));
  });

  it('has a message of a step of a rollout if and only if the step was stored', async () => {
    const keys = redis.keys();
    const store = createAlertStore({ client: redis.client, keys, coordinator: 'one' });
    await redis.client.hset(keys.spec, 'group:prod', '{}');
    const commit = (expectedRev: number): Promise<RolloutCommitReply> =>
      commitRollout(redis.client, keys, {
        id: 'r1',
        expectedRev,
        document: '{}',
        group: 'prod',
        createdAtMs: 1,
        nextEvalAtMs: null,
        active: 'keep',
        idempotencyKey: null,
        specSet: {},
        specDel: [],
        events: [],
        outbox: [`step ${expectedRev}`],
      });
    expect(await commit(0)).toMatchObject({ kind: 'ok' });
    expect(await Promise.all([commit(1), commit(1), commit(5)])).toMatchObject([{ kind: 'ok' }, { kind: 'stale' }, { kind: 'stale' }]);
    expect((await store.outbox(10)).map(({ message }) => message)).toEqual(['step 0', 'step 1']);
  });

  it('tells of a change of state in the same step, and once', async () => {
    const keys = redis.keys();
    const store = createAlertStore({ client: redis.client, keys, coordinator: 'one' });
    const change = { name: 'failed_rate', from: '', to: 'raised', alert };
    expect(await Promise.all([store.change(change), store.change(change), store.change(change)])).toEqual([true, false, false]);
    expect(await store.stateOf('failed_rate')).toBe('raised');
    expect(await store.outbox(10)).toHaveLength(1);
  });
});

describe('alerts of running coordinators', () => {
  let directory: string;
  let receiver: WebhookReceiver;
  let stack: Stack;
  let client: RedisClient;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'opamp-alerts-'));
    receiver = await WebhookReceiver.start(Buffer.from(SECRET));
    const file = join(directory, 'alerts.yaml');
    const target = (name: string, more: string): string =>
      `  - { name: ${name}, url: "${receiver.url(`/${name}`)}", secrets: ["${SECRET}"], minSeverity: info, timeout: 2s, firstRetry: 50ms, maxRetry: 200ms, ${more} }\n`;
    await writeFile(file, `targets:\n${target('ops', 'attempts: 50')}${target('flaky', 'attempts: 2')}`);
    stack = await startStack({ gateways: 0, coordinators: 2, coordinatorEnv: { OPAMP_ALERTS_FILE: file } });
    client = createRedis(stack.redisUrl, 'command', createSilentLogger());
    await waitUntilReady(client, 60_000);
  });
  afterAll(async () => {
    if (client !== undefined) await closeRedis(client);
    await stack?.stop();
    await receiver?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** Ids of alerts that were raised, as the API lists them. */
  const raised = async (): Promise<string[]> =>
    ((await (await fetch(`${stack.apiUrl}/api/v1/alerts?limit=1000`)).json()) as { items: { id: string }[] }).items.map(({ id }) => id);

  const of = (path: string): string[] => receiver.received.filter((one) => one.path === path && one.answered === 200).map(({ id }) => id);

  it('come at least once: past a receiver that fails, and past the death of the coordinator that delivers', async () => {
    receiver.answer = ({ path, seen }) => (path === '/ops' && seen < 2 ? 500 : 200);
    await stack.api.putGroup('prod', { selector: 'env=prod' });
    const config = await stack.api.putConfig('edge', collectorConfig('edge 1'));
    const id = await stack.api.createRollout({ group: 'prod', config: { name: 'edge', version: config.version } });
    await waitUntil(
      'the rollout to be held',
      () => stack.api.getRollout(id),
      ({ holds }) => holds.length > 0,
    );
    const [first] = await waitUntil(
      'the first alert to have got through',
      () => receiver.received.filter(({ path }) => path === '/ops'),
      ([one]) => one !== undefined && of('/ops').includes(one.id),
    );
    expect(first?.body).toMatchObject({ id: first?.id, type: 'rollout.held', data: { rollout: id, group: 'prod', severity: 'warning' } });
    const answers = receiver.received.filter((one) => one.path === '/ops' && one.id === first?.id).map(({ answered }) => answered);
    expect(answers.slice(0, 3)).toEqual([500, 500, 200]);

    // From now on every request stays open, and the coordinator that made them is killed.
    receiver.answer = () => 'nothing';
    for (let round = 0; round < 3; round += 1) {
      await stack.api.act(id, 'pause', `pause ${round}`);
      await stack.api.act(id, 'resume', `resume ${round}`);
    }
    await waitUntil(
      'a request in flight',
      () => receiver.received.filter(({ answered }) => answered === 'nothing').length,
      (count) => count > 0,
    );
    const killed = await waitUntil(
      'a coordinator to hold the lease',
      async () => {
        const holder = await client.get(stack.keys.alertsLease);
        return stack.names('coordinator').find((name) => holder?.startsWith(`${name}.`)) ?? '';
      },
      (name) => name !== '',
    );
    await stack.kill(killed);
    receiver.answer = () => 200;
    await stack.api.act(id, 'abort', 'enough');

    await waitUntil(
      'every alert at the target that is tried often enough',
      async () => {
        const expected = await raised();
        return { expected, missing: expected.filter((one) => !of('/ops').includes(one)) };
      },
      ({ expected, missing }) => expected.length >= 5 && missing.length === 0,
    );
    expect(receiver.received.filter(({ untrusted }) => untrusted !== undefined)).toEqual([]);
    await stack.restart(killed);
  });

  it('are given up after their last attempt, listed, and delivered when somebody asks', async () => {
    receiver.answer = ({ path }) => (path === '/flaky' ? 503 : 200);
    const env = { OPAMP_API_URL: stack.apiUrl };
    expect(await opampctl(['alerts', 'test', '--reason', 'is anybody there'], env)).toMatchObject({ code: 0 });
    const listed = await waitUntil(
      'a dead letter',
      () => opampctl(['alerts', 'dead'], env),
      ({ out }) => TOLD_TO_ONE.test(out),
    );
    receiver.answer = () => 200;
    const id = TOLD_TO_ONE.exec(listed.out)?.[1] ?? '';
    expect((await opampctl(['alerts', 'retry', id], env)).out).toContain('1 deliveries are due again');
    await waitUntil(
      'the delivery',
      () => of('/flaky'),
      (ids) => ids.includes(id),
    );
    const metrics = await Promise.all(stack.names('coordinator').map((name) => stack.metrics(name)));
    expect(metrics.join('\n')).toMatch(/opamp_coordinator_alert_attempts_total\{target="flaky",outcome="dead"\} [1-9]/);
    expect(stack.logs(0, 100_000)).not.toContain(SECRET);
    expect(stack.logs(0, 100_000)).not.toContain(receiver.url('/'));
  });
});
