-- Notes one minute of the fleet's history. Of all coordinators the first one wins; a minute takes the place of that of a day ago.
-- KEYS    1 history
-- ARGV    1 minutes kept, 2 JSON object of what was counted, not empty
-- returns {'1' when it was written, '0' when somebody else was first; minutes since 1970 by Redis' clock}

local minute = math.floor(redis.call('TIME')[1] / 60)
local slot = string.format('%.0f', minute % tonumber(ARGV[1]))
local known = redis.call('HGET', KEYS[1], slot)
local at = string.format('%.0f', minute)
local head = '{"minute":' .. at .. ','
if known and string.sub(known, 1, #head) == head then return { '0', at } end
redis.call('HSET', KEYS[1], slot, head .. string.sub(ARGV[2], 2))
return { '1', at }
