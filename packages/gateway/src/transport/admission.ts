import { timingSafeEqual, createHash } from 'node:crypto';

/** Verdict on a connection attempt or poll, given before anything else is done. */
export type Admission = { ok: true } | { ok: false; status: 401 | 503; reason: string; retryAfterSeconds?: number };

export interface AdmissionOptions {
  maxConnections: number;
  /** Upgrades per second, 0 = unlimited. */
  connectRate: number;
  /** Range of the randomised Retry-After, seconds. */
  retryAfterSeconds: readonly [number, number];
  /** Accepted bearer tokens; undefined = no authentication. */
  tokens: readonly string[] | undefined;
  /** Agents whose records are being loaded. */
  loading(): number;
  /** False while the gateway cannot serve (Redis away, draining, not started). */
  ready(): boolean;
  nowMs(): number;
}

/** Most agents that may be loading when another connects: after an outage everybody comes to whoever is ready first. */
const MAX_LOADING = 1_000;

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Refuses before the upgrade: a client that is accepted and then closed comes back at once, one that gets 503 with
 * Retry-After waits. The value is randomised here because clients add no jitter of their own.
 */
export class AdmissionControl {
  readonly #options: AdmissionOptions;
  readonly #tokens: Buffer[] | undefined;
  #connections = 0;
  #allowance: number;
  #atMs: number;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#tokens = options.tokens?.map(digest);
    this.#allowance = options.connectRate;
    this.#atMs = options.nowMs();
  }

  get connections(): number {
    return this.#connections;
  }

  opened(): void {
    this.#connections += 1;
  }

  closed(): void {
    this.#connections -= 1;
  }

  /** Judges a WebSocket upgrade. Load first, for it is the cheapest to find out. */
  admitUpgrade(authorization: string): Admission {
    if (!this.#options.ready()) return this.#busy('not_ready');
    if (this.#connections >= this.#options.maxConnections) return this.#busy('max_connections');
    if (!this.#authenticated(authorization)) return { ok: false, status: 401, reason: 'unauthorized' };
    if (this.#options.loading() >= MAX_LOADING) return this.#busy('loading');
    if (!this.#takeConnect()) return this.#busy('connect_rate');
    return { ok: true };
  }

  /** Judges one HTTP poll. */
  admitRequest(authorization: string): Admission {
    if (!this.#options.ready()) return this.#busy('not_ready');
    if (!this.#authenticated(authorization)) return { ok: false, status: 401, reason: 'unauthorized' };
    return { ok: true };
  }

  /** A Retry-After for answers made elsewhere. */
  retryAfterSeconds(): number {
    const [from, to] = this.#options.retryAfterSeconds;
    return from + Math.floor(Math.random() * (to - from + 1));
  }

  #busy(reason: string): Admission {
    return { ok: false, status: 503, reason, retryAfterSeconds: this.retryAfterSeconds() };
  }

  #authenticated(authorization: string): boolean {
    if (this.#tokens === undefined) return true;
    const match = /^bearer\s+(\S+)\s*$/i.exec(authorization);
    if (match === null) return false;
    const given = digest(match[1] ?? '');
    let found = false;
    for (const token of this.#tokens) found = timingSafeEqual(token, given) || found;
    return found;
  }

  #takeConnect(): boolean {
    const rate = this.#options.connectRate;
    if (rate === 0) return true;
    const now = this.#options.nowMs();
    this.#allowance = Math.min(rate, this.#allowance + ((now - this.#atMs) / 1000) * rate);
    this.#atMs = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }
}
