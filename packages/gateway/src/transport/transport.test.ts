import { describe, expect, it } from 'vitest';
import { plainPrincipal } from '../principal.ts';
import { AddressLimits } from './address-limits.ts';
import { AdmissionControl } from './admission.ts';
import type { Admission, AdmissionOptions, Applicant } from './admission.ts';
import { acceptsGzip, isProtobuf } from './http-headers.ts';
import { PeerReader, readCertificateHeader } from './peer.ts';
import type { PeerOptions } from './peer.ts';
import { ReturnTimes } from './return-times.ts';

const PRINCIPAL = plainPrincipal('t1');
const APPLICANT: Applicant = { address: '192.0.2.1', authorization: '', certificate: '', forwarded: false };

function admission(over: Partial<AdmissionOptions> = {}): AdmissionControl {
  return new AdmissionControl({
    maxConnections: 2,
    connectRate: 0,
    maxPerAddress: 0,
    ratePerAddress: 0,
    mostRetryAfterSeconds: 20,
    authenticate: () => ({ ok: true, principal: PRINCIPAL }),
    loading: () => 0,
    ready: () => true,
    nowMs: () => 0,
    ...over,
  });
}

/** A verdict that is given at once. */
function atOnce(verdict: Admission | Promise<Admission>): Admission {
  if (verdict instanceof Promise) throw new Error('the verdict is late');
  return verdict;
}

describe('AdmissionControl', () => {
  it('refuses with 503 and a spread Retry-After above the connection limit, exchanges included', () => {
    const control = admission();
    control.opened('a');
    const end = control.beginExchange('b');
    const values = new Set<number>();
    for (let i = 0; i < 200; i += 1) {
      const verdict = atOnce(i % 2 === 0 ? control.admitUpgrade(APPLICANT) : control.admitRequest(APPLICANT));
      expect(verdict).toMatchObject({ ok: false, status: 503, reason: 'max_connections' });
      if (!verdict.ok) values.add(verdict.retryAfterSeconds ?? 0);
    }
    expect(Math.min(...values)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...values)).toBeLessThanOrEqual(20);
    expect(values.size).toBeGreaterThan(5);
    end();
    end();
    expect(control.exchanges).toBe(0);
    expect(control.admitUpgrade(APPLICANT)).toEqual({ ok: true, principal: PRINCIPAL });
    control.closed('a');
    expect(control.connections).toBe(0);
  });

  it('refuses while the gateway is not ready', () => {
    expect(admission({ ready: () => false }).admitRequest(APPLICANT)).toMatchObject({ ok: false, status: 503 });
  });

  it('refuses connections while many agents are still being loaded, and takes polls', () => {
    let loading = 999;
    const control = admission({ loading: () => loading });
    expect(control.admitUpgrade(APPLICANT)).toEqual({ ok: true, principal: PRINCIPAL });
    loading = 1_000;
    expect(control.admitUpgrade(APPLICANT)).toMatchObject({ ok: false, status: 503, reason: 'loading' });
    expect(control.admitRequest(APPLICANT)).toEqual({ ok: true, principal: PRINCIPAL });
  });

  it('has a small crowd back within seconds, and spreads one that is larger than it can take', () => {
    let loading = 0;
    const control = admission({ loading: () => loading });
    expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
    loading = 1_000;
    const refuse = (count: number): number[] =>
      Array.from({ length: count }, () => {
        const verdict = atOnce(control.admitUpgrade(APPLICANT));
        return verdict.ok ? 0 : (verdict.retryAfterSeconds ?? 0);
      });
    // 500 a second are taken to be managed before that was measured.
    const small = refuse(1_000);
    expect(Math.min(...small)).toBe(1);
    expect(Math.max(...small)).toBe(3);
    const large = refuse(20_000).slice(-5_000);
    expect(new Set(large)).toEqual(new Set(Array.from({ length: 20 }, (_, index) => index + 1)));
  });

  it('has agents stay away for longer when it lets fewer in, and not because of a quiet time', () => {
    let now = 0;
    const returns = new ReturnTimes(20);
    // Ten seconds in which 50 a second are let in while others are refused.
    for (let second = 1; second <= 10; second += 1) {
      returns.refused(now);
      for (let agent = 0; agent < 50; agent += 1) returns.admitted(now);
      now = second * 1_000;
    }
    const waits = (count: number): number => Math.max(...Array.from({ length: count }, () => returns.refused(now)));
    const crowded = waits(500);
    expect(crowded).toBeGreaterThanOrEqual(9);
    expect(crowded).toBeLessThanOrEqual(12);
    now += 3_600_000;
    returns.admitted(now);
    expect(waits(500)).toBe(crowded);
  });

  it('limits upgrades per second', () => {
    let now = 0;
    const control = admission({ connectRate: 2, nowMs: () => now });
    expect([1, 2, 3].map(() => control.admitUpgrade(APPLICANT).ok)).toEqual([true, true, false]);
    now = 500;
    expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
    expect(control.admitUpgrade(APPLICANT).ok).toBe(false);
  });

  it('answers 401 for bad credentials, and 503 when they cannot be looked up', async () => {
    const denied = admission({ authenticate: () => ({ ok: false, reason: 'unknown_token' }) });
    expect(denied.admitUpgrade(APPLICANT)).toEqual({ ok: false, status: 401, reason: 'unauthorized', why: 'unknown_token' });
    expect(denied.admitRequest(APPLICANT)).toEqual({ ok: false, status: 401, reason: 'unauthorized', why: 'unknown_token' });
    const away = admission({ authenticate: () => Promise.reject(new Error('the store is away')) });
    expect(await away.admitRequest(APPLICANT)).toMatchObject({ ok: false, status: 503, reason: 'store_unavailable' });
  });

  it('lets an exchange wait while its credential is looked up, and sends an upgrade away for a second', async () => {
    let answer = (): void => undefined;
    const control = admission({
      maxConnections: 1,
      authenticate: () =>
        new Promise((resolve) => {
          answer = () => resolve({ ok: true, principal: PRINCIPAL });
        }),
    });
    expect(control.admitUpgrade(APPLICANT)).toEqual({ ok: false, status: 503, reason: 'credential_loading', retryAfterSeconds: 1 });
    const first = control.admitRequest(APPLICANT);
    expect(control.admitUpgrade(APPLICANT)).toMatchObject({ ok: false, status: 503, reason: 'max_connections' });
    answer();
    expect(await first).toEqual({ ok: true, principal: PRINCIPAL });
  });

  it('limits one address and leaves others alone', () => {
    let now = 0;
    const control = admission({ maxConnections: 100, maxPerAddress: 2, ratePerAddress: 4, nowMs: () => now });
    const other = { ...APPLICANT, address: '192.0.2.2' };
    for (let i = 0; i < 2; i += 1) {
      expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
      control.opened(APPLICANT.address);
    }
    expect(control.admitUpgrade(APPLICANT)).toMatchObject({ status: 503, reason: 'address_connections' });
    expect(control.admitRequest(APPLICANT)).toMatchObject({ status: 503, reason: 'address_connections' });
    expect(control.admitUpgrade(other).ok).toBe(true);
    control.closed(APPLICANT.address);
    expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
    expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
    expect(control.admitUpgrade(APPLICANT)).toMatchObject({ status: 503, reason: 'address_rate' });
    // A poll is no new connection.
    expect(atOnce(control.admitRequest(APPLICANT)).ok).toBe(true);
    now = 250;
    expect(control.admitUpgrade(APPLICANT).ok).toBe(true);
  });

  it('forgets addresses that are gone', () => {
    const limits = new AddressLimits({ maxPerAddress: 1, ratePerAddress: 1 });
    for (let i = 0; i < 120_000; i += 1) limits.admit(`2001:db8::${i}`, i, true);
    expect(limits.size).toBeLessThanOrEqual(50_000);
  });
});

