import { describe, expect, it } from 'vitest';
import { createDocument } from './document.ts';
import type { RolloutDocument } from './document.ts';
import { restoredDocument } from './restored.ts';
import { parseStrategy } from './strategy-parser.ts';

const TAKEN_AT_MS = 1_000_000;
const NOW_MS = 4_600_000;

function running(changes: Partial<RolloutDocument> = {}): RolloutDocument {
  const to = { name: 'app', version: 2, hash: 'bb' };
  const document = createDocument({
    id: 'r1',
    group: 'prod',
    to,
    from: { ...to, version: 1, hash: 'aa' },
    baseline: null,
    strategy: parseStrategy({}, []),
    reason: '',
    createdBy: 'ann',
    createdAtMs: 0,
    revertOf: null,
    predecessor: null,
  });
  return { ...document, rev: 9, eventSeq: 4, startedAtMs: 1, ...changes };
}

describe('restoredDocument', () => {
  it('holds a running rollout, with an event, and does not count the time in between', () => {
    const { document, events } = restoredDocument(running(), { nowMs: NOW_MS, takenAtMs: TAKEN_AT_MS });
    expect(document.holds).toEqual([{ reason: 'manual', sinceMs: NOW_MS, detail: expect.stringContaining('restored from the backup of') }]);
    expect(document.clock).toEqual({ heldMs: NOW_MS - TAKEN_AT_MS, heldSinceMs: NOW_MS });
    expect(document.rev).toBe(1);
    expect(document.eventSeq).toBe(5);
    expect(events).toEqual([expect.objectContaining({ seq: 5, type: 'hold.added' })]);
  });

  it('keeps what a held one was held for', () => {
    const hold = { reason: 'threshold' as const, sinceMs: 5, detail: 'too many' };
    const before = running({ holds: [hold], clock: { heldMs: 7, heldSinceMs: 5 } });
    const { document } = restoredDocument(before, { nowMs: NOW_MS, takenAtMs: TAKEN_AT_MS });
    expect(document.holds.map(({ reason }) => reason).toSorted()).toEqual(['manual', 'threshold']);
    expect(document.clock).toEqual({ heldMs: 7, heldSinceMs: 5 });
  });

  it('lets one go on that is being taken back, with its time anew', () => {
    const before = running({ phase: 'rolling_back', direction: 'back', rollbackStartedAtMs: 3 });
    const { document, events } = restoredDocument(before, { nowMs: NOW_MS, takenAtMs: TAKEN_AT_MS });
    expect(document).toMatchObject({ phase: 'rolling_back', holds: [], rollbackStartedAtMs: NOW_MS });
    expect(events).toEqual([expect.objectContaining({ seq: 5, type: 'rollout.restored' })]);
  });

  it('leaves an ended one as it was', () => {
    const before = running({ phase: 'succeeded', endedAtMs: 8 });
    expect(restoredDocument(before, { nowMs: NOW_MS, takenAtMs: TAKEN_AT_MS })).toEqual({ document: { ...before, rev: 1 }, events: [] });
  });
});
