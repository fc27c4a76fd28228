import { flushAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem, FlushReply } from '@opamp-gateway/shared/redis/agent-scripts';
import { seal } from '@opamp-gateway/shared/encryption';
import type { EncryptionKeys } from '@opamp-gateway/shared/encryption';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { GatewayEvents } from '../events.ts';
import { emptyWrite, mergeWrites } from '../pending-write.ts';
import type { PendingWrite } from '../pending-write.ts';
import type { AgentSession } from '../session/agent-session.ts';
import type { SessionWriter } from '../session/ports.ts';
import { CallLimit } from './call-limit.ts';

/** What the writer tells its owner after each acknowledged or refused write. */
export interface WriterCallbacks {
  onWritten(session: AgentSession, write: PendingWrite, rows: Readonly<Record<string, string>>): void;
  /** Another gateway has claimed the agent meanwhile. */
  onFenced(session: AgentSession, write: PendingWrite, owner: string): void;
  /** The write failed and will be repeated. */
  onDelayed(session: AgentSession): void;
}

export interface StatusWriterOptions {
  redis: RedisClient;
  keys: Keys;
  gatewayId: string;
  clock: Clock;
  events: GatewayEvents;
  flushIntervalMs: number;
  /** Keys that effective configs are encrypted with as they are written; undefined = they are not. */
  encryption?: EncryptionKeys | undefined;
  /** Most agents in one Lua call. */
  batchSize: number;
  /** Most Lua calls under way, fewer while Redis is slow. */
  callsInFlight: number;
  callbacks: WriterCallbacks;
}

interface Shard {
  dirty: Set<AgentSession>;
  inFlight: boolean;
  /** Smallest `dirtySince` of the batch in flight. */
  inFlightOldest: number;
  timer: ClockTimer | undefined;
  urgent: boolean;
  failures: number;
}

