import { createAuditLog } from '@opamp-gateway/coordinator/stores/audit-log';
import type { AuditLog } from '@opamp-gateway/coordinator/stores/audit-log';
import { createConfigStore } from '@opamp-gateway/coordinator/stores/config-store';
import { createGroupStore } from '@opamp-gateway/coordinator/stores/group-store';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import { createHash } from 'node:crypto';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../support/rollout-lab.ts';
import type { RedisLab } from '../support/rollout-lab.ts';

let redis: RedisLab;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function logOf(count: number): Promise<{ keys: Keys; audit: AuditLog; ids: string[] }> {
  const keys = redis.keys();
  const audit = createAuditLog({ client: redis.client, keys });
  for (let n = 1; n <= count; n += 1)
    await audit.append({
      actor: n % 2 === 0 ? 'ann' : 'bob',
      action: 'test.do',
      target: `thing/${n}`,
      group: n === 3 ? 'prod' : null,
      detail: { n },
    });
  const ids = (await redis.client.xrange(keys.audit, '-', '+')).map(([id]) => id);
  return { keys, audit, ids };
}

/** Puts another text in the place of an entry, under its id and with all that came behind it, as somebody with Redis in hand would. */
async function rewrite(keys: Keys, from: number, change: (fields: Record<string, string>, index: number) => void): Promise<void> {
  const entries = await redis.client.xrange(keys.audit, '-', '+');
  await redis.client.del(keys.audit);
  for (const [index, [id, flat]] of entries.entries()) {
    const fields: Record<string, string> = {};
    for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] as string] = flat[at + 1] as string;
    if (index >= from) change(fields, index);
    await redis.client.xadd(keys.audit, id, ...Object.entries(fields).flat());
  }
}

describe('the chain of the audit log', () => {
  it('is whole, whoever appends: the log itself, stored configs, groups', async () => {
    const { keys, audit } = await logOf(5);
    const by = { actor: 'ann' };
    const validation = { errors: 0, warnings: 0, findings: [] };
    await createConfigStore({ client: redis.client, keys }).put({
      name: 'base',
      files: { '': { body: 'a: ü\n', contentType: 'text/yaml' } },
      message: 'mit Umlaut: ü, 😀',
      by,
      validation,
    });
    const groups = createGroupStore({ client: redis.client, keys });
    await groups.put({ name: 'all', selector: '', priority: 0, mode: 'manage' } as Parameters<typeof groups.put>[0], {
      guarded: false,
      audit: await audit.format({ ...by, action: 'group.put', target: 'group/all', detail: {} }),
    });
    const verdict = await audit.verify();
    expect(verdict).toMatchObject({ ok: true, entries: 7, first: 1, last: { seq: 7 }, defects: [] });
    const { items } = await audit.list({ limit: 10 });
    expect(items.map(({ action }) => action).slice(0, 2)).toEqual(['group.put', 'config.put']);
    const [newest] = await redis.client.xrevrange(keys.audit, '+', '-', 'COUNT', 1);
    const fields = newest?.[1] ?? [];
    const [text = '', previous = ''] = [fields[fields.indexOf('entry') + 1], fields[fields.indexOf('previous') + 1]];
    expect(items[0]).toMatchObject({ seq: 7, previous, hash: sha256(`7:${previous}:${sha256(text)}`) });
  });

  it('stays one chain when two coordinators append at the same time', async () => {
    const keys = redis.keys();
    const second = createRedis(redis.url, 'command', createSilentLogger());
    await waitUntilReady(second, 60_000);
    const logs = [redis.client, second].map((client) => ({ client, audit: createAuditLog({ client, keys }) }));
    await Promise.all(
      logs.flatMap(({ audit }, who) =>
        Array.from(
          { length: 100 },
          async (_, n) => await audit.append({ actor: `c${who}`, action: 'test.do', target: 't', detail: { n } }),
        ),
      ),
    );
    expect(await logs[0]?.audit.verify()).toMatchObject({ ok: true, entries: 200, last: { seq: 200 } });
    await closeRedis(second);
  });

  it('names an entry whose text was changed', async () => {
    const { keys, audit } = await logOf(6);
    await rewrite(keys, 2, (fields, index) => {
      if (index === 2) fields['entry'] = (fields['entry'] ?? '').replace('bob', 'ann');
    });
    const { ok, defects } = await audit.verify();
    expect(ok).toBe(false);
    expect(defects).toMatchObject([{ kind: 'changed', seq: 3 }]);
    expect(defects[0]?.detail).toContain('entry 3');
  });

  it('names an entry that was changed together with its own hash', async () => {
    const { keys, audit } = await logOf(6);
    await rewrite(keys, 2, (fields, index) => {
      if (index !== 2) return;
      fields['entry'] = (fields['entry'] ?? '').replace('bob', 'ann');
      fields['hash'] = sha256(`3:${fields['previous']}:${sha256(fields['entry'])}`);
    });
    expect((await audit.verify()).defects).toMatchObject([{ kind: 'changed', seq: 3 }]);
  });

  it('names entries that were deleted, in the middle, at the beginning and at the end', async () => {
    for (const [deleted, defect] of [
      [[3], { kind: 'missing', seq: 4, throughSeq: 4 }],
      [[0, 1], { kind: 'missing', seq: 1, throughSeq: 2 }],
      [[4, 5], { kind: 'missing', seq: 5, throughSeq: 6 }],
    ] as const) {
      const { keys, audit, ids } = await logOf(6);
      await redis.client.xdel(keys.audit, ...deleted.map((index) => ids[index] ?? ''));
      expect((await audit.verify()).defects).toMatchObject([defect]);
      await audit.append({ actor: 'ann', action: 'test.do', target: 't', detail: {} });
      expect((await audit.verify()).defects).toMatchObject([defect]);
    }
  });

  it('names an entry that was put in between, and a log whose end is not noted', async () => {
    const { keys, audit } = await logOf(3);
    await redis.client.xadd(keys.audit, '*', 'entry', '{"at":"2026-01-01T00:00:00Z","actor":"eve","action":"x","target":"y","detail":{}}');
    expect((await audit.verify()).defects).toMatchObject([{ kind: 'inserted' }]);
    await redis.client.del(keys.auditHead);
    expect((await audit.verify()).defects.map(({ kind }) => kind)).toEqual(['inserted', 'head']);
  });

  it('finds a log that was written anew, by a hash that was noted', async () => {
    const { keys, audit } = await logOf(4);
    const noted = (await audit.verify()).last ?? undefined;
    await audit.append({ actor: 'ann', action: 'test.do', target: 't', detail: {} });
    expect(await audit.verify(noted)).toMatchObject({ ok: true });
    let previous = '0'.repeat(64);
    await rewrite(keys, 0, (fields, index) => {
      fields['entry'] = (fields['entry'] ?? '').replaceAll('bob', 'eve');
      fields['previous'] = previous;
      previous = sha256(`${index + 1}:${previous}:${sha256(fields['entry'])}`);
      fields['hash'] = previous;
    });
    await redis.client.hset(keys.auditHead, 'seq', 5, 'hash', previous);
    expect(await audit.verify()).toMatchObject({ ok: true });
    expect((await audit.verify(noted)).defects).toMatchObject([{ kind: 'changed', seq: 4 }]);
  });

  it('goes on from entries of a release that had no chain, and after a restore', async () => {
    const keys = redis.keys();
    const audit = createAuditLog({ client: redis.client, keys });
    await redis.client.xadd(keys.audit, '*', 'entry', '{"at":"2026-01-01T00:00:00Z","actor":"old","action":"x","target":"y","detail":{}}');
    await audit.append({ actor: 'ann', action: 'test.do', target: 't', detail: {} });
    expect(await audit.verify()).toMatchObject({ ok: true, entries: 2, unchained: 1, first: 1 });
    await redis.client.del(keys.auditHead);
    await audit.append({ actor: 'ann', action: 'test.do', target: 't', detail: {} });
    expect(await audit.verify()).toMatchObject({ ok: true, entries: 3, last: { seq: 2 } });
  });
});

