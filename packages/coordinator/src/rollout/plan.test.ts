import { BUCKET_SPACE } from '@opamp-gateway/shared/bucket';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { candidate } from '../../test-support/rollout-bench.ts';
import { sumCounters } from './counters.ts';
import { createDocument } from './document.ts';
import type { RolloutDocument } from './document.ts';
import {
  allowanceOf,
  chooseCanary,
  flightOf,
  insideCount,
  isAtEnd,
  maxInFlightOf,
  moveBoundary,
  planWave,
  rateOf,
  shareOf,
} from './plan.ts';
import type { Members, RankedMember } from './plan.ts';
import { parseStrategy } from './strategy-parser.ts';

function documentOf(strategy: unknown, over: Partial<RolloutDocument> = {}): RolloutDocument {
  const document = createDocument({
    id: 'r1',
    group: 'g',
    to: { name: 'c', version: 2, hash: 'b2' },
    from: { name: 'c', version: 1, hash: 'b1' },
    baseline: null,
    strategy: parseStrategy(strategy, []),
    reason: '',
    createdBy: 'me',
    createdAtMs: 0,
    revertOf: null,
    predecessor: null,
  });
  return { ...document, ...over };
}

function ranked(count: number, over: (index: number) => Partial<RankedMember> = () => ({})): Members {
  return {
    kind: 'ranked',
    members: Array.from({ length: count }, (_, index) => ({
      origin: `u${index}`,
      hash: index * 1_000 + 7,
      canary: -1,
      labels: [],
      http: false,
      domain: null,
      ...over(index),
    })),
  };
}

function apply(document: RolloutDocument, move: ReturnType<typeof moveBoundary>): RolloutDocument {
  if (move === null) return document;
  return {
    ...document,
    canaryAssigned: move.canaryAssigned,
    slices: document.slices.map((slice, index) => (index === move.sliceIndex ? { ...slice, boundary: move.boundary } : slice)),
  };
}

const HALF = { waves: [{ size: { percent: 50 } }, { size: { percent: 100 } }] };

describe('shares', () => {
  it.each([
    [{ count: 20, percent: 1 }, 100, 1],
    [{ count: 20, percent: 1 }, 500, 5],
    [{ count: 20, percent: 1 }, 100_000, 20],
    [{ count: null, percent: 50 }, 5, 2],
    [{ count: null, percent: 1 }, 3, 1],
    [{ count: 7, percent: null }, 3, 3],
    [{ count: null, percent: 29 }, 100, 29],
  ])('%j of %i agents are %i', (size, members, expected) => {
    expect(shareOf({ kind: 'share', ...size }, members)).toBe(expected);
  });
});

describe('a boundary by rank', () => {
  it('reaches exactly the share, for every number of agents and every share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 99 }), (count, percent) => {
        const document = documentOf({ waves: [{ size: { percent } }] });
        const members = ranked(count);
        const plan = planWave(document, members);
        const moved = { ...document, slices: [{ selector: '', boundary: plan.end, end: plan.end }] };
        expect(plan.target).toBe(Math.max(1, Math.floor((count * percent) / 100)));
        expect(insideCount(moved, members).inside).toBe(plan.target);
      }),
    );
  });

  it('counts the canaries in, and takes everybody at 100 %', () => {
    const document = documentOf(HALF, { canary: [{ uid: 'x', origin: 'x' }], canaryAssigned: 1 });
    const members = ranked(10, (index) => (index === 9 ? { canary: 0 } : {}));
    const plan = planWave(document, members);
    expect(plan.target).toBe(5);
    const moved = { ...document, slices: [{ selector: '', boundary: plan.end, end: plan.end }] };
    expect(insideCount(moved, members).inside).toBe(5);
    expect(planWave({ ...document, waveIndex: 1 }, members).end).toBe(BUCKET_SPACE);
  });

  it('is never lowered, whoever left', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 1, max: 99 }),
        fc.integer({ min: 0, max: 60_000 }),
        (count, percent, present) => {
          const document = documentOf({ waves: [{ size: { percent } }] }, { slices: [{ selector: '', boundary: present, end: present }] });
          expect(planWave(document, ranked(count)).end).toBeGreaterThanOrEqual(present);
        },
      ),
    );
  });

  it('moves over at most so many agents at a time, canaries first, and ends at the end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 10 }),
        (count, step, canaries) => {
          const members = ranked(count, (index) => (index < canaries ? { canary: index } : {}));
          let document = documentOf(HALF, {
            canary: Array.from({ length: Math.min(canaries, count) }, (_, index) => ({ uid: `${index}`, origin: `${index}` })),
          });
          document.slices = [{ selector: '', boundary: 0, end: planWave({ ...document, waveIndex: 1 }, members).end }];
          let inside = 0;
          for (let turn = 0; turn < 300 && !isAtEnd(document); turn += 1) {
            const next = apply(document, moveBoundary(document, members, step));
            const now = insideCount(next, members).inside;
            expect(now - inside).toBeLessThanOrEqual(step);
            inside = now;
            document = next;
          }
          expect(isAtEnd(document)).toBe(true);
          expect(inside).toBe(count);
        },
      ),
    );
  });

  it('moves over nobody but those of its labels in a wave of labels', () => {
    const document = documentOf({ waves: [{ size: { labels: 'a=b', percent: 50 } }] });
    const members = ranked(20, (index) => ({ labels: [index % 2 === 0] }));
    const plan = planWave(document, members);
    expect(plan).toMatchObject({ sliceIndex: 1, members: 10, target: 5 });
    document.slices[1] = { selector: 'a=b', boundary: 0, end: plan.end };
    const moved = apply(document, moveBoundary(document, members, 100));
    expect(insideCount(moved, members).inside).toBe(5);
  });
});

