/** Remote configs as agents see them, shared by all agents of a process: a thousand agents hold one copy of the bytes. */
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AgentRemoteConfigSchema, EffectiveConfigSchema } from '@opamp-gateway/proto/opamp';
import { scanFields } from './opamp-wire.ts';

/** One offered config. Objects are unique per content, so agents compare them by identity. */
export interface SimConfig {
  /** The server's `config_hash`. */
  readonly hash: Uint8Array;
  readonly hashHex: string;
  /** All entries in the order a supervisor merges them: names bytewise, the empty name last. */
  readonly mergedText: string;
  /** Equal for configs whose merged text is equal, whatever their hash. */
  readonly mergedKey: string;
  /** No entry at all: a supervisor stops its collector. */
  readonly isEmptyMap: boolean;
  /** Nothing to do: no entry at all, or pipelines that receive from `nop` only. */
  readonly isNop: boolean;
  /** Why a supervisor could not merge it, or undefined. */
  readonly mergeError: string | undefined;
  /** An encoded EffectiveConfig with the merged text under the empty name. */
  readonly effectiveConfig: Uint8Array;
  /** The same with what the collector was given, under the name `raw`, beside it. */
  readonly effectiveWithRaw: Uint8Array;
  /** The bytes as received. */
  readonly raw: Buffer;
}

/**
 * Rough check for what makes a supervisor's merge fail: the top level has to be a mapping. It finds tabs used as
 * indentation, sequences and bare words at the top, and keys given twice there.
 */
export function findMergeError(text: string): string | undefined {
  const keys = new Set<string>();
  let lineNumber = 0;
  for (const line of text.split('\n')) {
    lineNumber += 1;
    if (/^\s*(#.*)?$/.test(line)) continue;
    if (line.startsWith('\t') || /^ +\t/.test(line)) {
      return `yaml: line ${lineNumber}: found character that cannot start any token`;
    }
    if (/^[ }\]]/.test(line) || /^(---|\.\.\.)/.test(line) || line.startsWith('{')) continue;
    if (/^-(\s|$)/.test(line)) return 'cannot unmarshal the config: the top level is a sequence, not a mapping';
    const key = /^("[^"]*"|'[^']*'|[^\s:][^:]*):(\s|$)/.exec(line)?.[1];
    if (key === undefined) return `yaml: line ${lineNumber}: could not find expected ':'`;
    if (keys.has(key)) return `yaml: unmarshal errors: line ${lineNumber}: mapping key "${key}" already defined`;
    keys.add(key);
  }
  return undefined;
}

/** Whether there are pipelines, and all of them have the receiver `nop` and no other. */
function receivesNothing(text: string): boolean {
  const lists = [...text.matchAll(/^ *receivers: *\[([^\]]*)\]/gm)].map(([, list = '']) => list.trim());
  return lists.length > 0 && lists.every((list) => list === 'nop');
}

function decodeConfig(raw: Buffer): SimConfig {
  const { config, configHash } = fromBinary(AgentRemoteConfigSchema, raw);
  const entries = Object.entries(config?.configMap ?? {}).map(([name, file]) => [name, Buffer.from(file.body).toString('utf8')] as const);
  entries.sort(([left], [right]) => {
    if (left === '') return 1;
    if (right === '') return -1;
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  });
  const mergedText = entries.map(([, body]) => body).join('\n');
  const file = { body: Buffer.from(mergedText), contentType: 'text/yaml' };
  const effectiveOf = (configMap: Readonly<Record<string, typeof file>>): Uint8Array =>
    toBinary(EffectiveConfigSchema, create(EffectiveConfigSchema, { configMap: { configMap } }));
  return {
    hash: configHash,
    hashHex: Buffer.from(configHash).toString('hex'),
    mergedText,
    mergedKey: createHash('sha256').update(mergedText).digest('base64url'),
    isEmptyMap: entries.length === 0,
    isNop: entries.length === 0 || receivesNothing(mergedText),
    mergeError: entries.map(([, body]) => findMergeError(body)).find((error) => error !== undefined),
    effectiveConfig: effectiveOf({ '': file }),
    effectiveWithRaw: effectiveOf({ '': file, raw: file }),
    raw,
  };
}

/** Hands out one SimConfig per distinct AgentRemoteConfig. */
export class SimConfigStore {
  readonly #byHash = new Map<string, SimConfig[]>();

  /** Looks the bytes up, or decodes and keeps a copy of them. Throws WireError for malformed bytes. */
  intern(remoteConfig: Uint8Array): SimConfig {
    let hashBytes: Uint8Array = new Uint8Array(0);
    scanFields(remoteConfig, (field, _value, bytes) => {
      if (field === 2 && bytes !== undefined) hashBytes = bytes;
    });
    const key = Buffer.from(hashBytes.buffer, hashBytes.byteOffset, hashBytes.byteLength).toString('latin1');
    const known = this.#byHash.get(key) ?? [];
    for (const config of known) if (config.raw.equals(remoteConfig)) return config;
    const config = decodeConfig(Buffer.from(remoteConfig));
    this.#byHash.set(key, [...known, config]);
    return config;
  }
}
