import { parseAgentToken, tokenTimeMs } from '@opamp-gateway/shared/agent-token';
import type { AgentToken } from '@opamp-gateway/shared/agent-token';
import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { TOKEN_CHANGES_KEPT, useTokens } from '@opamp-gateway/shared/redis/token-scripts';
import type { TokenSource } from '../authenticator.ts';
import { createLook } from './look.ts';

export interface TokenReplicaOptions {
  redis: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  /** The list of changes is read this often, so that a lost message costs seconds, never a revocation. */
  pollMs: number;
  /** Most credentials held. */
  cacheEntries: number;
  /** Ids of the credentials that open connections were accepted with. */
  inUse(): Iterable<string>;
  /** What is stored under an id in use may have changed; null = nothing is stored. Calling it without need does no harm. */
  onChanged(id: string, token: AgentToken | null): void;
}

interface Entry {
  token: AgentToken | null;
  /** When it was last noted as used. */
  notedAtMs: number;
}

/** Most ids in one call. */
const BATCH = 500;
const SCAN_COUNT = 1_000;
/** Ids that are being read at one time; those above are put off. */
const MAX_LOADING = 20_000;
/** A credential is noted as used at most this often. */
const NOTE_EVERY_MS = 300_000;
const NOTE_FLUSH_MS = 10_000;
/** An id says when it was made: one this young may be stored without having been heard of. */
const NEWS_MS = 300_000;
/** How long, and how many at most, ids are remembered that are not stored. */
const ABSENT_MS = 30_000;
const MAX_ABSENT = 10_000;

/**
 * The credentials of agents, held in memory: all of them, as long as they are no more than `cacheEntries`; else those that
 * were asked for last. Changes are read from a list, by revision; whoever is too far behind, or finds that the store went back
 * in time, reads everything again.
 */
export class TokenReplica implements TokenSource {
  readonly #options: TokenReplicaOptions;
  #entries = new Map<string, Entry>();
  readonly #absent = new Map<string, number>();
  readonly #loading = new Map<string, Promise<AgentToken | null>>();
  readonly #settle = new Map<string, (result: AgentToken | null | Error) => void>();
  readonly #allowances = new Map<string, Pick<AgentToken, 'labels' | 'groups'>>();
  #queue: string[] = [];
  #revision = 0;
  /** The list of changes has been followed without a gap since everything was read. */
  #isFollowed = false;
  /** Everything that is stored is held here. */
  #isWhole = false;
  #noted = new Set<string>();
  #timers: ClockTimer[] = [];

