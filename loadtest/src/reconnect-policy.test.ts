import { describe, expect, it } from 'vitest';
import { delayAfterLossMs, parseRetryAfterMs, ReconnectPolicy } from './reconnect-policy.ts';

describe('ReconnectPolicy', () => {
  it('grows by half from 500 ms to a minute, 50 % around it', () => {
    const middle = new ReconnectPolicy({ scale: 1, random: () => 0.5 });
    expect([1, 2, 3].map(() => middle.nextDelayMs())).toEqual([500, 750, 1_125]);
    for (let count = 0; count < 20; count += 1) middle.nextDelayMs();
    expect(middle.nextDelayMs()).toBe(60_000);
    middle.reset();
    expect(middle.nextDelayMs()).toBe(500);
    expect(new ReconnectPolicy({ scale: 1, random: () => 0 }).nextDelayMs()).toBe(250);
    expect(new ReconnectPolicy({ scale: 1, random: () => 0.999_999 }).nextDelayMs()).toBeCloseTo(750, 0);
  });

  it('scales its own delays and takes a longer Retry-After as it is', () => {
    const policy = new ReconnectPolicy({ scale: 0.1, random: () => 0.5 });
    expect(policy.nextDelayMs()).toBe(50);
    expect(policy.nextDelayMs(3_000)).toBe(3_000);
    expect(policy.nextDelayMs(1)).toBeGreaterThan(100);
  });
});

describe('a polite client', () => {
  const polite = { scale: 1, random: () => 0.5, manners: 'polite' } as const;

  it('does not come back at once after a loss, as opamp-go does', () => {
    expect(delayAfterLossMs(polite)).toBe(5_000);
    expect(delayAfterLossMs({ ...polite, scale: 0.1 })).toBe(500);
    expect(delayAfterLossMs({ ...polite, manners: 'opamp-go' })).toBe(0);
  });

  it('doubles its delays up to five minutes, and spreads what Retry-After asks for', () => {
    const policy = new ReconnectPolicy(polite);
    expect([1, 2, 3].map(() => policy.nextDelayMs())).toEqual([1_000, 2_000, 4_000]);
    for (let count = 0; count < 20; count += 1) policy.nextDelayMs();
    expect(policy.nextDelayMs()).toBe(300_000);
    policy.reset();
    expect(policy.nextDelayMs(20_000)).toBe(25_000);
  });
});

describe('parseRetryAfterMs', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z');

  it.each([
    [undefined, 0],
    ['7', 7_000],
    ['Thu, 01 Jan 2026 00:00:05 GMT', 5_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['soon', 0],
  ])('reads %j as %i ms', (value, expected) => {
    expect(parseRetryAfterMs(value, nowMs)).toBe(expected);
  });
});