describe('a boundary in a group too large to list', () => {
  it('is a share of the hash space, in steps', () => {
    const members: Members = { kind: 'counted', connected: 200_000, http: 0 };
    const document = documentOf(HALF);
    const plan = planWave(document, members);
    expect(plan.end / BUCKET_SPACE).toBeCloseTo(0.5, 9);
    document.slices = [{ selector: '', boundary: 0, end: plan.end }];
    const move = moveBoundary(document, members, 1_000);
    expect(move?.admitted).toBe(1_000);
    expect(insideCount(apply(document, move), members).inside).toBe(1_000);
  });
});

describe('pacing', () => {
  const counters = (fields: Record<string, number>) => sumCounters([fields]);

  it('counts as in flight who is let in without a row, offered or applying', () => {
    const document = documentOf(HALF, { slices: [{ selector: '', boundary: BUCKET_SPACE, end: BUCKET_SPACE }] });
    const members = ranked(10, (index) => ({ http: index < 2 }));
    const rows = counters({ '0:offered:1': 2, '0:applying:1': 1, '0:verifying:1': 1, '0:applied:1': 1, '0:offered:0': 5 });
    expect(flightOf(document, members, rows, false)).toEqual({ unreached: 5, reached: 5, inFlight: 8 });
    // Once every gateway has met the boundary, only the pollers can still come.
    expect(flightOf(document, members, rows, true)).toEqual({ unreached: 2, reached: 5, inFlight: 5 });
  });

  it('takes a tenth of the group unless told otherwise', () => {
    const strategy = documentOf({}).strategy;
    expect([0, 5, 100, 1_000_000].map((members) => maxInFlightOf(strategy, members))).toEqual([1, 1, 10, 5_000]);
    expect(maxInFlightOf({ ...strategy, maxInFlight: 7 }, 1_000_000)).toBe(7);
  });

  it('doubles with successes up to its maximum, and halves on failures', () => {
    const { strategy } = documentOf({});
    expect([0, 999, 1_000, 3_500, 50_000].map((applied) => rateOf(strategy, counters({ '0:applied:1': applied })))).toEqual([
      10, 10, 20, 80, 500,
    ]);
    expect(rateOf(strategy, counters({ '0:applied:1': 1_000, '0:failed:1': 10 }))).toBe(10);
    expect(rateOf({ ...strategy, rate: 'unlimited' }, counters({}))).toBeNull();
  });

  it('never lets in more than the rate gives, and never more than fit', () => {
    const document = documentOf({}, { pacing: { atMs: 0, credit: 0, rate: 10 } });
    expect(allowanceOf(document, { nowMs: 500, rate: 10, maxInFlight: 100, inFlight: 0 }).allowed).toBe(5);
    expect(allowanceOf(document, { nowMs: 3_600_000, rate: 10, maxInFlight: 100, inFlight: 0 }).allowed).toBe(20);
    expect(allowanceOf(document, { nowMs: 3_600_000, rate: 10, maxInFlight: 100, inFlight: 98 }).allowed).toBe(2);
    expect(allowanceOf(document, { nowMs: 500, rate: null, maxInFlight: 100, inFlight: 150 }).allowed).toBe(0);
  });
});

