import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { EffectiveConfigDocument } from '@opamp-gateway/shared/effective-config';
import { errorLevel } from '@opamp-gateway/shared/errors';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import type { Logger } from '@opamp-gateway/shared/logger';
import { observeAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Observation } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { compareConfigs } from './api/drift.ts';
import type { AgentReader } from './bus/agent-reader.ts';
import type { ObservedRollout, Observer } from './rollout/ports.ts';
import type { ConfigFiles, ConfigStore } from './stores/config-store.ts';

export interface EffectiveConfigObserverOptions {
  client: RedisClient;
  keys: Keys;
  agents: Pick<AgentReader, 'effective'>;
  configs: Pick<ConfigStore, 'files'>;
  logger: Logger;
}

/** Agents that wait to be compared; one takes some 6 ms for a text of 20 KB. What is beyond comes again within seconds. */
const MAX_WAITING = 2_000;
/** Answers remembered by config and effective config: agents without anything of their own all report the same. */
const MAX_REMEMBERED = 500;

/**
 * Judges agents that cannot report what became of a config: compares by meaning what they say they run with what they were sent, one
 * after the other, and has Redis judge the row by the answer and the agent's health.
 */
export class EffectiveConfigObserver implements Observer {
  readonly #options: EffectiveConfigObserverOptions;
  /** By rollout and uid. */
  readonly #waiting = new Map<string, { rollout: ObservedRollout; uid: string }>();
  readonly #remembered = new Map<string, boolean>();
  #last: { hash: string; files: ConfigFiles } | undefined;
  #working: Promise<void> | undefined;
  #stopped = false;

  constructor(options: EffectiveConfigObserverOptions) {
    this.#options = options;
  }

  observe(rollout: ObservedRollout, uids: readonly string[]): void {
    if (this.#stopped) return;
    // In no order: of more than there is room for each gets its turn, not always those whose uids come first.
    for (const uid of shuffled(uids)) {
      if (this.#waiting.size >= MAX_WAITING) break;
      this.#waiting.set(`${rollout.id} ${uid}`, { rollout, uid });
    }
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Judges nobody any more; resolves when the last one has been. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { client, keys, logger } = this.#options;
    for (const [key, { rollout, uid }] of this.#waiting) {
      this.#waiting.delete(key);
      try {
        const { id, healthHoldMs } = rollout;
        const { hash } = rollout.to;
        const seen = await this.#look(hash, uid);
        const shard = keys.shards[shardOf(uid as InstanceUid)] as ShardKeys;
        await observeAgents(client, shard, { rollout: id, hash, healthHoldMs }, [{ uid, ...seen }]);
      } catch (error) {
        logger[errorLevel(error)]({ rollout: rollout.id, uid, err: error }, 'an agent that cannot report was not judged, it comes again');
      }
      // Requests and steps of rollouts take their turn.
      await setImmediate();
    }
  }

  async #look(hash: string, uid: string): Promise<Omit<Observation, 'uid'>> {
    const effective = await this.#options.agents.effective(uid);
    if (effective === undefined || 'unreadable' in effective) return { holds: false, toldAtMs: 0 };
    return { holds: await this.#holds(hash, effective), toldAtMs: effective.atMs };
  }

  async #holds(hash: string, effective: EffectiveConfigDocument): Promise<boolean> {
    const key = `${hash} ${digestOf(effective)}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const files = await this.#files(hash);
    const holds = files !== undefined && compareConfigs(files, effective).state === 'none';
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size < MAX_REMEMBERED) break;
      this.#remembered.delete(oldest);
    }
    if (files !== undefined) this.#remembered.set(key, holds);
    return holds;
  }

  /** The same object for as long as one config is asked for: what is read of it is remembered with it. */
  async #files(hash: string): Promise<ConfigFiles | undefined> {
    if (this.#last?.hash !== hash) {
      const files = await this.#options.configs.files(hash);
      if (files === undefined) return undefined;
      this.#last = { hash, files };
    }
    return this.#last.files;
  }
}

function shuffled(uids: readonly string[]): readonly string[] {
  if (uids.length <= 1) return uids;
  return uids
    .map((uid) => ({ uid, at: Math.random() }))
    .sort((left, right) => left.at - right.at)
    .map(({ uid }) => uid);
}

function digestOf({ files, truncated }: EffectiveConfigDocument): string {
  return createHash('sha1')
    .update(JSON.stringify([files, truncated]))
    .digest('base64');
}
