import type { AuthVerdict, Credentials, Principal } from '../principal.ts';
import { AddressLimits } from './address-limits.ts';
import type { AddressLimitOptions } from './address-limits.ts';
import { randomSeconds, ReturnTimes } from './return-times.ts';

/** Least pause before an upgrade is tried again whose credential was not in memory. */
const LOADING_RETRY_SECONDS = 1;

/** Verdict on a connection attempt or poll, given before anything else is done. */
export type Admission = { ok: true; principal: Principal } | Refusal;

/** A refusal; 503 comes with the seconds to wait, 401 with what is wrong with the credential, which the client is not told. */
export type Refusal = { ok: false; status: 401 | 503; reason: string; why?: string; retryAfterSeconds?: number };

/** Who asks. */
export interface Applicant extends Credentials {
  readonly address: string;
}

export interface AdmissionOptions extends AddressLimitOptions {
  /** WebSocket connections and HTTP exchanges at one time. */
  maxConnections: number;
  /** Upgrades per second, 0 = unlimited. */
  connectRate: number;
  /** Most Retry-After, seconds. */
  mostRetryAfterSeconds: number;
  /** Agents whose records are being loaded. */
  loading(): number;
  /** Says who it is; rejects when that cannot be found out now. */
  authenticate(credentials: Credentials): AuthVerdict | Promise<AuthVerdict>;
  /** False while the gateway cannot serve (Redis away, draining, not started). */
  ready(): boolean;
  nowMs(): number;
}

/** Most agents that may be loading when another connects: after an outage everybody comes to whoever is ready first. */
const MAX_LOADING = 1_000;

/**
 * Refuses before the upgrade: a client that is accepted and then closed comes back at once, one that gets 503 with
 * Retry-After waits. The values are spread here because clients add no jitter of their own.
 */
export class AdmissionControl {
  readonly #options: AdmissionOptions;
  readonly #addresses: AddressLimits;
  readonly #returns: ReturnTimes;
  #connections = 0;
  #exchanges = 0;
  /** Exchanges whose credential is being looked up. */
  #pending = 0;
  #allowance: number;
  #atMs: number;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#addresses = new AddressLimits(options);
    this.#returns = new ReturnTimes(options.mostRetryAfterSeconds);
    this.#allowance = options.connectRate;
    this.#atMs = options.nowMs();
  }

  get connections(): number {
    return this.#connections;
  }

  /** HTTP exchanges under way. */
  get exchanges(): number {
    return this.#exchanges;
  }

  opened(address: string): void {
    this.#connections += 1;
    this.#addresses.opened(address, this.#options.nowMs());
  }

  closed(address: string): void {
    this.#connections -= 1;
    this.#addresses.closed(address);
  }

  /**
   * Judges a WebSocket upgrade. Load first, for it is the cheapest to find out. An upgrade has to be answered at once, so who has
   * a credential that must be looked up first is asked to come again in a second.
   */
  admitUpgrade(applicant: Applicant): Admission {
    const early = this.#overload() ?? this.#crowded(applicant.address, true);
    if (early !== undefined) return early;
    const verdict = this.#options.authenticate(applicant);
    if (!(verdict instanceof Promise)) return this.#conclude(verdict, true);
    verdict.catch(() => undefined);
    return { ok: false, status: 503, reason: 'credential_loading', retryAfterSeconds: LOADING_RETRY_SECONDS };
  }

  /** Judges one HTTP exchange, when need be after its credential was looked up. */
  admitRequest(applicant: Applicant): Admission | Promise<Admission> {
    const early = this.#overload() ?? this.#crowded(applicant.address, false);
    if (early !== undefined) return early;
    const verdict = this.#options.authenticate(applicant);
    if (!(verdict instanceof Promise)) return this.#conclude(verdict, false);
    this.#pending += 1;
    return verdict
      .then(
        (late) => (this.#options.ready() ? this.#conclude(late, false) : this.#busy('not_ready')),
        () => this.#busy('store_unavailable'),
      )
      .finally(() => {
        this.#pending -= 1;
      });
  }

  /** An admitted exchange begins; the result ends it, once. */
  beginExchange(address: string): () => void {
    this.#exchanges += 1;
    this.#addresses.opened(address, this.#options.nowMs());
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#exchanges -= 1;
      this.#addresses.closed(address);
    };
  }

  /** A Retry-After for answers made elsewhere. */
  retryAfterSeconds(): number {
    return randomSeconds(this.#options.mostRetryAfterSeconds);
  }

  #overload(): Refusal | undefined {
    if (!this.#options.ready()) return this.#busy('not_ready');
    return this.#connections + this.#exchanges + this.#pending >= this.#options.maxConnections ? this.#busy('max_connections') : undefined;
  }

  #crowded(address: string, isUpgrade: boolean): Refusal | undefined {
    const limit = this.#addresses.admit(address, this.#options.nowMs(), isUpgrade);
    return limit === undefined ? undefined : this.#busy(limit);
  }

  #conclude(verdict: AuthVerdict, isUpgrade: boolean): Admission {
    if (!verdict.ok) return { ok: false, status: 401, reason: 'unauthorized', why: verdict.reason };
    if (isUpgrade) {
      const now = this.#options.nowMs();
      const reason = this.#options.loading() >= MAX_LOADING ? 'loading' : this.#takeConnect(now) ? undefined : 'connect_rate';
      if (reason !== undefined) return this.#busy(reason, this.#returns.refused(now));
      this.#returns.admitted(now);
    }
    return { ok: true, principal: verdict.principal };
  }

  #busy(reason: string, retryAfterSeconds = this.retryAfterSeconds()): Refusal {
    return { ok: false, status: 503, reason, retryAfterSeconds };
  }

  #takeConnect(now: number): boolean {
    const rate = this.#options.connectRate;
    if (rate === 0) return true;
    this.#allowance = Math.min(rate, this.#allowance + ((now - this.#atMs) / 1000) * rate);
    this.#atMs = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }
}
