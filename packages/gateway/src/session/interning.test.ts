import { parseRecord } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { describe, expect, it } from 'vitest';
import { Interning, NO_FAILED, NO_ROWS, withEntry } from './interning.ts';

/** An equal text that is another object, as decoding makes it. */
function again(text: string): string {
  return Buffer.from(text).toString();
}

function plain({ rows, failed, ...rest }: AgentRecord): object {
  return { ...structuredClone(rest), rows: [...rows], failed: [...failed] };
}

describe('Interning', () => {
  it('gives equal entries of a second as one object, and others as they are', () => {
    const interning = new Interning();
    const first = interning.entry({ hash: 'aa', status: 'APPLIED', atMs: 1_000 });
    expect(interning.entry({ hash: again('aa'), status: 'APPLIED', atMs: 1_999 })).toBe(first);
    expect(interning.entry({ hash: 'aa', status: 'APPLIED', atMs: 2_000 })).toEqual({ hash: 'aa', status: 'APPLIED', atMs: 2_000 });
    expect(interning.entry({ hash: 'aa', status: 'FAILED', atMs: 1_000, error: 'x' })).toEqual({
      hash: 'aa',
      status: 'FAILED',
      atMs: 1_000,
      error: 'x',
    });
  });

  it('shares health by all that it keeps of it', () => {
    const interning = new Interning();
    const healthy = interning.health({ healthy: true, status: 'ok', lastError: '' });
    expect(interning.health({ healthy: true, status: again('ok'), lastError: '' })).toBe(healthy);
    expect(interning.health({ healthy: false, status: 'ok', lastError: '' })).toEqual({ healthy: false, status: 'ok', lastError: '' });
  });

  it('keeps every text, however many there are', () => {
    const interning = new Interning();
    const texts = Array.from({ length: 10_000 }, (_, index) => `host-${index}`);
    for (const kind of ['attribute host.name', 'hash']) expect(texts.map((text) => interning.text(kind, text))).toEqual(texts);
  });

  it('leaves what a record says as it was', () => {
    const fields = {
      attributes: JSON.stringify({ identifying: { 'service.name': 'c' }, nonIdentifying: { env: 'prod' } }),
      capabilities: '31815',
      history: JSON.stringify([{ hash: 'aa', status: 'APPLIED', atMs: 5_000 }]),
      healthTree: JSON.stringify({ healthy: true, status: 'ok', lastError: '' }),
      labels: JSON.stringify({ a: 'b' }),
      lastSeen: '1700000000000',
      connectedAt: '1700000060000',
      reportedHash: 'aa',
      reportedStatus: 'APPLIED',
      'r:r1': '0|applied|1|0|0|1000|0',
    };
    const record = parseRecord('u', fields);
    const before = plain(record);
    new Interning().record(record);
    expect(plain(record)).toEqual({ ...before, epoch: '' });
  });
});

describe('maps that are shared while empty', () => {
  it('are never written into', () => {
    const rows = withEntry(NO_FAILED, 'aa', { by: 'r1', attempt: 1 });
    expect([...rows.keys()]).toEqual(['aa']);
    expect(withEntry(rows, 'bb', { by: 'r1', attempt: 1 })).toBe(rows);
    expect(NO_FAILED.size).toBe(0);
    expect(() => NO_ROWS.set('r1', undefined as never)).toThrow('stays empty');
  });

  it('are what a record without rows gets', () => {
    const record = parseRecord('u', {});
    new Interning().record(record);
    expect(record.rows).toBe(NO_ROWS);
    expect(record.failed).toBe(NO_FAILED);
  });
});
