import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RECORD_FIELDS } from '../agent-record.ts';
import { specField } from '../fleet-spec.ts';
import { formatLease } from './fleet-scripts.ts';
import { createKeys, SHARD_TAGS } from './keys.ts';
import type { ShardKeys } from './keys.ts';

const PAGE = readFileSync(new URL('../../../../docs/redis.md', import.meta.url), 'utf8');
const SCRIPTS = new URL('../../lua/', import.meta.url);

/** Properties that are no names in Redis themselves. */
const PREFIXES: ReadonlySet<string> = new Set(['prefix', 'tagPrefix', 'shards', 'queuePrefix']);
/** Names as `keys.ts` spells them: an argument is `<>`, a shard's tag is `{ss}`. */
function namesOf(keys: object): string[] {
  return Object.entries(keys)
    .filter(([name]) => !PREFIXES.has(name))
    .map(([, value]) => (typeof value === 'function' ? (value as (argument: string) => string)('<>') : String(value)))
    .map((name) => name.replace(`{${SHARD_TAGS[0]}}`, '{ss}'));
}

/** Names as the page spells them: an argument is `<uid>`, `<id>`, … */
function documentedNames(): string[] {
  return firstCells()
    .filter((cell) => /^\{?opamp[}:-]/.test(cell))
    .map((cell) => cell.replaceAll(/<[a-z]+>/g, '<>'));
}

function codeSpans(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] as string);
}

/** First cells of all table rows. */
function firstCells(): string[] {
  return [...PAGE.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap((match) => codeSpans(match[1] as string));
}

describe('docs/redis.md', () => {
  it('describes every key, channel and queue, and none that there is not', () => {
    const keys = createKeys();
    const names = [...namesOf(keys), ...namesOf(keys.shards[0] as ShardKeys)];
    expect(names.length).toBeGreaterThan(30);
    expect(documentedNames().toSorted()).toEqual(names.toSorted());
  });

  it('lists the shards’ hash tags', () => {
    expect(codeSpans(PAGE)).toEqual(expect.arrayContaining([...SHARD_TAGS]));
  });

  it('describes the fields of records, of the spec and of leases', () => {
    const cells = new Set(firstCells());
    const lease = formatLease({
      address: '',
      version: '',
      draining: false,
      observed: '',
      evaluated: '',
      backlog: {},
      connected: 0,
      unhealthy: 0,
      startedAtMs: 0,
      trailing: {},
    });
    const spec = [specField.generation, specField.frozen, specField.group('<name>'), specField.stable('<name>'), specField.rollout('<id>')];
    expect([...RECORD_FIELDS, ...Object.keys(lease), ...spec].filter((field) => !cells.has(field))).toEqual([]);
  });

  it('describes every script', () => {
    const scripts = readdirSync(SCRIPTS).filter((file) => file.endsWith('.lua') && file !== 'common.lua' && file !== 'audit-chain.lua');
    const cells = firstCells().filter((cell) => cell.endsWith('.lua'));
    expect(cells.toSorted()).toEqual(scripts.toSorted());
  });
});
