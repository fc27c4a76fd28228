import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import { EMPTY_SPEC, parseSpec } from '@opamp-gateway/shared/fleet-spec';
import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { SpecSource } from '../session/ports.ts';
import { createLook } from './look.ts';

export interface SpecReplicaOptions {
  redis: RedisClient;
  keys: Keys;
  clock: Clock;
  logger: Logger;
  /** The key is read again this often, so that a lost message costs seconds, never correctness. */
  pollMs: number;
  /** Most bytes of encoded configs kept. */
  cacheBytes: number;
  /** Turns a stored AgentRemoteConfig into what is sent; called once per config. */
  encode(stored: Uint8Array): Uint8Array;
  onSpec(spec: FleetSpec): void;
  /** A config that somebody waited for is here. */
  onBlob(hash: string): void;
}

/** `<generation>:<contentHash>`: what a lease says it has observed. */
export function specIdentity(spec: FleetSpec): string {
  return `${spec.generation}:${spec.contentHash}`;
}

/**
 * This gateway's copy of the fleet spec. Messages only say "look"; the truth is the key, also when its generation is
 * lower than the one held (a store that went back in time).
 */
export class SpecReplica implements SpecSource {
  readonly #options: SpecReplicaOptions;
  #spec: FleetSpec = EMPTY_SPEC;
  #loaded = false;
  #timer: ClockTimer | undefined;
  readonly #blobs = new Map<string, Uint8Array>();
  #blobBytes = 0;
  readonly #loading = new Set<string>();

  constructor(options: SpecReplicaOptions) {
    this.#options = options;
  }

  get spec(): FleetSpec {
    return this.#spec;
  }

  /** True once the key has been read since the start. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Reads the key now and then regularly. Subscribe before calling this. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = this.#options.clock.every(this.#options.pollMs, () => void this.look());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Reads the key; calls while a reading runs cause one more. Never rejects: the next poll tries again. */
  readonly look = createLook(async () => await this.#read());

  async #read(): Promise<void> {
    try {
      const fields = await this.#options.redis.hgetall(this.#options.keys.spec);
      const spec = parseSpec(fields);
      this.#loaded = true;
      if (specIdentity(spec) === specIdentity(this.#spec)) return;
      this.#spec = spec;
      for (const rollout of spec.rollouts.values()) this.remoteConfig(rollout.to.hash);
      this.#options.onSpec(spec);
    } catch (thrown) {
      this.#options.logger.warn({ error: toError(thrown).message }, 'cannot read the fleet spec, will try again');
    }
  }

  remoteConfig(hash: string): Uint8Array | undefined {
    const bytes = this.#blobs.get(hash);
    if (bytes === undefined) void this.#load(hash);
    return bytes;
  }

  async #load(hash: string): Promise<void> {
    if (this.#loading.has(hash)) return;
    this.#loading.add(hash);
    try {
      const encoded = await this.#options.redis.getBuffer(this.#options.keys.blob(hash));
      if (encoded === null) {
        this.#options.logger.error({ hash }, 'config bytes are missing in Redis; agents that need them wait');
        await this.#options.clock.sleep(1_000);
        return;
      }
      this.#keep(hash, this.#options.encode(encoded));
      this.#options.onBlob(hash);
    } catch (thrown) {
      this.#options.logger.warn({ hash, error: toError(thrown).message }, 'cannot read config bytes, will try again');
      await this.#options.clock.sleep(500);
    } finally {
      this.#loading.delete(hash);
    }
  }

  #keep(hash: string, bytes: Uint8Array): void {
    this.#blobs.set(hash, bytes);
    this.#blobBytes += bytes.length;
    for (const [oldest, old] of this.#blobs) {
      if (this.#blobBytes <= this.#options.cacheBytes || oldest === hash) break;
      this.#blobs.delete(oldest);
      this.#blobBytes -= old.length;
    }
  }
}
