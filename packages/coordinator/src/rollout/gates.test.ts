import { describe, expect, it } from 'vitest';
import { healthRegression } from './gates.ts';
import type { HealthSample } from './gates.ts';

function samples(count: number, over: { unhealthy?: number; reconnected?: number; stratum?: string } = {}): HealthSample[] {
  return Array.from({ length: count }, (_, index) => ({
    stratum: over.stratum ?? '',
    unhealthy: index < (over.unhealthy ?? 0),
    reconnected: index < (over.reconnected ?? 0),
  }));
}

describe('healthRegression', () => {
  it('says nothing over fewer than 20 agents of either side', () => {
    expect(healthRegression({ cohort: samples(19, { unhealthy: 19 }), control: samples(100) }).outcome).toBe('notApplicable');
    expect(healthRegression({ cohort: samples(100, { unhealthy: 100 }), control: samples(19) }).outcome).toBe('notApplicable');
  });

  it('has the shares that it compared beside its sentence, and none where it did not compare', () => {
    const { comparison } = healthRegression({
      cohort: samples(40, { unhealthy: 10, reconnected: 4 }),
      control: samples(100, { unhealthy: 1 }),
    });
    expect(comparison).toEqual({
      cohort: { agents: 40, unhealthyRatio: 0.25, reconnectedRatio: 0.1 },
      control: { agents: 100, unhealthyRatio: 0.01, reconnectedRatio: 0 },
    });
    expect(healthRegression({ cohort: samples(19), control: samples(100) })).not.toHaveProperty('comparison');
  });

  it('compares with the control group at the same time: a bad day for all is no regression', () => {
    expect(healthRegression({ cohort: samples(100, { unhealthy: 40 }), control: samples(100, { unhealthy: 39 }) }).outcome).toBe('pass');
    expect(healthRegression({ cohort: samples(100, { unhealthy: 5 }), control: samples(100, { unhealthy: 2 }) }).outcome).toBe('fail');
    expect(healthRegression({ cohort: samples(100, { unhealthy: 4 }), control: samples(100, { unhealthy: 2 }) }).outcome).toBe('pass');
  });

  it('fails when many more lost their connection', () => {
    expect(healthRegression({ cohort: samples(100, { reconnected: 12 }), control: samples(100, { reconnected: 1 }) }).outcome).toBe('fail');
    expect(healthRegression({ cohort: samples(1000, { reconnected: 70 }), control: samples(1000, { reconnected: 10 }) }).outcome).toBe(
      'fail',
    );
    expect(healthRegression({ cohort: samples(100, { reconnected: 6 }), control: samples(100, { reconnected: 1 }) }).outcome).toBe('pass');
  });

  it('does not take half of all connections dying at once for a regression', () => {
    expect(healthRegression({ cohort: samples(50, { reconnected: 16 }), control: samples(50, { reconnected: 9 }) }).outcome).toBe('pass');
    expect(healthRegression({ cohort: samples(50, { reconnected: 30 }), control: samples(50, { reconnected: 9 }) }).outcome).toBe('fail');
  });

  it('takes only agents of the same strata as control', () => {
    const control = [...samples(50, { stratum: 'other', unhealthy: 50 }), ...samples(50, { stratum: 'same' })];
    expect(healthRegression({ cohort: samples(50, { stratum: 'same', unhealthy: 10 }), control }).outcome).toBe('fail');
    expect(healthRegression({ cohort: samples(50, { stratum: 'third' }), control }).outcome).toBe('notApplicable');
  });
});
