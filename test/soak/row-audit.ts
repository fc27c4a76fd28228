import type { Redis } from 'ioredis';
import type { Keys } from '@opamp-gateway/shared/redis/keys';

/** Adds up the rows of one rollout in one shard and compares them with its counters, in one step, so at any moment. */
const AUDIT = `
local prefix, id = ARGV[1], ARGV[2]
local counters = {}
local flat = redis.call('HGETALL', prefix .. 'rollout:' .. id)
for i = 1, #flat, 2 do
  if flat[i] == 'ended' then return {} end
  counters[flat[i]] = tonumber(flat[i + 1])
end
local rows = {}
for _, uid in ipairs(redis.call('ZRANGE', prefix .. 'uids', 0, -1)) do
  local row, owner = unpack(redis.call('HMGET', prefix .. 'agent:' .. uid, 'r:' .. id, 'owner'))
  if row then
    local wave, status = string.match(row, '^([^|]*)|([^|]*)|')
    local field = wave .. ':' .. status .. ':' .. ((owner or '') ~= '' and '1' or '0')
    rows[field] = (rows[field] or 0) + 1
  end
end
local wrong = {}
for field, count in pairs(rows) do
  if counters[field] ~= count then wrong[#wrong + 1] = field .. ': ' .. count .. ' rows, counter ' .. (counters[field] or 0) end
end
for field, count in pairs(counters) do
  if not rows[field] and string.match(field, ':[01]$') then wrong[#wrong + 1] = field .. ': no rows, counter ' .. count end
end
return wrong
`;

/** Invariant I1, shard by shard, also in the middle of a fault. Lists what differs. */
export async function auditRows(redis: Redis, keys: Keys, rollout: string): Promise<readonly string[]> {
  const wrong = await Promise.all(
    keys.shards.map(async ({ prefix, agents }) => (await redis.eval(AUDIT, 1, agents, prefix, rollout)) as string[]),
  );
  return wrong.flatMap((lines, shard) => lines.map((line) => `shard ${shard}, rollout ${rollout}, ${line}`));
}
