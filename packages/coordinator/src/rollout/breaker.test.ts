import { describe, expect, it } from 'vitest';
import { ackShortfallOf, hasProof, tripOf, unverifiedExcessOf } from './breaker.ts';
import { sumCounters, toCountsView } from './counters.ts';
import { createDocument } from './document.ts';
import type { RolloutDocument } from './document.ts';
import { parseStrategy } from './strategy-parser.ts';

function documentOf(strategy: unknown, waveIndex: number): RolloutDocument {
  const ref = { name: 'c', version: 1, hash: 'a' };
  const document = createDocument({
    id: 'r1',
    group: 'g',
    to: ref,
    from: null,
    baseline: null,
    strategy: parseStrategy(strategy, []),
    reason: '',
    createdBy: '',
    createdAtMs: 0,
    revertOf: null,
    predecessor: null,
  });
  return { ...document, waveIndex };
}

describe('counters', () => {
  it('add up over shards and keep waves, statuses and columns apart', () => {
    const counters = sumCounters([
      { '0:applied:1': 2, '1:failed:0': 1 },
      { '0:applied:1': 3, 'late:lost:0': 4, ended: 1, 'x:unknown:1': 9 },
    ]);
    expect(toCountsView(counters.total)).toEqual({ applied: 5, failed: 1, lost: 4 });
    expect(counters.byWave.get('late')?.away.lost).toBe(4);
  });
});

describe('the breaker', () => {
  it('trips in the canary at the first failure, of any kind and in any column', () => {
    const document = documentOf({}, 0);
    expect(tripOf(document, sumCounters([{ '0:applied:1': 19 }]))).toBeNull();
    for (const field of ['0:failed:1', '0:degraded:1', '0:lost:0', '0:timedOut:1', 'late:failed:0']) {
      expect(tripOf(document, sumCounters([{ [field]: 1 }])), field).toContain('maxCount');
    }
    expect(tripOf(document, sumCounters([{ '0:skipped:1': 5, '0:unverified:1': 5, '0:left:1': 5 }]))).toBeNull();
  });

  it('trips later by the share of the decided agents of all waves, once enough are decided', () => {
    const document = documentOf({}, 1);
    expect(tripOf(document, sumCounters([{ '0:failed:1': 1, '1:applied:1': 48 }]))).toBeNull();
    expect(tripOf(document, sumCounters([{ '0:failed:1': 1, '1:applied:1': 49 }]))).toBeNull();
    expect(tripOf(document, sumCounters([{ '0:failed:1': 1, '1:failed:1': 1, '1:applied:1': 48 }]))).toContain('maxPercent');
    expect(tripOf(document, sumCounters([{ '1:failed:1': 2, '1:applied:1': 98, '1:offered:1': 900 }]))).toBeNull();
  });

  it('waits while a new attempt has not been met by every gateway', () => {
    const document = { ...documentOf({}, 0), retrying: true };
    expect(tripOf(document, sumCounters([{ '0:failed:1': 9 }]))).toBeNull();
  });
});

describe('a wave', () => {
  it('counts agents that were observed with the version as decided, so that few that are degraded do not fail it', () => {
    const document = documentOf({}, 1);
    expect(ackShortfallOf(document, sumCounters([{ '1:degraded:1': 1, '1:observed:1': 999 }]))).toBeNull();
    expect(ackShortfallOf(document, sumCounters([{ '1:degraded:1': 1, '1:observed:1': 9 }]))).toContain('minRatio');
    expect(tripOf(document, sumCounters([{ '1:degraded:1': 50, '1:observed:1': 5_000 }]))).toBeNull();
  });

  it('needs its share of acknowledgements, of its own agents if it has any', () => {
    const document = documentOf({}, 1);
    expect(ackShortfallOf(document, sumCounters([{ '0:failed:1': 5, '1:applied:1': 49 }]))).toBeNull();
    expect(ackShortfallOf(document, sumCounters([{ '1:failed:1': 1, '1:applied:1': 48 }]))).toContain('minRatio');
    expect(ackShortfallOf(document, sumCounters([{ '0:failed:1': 5, '0:applied:1': 5 }]))).toContain('minRatio');
    expect(ackShortfallOf(documentOf({ gates: [] }, 1), sumCounters([{ '1:failed:1': 9 }]))).toBeNull();
    expect(ackShortfallOf(documentOf({}, 0), sumCounters([{ '0:failed:1': 1, '0:applied:1': 1 }]))).toBeNull();
  });

  it('may hold only so many agents that cannot tell', () => {
    expect(unverifiedExcessOf(documentOf({}, 0), sumCounters([{ '0:unverified:1': 1, '0:applied:1': 19 }]))).toContain('unverified');
    expect(unverifiedExcessOf(documentOf({}, 1), sumCounters([{ '1:unverified:1': 1, '1:applied:1': 4 }]))).toBeNull();
    expect(unverifiedExcessOf(documentOf({}, 1), sumCounters([{ '1:unverified:1': 2, '1:applied:1': 4 }]))).toContain('maxRatio');
  });

  it('proves something only with agents that took the config', () => {
    expect(hasProof(sumCounters([{ '0:skipped:1': 4, '0:left:0': 1 }]))).toBe(false);
    expect(hasProof(sumCounters([{ '0:unverified:1': 1 }]))).toBe(true);
  });
});
