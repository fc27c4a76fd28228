import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { toError } from '@opamp-gateway/shared/errors';
import { redisNowMs } from '../redis-time.ts';
import type { ReplicaWait } from '../replica-wait.ts';
import { AGENT_SECTION } from './agent-section.ts';
import { AUDIT_SECTION } from './audit-section.ts';
import { BACKUP_FORMAT, BACKUP_VERSION, BackupFileError, readBackup, writeBackup } from './backup-format.ts';
import type { BackupRecord, BackupSummary } from './backup-format.ts';
import { CONFIG_SECTION } from './config-section.ts';
import { ROLLOUT_SECTION } from './rollout-section.ts';
import type { BackupSection, SectionContext, SectionRestorer } from './section.ts';
import { TOKEN_SECTION } from './token-section.ts';
import { SPEC_SECTION } from './spec-section.ts';

/** What a backup holds, in the order in which it is read and restored. The order counts, see the sections. */
export const BACKUP_SECTIONS: readonly BackupSection[] = [
  AUDIT_SECTION,
  CONFIG_SECTION,
  SPEC_SECTION,
  TOKEN_SECTION,
  ROLLOUT_SECTION,
  AGENT_SECTION,
];

/** Records on their way to Redis at a time. */
const MAX_IN_FLIGHT = 32;

/** The store holds something already, and the restore was not to replace it. */
export class StoreNotEmptyError extends Error {
  override name = 'StoreNotEmptyError';
}

/** Agents are connected, and the file has rollouts that go on. */
export class AgentsConnectedError extends Error {
  override name = 'AgentsConnectedError';
}

/** What a restore did, or would do. */
export interface RestoreReport extends BackupSummary {
  /** What stands in the way, `3 groups`; empty when the store is empty. */
  existing: readonly string[];
  /** What the operator has to know. */
  notes: readonly string[];
}

/** Saves everything that agents cannot tell again as one file, and brings it back. */
export interface BackupStore {
  /** The file, in pieces, as it is read from Redis. */
  create(): Promise<Readable>;
  /**
   * Restores a file. What it says takes effect when all of it has been read and is right; before that configs and records are stored
   * that nothing points at. Rejects with a BackupFileError for a bad file, with a StoreNotEmptyError when there is something already
   * and `force` is not given, with an AgentsConnectedError when the file has rollouts that go on and agents are connected: their gateways would
   * not know of the rows that are restored, and take the agents back. With `dryRun` the file is read and checked, and nothing is written.
   */
  restore(source: Readable, options: { force: boolean; dryRun: boolean }): Promise<RestoreReport>;
}

/** Builds the store on one Redis. */
export function createBackupStore(options: { client: RedisClient; keys: Keys; replicas?: ReplicaWait }): BackupStore {
  const { client, keys, replicas } = options;
  const context: SectionContext = { client, keys };

  return {
    async create() {
      const createdAt = new Date(await redisNowMs(client)).toISOString();
      const sections = BACKUP_SECTIONS.map(({ name }) => name);
      const activeRollouts = (await client.hvals(keys.rolloutsActive)).toSorted();
      return writeBackup({ format: BACKUP_FORMAT, version: BACKUP_VERSION, createdAt, sections, activeRollouts }, readSections(context));
    },

    async restore(upload, { force, dryRun }) {
      const existing = (await Promise.all(BACKUP_SECTIONS.map(async (section) => await section.existing(context)))).filter(
        (text) => text !== undefined,
      );
      if (existing.length > 0 && !force && !dryRun) throw new StoreNotEmptyError(`there are ${existing.join(' and ')} already`);
      if (existing.length === 0 || dryRun) return await restoreFrom(upload, { existing, dryRun });
      return await withChecked(upload, async (source) => await restoreFrom(source, { existing, dryRun: false }));
    },
  };

  async function restoreFrom(
    source: Readable,
    { existing, dryRun }: { existing: readonly string[]; dryRun: boolean },
  ): Promise<RestoreReport> {
    const restorers = new Map<string, SectionRestorer>();
    const queue = new WriteQueue();
    const summary = await readBackup(
      source,
      async ({ createdAt, sections, activeRollouts }) => {
        const unknown = sections.filter((name) => !BACKUP_SECTIONS.some((section) => section.name === name));
        if (unknown.length > 0) throw new BackupFileError(`the file has sections that this release does not know: ${unknown.join(', ')}`);
        if (dryRun) return;
        const nowMs = await redisNowMs(client);
        const connected = activeRollouts.length === 0 ? 0 : await connectedAgents(context, nowMs);
        if (connected > 0)
          throw new AgentsConnectedError(
            `${connected} agents are connected, and the file has rollouts that go on (${activeRollouts.join(', ')}): stop the gateways, restore, start them again`,
          );
        for (const section of BACKUP_SECTIONS) {
          if (existing.length > 0) await section.clear(context);
          restorers.set(section.name, section.restorer({ ...context, nowMs, takenAtMs: Date.parse(createdAt) }));
        }
      },
      async ({ section, record }) => {
        const restorer = restorers.get(section);
        if (restorer !== undefined) await queue.add(section, async () => await restoreRecord(restorer, { section, record }));
      },
    );
    await queue.drain();
    for (const restorer of restorers.values()) await restorer.activate?.();
    for (const restorer of restorers.values()) await restorer.finish?.();
    if (!dryRun) await replicas?.();
    return { ...summary, existing, notes: [...restorers.values()].flatMap((restorer) => restorer.notes?.() ?? []) };
  }
}

/** Agents that gateways with a running lease hold. */
async function connectedAgents({ client, keys }: SectionContext, nowMs: number): Promise<number> {
  const ids = await client.zrangebyscore(keys.gateways, nowMs, '+inf');
  const counts = await Promise.all(ids.map(async (id) => Number((await client.hget(keys.gateway(id), 'connected')) ?? 0)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/**
 * Keeps an upload in a file until it has been checked: what is replaced is gone when the first record has been restored, so a bad file
 * has to be known before. Rejects as `readBackup` does.
 */
async function withChecked<Result>(upload: Readable, use: (source: Readable) => Promise<Result>): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'opamp-restore-'));
  try {
    const file = join(directory, 'backup');
    await pipeline(upload, createWriteStream(file, { mode: 0o600 }));
    await readBackup(
      createReadStream(file),
      async () => undefined,
      async () => undefined,
    );
    return await use(createReadStream(file));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function* readSections(context: SectionContext): AsyncGenerator<BackupRecord> {
  for (const section of BACKUP_SECTIONS) {
    for await (const record of section.read(context)) yield { section: section.name, record };
  }
}

async function restoreRecord(restorer: SectionRestorer, { section, record }: BackupRecord): Promise<void> {
  try {
    await restorer.restore(record);
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError)
      throw new BackupFileError(`a record of section ${section} cannot be restored: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Agents are independent of each other; the records of all other sections are stored one after another. */
class WriteQueue {
  readonly #inFlight = new Set<Promise<void>>();
  #failure: Error | undefined;

  async add(section: string, write: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const writing: Promise<void> = write()
      .catch((error: unknown) => {
        this.#failure ??= toError(error);
      })
      .finally(() => this.#inFlight.delete(writing));
    this.#inFlight.add(writing);
    if (section !== AGENT_SECTION.name) await writing;
    else if (this.#inFlight.size >= MAX_IN_FLIGHT) await Promise.race(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async drain(): Promise<void> {
    await Promise.all(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
