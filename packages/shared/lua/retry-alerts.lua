-- Makes dead deliveries due again, with all their attempts before them.
-- KEYS    1 alerts:dead
-- ARGV    1 tag prefix, then id and target... (none: every dead one)
-- returns number of deliveries that are due again

local members = {}
if #ARGV == 1 then members = redis.call('ZRANGE', KEYS[1], 0, -1) end
for at = 2, #ARGV, 2 do members[#members + 1] = ARGV[at] .. ' ' .. ARGV[at + 1] end

local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local count = 0
for _, member in ipairs(members) do
  if redis.call('ZREM', KEYS[1], member) == 1 then
    local id, target = string.match(member, '^(%S+) (.+)$')
    local key = ARGV[1] .. 'alert:' .. id
    if redis.call('EXISTS', key) == 1 then
      redis.call('HSET', key, 't:' .. target, 'pending|0|0|' .. now_ms .. '|')
      redis.call('ZADD', ARGV[1] .. 'alerts:due:' .. target, now_ms, id)
      count = count + 1
    end
  end
end
return count