describe('the choice of canaries', () => {
  const options = { count: 3, nowMs: 1_000_000, minHealthyMs: 600_000 };

  it('takes nobody who is unhealthy, cannot acknowledge, or has a config of its own', () => {
    const choice = chooseCanary(
      [candidate(0, { healthy: false }), candidate(1, { canAcknowledge: false }), candidate(2, { pinned: true }), candidate(3)],
      options,
    );
    expect(choice.chosen.map((chosen) => chosen.uid)).toEqual(['u3']);
  });

  it('takes nobody whose build lacks a component, and half of them of builds that nobody knows', () => {
    const fleet = ['old', 'new', 'new', 'new', 'new', '', 'odd', ''].map((componentsHash, index) => candidate(index, { componentsHash }));
    const builds = { lacks: ['old'], unknown: ['odd', ''] };
    const chosen = (count: number, known: typeof builds | undefined): string[] =>
      chooseCanary(fleet, { ...options, count, ...(known === undefined ? {} : { builds: known }) }).chosen.map(({ uid }) => uid);
    expect(chosen(4, builds).toSorted()).toEqual(['u1', 'u2', 'u5', 'u6']);
    expect(chosen(1, builds)).toEqual(['u5']);
    expect(chosen(8, builds)).toHaveLength(7);
    // Where nothing was compared every agent is like the other.
    expect(chosen(2, undefined)).toEqual(['u0', 'u1']);
  });

  it('takes those first that have been healthy for long, and says how many are not', () => {
    const choice = chooseCanary(
      [
        candidate(0, { connectedAtMs: 900_000 }),
        candidate(1),
        candidate(2, { healthy: undefined }),
        candidate(3, { healthSinceMs: 999_999 }),
      ],
      options,
    );
    expect(choice.chosen.map((chosen) => chosen.uid)).toEqual(['u1', 'u2', 'u0']);
    expect(choice.unproven).toBe(1);
  });

  it('takes one of each stratum first, of the largest strata when not all fit', () => {
    const candidates = [
      ...Array.from({ length: 10 }, (_, index) => candidate(index, { stratum: 'big' })),
      candidate(20, { stratum: 'small' }),
      candidate(21, { stratum: 'mid' }),
      candidate(22, { stratum: 'mid' }),
    ];
    const choice = chooseCanary(candidates, options);
    expect(new Set(choice.chosen.map((chosen) => chosen.stratum))).toEqual(new Set(['big', 'mid', 'small']));
    expect(choice).toMatchObject({ strata: 3, strataCovered: 3 });
    expect(chooseCanary(candidates, { ...options, count: 2 }).chosen.map((chosen) => chosen.stratum)).toEqual(['big', 'mid']);
  });
});

describe('failure domains', () => {
  const racks = (rack: (index: number) => string | null): Members => ranked(12, (index) => ({ domain: rack(index) }));
  const assigning = (canary = 0): RolloutDocument =>
    documentOf(
      { waves: [{ size: { percent: 100 } }] },
      {
        slices: [{ selector: '', boundary: 0, end: BUCKET_SPACE }],
        canary: Array.from({ length: canary }, (_, index) => ({ uid: `u${index}`, origin: `u${index}` })),
      },
    );

  it('stop the boundary at the first agent whose domain is full', () => {
    const members = racks((index) => `rack-${index % 3}`);
    expect(moveBoundary(assigning(), members, 100, { inFlight: new Map(), max: 1 })).toMatchObject({ admitted: 3, boundary: 3_007 });
    expect(moveBoundary(assigning(), members, 100, { inFlight: new Map([['rack-1', 1]]), max: 2 })).toMatchObject({ admitted: 4 });
    expect(moveBoundary(assigning(), members, 2, { inFlight: new Map(), max: 1 })).toMatchObject({ admitted: 2 });
    expect(moveBoundary(assigning(), members, 100, { inFlight: new Map([['rack-0', 1]]), max: 1 })?.admitted).toBe(0);
  });

  it('say nothing about agents that are in none', () => {
    expect(
      moveBoundary(
        assigning(),
        racks(() => null),
        100,
        { inFlight: new Map(), max: 1 },
      ),
    ).toMatchObject({ admitted: 12 });
  });

  it('hold for canaries too', () => {
    const members = ranked(12, (index) => ({ domain: 'rack', canary: index < 3 ? index : -1 }));
    const move = moveBoundary(assigning(3), members, 100, { inFlight: new Map(), max: 2 });
    expect(move).toMatchObject({ canaryAssigned: 2, admitted: 2, boundary: 0 });
  });

  it('never hold more than their limit, whatever is under way', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(4), { minLength: 1, maxLength: 60 }),
        fc.array(fc.nat(3), { minLength: 5, maxLength: 5 }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(60),
        (places, open, max, allowed) => {
          const members = ranked(places.length, (index) => ({ domain: String(places[index]) }));
          const inFlight = new Map(open.map((count, index) => [String(index), count]));
          const move = moveBoundary(assigning(), members, allowed, { inFlight, max });
          const end = move?.boundary ?? 0;
          const added = new Map<string, number>();
          places.forEach((place, index) => {
            if (index * 1_000 + 7 < end) added.set(String(place), (added.get(String(place)) ?? 0) + 1);
          });
          for (const [place, count] of added) expect((inFlight.get(place) ?? 0) + count).toBeLessThanOrEqual(max);
        },
      ),
    );
  });
});