describe('PeerReader', () => {
  const reader = (over: Partial<PeerOptions> = {}): PeerReader =>
    new PeerReader({
      trustedProxies: ['10.0.0.0/8', '2001:db8::/32'],
      forwardedForHeader: 'x-forwarded-for',
      clientCertHeader: 'ssl-client-cert',
      clientVerifyHeader: '',
      proxyProtocol: true,
      ...over,
    });
  const read = (from: PeerReader, remoteAddress: string, headers: Record<string, string> = {}, proxiedAddress = '') =>
    from.read({ remoteAddress, proxiedAddress, certificate: '', header: (name) => headers[name] ?? '' });

  it('believes nobody unless told to', () => {
    const off = reader({ trustedProxies: [], forwardedForHeader: '', clientCertHeader: '', proxyProtocol: false });
    const peer = read(off, '10.1.1.1', { 'x-forwarded-for': '1.2.3.4', 'ssl-client-cert': 'x' }, '5.6.7.8');
    expect(peer).toEqual({ address: '10.1.1.1', certificate: '', forwarded: false, untrusted: false });
  });

  it('ignores what an untrusted hop says, and says so', () => {
    for (const peer of [
      read(reader(), '192.0.2.1', { 'x-forwarded-for': '1.2.3.4' }),
      read(reader(), '192.0.2.1', { 'ssl-client-cert': 'x' }),
      read(reader(), '192.0.2.1', {}, '1.2.3.4'),
    ])
      expect(peer).toEqual({ address: '192.0.2.1', certificate: '', forwarded: false, untrusted: true });
    expect(read(reader(), '192.0.2.1').untrusted).toBe(false);
  });

  it('takes the last address of the chain that is no proxy of ours', () => {
    expect(read(reader(), '10.1.1.1', { 'x-forwarded-for': '6.6.6.6, 1.2.3.4, 10.2.2.2' }).address).toBe('1.2.3.4');
    expect(read(reader(), '10.1.1.1', { 'x-forwarded-for': 'nonsense' }).address).toBe('10.1.1.1');
    expect(read(reader(), '0000:0000:0000:0000:0000:ffff:0a01:0101', { 'x-forwarded-for': '[2001:dead::1]:99' }).address).toBe(
      '2001:dead::1',
    );
    expect(read(reader(), '10.1.1.1', {}, '1.2.3.4').address).toBe('1.2.3.4');
    // The PROXY protocol came from ours, the header from the client itself.
    expect(read(reader(), '10.1.1.1', { 'x-forwarded-for': '6.6.6.6' }, '1.2.3.4').address).toBe('1.2.3.4');
  });

  it('takes a forwarded certificate only when the proxy has verified it', () => {
    const verifying = reader({ clientVerifyHeader: 'ssl-client-verify' });
    expect(read(verifying, '10.1.1.1', { 'ssl-client-cert': 'QUJD', 'ssl-client-verify': 'NONE' }).forwarded).toBe(false);
    expect(read(verifying, '10.1.1.1', { 'ssl-client-cert': 'QUJD', 'ssl-client-verify': 'SUCCESS' })).toMatchObject({
      forwarded: true,
      certificate: '-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n',
    });
  });

  it('reads the ways in which proxies write certificates', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n';
    expect(readCertificateHeader(encodeURIComponent(pem))).toBe(pem);
    expect(readCertificateHeader(`Hash=1;Cert="x",By=spiffe://a;Hash=2;Cert="${encodeURIComponent(pem)}";Subject="CN=a"`)).toBe(pem);
    expect(readCertificateHeader('QUJD')).toBe(pem);
    expect(readCertificateHeader('%zz')).toBe('%zz');
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
