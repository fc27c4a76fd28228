import { fromBinary } from '@bufbuild/protobuf';
import { AgentRemoteConfigSchema } from '@opamp-gateway/proto/opamp';
import { configHash, toHex } from '@opamp-gateway/shared/config-hash';
import { countOf, textOf } from './section.ts';
import type { BackupSection, SectionRecord } from './section.ts';

/** Versions read at a time. */
const CHUNK = 20;

/** Named configs, all their versions, and the bytes that agents are sent. Bytes come before the version that names them. */
export const CONFIG_SECTION: BackupSection = {
  name: 'configs',

  async *read({ client, keys }) {
    const saved = new Set<string>();
    const newest = await client.hgetall(keys.configs);
    for (const name of Object.keys(newest).toSorted()) {
      const count = Number(newest[name]);
      for (let from = 1; from <= count; from += CHUNK) {
        const numbers = Array.from({ length: Math.min(CHUNK, count - from + 1) }, (_, offset) => from + offset);
        const texts = await client.hmget(keys.configVersions(name), ...numbers.map(String));
        for (const [index, version] of numbers.entries()) {
          const metadata = texts[index];
          if (metadata === null || metadata === undefined) continue;
          const { hash } = JSON.parse(metadata) as { hash: string };
          if (!saved.has(hash)) {
            saved.add(hash);
            const bytes = await client.getBuffer(keys.blob(hash));
            if (bytes === null) throw new Error(`the bytes of config ${name}@${version} are missing in Redis`);
            yield { kind: 'bytes', hash, base64: bytes.toString('base64') };
          }
          yield { kind: 'version', name, version, hash, metadata };
        }
      }
    }
  },

  async existing({ client, keys }) {
    const count = await client.hlen(keys.configs);
    return count === 0 ? undefined : `${count} configs`;
  },

  async clear({ client, keys }) {
    for (const name of await client.hkeys(keys.configs)) await client.del(keys.configVersions(name));
    await client.del(keys.configs);
  },

  restorer({ client, keys }) {
    const newest = new Map<string, number>();
    return {
      async restore(record) {
        const hash = textOf(record, 'hash');
        if (record['kind'] === 'bytes') {
          await client.set(keys.blob(hash), bytesOf(record, hash));
          return;
        }
        const name = textOf(record, 'name');
        const version = countOf(record, 'version');
        await client.hset(keys.configVersions(name), String(version), textOf(record, 'metadata'), `${version}:hash`, hash);
        newest.set(name, Math.max(version, newest.get(name) ?? 0));
      },
      async activate() {
        for (const [name, version] of newest) await client.hset(keys.configs, name, version);
      },
    };
  },
};

/** The bytes, which have to be those that their hash says. */
function bytesOf(record: SectionRecord, hash: string): Buffer {
  const bytes = Buffer.from(textOf(record, 'base64'), 'base64');
  const { config } = fromBinary(AgentRemoteConfigSchema, bytes);
  const files = new Map(
    Object.entries(config?.configMap ?? {}).map(([name, file]) => [name, { body: file.body, contentType: file.contentType }]),
  );
  if (toHex(configHash(files)) !== hash) throw new TypeError(`the bytes of config ${hash} have another hash`);
  return bytes;
}
