import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { atMost } from './truth.ts';

const POLL_MS = 100;
const UNSETTLED: ReadonlySet<string> = new Set(['offered', 'applying', 'verifying']);
const ROLLBACK: ReadonlySet<string> = new Set(['restoring', 'restored', 'restoreFailed']);

/**
 * Follows the status of every agent in a rollout while it runs. Invariant I6: a decided agent never becomes undecided, but
 * for a rollback; and an agent never changes its wave.
 */
export class RowWatch {
  readonly #problems: string[] = [];
  readonly #rows = new Map<string, { readonly wave: string; readonly status: string }>();
  #isStopped = false;
  #looks = 0;
  readonly #running: Promise<void>;

  private constructor(api: ApiClient, id: string) {
    this.#running = this.#run(api, id);
  }

  static start(api: ApiClient, id: string): RowWatch {
    return new RowWatch(api, id);
  }

  /** Ends the watch; answers what was wrong. Throws when it never saw a row. */
  async stop(): Promise<readonly string[]> {
    this.#isStopped = true;
    await this.#running;
    if (this.#rows.size === 0) throw new Error(`the watch saw no row in ${this.#looks} looks`);
    return atMost(this.#problems);
  }

  async #run(api: ApiClient, id: string): Promise<void> {
    // A rollout may be over before the second look of a slow machine: the last one comes after the end in any case.
    for (let isLast = false; !isLast;) {
      isLast = this.#isStopped;
      // An API that is down for a moment, as in these tests, is asked again.
      const views = await api.listAgents({ rollout: id }).catch(() => []);
      this.#looks += 1;
      for (const { uid, rollouts } of views) {
        const row = rollouts[id];
        const before = this.#rows.get(uid);
        if (row === undefined) continue;
        this.#rows.set(uid, row);
        if (before === undefined) continue;
        if (!UNSETTLED.has(before.status) && (UNSETTLED.has(row.status) || (ROLLBACK.has(before.status) && !ROLLBACK.has(row.status))))
          this.#problems.push(`${uid} went from ${before.status} to ${row.status}`);
        if (row.wave !== before.wave) this.#problems.push(`${uid} went from wave ${before.wave} to wave ${row.wave}`);
      }
      if (!isLast) await sleep(POLL_MS);
    }
  }
}
