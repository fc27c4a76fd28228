import { BUCKET_SPACE } from '@opamp-gateway/shared/bucket';
import { describe, expect, it } from 'vitest';
import { Bench } from '../../test-support/rollout-bench.ts';
import type { RolloutDocument } from './document.ts';
import { Headcount } from './headcount.ts';
import type { AgentFacts, ConnectedMember, FleetReader } from './ports.ts';
import { Ranking } from './ranking.ts';

const MEMBERS: ConnectedMember[] = ['a', 'b', 'c', 'd'].map((uid) => ({ uid, origin: uid, http: uid === 'd' }));
const RACKS: Record<string, string> = { a: 'one', b: 'one', c: 'two', d: 'two', gone: 'one' };

/** A fleet of which a test says who has rows; counts what it is asked. */
function fleetOf(open: string[], settled: string[], away: string[] = []): { fleet: FleetReader; asked: string[][] } {
  const asked: string[][] = [];
  const factsOf = (uid: string): AgentFacts => ({ origin: uid, attributes: { rack: RACKS[uid] ?? '' }, absence: { fromMs: 0, toMs: 0 } });
  const fleet = {
    members: async () => ({ kind: 'listed' as const, members: MEMBERS }),
    facts: async (uids: readonly string[]) => new Map(uids.map((uid) => [uid, factsOf(uid)])),
    openRows: async () => open,
    rowsOf: async (_: string, uids: readonly string[]) => {
      asked.push([...uids]);
      const known = uids.filter((uid) => open.includes(uid) || settled.includes(uid));
      return new Map(known.map((uid) => [uid, { status: 'applied' as const, wave: '0' }]));
    },
    awayUnsettled: async () => {
      asked.push(['away']);
      return away.map(factsOf);
    },
  } as unknown as FleetReader;
  return { fleet, asked };
}

function documentOf(boundary: number): RolloutDocument {
  const { document } = new Bench({ maxInFlightPer: { by: 'rack', max: 1 }, waves: [{ size: { percent: 100 } }] });
  return { ...document, startedAtMs: 1, slices: [{ selector: '', boundary, end: BUCKET_SPACE }] };
}

describe('agents by failure domain', () => {
  it('are those with an open row, away ones too, and those inside without a row', async () => {
    const { fleet, asked } = fleetOf(['a', 'gone'], ['b']);
    const ranking = new Ranking(fleet);
    const document = documentOf(BUCKET_SPACE);
    await ranking.members(document);
    const headcount = new Headcount(fleet, ranking);
    expect(await headcount.domains(document, MEMBERS, false)).toEqual(
      new Map([
        ['one', 2],
        ['two', 2],
      ]),
    );
    // Who is known to have a row is not asked about again.
    await headcount.domains(document, MEMBERS, false);
    expect(asked.map((uids) => uids.toSorted())).toEqual([
      ['b', 'c', 'd'],
      ['c', 'd'],
    ]);
    // Once every gateway has met the boundary, only pollers can still be without a row.
    expect((await headcount.domains(document, MEMBERS, true)).get('two')).toBe(1);
  });

  it('are nobody outside the boundary', async () => {
    const { fleet } = fleetOf([], []);
    const ranking = new Ranking(fleet);
    const document = documentOf(0);
    await ranking.members(document);
    expect(await new Headcount(fleet, ranking).domains(document, MEMBERS, false)).toEqual(new Map());
  });
});

describe('agents that are away', () => {
  it('are waited for inside the boundary only, and looked for every two seconds', async () => {
    const { fleet, asked } = fleetOf([], [], ['a', 'b']);
    const headcount = new Headcount(fleet, new Ranking(fleet));
    expect(await headcount.awaited(documentOf(BUCKET_SPACE), 0)).toBe(2);
    expect(await headcount.awaited(documentOf(BUCKET_SPACE), 1_999)).toBe(2);
    expect(asked).toHaveLength(1);
    expect(await headcount.awaited(documentOf(BUCKET_SPACE), 2_000)).toBe(2);
    expect(await headcount.awaited(documentOf(0), 2_000)).toBe(0);
    expect(asked).toHaveLength(3);
  });
});