  constructor(options: TokenReplicaOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.look();
    this.#timers = [
      this.#options.clock.every(this.#options.pollMs, () => void this.look()),
      this.#options.clock.every(NOTE_FLUSH_MS, () => void this.#flushNotes()),
    ];
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    await this.#flushNotes();
  }

  cached(id: string): AgentToken | null | undefined {
    const entry = this.#entries.get(id);
    if (entry !== undefined) {
      if (!this.#isWhole) {
        this.#entries.delete(id);
        this.#entries.set(id, entry);
      }
      return entry.token;
    }
    const now = this.#options.clock.nowMs();
    if (this.#isWhole && (id.startsWith('cert-') || Math.abs(now - tokenTimeMs(id)) > NEWS_MS)) return null;
    const absentSinceMs = this.#absent.get(id);
    return absentSinceMs !== undefined && now - absentSinceMs < ABSENT_MS ? null : undefined;
  }

  load(id: string): Promise<AgentToken | null> {
    const running = this.#loading.get(id);
    if (running !== undefined) return running;
    if (this.#loading.size >= MAX_LOADING) return Promise.reject(new Error('too many connections wait for their credential to be read'));
    const promise = new Promise<AgentToken | null>((resolve, reject) => {
      this.#settle.set(id, (result) => (result instanceof Error ? reject(result) : resolve(result)));
    });
    this.#loading.set(id, promise);
    if (this.#queue.length === 0) setImmediate(() => this.#sendQueue());
    this.#queue.push(id);
    return promise;
  }

  used(id: string): void {
    const entry = this.#entries.get(id);
    const now = this.#options.clock.nowMs();
    if (entry === undefined || now - entry.notedAtMs < NOTE_EVERY_MS) return;
    entry.notedAtMs = now;
    this.#noted.add(id);
  }

  /** The connection to the store was lost: everything is read again. */
  forgetAll(): void {
    this.#isFollowed = false;
  }

  /** Reads what has changed; calls while a reading runs cause one more. Never rejects: the next poll tries again. */
  readonly look = createLook(async () => await this.#read());

  async #read(): Promise<void> {
    const { redis, keys, logger } = this.#options;
    try {
      const [changed, oldest, newest] = await Promise.all([
        redis.zrange(keys.tokenChanges, `(${this.#revision}`, '+inf', 'BYSCORE'),
        redis.zrange(keys.tokenChanges, '0', '0', 'WITHSCORES'),
        redis.zrange(keys.tokenChanges, '-1', '-1', 'WITHSCORES'),
      ]);
      const revision = Number(newest[1] ?? 0);
      const hasGap = changed.length >= TOKEN_CHANGES_KEPT && Number(oldest[1] ?? 0) > this.#revision;
      if (!this.#isFollowed || hasGap || revision < this.#revision) await this.#readAll();
      else if (changed.length > 0) await this.#readSome(changed);
      this.#revision = revision;
      this.#isFollowed = true;
    } catch (thrown) {
      logger.warn({ error: toError(thrown).message }, 'cannot read the changes of agent tokens, will try again');
    }
  }

  async #readAll(): Promise<void> {
    const { redis, keys, cacheEntries } = this.#options;
    const former = this.#entries;
    this.#entries = new Map();
    this.#absent.clear();
    this.#allowances.clear();
    this.#isWhole = (await redis.hlen(keys.tokens)) <= cacheEntries;
    for (let cursor = '0'; this.#isWhole;) {
      const [next, flat] = await redis.hscan(keys.tokens, cursor, 'COUNT', SCAN_COUNT);
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const id = flat[i] ?? '';
        this.#keep(id, flat[i + 1] ?? null, former.get(id)?.notedAtMs);
      }
      cursor = next;
      if (cursor === '0') break;
    }
    const inUse = [...this.#options.inUse()];
    if (this.#isWhole) for (const id of inUse) this.#options.onChanged(id, this.#entries.get(id)?.token ?? null);
    else await this.#readSome(inUse);
  }

  async #readSome(ids: readonly string[]): Promise<void> {
    const inUse = new Set(this.#options.inUse());
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.slice(at, at + BATCH);
      const texts = await this.#options.redis.hmget(this.#options.keys.tokens, ...batch);
      for (const [i, id] of batch.entries()) {
        const token = this.#keep(id, texts[i] ?? null);
        if (inUse.has(id)) this.#options.onChanged(id, token);
      }
    }
  }

  #keep(id: string, text: string | null, notedAtMs = this.#entries.get(id)?.notedAtMs ?? 0): AgentToken | null {
    this.#entries.delete(id);
    this.#absent.delete(id);
    if (text === null) {
      if (this.#absent.size >= MAX_ABSENT) this.#absent.clear();
      this.#absent.set(id, this.#options.clock.nowMs());
      return null;
    }
    const token = this.#slim(parseAgentToken(text));
    this.#entries.set(id, { token, notedAtMs });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#options.cacheEntries) break;
      this.#entries.delete(oldest);
      this.#isWhole = false;
    }
    return token;
  }

  /** What nobody asks for here is left out, and what many say alike is held once. */
  #slim(token: AgentToken): AgentToken {
    const text = JSON.stringify([token.labels, token.groups]);
    let shared = this.#allowances.get(text);
    if (shared === undefined) {
      shared = { labels: token.labels, groups: token.groups };
      this.#allowances.set(text, shared);
    }
    return { ...token, ...shared, name: '', createdBy: '' };
  }

  #sendQueue(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (let at = 0; at < queue.length; at += BATCH) void this.#send(queue.slice(at, at + BATCH));
  }

  async #send(ids: readonly string[]): Promise<void> {
    const settle = (id: string, result: AgentToken | null | Error): void => {
      const resolve = this.#settle.get(id);
      this.#loading.delete(id);
      this.#settle.delete(id);
      resolve?.(result);
    };
    let texts: (string | null)[];
    try {
      texts = await this.#options.redis.hmget(this.#options.keys.tokens, ...ids);
    } catch (thrown) {
      for (const id of ids) settle(id, toError(thrown));
      return;
    }
    for (const [i, id] of ids.entries()) {
      try {
        settle(id, this.#keep(id, texts[i] ?? null));
      } catch (thrown) {
        settle(id, toError(thrown));
      }
    }
  }

  async #flushNotes(): Promise<void> {
    const ids = [...this.#noted];
    this.#noted = new Set();
    try {
      for (let at = 0; at < ids.length; at += BATCH) await useTokens(this.#options.redis, this.#options.keys, ids.slice(at, at + BATCH));
    } catch (thrown) {
      this.#options.logger.debug({ error: toError(thrown).message }, 'last use of tokens was not noted');
    }
  }
}