interface Waiter {
  session: AgentSession;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Writes changed sessions in batches, one Lua call per shard at a time. A session is dirty at most once (newest state
 * wins), so the backlog is bounded by the number of sessions; a failed write leaves its agents dirty and is repeated.
 */
export class StatusWriter implements SessionWriter {
  readonly #options: StatusWriterOptions;
  readonly #shards: Shard[];
  readonly #limit: CallLimit;
  /** Shards whose turn has come and that wait for a call to end, in this order. */
  readonly #ready = new Set<Shard>();
  readonly #waiters = new Map<AgentSession, Waiter[]>();
  #barriers: { below: number; resolve(): void }[] = [];
  #sequence = 0;
  #stopped = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#limit = new CallLimit({ clock: options.clock, most: options.callsInFlight });
    this.#shards = options.keys.shards.map(() => ({
      dirty: new Set(),
      inFlight: false,
      inFlightOldest: 0,
      timer: undefined,
      urgent: false,
      failures: 0,
    }));
  }

  /** Number of sessions whose state Redis does not have yet. */
  get dirtyCount(): number {
    let count = 0;
    for (const shard of this.#shards) count += shard.dirty.size;
    return count;
  }

  markDirty(session: AgentSession, urgent = false): void {
    const shard = this.#shardOf(session);
    if (!shard.dirty.has(session)) {
      shard.dirty.add(session);
      session.dirtySince = ++this.#sequence;
    }
    this.#schedule(shard, urgent);
  }

  settled(session: AgentSession): Promise<void> {
    if (session.pending === undefined && session.writing === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const list = this.#waiters.get(session) ?? [];
      list.push({ session, resolve, reject });
      this.#waiters.set(session, list);
      this.markDirty(session, true);
    });
  }

  /** Resolves when everything that is dirty now has been acknowledged. */
  barrier(): Promise<void> {
    const below = this.#sequence + 1;
    return new Promise((resolve) => {
      this.#barriers.push({ below, resolve });
      this.#releaseBarriers();
    });
  }

  /** Writes what is left, for at most `timeoutMs`; then gives up. True when Redis has everything. */
  async stop(timeoutMs: number): Promise<boolean> {
    for (const shard of this.#shards) this.#schedule(shard, true);
    const giveUp = new AbortController();
    const late = this.#options.clock.sleep(timeoutMs, giveUp.signal).then(
      () => 'late' as const,
      () => 'done' as const,
    );
    const outcome = await Promise.race([this.barrier().then(() => 'done' as const), late]);
    // A timer that goes on would keep the process alive until it is over.
    giveUp.abort();
    this.#stopped = true;
    this.#ready.clear();
    if (outcome === 'late') this.#options.events.writesLost(this.dirtyCount);
    for (const shard of this.#shards) shard.timer?.cancel();
    return outcome === 'done';
  }

  #shardOf(session: AgentSession): Shard {
    return this.#shards[shardOf(session.uid)] as Shard;
  }

  #schedule(shard: Shard, urgent: boolean): void {
    if (this.#stopped || shard.dirty.size === 0) return;
    if (shard.inFlight) {
      shard.urgent ||= urgent;
      return;
    }
    if (this.#ready.has(shard)) return;
    const backoffMs = shard.failures === 0 ? 0 : Math.min(5_000, 100 * 2 ** Math.min(shard.failures, 6));
    const delayMs = Math.max(backoffMs, urgent && shard.failures === 0 ? 0 : this.#options.flushIntervalMs);
    if (shard.timer !== undefined) {
      if (!urgent || shard.urgent || shard.failures > 0) return;
      shard.timer.cancel();
    }
    shard.urgent = urgent;
    shard.timer = this.#options.clock.after(delayMs, () => {
      shard.timer = undefined;
      shard.urgent = false;
      void this.#flush(shard);
    });
  }

  async #flush(shard: Shard): Promise<void> {
    if (shard.inFlight || shard.dirty.size === 0) return;
    if (!this.#limit.free) {
      this.#ready.add(shard);
      return;
    }
    const batch: AgentSession[] = [];
    for (const session of shard.dirty) {
      shard.dirty.delete(session);
      if (session.pending === undefined) {
        this.#resolve(session);
        continue;
      }
      batch.push(session);
      if (batch.length >= this.#options.batchSize) break;
    }
    if (batch.length > 0) {
      shard.inFlight = true;
      shard.inFlightOldest = Math.min(...batch.map((session) => session.dirtySince));
      await this.#write(shard, batch);
      shard.inFlight = false;
      this.#next();
    }
    this.#releaseBarriers();
    this.#schedule(shard, shard.urgent || shard.dirty.size >= this.#options.batchSize);
  }

  /** Starts the call of the shard that waits longest; what it finds clean makes room for the one after it. */
  #next(): void {
    for (const shard of this.#ready) {
      if (!this.#limit.free) return;
      this.#ready.delete(shard);
      void this.#flush(shard);
    }
  }

  async #write(shard: Shard, batch: AgentSession[]): Promise<void> {
    const index = this.#shards.indexOf(shard);
    const items: FlushItem[] = batch.map((session) => {
      session.bookNumber();
      session.writing = session.pending ?? emptyWrite();
      session.pending = undefined;
      return {
        uid: session.uid,
        epoch: session.epoch,
        release: session.writing.release,
        group: session.writing.group,
        takesConfig: session.writing.takesConfig,
        facets: session.writing.facets,
        effective: this.#sealed(session.writing.effective, session.uid),
        set: session.writing.set as Record<string, string>,
        del: session.writing.del,
        rows: session.writing.rows,
      };
    });
    const dirtySince = batch.map((session) => session.dirtySince);
    let replies: FlushReply[];
    try {
      const { redis, keys, gatewayId } = this.#options;
      replies = await this.#limit.run(() => flushAgents(redis, keys.shards[index]!, gatewayId, items));
    } catch (thrown) {
      shard.failures += 1;
      this.#options.events.flushFailed(toError(thrown), batch.length);
      for (const [i, session] of batch.entries()) {
        session.dirtySince = Math.min(session.dirtySince, dirtySince[i] ?? session.dirtySince);
        session.pending = mergeWrites(session.writing ?? emptyWrite(), session.pending ?? emptyWrite());
        session.writing = undefined;
        shard.dirty.add(session);
        this.#options.callbacks.onDelayed(session);
        this.#reject(session, toError(thrown));
      }
      return;
    }
    shard.failures = 0;
    this.#options.events.flushed(batch.length);
    for (const [i, session] of batch.entries()) {
      const write = session.writing ?? emptyWrite();
      session.writing = undefined;
      const reply = replies[i];
      try {
        if (reply?.kind === 'ok') this.#options.callbacks.onWritten(session, write, reply.rows);
        else this.#options.callbacks.onFenced(session, write, reply?.owner ?? '');
      } catch (thrown) {
        this.#options.events.logger.error(
          { uid: session.uid, err: toError(thrown) },
          'a write was acknowledged and could not be followed up',
        );
      }
      if (session.pending === undefined) this.#resolve(session);
    }
  }

  /** Here, where the uid under which it is stored is final; what was not reported anew is not written, and not encrypted, again. */
  #sealed(effective: Buffer | undefined, uid: string): Buffer | undefined {
    const { encryption } = this.#options;
    return effective === undefined || encryption === undefined ? effective : seal(effective, encryption, uid);
  }

  #resolve(session: AgentSession): void {
    const list = this.#waiters.get(session);
    if (list === undefined) return;
    this.#waiters.delete(session);
    for (const waiter of list) waiter.resolve();
  }

  #reject(session: AgentSession, error: Error): void {
    const list = this.#waiters.get(session);
    if (list === undefined) return;
    this.#waiters.delete(session);
    for (const waiter of list) waiter.reject(error);
  }

  #releaseBarriers(): void {
    if (this.#barriers.length === 0) return;
    let oldest = Infinity;
    for (const shard of this.#shards) {
      if (shard.inFlight) oldest = Math.min(oldest, shard.inFlightOldest);
      for (const session of shard.dirty) oldest = Math.min(oldest, session.dirtySince);
    }
    this.#barriers = this.#barriers.filter((barrier) => {
      if (oldest < barrier.below) return true;
      barrier.resolve();
      return false;
    });
  }
}
