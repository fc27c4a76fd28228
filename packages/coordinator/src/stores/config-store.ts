import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AgentRemoteConfigSchema } from '@opamp-gateway/proto/opamp';
import { configHash, toHex } from '@opamp-gateway/shared/config-hash';
import type { ConfigMap } from '@opamp-gateway/shared/config-hash';
import { putConfig } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { AuditEntry, AuditInput } from './audit-log.ts';
import { redisNowMs } from './redis-time.ts';
import type { ReplicaWait } from './replica-wait.ts';

/** What the validation said when a version was stored. */
export interface StoredValidation {
  errors: number;
  warnings: number;
  /** The first findings, see {@link MAX_STORED_FINDINGS}. */
  findings: unknown[];
}

/** Findings kept with a version; the rest is only counted. */
export const MAX_STORED_FINDINGS = 50;

/** Most named configs. */
export const MAX_CONFIGS = 10_000;

/** One immutable version of a named config. */
export interface ConfigVersion {
  name: string;
  version: number;
  /** Hex config hash, the one agents report. */
  hash: string;
  /** RFC 3339 UTC. */
  createdAt: string;
  createdBy: string;
  message: string;
  /** By file name; the name is empty where there is one file only. */
  files: Record<string, { contentType: string; sizeBytes: number }>;
  validation: StoredValidation;
}

/** Files of a config as text by name. */
export type ConfigFiles = Record<string, { body: string; contentType: string }>;

/** A new version. */
export interface ConfigInput {
  name: string;
  files: ConfigFiles;
  message: string;
  by: Pick<AuditInput, 'actor' | 'auth' | 'role'>;
  validation: StoredValidation;
}

/** Named configs and their immutable versions. Every method rejects when Redis cannot be reached. */
export interface ConfigStore {
  /**
   * Stores a version unless the newest one has the same content. The bytes for agents are in Redis before the version is,
   * so nothing can name a hash that no gateway can read. Atomic; concurrent calls get different numbers.
   */
  put(input: ConfigInput): Promise<{ created: boolean; version: ConfigVersion }>;
  /** Newest version number by name, names in byte order. */
  names(): Promise<Map<string, number>>;
  /** Newest version number of a config, undefined when there is no such config. */
  newest(name: string): Promise<number | undefined>;
  /** The given versions of one config, in that order; those that do not exist are left out. */
  versions(name: string, numbers: readonly number[]): Promise<ConfigVersion[]>;
  /** The files behind a hash, undefined when there are none. */
  files(hash: string): Promise<ConfigFiles | undefined>;
}

/** Builds the store on one Redis. */
export function createConfigStore(options: { client: RedisClient; keys: Keys; replicas?: ReplicaWait }): ConfigStore {
  const { client, keys, replicas } = options;

  return {
    async put(input) {
      const files = toConfigMap(input.files);
      const hashBytes = configHash(files);
      const hash = toHex(hashBytes);
      await client.set(keys.blob(hash), encodeRemoteConfig(files, hashBytes));
      const createdAt = new Date(await redisNowMs(client)).toISOString();
      const sizes = [...files].map(([name, file]) => [name, { contentType: file.contentType, sizeBytes: file.body.length }] as const);
      const metadata = {
        hash,
        createdAt,
        createdBy: input.by.actor,
        message: input.message,
        files: Object.fromEntries(sizes),
        validation: { ...input.validation, findings: input.validation.findings.slice(0, MAX_STORED_FINDINGS) },
      };
      const newest = await client.hget(keys.configs, input.name);
      const before = newest === null ? null : await client.hget(keys.configVersions(input.name), `${newest}:hash`);
      const audit: AuditEntry = {
        at: createdAt,
        ...input.by,
        action: 'config.put',
        target: `config/${input.name}`,
        reason: input.message === '' ? undefined : input.message,
        before: newest === null ? null : { version: Number(newest), hash: before },
        after: { hash },
        detail: { hash, message: input.message },
      };
      const stored = await putConfig(client, keys, {
        name: input.name,
        hash,
        metadata: JSON.stringify(metadata),
        audit: JSON.stringify(audit),
      });
      await replicas?.();
      return { created: stored.created, version: toVersion(input.name, stored.version, stored.metadata) };
    },

    async names() {
      const newest = await client.hgetall(keys.configs);
      return new Map(
        Object.keys(newest)
          .toSorted()
          .map((name) => [name, Number(newest[name])]),
      );
    },

    async newest(name) {
      const text = await client.hget(keys.configs, name);
      return text === null ? undefined : Number(text);
    },

    async versions(name, numbers) {
      if (numbers.length === 0) return [];
      const texts = await client.hmget(keys.configVersions(name), ...numbers.map(String));
      return numbers.flatMap((number, index) => {
        const text = texts[index];
        return text === null || text === undefined ? [] : [toVersion(name, number, text)];
      });
    },

    async files(hash) {
      const bytes = await client.getBuffer(keys.blob(hash));
      return bytes === null ? undefined : decodeRemoteConfig(bytes);
    },
  };
}

/** Only the texts of files, by name. */
export function textsOf(files: ConfigFiles): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, { body }]) => [name, body]));
}

/** Files as the bytes that agents get. */
export function toConfigMap(files: ConfigFiles): ConfigMap {
  return new Map(
    Object.entries(files).map(([name, file]) => [name, { body: Buffer.from(file.body, 'utf8'), contentType: file.contentType }]),
  );
}

/** The hash under which these files are stored and offered. */
export function hashOfFiles(files: ConfigFiles): string {
  return toHex(configHash(toConfigMap(files)));
}

/** Encodes the message that every gateway sends as it is. [OpAMP AgentRemoteConfig] */
export function encodeRemoteConfig(files: ConfigMap, hash: Uint8Array): Buffer {
  const configMap = Object.fromEntries(
    [...files].map(([name, file]) => [name, { body: new Uint8Array(file.body), contentType: file.contentType }]),
  );
  return Buffer.from(toBinary(AgentRemoteConfigSchema, create(AgentRemoteConfigSchema, { config: { configMap }, configHash: hash })));
}

function decodeRemoteConfig(bytes: Uint8Array): ConfigFiles {
  const { config } = fromBinary(AgentRemoteConfigSchema, bytes);
  const files = Object.entries(config?.configMap ?? {});
  return Object.fromEntries(
    files.map(([name, file]) => [name, { body: Buffer.from(file.body).toString('utf8'), contentType: file.contentType }]),
  );
}

function toVersion(name: string, version: number, metadata: string): ConfigVersion {
  const stored = JSON.parse(metadata) as Omit<ConfigVersion, 'name' | 'version'>;
  return {
    name,
    version,
    hash: stored.hash,
    createdAt: stored.createdAt,
    createdBy: stored.createdBy,
    message: stored.message,
    files: stored.files ?? {},
    validation: stored.validation ?? { errors: 0, warnings: 0, findings: [] },
  };
}
