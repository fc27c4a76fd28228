/** Looks through everything that a Redis holds, as somebody who has stolen a copy of it would. */
import { inflateRawSync } from 'node:zlib';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** Names of the keys that hold a text: in their name, as it is, or deflated. */
export async function keysHolding(client: RedisClient, text: string): Promise<string[]> {
  const keys = (await client.keys('*')).toSorted();
  const found: string[] = [];
  for (const key of keys) {
    const values = await valuesOf(client, key);
    if (key.includes(text) || values.some((value) => holds(value, text))) found.push(key);
  }
  return found;
}

function holds(value: Buffer, text: string): boolean {
  if (value.includes(text)) return true;
  try {
    return inflateRawSync(value).includes(text);
  } catch {
    // Not deflated.
    return false;
  }
}

/** Every value of a key, members, fields and entries included. */
async function valuesOf(client: RedisClient, key: string): Promise<Buffer[]> {
  const read: unknown = await readAll(client, key);
  const flat: Buffer[] = [];
  const take = (value: unknown): void => {
    if (Buffer.isBuffer(value)) flat.push(value);
    else if (Array.isArray(value)) value.forEach(take);
    else if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) take([Buffer.from(name), inner]);
    else if (typeof value === 'string') flat.push(Buffer.from(value));
  };
  take(read);
  return flat;
}

async function readAll(client: RedisClient, key: string): Promise<unknown> {
  const type = await client.type(key);
  switch (type) {
    case 'string':
      return await client.getBuffer(key);
    case 'hash':
      return await client.hgetallBuffer(key);
    case 'list':
      return await client.lrangeBuffer(key, 0, -1);
    case 'set':
      return await client.smembersBuffer(key);
    case 'zset':
      return await client.zrangeBuffer(key, '0', '-1');
    case 'stream':
      return await client.xrangeBuffer(key, '-', '+');
    case 'none':
      return null;
    default:
      throw new Error(`${key} is a ${type}, which the scan does not know`);
  }
}
