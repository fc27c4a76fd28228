import type { AgentSession } from './agent-session.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * Decides when ReportFullState may be asked: once per gap, at most once per interval and uid, and at a bounded rate per
 * node. A client that ignores the question, or always leaves gaps, causes no loop. [OpAMP Agent Status Compression]
 */
export class FullStateLimiter {
  readonly #bucket: TokenBucket;
  readonly #intervalMs: number;
  readonly #askedAt = new Map<string, number>();

  constructor(options: { ratePerSecond: number; intervalMs: number; nowMs: number }) {
    this.#bucket = new TokenBucket(options.ratePerSecond, options.nowMs);
    this.#intervalMs = options.intervalMs;
  }

  /** True when the flag may go out now; the question is then counted as asked. */
  take(session: AgentSession, nowMs: number): boolean {
    const last = this.#askedAt.get(session.uid);
    if (last !== undefined && nowMs - last < this.#intervalMs) return false;
    if (!this.#bucket.take(nowMs)) return false;
    this.#askedAt.delete(session.uid);
    this.#askedAt.set(session.uid, nowMs);
    return true;
  }

  /** Forgets questions older than the interval. Called once a second. */
  sweep(nowMs: number): void {
    for (const [uid, atMs] of this.#askedAt) {
      if (nowMs - atMs < this.#intervalMs) return;
      this.#askedAt.delete(uid);
    }
  }
}
