import { describe, expect, it } from 'vitest';
import { appliedBeforeMs, RecordAttributes, selectorAttributes } from './agent-record.ts';
import type { StatusEntry } from './agent-record.ts';

const NEW = 'aa';
const OLD = 'bb';

function entry(hash: string, status: StatusEntry['status'], atMs: number): StatusEntry {
  return { hash, status, atMs };
}

describe('appliedBeforeMs', () => {
  it('is the end of the second in which the agent reported it', () => {
    expect(appliedBeforeMs([entry(NEW, 'APPLIED', 5_000), entry(OLD, 'APPLIED', 1_000)], NEW)).toBe(6_000);
  });

  it('counts from the first such report since the agent has it, and not from an earlier time with the same config', () => {
    const again = [
      entry(NEW, 'APPLIED', 9_000),
      entry(NEW, 'FAILED', 8_000),
      entry(NEW, 'APPLIED', 7_000),
      entry(OLD, 'APPLIED', 5_000),
      entry(NEW, 'APPLIED', 1_000),
    ];
    expect(appliedBeforeMs(again, NEW)).toBe(8_000);
  });

  it('is undefined when the agent does not have it', () => {
    expect(appliedBeforeMs([], NEW)).toBeUndefined();
    expect(appliedBeforeMs([entry(NEW, 'FAILED', 5_000)], NEW)).toBeUndefined();
    expect(appliedBeforeMs([entry(OLD, 'APPLIED', 6_000), entry(NEW, 'APPLIED', 5_000)], NEW)).toBeUndefined();
  });
});

describe('RecordAttributes', () => {
  const record = {
    attributes: {
      identifying: { 'service.name': 'collector', both: 'identifying', 'label.team': 'said by the agent', get: 'text' },
      nonIdentifying: { both: 'other', 'os.type': 'linux', 'label.tier': 'said by the agent', hidden: '' },
    },
    labels: { team: 'core', ring: 'given' },
    tokenLabels: { ring: 'bound' },
  };

  it.each([
    'service.name',
    'both',
    'os.type',
    'hidden',
    'get',
    'absent',
    'constructor',
    'label.team',
    'label.ring',
    'label.tier',
    'label.constructor',
    'label.',
  ])('finds what the flat attributes say of %s', (name) => {
    const flat = new Map(Object.entries(selectorAttributes(record)));
    expect(new RecordAttributes(record).get(name)).toBe(flat.get(name));
  });
});
