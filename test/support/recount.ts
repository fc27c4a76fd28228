import type { Redis } from 'ioredis';
import type { Keys } from '@opamp-gateway/shared/redis/keys';

/**
 * Reads every record of one shard and adds up what the scripts keep sums of: rows of rollouts that have not ended, facets, members of
 * groups, open rows. One step, so at any moment. Lists where a sum is another one.
 */
const RECOUNT = `
local prefix = ARGV[1]
local UNSETTLED = { offered = true, applying = true, verifying = true, restoring = true }
local wrong = {}
local function read(key)
  local flat, map = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local function within(map, name)
  if not map[name] then map[name] = {} end
  return map[name]
end
local function compare(what, counted, kept)
  for field, value in pairs(counted) do
    if tostring(value) ~= kept[field] then wrong[#wrong + 1] = what .. ' ' .. field .. ': ' .. tostring(value) .. ' by the records, ' .. (kept[field] or 'nothing') .. ' kept' end
  end
  for field, value in pairs(kept) do
    if counted[field] == nil then wrong[#wrong + 1] = what .. ' ' .. field .. ': nothing by the records, ' .. value .. ' kept' end
  end
end

local counters, ended = {}, {}
for _, key in ipairs(redis.call('KEYS', prefix .. 'rollout:*')) do
  local id = string.match(string.sub(key, #prefix + 1), '^rollout:([^:]+)$')
  if id then
    local fields = read(key)
    if fields.ended then ended[id] = true else counters[id] = fields end
  end
end
local rows, open, facets, members = {}, {}, {}, {}
local agents = 0
for _, uid in ipairs(redis.call('ZRANGE', prefix .. 'uids', 0, -1)) do
  agents = agents + 1
  local rec = read(prefix .. 'agent:' .. uid)
  local column = (rec.owner or '') ~= '' and '1' or '0'
  for facet in string.gmatch(rec.facets or '', '[^\\n]+') do
    local field = facet .. '|' .. column
    facets[field] = (facets[field] or 0) + 1
  end
  if column == '1' then within(members, rec.group or '-')[uid] = rec.owner .. ':' .. rec.epoch .. ':' .. (rec.takes or '0') end
  for field, text in pairs(rec) do
    local id = string.match(field, '^r:(.+)$')
    if id and not ended[id] then
      local wave, status = string.match(text, '^([^|]*)|([^|]*)|')
      local name = wave .. ':' .. status .. ':' .. column
      within(rows, id)[name] = (within(rows, id)[name] or 0) + 1
      if UNSETTLED[status] then within(open, id)[uid] = '' end
    end
  end
end
for id, fields in pairs(rows) do
  local kept = {}
  for field, count in pairs(counters[id] or {}) do if string.match(field, ':[01]$') then kept[field] = count end end
  compare('rollout ' .. id, fields, kept)
end
for id, fields in pairs(counters) do
  if not rows[id] then
    for field, count in pairs(fields) do
      if string.match(field, ':[01]$') then wrong[#wrong + 1] = 'rollout ' .. id .. ' ' .. field .. ': no rows, ' .. count .. ' kept' end
    end
  end
  local kept = {}
  for _, uid in ipairs(redis.call('ZRANGE', prefix .. 'rollout:' .. id .. ':open', 0, -1)) do kept[uid] = '' end
  compare('open rows of rollout ' .. id, within(open, id), kept)
end
compare('facet', facets, read(prefix .. 'facets'))
for _, group in ipairs(redis.call('SMEMBERS', prefix .. 'member-groups')) do
  local kept = {}
  for uid, text in pairs(read(prefix .. 'members:' .. group)) do kept[uid] = string.match(text, '^([^:]*:[^:]*:[^:]*):') end
  compare('group ' .. group .. ', member', within(members, group), kept)
  members[group] = nil
end
for group in pairs(members) do compare('group ' .. group .. ', member', members[group], {}) end
table.insert(wrong, 1, tostring(agents))
return wrong
`;

/** What a recount found. */
export interface Recount {
  /** Records that were read. */
  readonly agents: number;
  readonly problems: readonly string[];
}

/** Compares all sums that Redis keeps with what the agents' records add up to, shard by shard, also in the middle of a fault (I1). */
export async function recount(redis: Redis, keys: Keys): Promise<Recount> {
  const shards = await Promise.all(
    keys.shards.map(async ({ prefix, agents }) => {
      const [count = '0', ...wrong] = (await redis.eval(RECOUNT, 1, agents, prefix)) as string[];
      return { count: Number(count), wrong };
    }),
  );
  return {
    agents: shards.reduce((sum, { count }) => sum + count, 0),
    problems: shards.flatMap(({ wrong }, shard) => wrong.map((line) => `shard ${shard}: ${line}`)),
  };
}
