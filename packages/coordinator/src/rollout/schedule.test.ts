import { describe, expect, it } from 'vitest';
import { formatTimeOfDay, isOpen, isTimeZone, nextOpenMs, parseTimeOfDay } from './schedule.ts';
import type { MaintenanceWindow } from './schedule.ts';

function window(over: Partial<MaintenanceWindow>, from = '22:00', to = '06:00'): MaintenanceWindow {
  return { days: [], fromMinutes: parseTimeOfDay(from) ?? -1, toMinutes: parseTimeOfDay(to) ?? -1, timeZone: 'UTC', ...over };
}

const at = (text: string): number => Date.parse(text);

describe('times of day', () => {
  it.each([
    ['00:00', 0],
    ['06:30', 390],
    ['24:00', 1_440],
  ])('reads %s', (text, minutes) => {
    expect(parseTimeOfDay(text)).toBe(minutes);
    expect(formatTimeOfDay(minutes)).toBe(text);
  });

  it.each(['6:30', '24:01', '12:60', 'noon', ''])('refuses %j', (text) => {
    expect(parseTimeOfDay(text)).toBeUndefined();
  });

  it('knows time zones', () => {
    expect(isTimeZone('Europe/Berlin')).toBe(true);
    expect(isTimeZone('Europe/Atlantis')).toBe(false);
  });
});

describe('a window', () => {
  it('over midnight is open on both sides of it', () => {
    const night = window({});
    expect(['21:59', '22:00', '23:59'].map((time) => isOpen(night, at(`2030-01-10T${time}:00Z`)))).toEqual([false, true, true]);
    expect(['00:00', '05:59', '06:00'].map((time) => isOpen(night, at(`2030-01-11T${time}:00Z`)))).toEqual([true, true, false]);
  });

  it('belongs to the day on which it begins', () => {
    const friday = window({ days: ['fri'] });
    expect(isOpen(friday, at('2030-01-11T23:00:00Z'))).toBe(true);
    expect(isOpen(friday, at('2030-01-12T05:00:00Z'))).toBe(true);
    expect(isOpen(friday, at('2030-01-12T23:00:00Z'))).toBe(false);
    expect(isOpen(friday, at('2030-01-11T05:00:00Z'))).toBe(false);
  });

  it('follows the local clock through the year', () => {
    const morning = window({ timeZone: 'Europe/Berlin' }, '08:00', '09:00');
    expect(isOpen(morning, at('2030-01-10T07:30:00Z'))).toBe(true);
    expect(isOpen(morning, at('2030-07-10T07:30:00Z'))).toBe(false);
    expect(isOpen(morning, at('2030-07-10T06:30:00Z'))).toBe(true);
  });

  it('that begins in a skipped hour begins when the clocks have been put forward', () => {
    // On 31 March 2030 the local clock goes from 02:00 to 03:00, at 01:00 UTC.
    const skipped = window({ timeZone: 'Europe/Berlin' }, '02:30', '02:45');
    expect(isOpen(skipped, at('2030-03-31T00:59:00Z'))).toBe(false);
    expect(isOpen(skipped, at('2030-03-31T01:00:00Z'))).toBe(true);
    expect(isOpen(skipped, at('2030-03-31T01:14:00Z'))).toBe(true);
    expect(isOpen(skipped, at('2030-03-31T01:15:00Z'))).toBe(false);
  });

  it('in a doubled hour is one window, not two', () => {
    // On 27 October 2030 the hour from 02:00 to 03:00 comes twice, at 00:00 and at 01:00 UTC.
    const doubled = window({ timeZone: 'Europe/Berlin' }, '02:15', '02:30');
    expect(isOpen(doubled, at('2030-10-27T00:20:00Z'))).toBe(true);
    expect(isOpen(doubled, at('2030-10-27T00:40:00Z'))).toBe(false);
    expect(isOpen(doubled, at('2030-10-27T01:20:00Z'))).toBe(false);
  });

  it('with the same time twice is a whole day, and one to 24:00 ends at midnight', () => {
    expect(isOpen(window({ days: ['thu'] }, '00:00', '24:00'), at('2030-01-10T23:59:59Z'))).toBe(true);
    expect(isOpen(window({ days: ['thu'] }, '00:00', '24:00'), at('2030-01-11T00:00:00Z'))).toBe(false);
    expect(isOpen(window({}, '06:00', '06:00'), at('2030-01-10T05:00:00Z'))).toBe(true);
  });
});

describe('the next opening', () => {
  const night: MaintenanceWindow = { days: [], fromMinutes: 22 * 60, toMinutes: 6 * 60, timeZone: 'UTC' };
  const friday: MaintenanceWindow = { ...night, days: ['fri'], timeZone: 'Europe/Berlin' };

  it.each([
    [[], '2030-01-10T12:00:00Z', '2030-01-10T12:00:00Z'],
    [[night], '2030-01-10T23:00:00Z', '2030-01-10T23:00:00Z'],
    [[night], '2030-01-10T12:00:00Z', '2030-01-10T22:00:00Z'],
    [[friday], '2030-01-12T12:00:00Z', '2030-01-18T21:00:00Z'],
    [[friday, night], '2030-01-12T12:00:00Z', '2030-01-12T22:00:00Z'],
  ] as const)('%#', (windows, from, expected) => {
    expect(new Date(nextOpenMs(windows, Date.parse(from))).toISOString()).toBe(expected.replace('Z', '.000Z'));
  });
});
