import { describe, expect, it } from 'vitest';
import { AdmissionControl } from './admission.ts';
import type { AdmissionOptions } from './admission.ts';
import { acceptsGzip, isProtobuf } from './http-headers.ts';

function admission(over: Partial<AdmissionOptions> = {}): AdmissionControl {
  return new AdmissionControl({
    maxConnections: 2,
    connectRate: 0,
    retryAfterSeconds: [30, 60],
    tokens: undefined,
    loading: () => 0,
    ready: () => true,
    nowMs: () => 0,
    ...over,
  });
}

describe('AdmissionControl', () => {
  it('refuses with 503 and a spread Retry-After above the connection limit', () => {
    const control = admission();
    control.opened();
    control.opened();
    const values = new Set<number>();
    for (let i = 0; i < 200; i += 1) {
      const verdict = control.admitUpgrade('');
      expect(verdict).toMatchObject({ ok: false, status: 503 });
      if (!verdict.ok) values.add(verdict.retryAfterSeconds ?? 0);
    }
    expect(Math.min(...values)).toBeGreaterThanOrEqual(30);
    expect(Math.max(...values)).toBeLessThanOrEqual(60);
    expect(values.size).toBeGreaterThan(5);
    control.closed();
    expect(control.admitUpgrade('')).toEqual({ ok: true });
  });

  it('refuses while the gateway is not ready', () => {
    expect(admission({ ready: () => false }).admitRequest('')).toMatchObject({ ok: false, status: 503 });
  });

  it('refuses connections while many agents are still being loaded, and takes polls', () => {
    let loading = 999;
    const control = admission({ loading: () => loading });
    expect(control.admitUpgrade('')).toEqual({ ok: true });
    loading = 1_000;
    expect(control.admitUpgrade('')).toMatchObject({ ok: false, status: 503, reason: 'loading' });
    expect(control.admitRequest('')).toEqual({ ok: true });
  });

  it('limits upgrades per second', () => {
    let now = 0;
    const control = admission({ connectRate: 2, nowMs: () => now });
    expect([1, 2, 3].map(() => control.admitUpgrade('').ok)).toEqual([true, true, false]);
    now = 500;
    expect(control.admitUpgrade('').ok).toBe(true);
    expect(control.admitUpgrade('').ok).toBe(false);
  });

  it('asks for one of the tokens', () => {
    const control = admission({ tokens: ['alpha', 'beta'] });
    expect(control.admitUpgrade('Bearer beta')).toEqual({ ok: true });
    expect(control.admitRequest('bearer alpha')).toEqual({ ok: true });
    for (const header of ['', 'Bearer', 'Bearer gamma', 'Basic beta', 'Bearer beta2']) {
      expect(control.admitUpgrade(header)).toMatchObject({ ok: false, status: 401 });
    }
  });
});

describe('headers', () => {
  it.each(['application/x-protobuf', 'Application/X-Protobuf; charset=x', ' application/x-protobuf '])(
    'takes %s as OpAMP over HTTP',
    (text) => {
      expect(isProtobuf(text)).toBe(true);
    },
  );

  it.each(['', 'text/plain', 'application/x-protobuffer'])('does not take "%s"', (text) => {
    expect(isProtobuf(text)).toBe(false);
  });

  it.each([
    ['gzip', true],
    ['gzip, deflate', true],
    ['deflate;q=1, gzip;q=0.1', true],
    ['*', true],
    ['gzip;q=0', false],
    ['gzip;q=0.0, *', false],
    ['', false],
    ['identity', false],
    ['*;q=0', false],
  ])('Accept-Encoding "%s" allows gzip: %s', (header, allowed) => {
    expect(acceptsGzip(header)).toBe(allowed);
  });
});
