import { describe, expect, it } from 'vitest';
import type { AgentRecord } from '../agent-record.ts';
import { createSwarm } from '../swarm.ts';
import { demoAttributes, demoProfiles, hasOldImage } from './acts.ts';
import { compareWithApi, judge } from './truth.ts';

const GOOD = 'aaaa';
const BAD = 'bbbb';

async function records(): Promise<AgentRecord[]> {
  const swarm = createSwarm({
    urls: ['ws://127.0.0.1:1/'],
    agents: 40,
    seed: 2,
    profiles: demoProfiles(40),
    attributes: demoAttributes(40),
  });
  return (await swarm.records()).map((record) => ({
    ...record,
    connected: true,
    running: GOOD,
    onDisk: GOOD,
    health: { healthy: true, lastError: '' },
    lastReported: { status: 'APPLIED', hash: GOOD, error: '' },
    everApplied: [GOOD],
    offers: [{ hash: GOOD, atMs: 1 }],
  }));
}

function change(list: AgentRecord[], index: number, part: Partial<AgentRecord>): AgentRecord[] {
  return list.map((record) => (record.index === index ? { ...record, ...part } : record));
}

describe('demo fleet', () => {
  it('has two equal groups and old images on one host in twenty of each', async () => {
    const fleet = await records();
    expect(fleet.filter(({ attributes }) => attributes['env'] === 'edge')).toHaveLength(20);
    const old = fleet.filter(({ attributes }) => attributes['host.image.version'] === '2025.11');
    expect(old.map(({ attributes }) => attributes['env'])).toEqual(['edge', 'prod']);
    expect(old.every(({ index }) => hasOldImage(index))).toBe(true);
  });
});

describe('judge', () => {
  const expectation = { groups: ['edge'], offered: BAD, right: GOOD };
  const touched = {
    offers: [
      { hash: BAD, atMs: 1 },
      { hash: GOOD, atMs: 2 },
    ],
    everFailed: [BAD],
  };

  it('is content when every touched agent is back', async () => {
    expect(judge(change(await records(), 3, touched), expectation)).toEqual({ touched: 1, applied: 0, failed: 1, right: 1, problems: [] });
  });

  it.each<[string, Partial<AgentRecord>]>([
    ['runs another config', { running: BAD }],
    ['runs nothing', { running: null }],
    ['would start the bad one', { onDisk: BAD }],
    ['has not acknowledged', { lastReported: { status: 'APPLYING', hash: GOOD, error: '' } }],
    ['is unhealthy', { health: { healthy: false, lastError: 'x' } }],
    ['is away', { connected: false }],
  ])('complains when an agent %s', async (_name, part) => {
    const findings = judge(change(await records(), 3, { ...touched, ...part }), expectation);
    expect(findings.problems).toHaveLength(1);
    expect(findings.right).toBe(0);
  });

  it('complains about an offer to another group and about broken rules', async () => {
    expect(judge(change(await records(), 30, touched), expectation).problems).toHaveLength(1);
    const violations = { emptyMaps: 1, repeatedWhileApplying: 0, reofferedFailed: 0, unacceptedOffers: 0, badMessages: 0 };
    expect(judge(change(await records(), 30, { violations }), expectation).problems).toEqual([
      'host-30 saw the server break a rule (emptyMaps: 1)',
    ]);
  });
});

describe('compareWithApi', () => {
  it('finds agents that the API sees otherwise', async () => {
    const fleet = await records();
    const listed = fleet.map(({ uid }) => ({
      uid,
      connected: true,
      group: 'edge',
      config: { status: 'applied', hash: GOOD, inSync: true },
    }));
    expect(compareWithApi(fleet, listed)).toEqual([]);
    expect(compareWithApi(fleet, listed.slice(1))).toHaveLength(1);
    expect(compareWithApi(change(fleet, 0, { connected: false }), listed)).toHaveLength(1);
    expect(compareWithApi(change(fleet, 0, { lastReported: { status: 'FAILED', hash: BAD, error: '' } }), listed)).toHaveLength(1);
  });
});
