import { expect, it } from 'vitest';
import { assignProfiles, resolveProfile } from '../agent-profile.ts';
import { ALL_ALIKE, failingProfiles, isFlapping, sharesOf, steadyAgents } from './behaviours.ts';

const MIXED = { slow: 0.2, failed: 0.1, flapping: 0.05 };

it('gives each behaviour its share', () => {
  const names = assignProfiles(200, 1, sharesOf(MIXED, 0.06)).map(({ profile }) => profile);
  const count = (name: string): number => names.filter((candidate) => candidate === name).length;
  expect([count('slow'), count('merge-error'), count('flapping'), count('normal')]).toEqual([40, 20, 10, 130]);
  expect(sharesOf(ALL_ALIKE, 0.06)).toEqual([]);
});

it('flaps every 20 s, whatever the scale of other times', () => {
  const [share] = sharesOf({ ...ALL_ALIKE, flapping: 0.1 }, 0.05);
  expect(share === undefined ? undefined : resolveProfile(share).flapMs * 0.05).toBe(20_000);
});

it('knows who never applies, who may be away, and how many stay', () => {
  expect(failingProfiles(MIXED)).toEqual(['merge-error']);
  expect(failingProfiles(ALL_ALIKE)).toEqual([]);
  expect([isFlapping({ profile: 'flapping' }), isFlapping({ profile: 'slow' })]).toEqual([true, false]);
  expect([steadyAgents(100, 2, MIXED), steadyAgents(100, 2, ALL_ALIKE)]).toEqual([93, 100]);
});