describe('what is kept long enough', () => {
  /** A log whose entries seem to be days old: the chain does not hash their ids. */
  async function oldLog(days: readonly number[]): Promise<{ keys: Keys; audit: AuditLog; nowMs: number }> {
    const { keys, audit } = await logOf(days.length);
    const entries = await redis.client.xrange(keys.audit, '-', '+');
    await redis.client.del(keys.audit);
    const nowMs = Date.now();
    for (const [index, [, fields]] of entries.entries())
      await redis.client.xadd(keys.audit, `${nowMs - (days[index] ?? 0) * 86_400_000}-0`, ...fields);
    return { keys, audit, nowMs };
  }

  it('is removed, and the chain still holds', async () => {
    const { audit, nowMs, keys } = await oldLog([400, 399, 398, 2, 1]);
    expect(await audit.trim(nowMs - 365 * 86_400_000)).toBe(3);
    expect(await audit.verify()).toMatchObject({ ok: true, entries: 3, first: 4, last: { seq: 6 } });
    expect((await audit.list({ limit: 1 })).items[0]).toMatchObject({ action: 'audit.trim', detail: { throughSeq: 3 } });
    expect(await audit.trim(nowMs - 365 * 86_400_000)).toBe(0);
    const [first] = await redis.client.xrange(keys.audit, '-', '+', 'COUNT', 1);
    await redis.client.xdel(keys.audit, first?.[0] ?? '');
    expect((await audit.verify()).defects).toMatchObject([{ kind: 'missing', seq: 4, throughSeq: 4 }]);
  });

  it('stays for a day more, so that not every hour writes an entry', async () => {
    const { audit, nowMs } = await oldLog([365.5, 1]);
    expect(await audit.trim(nowMs - 365 * 86_400_000)).toBe(0);
    expect(await audit.verify()).toMatchObject({ ok: true, entries: 2 });
  });

  it('is removed once when two coordinators do it at the same time', async () => {
    const { audit, nowMs } = await oldLog([400, 399, 1]);
    const counts = await Promise.all([audit.trim(nowMs - 365 * 86_400_000), audit.trim(nowMs - 365 * 86_400_000)]);
    expect(counts.toSorted((left, right) => left - right)).toEqual([0, 2]);
    expect(await audit.verify()).toMatchObject({ ok: true, entries: 2 });
  });
});

describe('looking for entries', () => {
  it('walks over pages, also of a filter that takes few', async () => {
    const { audit } = await logOf(25);
    const seen: number[] = [];
    let before: string | undefined;
    do {
      const page = await audit.list({ limit: 4, before, accept: ({ actor }) => actor === 'ann' });
      seen.push(...page.items.map(({ detail }) => Number(detail['n'])));
      before = page.next;
    } while (before !== undefined);
    expect(seen).toEqual([24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2]);
  });
});
